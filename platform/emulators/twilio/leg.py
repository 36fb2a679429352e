"""One side of the telephone network: a person's mouth and ear at 20 ms frames. It knows no TwiML and no HTTP."""

from __future__ import annotations

import asyncio
import base64
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from emulators.callers import Caller, Ear
from emulators.twilio.clock import FRAME_SAMPLES, SAMPLE_RATE_HZ, Clock, Ticker
from emulators.twilio.playout import SILENCE, Piece, Playout

DIGIT_S = 0.2  # 100 ms tone, 100 ms pause: what telephones send
PAUSE_S = 0.5  # `w`, twilio.md §3.6
_DIGITS = frozenset("0123456789ABCD*#")


class Frame(NamedTuple):
    audio: bytes
    payload: str  # base64, made once per clip


def make_frame(audio: bytes) -> Frame:
    return Frame(audio, base64.b64encode(audio).decode())


SILENT_FRAME = make_frame(bytes([SILENCE]) * FRAME_SAMPLES)


@lru_cache(maxsize=512)
def cut_frames(mulaw: bytes) -> tuple[Frame, ...]:
    """The clip in frames of 20 ms, the last one filled with silence; encoded once for all calls that play it."""
    return tuple(
        make_frame(mulaw[start : start + FRAME_SAMPLES].ljust(FRAME_SAMPLES, bytes([SILENCE])))
        for start in range(0, len(mulaw), FRAME_SAMPLES)
    )


class Listener(Protocol):
    def hear_frame(self, position: int, frame: Frame) -> None:
        """The person's frame that ends at `position`."""


class Leg:
    """Owned by one call; ticks from `start` to `stop`."""

    def __init__(
        self,
        *,
        clock: Clock,
        ticker: Ticker,
        on_digit: Callable[[str], None],
        on_hang_up: Callable[[], None],
        note: Callable[..., None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.clock = clock
        self.playout = Playout()
        self.ear = Ear()
        self.listeners: list[Listener] = []
        self.watchers: list[Listener] = []  # of what is played to the person (outbound tracks)
        self.spoken: list[tuple[int, bytes]] = []  # what the person said: (position of its first sample, frame)
        self.digits_heard = ""  # tones played into the person's ear
        self.started_at = clock.samples()
        self._ticker = ticker
        self._on_digit = on_digit
        self._on_hang_up = on_hang_up
        self._on_failure = on_failure
        self.note = note
        self._mouth: deque[Frame] = deque()
        self._spoken_out: asyncio.Future[None] | None = None
        self._heard_noted = False
        self._script: asyncio.Task[None] | None = None

    # -- life ---------------------------------------------------------------

    def start(self, caller: Caller) -> None:
        """The person is on the line: frames flow and the script begins."""
        self.started_at = self.clock.samples()
        self.ear.position_ms = self.started_at / SAMPLE_RATE_HZ * 1000
        self._ticker.add(self)
        self._script = asyncio.create_task(self._follow(caller))

    async def stop(self) -> None:
        self._ticker.remove(self)
        self.playout.stop(now=self.clock.samples())
        script, self._script = self._script, None
        if script is not None and script is not asyncio.current_task():
            script.cancel()
            await asyncio.wait({script})

    async def _follow(self, caller: Caller) -> None:
        try:
            await caller.follow(self)
        except Exception as error:
            self._on_failure(error)

    # -- the ticker's side ---------------------------------------------------

    def tick(self, position: int) -> None:
        frame = self._next_frame(position)
        for listener in tuple(self.listeners):
            listener.hear_frame(position, frame)
        window = self.playout.read(position - FRAME_SAMPLES, position)
        self.ear.hear(position, window)
        if self.ear.first_voice_ms is not None and not self._heard_noted:
            self._heard_noted = True
            self.note("heard", at_ms=self.ear.first_voice_ms)
        if self.watchers:
            played = SILENT_FRAME if window is None else make_frame(window)
            for watcher in tuple(self.watchers):
                watcher.hear_frame(position, played)

    def fail(self, error: Exception) -> None:
        self._on_failure(error)

    def _next_frame(self, position: int) -> Frame:
        if not self._mouth:
            return SILENT_FRAME
        frame = self._mouth.popleft()
        self.spoken.append((position - FRAME_SAMPLES, frame.audio))
        if not self._mouth and self._spoken_out is not None:
            if not self._spoken_out.done():
                self._spoken_out.set_result(None)
            self._spoken_out = None
        return frame

    # -- the person's side (emulators.callers.Phone) -------------------------

    async def speak(self, mulaw: bytes) -> None:
        if not mulaw:
            return
        self._mouth.extend(cut_frames(mulaw))
        if self._spoken_out is None:
            self._spoken_out = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._spoken_out)

    def say(self, mulaw: bytes) -> None:
        """Sound of a far end that is no script, in time by itself."""
        self._mouth.extend(cut_frames(mulaw))

    async def press(self, digits: str) -> None:
        for digit in digits:
            if digit == "w":
                await self.clock.sleep(PAUSE_S)
                continue
            if digit not in _DIGITS:
                raise ValueError(f"there is no key {digit!r} on a telephone")
            self.note("pressed", digit=digit)
            self._on_digit(digit)
            await self.clock.sleep(DIGIT_S)

    async def rest(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def listen(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s / self.clock.speed):
                await self.ear.wait(condition)
        except TimeoutError:
            return False
        return True

    def hang_up(self) -> None:
        self._on_hang_up()

    # -- the carrier's side --------------------------------------------------

    async def play(self, audio: bytes, *, source: str) -> Piece | None:
        """Plays to the person and returns when the last sample was heard; cancelled, the rest is cut."""
        piece = self.playout.enqueue(audio, now=self.clock.samples(), source=source)
        if piece is None or not audio:
            return piece
        try:
            await self.clock.sleep_until(piece.end)
        except asyncio.CancelledError:
            self.playout.stop(now=self.clock.samples())
            raise
        return piece

    @property
    def heard(self) -> list[tuple[int, bytes]]:
        """What was really played to the person: (sample position, bytes), gaps are silence."""
        return self.playout.heard(now=self.clock.samples())

    def heard_audio(self) -> bytes:
        """All that was really played, in one piece from the first sample on, silence included."""
        heard = self.heard
        return lay_out(heard, heard[0][0], heard[-1][0] + len(heard[-1][1])) if heard else b""


def lay_out(stretches: list[tuple[int, bytes]], start: int, end: int) -> bytes:
    """The stretches on a line of silence from `start` to `end`."""
    line = bytearray([SILENCE]) * max(0, end - start)
    first = max(0, bisect_left(stretches, start, key=lambda stretch: stretch[0]) - 1)
    for position, audio in stretches[first:]:
        if position >= end:
            break
        begin, stop = max(position, start), min(position + len(audio), end)
        if stop > begin:
            line[begin - start : stop - start] = audio[begin - position : stop - position]
    return bytes(line)
