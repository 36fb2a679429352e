"""The one error that starting, finding or stopping the embedded engines may raise."""

from pathlib import Path

_TAIL_LINES = 12  # enough for a refused setting or a failed recovery with its context; more hides the message


class EngineError(Exception):
    """What failed, how to mend it, and what the server itself said last; `permanent` tells that trying again is no use."""

    def __init__(self, message: str, *, mend: str, permanent: bool, log: Path | None = None, tail: str = "") -> None:
        self.message = message
        self.mend = mend
        self.permanent = permanent
        self.tail = read_tail(log) if log else tail
        super().__init__(message)

    def __str__(self) -> str:
        said = f"\nIts log ends with:\n{self.tail}" if self.tail else ""
        return f"{self.message}\nMend: {self.mend}{said}"


def read_tail(log: Path, *, lines: int = _TAIL_LINES) -> str:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""  # no log yet: the program did not get as far as writing one
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
