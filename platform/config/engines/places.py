"""Where the embedded engines keep their data, sockets and locks; computes paths only and creates nothing."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, final NUL included; PostgreSQL appends
# "/.s.PGSQL.5432" (14 bytes) to the directory we give it.
LONGEST_SOCKET_DIR_BYTES = 104 - 1 - len("/.s.PGSQL.5432")

POSTGRES_PORT = 5432  # only names the socket file: no TCP port is opened


@dataclass(frozen=True, slots=True)
class Places:
    """Every path of one instance of the engines, derived from its data directory alone."""

    data_dir: Path
    home: Path

    @property
    def control(self) -> Path:
        """Locks and reports of the supervisor; belongs to whoever starts the engines."""
        return self.data_dir / "engines"

    @property
    def wishes(self) -> Path:
        """What the running supervisor was asked for; out of date when its lock is free."""
        return self.control / "wishes.json"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def postgres_data(self) -> Path:
        return self.home / "postgres"

    @property
    def redis_data(self) -> Path:
        return self.home / "redis"

    @property
    def binaries(self) -> Path:
        """Copies of the engines' programs, made only when the wheel's own are out of reach for the engines' uid."""
        return self.home / "programs"

    @property
    def sockets(self) -> Path:
        beside_the_data = self.home / "run"
        if len(os.fsencode(beside_the_data)) <= LONGEST_SOCKET_DIR_BYTES:
            return beside_the_data
        return Path("/tmp") / _private_name(self.data_dir)  # noqa: S108 # owner and mode are checked before use

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / f".s.PGSQL.{POSTGRES_PORT}"

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"


def find_places(data_dir: Path, *, as_root: bool | None = None) -> Places:
    """The same answer in every process and at every run, so that data and sockets are found again.

    PostgreSQL refuses to run as root, so root's engines run under an unprivileged uid. Where that uid cannot reach the
    data directory (a checkout below /root), the data lives in a private directory of its own instead.
    """
    data_dir = data_dir.resolve()
    if as_root is None:
        as_root = os.geteuid() == 0
    if not as_root or _is_open_to_strangers(data_dir):
        return Places(data_dir=data_dir, home=data_dir)
    # Not /var/tmp for data that should last: systemd-tmpfiles deletes there what was not read for 30 days.
    shelf = Path("/var/tmp") if _is_below_temporary(data_dir) else Path("/var/lib")  # noqa: S108 # owner and mode are checked before use
    return Places(data_dir=data_dir, home=shelf / _private_name(data_dir))


def _private_name(data_dir: Path) -> str:
    return f"switchboard-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"


def _is_open_to_strangers(path: Path) -> bool:
    """Whether a uid that owns nothing can walk down to path; what does not exist yet will be made walkable by us."""
    for step in [path, *path.parents]:
        try:
            mode = step.stat().st_mode
        except FileNotFoundError:
            continue
        if not mode & stat.S_IXOTH:
            return False
    return True


def _is_below_temporary(path: Path) -> bool:
    return any(path.is_relative_to(Path(root).resolve()) for root in {tempfile.gettempdir(), "/tmp", "/var/tmp"})  # noqa: S108 # compared, not used
