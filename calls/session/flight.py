"""The flight recorder's file: the plan and every (time, event) of a call, with a check sum of what the machine answered; bytes in, bytes
out, no I/O. Replaying it through a fresh session must yield the same commands (product 5.4.5).

The file is a row of chunks, each its length (4 bytes, big endian) and that many bytes of zlib; the first holds the plan, the others
moments. A torn last chunk, as a killed process leaves it, is left out. Secret keys never come here: see commands.SealDigits.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from calls.session.commands import Command
from calls.session.events import AnyEvent, Event
from calls.session.machine import CallSession, IllegalEvent
from calls.session.plan import CallPlan

FORMAT = 1
CHUNK_MOMENTS = 256  # about 10 s of a lively call: what a kill may cost, against what compresses well


class FlightError(ValueError):
    """The bytes are no flight recording of a format we know."""

    permanent = True


class Head(msgspec.Struct, frozen=True):
    format: int
    plan: CallPlan


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """One event, the microseconds since the one before, and the check sum of the commands it led to."""

    after_us: int
    checksum: int
    event: AnyEvent


@dataclass(frozen=True, slots=True)
class Flight:
    """A recording as read back; times in milliseconds on the call's clock."""

    plan: CallPlan
    moments: list[tuple[float, AnyEvent, int]]
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of a replay; `same` tells whether the commands are those of the call."""

    index: int
    at_ms: float
    event: AnyEvent
    commands: list[Command]
    same: bool


_head_encoder = msgspec.json.Encoder()
_head_decoder = msgspec.json.Decoder(Head)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Moment])


@dataclass(slots=True)
class FlightWriter:
    """Collects moments; every method returns the bytes to append to the file now, often none."""

    plan: CallPlan
    _moments: list[tuple[int, int, Event]] = field(default_factory=list)
    _last_us: int = 0

    def open(self) -> bytes:
        """The head. Append it first."""
        return _pack(_head_encoder.encode(Head(FORMAT, self.plan)))

    def add(self, event: Event, *, at_ms: float, commands: Iterable[Command]) -> bytes:
        """One handled event with what it led to."""
        at_us = max(round(at_ms * 1000), self._last_us)
        self._moments.append((at_us - self._last_us, checksum(commands), event))
        self._last_us = at_us
        return self.flush() if len(self._moments) >= CHUNK_MOMENTS else b""

    def flush(self) -> bytes:
        """All that is collected; call it at the end of the call."""
        if not self._moments:
            return b""
        chunk = _pack(_encoder.encode(self._moments))
        self._moments.clear()
        return chunk


def checksum(commands: Iterable[Command]) -> int:
    """16 bits of what was answered: enough to find the first moment that differs, and cheap to keep."""
    value = 0
    for command in commands:
        value = zlib.crc32(_encoder.encode(command), value)
    return value & 0xFFFF


def read_flight(data: bytes) -> Flight:
    """Raises FlightError when the bytes are no recording."""
    chunks = _unpack(data)
    try:
        head = _head_decoder.decode(next(chunks, b""))
        if head.format != FORMAT:
            raise FlightError(f"flight format {head.format} is not known")
        at_us, moments = 0, []
        for chunk in chunks:
            for moment in _decoder.decode(chunk):
                at_us += moment.after_us
                moments.append((at_us / 1000, moment.event, moment.checksum))
    except msgspec.MsgspecError as error:
        raise FlightError(str(error)) from error
    return Flight(head.plan, moments, torn=_is_torn(data))


def replay(flight: Flight) -> Iterator[Step]:
    """Runs the recording through a fresh session. An event that our code no longer allows counts as a difference."""
    session = CallSession(flight.plan)
    for index, (at_ms, event, wanted) in enumerate(flight.moments):
        try:
            commands = session.handle(event, at_ms)
        except IllegalEvent:
            yield Step(index, at_ms, event, [], same=False)
            continue
        yield Step(index, at_ms, event, commands, same=checksum(commands) == wanted)


def _pack(body: bytes) -> bytes:
    packed = zlib.compress(body, 6)
    return struct.pack(">I", len(packed)) + packed


def _chunks(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 4 + size > len(data):
            return
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _unpack(data: bytes) -> Iterator[bytes]:
    for chunk in _chunks(data):
        try:
            yield zlib.decompress(chunk)
        except zlib.error as error:
            raise FlightError(f"a chunk does not unpack: {error}") from error


def _is_torn(data: bytes) -> bool:
    return sum(4 + len(chunk) for chunk in _chunks(data)) != len(data)
