"""Real recordings of what was said and what was really played (twilio.md §4.5, §8.2). It serves no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from emulators.callers import is_voice
from emulators.sound import decode_mulaw, encode_mulaw, make_wav
from emulators.twilio.clock import FRAME_SAMPLES, SAMPLE_RATE_HZ
from emulators.twilio.config import ChannelOrder
from emulators.twilio.exchange import API_VERSION
from emulators.twilio.leg import lay_out
from emulators.twilio.playout import SILENCE
from emulators.twilio.values import make_sid, rfc2822

if TYPE_CHECKING:
    from emulators.twilio.call import Call


@dataclass(frozen=True, slots=True)
class RecordingOrder:
    source: str  # §4.5
    channels: int = 1
    track: str = "both"
    trim: bool = False
    callback: str = ""
    callback_method: str = "POST"
    callback_events: frozenset[str] = frozenset({"completed"})


@dataclass(slots=True, eq=False)
class Recording:
    """Begins when it is made; `stop` ends it and starts the processing after which its media can be had."""

    call: Call
    order: RecordingOrder
    sid: str = field(default_factory=lambda: make_sid("RE"))
    status: str = "in-progress"
    begun: int = 0
    ended: int | None = None
    start_time: datetime | None = None
    created: datetime | None = None
    updated: datetime | None = None
    media_from_s: float | None = None
    paused: list[tuple[int, int, str]] = field(default_factory=list)  # (from, to, behaviour)
    _pause: tuple[int, str] | None = None
    _trimmed: int | None = None  # samples left after trimming, known once it is over
    _wav: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clock = self.call.exchange.clock
        self.begun = clock.samples()
        self.start_time = self.created = self.updated = clock.utc()

    @property
    def url(self) -> str:
        base = f"{self.call.exchange.base_url}/api.twilio.com/{API_VERSION}"
        return f"{base}/Accounts/{self.call.account.sid}/Recordings/{self.sid}"

    @property
    def running(self) -> bool:
        return self.status in {"in-progress", "paused"}

    @property
    def duration_s(self) -> int:
        return round(self._count_samples() / SAMPLE_RATE_HZ) if self.ended is not None else 0

    @property
    def media_ready(self) -> bool:
        return (
            self.status == "completed"
            and self.media_from_s is not None
            and self.call.exchange.clock.seconds() >= self.media_from_s
        )

    # -- life -----------------------------------------------------------------

    def pause(self, behaviour: str = "silence") -> None:
        if self.status == "in-progress":
            self._pause = (self.call.exchange.clock.samples(), behaviour)
            self._set("paused")

    def resume(self) -> None:
        if self._pause is not None:
            begun, behaviour = self._pause
            self.paused.append((begun, self.call.exchange.clock.samples(), behaviour))
            self._pause = None
            self._set("in-progress")

    def stop(self, *, at: int | None = None) -> None:
        """Does nothing when it is over already."""
        if not self.running:
            return
        self.resume()
        self.ended = self.call.exchange.clock.samples() if at is None else at
        self._set("processing")
        self.call.exchange.spawn(self._process())

    async def _process(self) -> None:
        config = self.call.exchange.config
        clock = self.call.exchange.clock
        await clock.sleep(config.recording_processing_s)
        if self.status != "processing":
            return  # deleted meanwhile
        self.media_from_s = clock.seconds() + config.recording_media_delay_s
        self._set("completed" if self._count_samples() else "absent")
        self.call.note("recording", sid=self.sid, status=self.status, duration_s=self.duration_s)
        self.report(self.status)

    def _set(self, status: str) -> None:
        self.status = status
        self.updated = self.call.exchange.clock.utc()

    def report(self, event: str) -> None:
        """§8.2: recordingStatusCallback."""
        if not self.order.callback or event not in self.order.callback_events:
            return
        params = {
            "AccountSid": self.call.account.sid,
            "CallSid": self.call.sid,
            "RecordingSid": self.sid,
            "RecordingUrl": self.url,
            "RecordingStatus": event,
            "RecordingDuration": str(self.duration_s) if self.ended is not None else "-1",
            "RecordingChannels": str(self.order.channels),
            "RecordingSource": self.order.source,
            "RecordingStartTime": rfc2822(self.start_time) or "",
            "RecordingTrack": self.order.track,
            "ErrorCode": "0",
        }
        self.call.exchange.notify(
            self.call, self.order.callback, method=self.order.callback_method, params=params, event=f"recording-{event}"
        )

    # -- sound ------------------------------------------------------------------

    def _stretches(self) -> list[range]:
        """The stretches of call time that are in the file; `skip` leaves a pause out, `silence` keeps its time."""
        end = self.ended if self.ended is not None else self.call.exchange.clock.samples()
        stretches, begin = [], self.begun
        for paused_from, paused_to, behaviour in self.paused:
            if behaviour == "skip":
                stretches.append(range(begin, paused_from))
                begin = paused_to
        stretches.append(range(begin, max(begin, end)))
        return stretches

    def _count_samples(self) -> int:
        if not self.order.trim:
            return sum(len(stretch) for stretch in self._stretches())
        if self._trimmed is None:
            self._trimmed = len(self.tracks()[0])
        return self._trimmed

    def tracks(self) -> tuple[bytes, bytes]:
        """(what the person said, what was really played to the person), both of the recording's length."""
        leg = self.call.leg
        heard = leg.heard
        said, played = bytearray(), bytearray()
        for stretch in self._stretches():
            said += self._hush(lay_out(leg.spoken, stretch.start, stretch.stop), stretch.start)
            played += self._hush(lay_out(heard, stretch.start, stretch.stop), stretch.start)
        hush = bytes([SILENCE]) * len(said)
        if self.order.track == "inbound":
            played = bytearray(hush)
        elif self.order.track == "outbound":
            said = bytearray(hush)
        if self.order.trim:
            return _trim(bytes(said), bytes(played))
        return bytes(said), bytes(played)

    def _hush(self, line: bytes, start: int) -> bytes:
        hushed = bytearray(line)
        for paused_from, paused_to, behaviour in self.paused:
            begin, stop = max(0, paused_from - start), min(len(line), paused_to - start)
            if behaviour == "silence" and stop > begin:
                hushed[begin:stop] = bytes([SILENCE]) * (stop - begin)
        return bytes(hushed)

    def make_media(self, *, channels: int) -> bytes:
        """The WAV file, made once. Takes milliseconds for each minute: call it off the event loop."""
        if channels not in self._wav:
            said, played = self.tracks()
            if channels == 1:
                self._wav[1] = make_wav(_mix(said, played))
            elif self.call.exchange.config.channel_order is ChannelOrder.CALLER_FIRST:
                self._wav[2] = make_wav(said, played)
            else:
                self._wav[2] = make_wav(played, said)
        return self._wav[channels]

    def delete(self) -> None:
        """§8.2: the media goes, the metadata stays with status `deleted`."""
        self._wav.clear()
        self._set("deleted")


def begin_recording(call: Call, order: RecordingOrder) -> Recording:
    recording = Recording(call, order)
    call.recordings.append(recording)
    call.exchange.recordings[recording.sid] = recording
    call.note("recording-started", sid=recording.sid, source=order.source)
    recording.report("in-progress")
    return recording


def read_order(
    attributes: Mapping[str, str], *, channels: str, source: str, trim: str = "trim-silence"
) -> RecordingOrder:
    """The recording attributes as they stand in TwiML; REST names are turned into these first."""
    return RecordingOrder(
        source=source,
        channels=2 if channels == "dual" else 1,
        track=attributes.get("track") or attributes.get("recordingTrack") or "both",
        trim=attributes.get("trim", trim) == "trim-silence",
        callback=attributes.get("recordingStatusCallback", ""),
        callback_method=attributes.get("recordingStatusCallbackMethod", "POST"),
        callback_events=frozenset(attributes.get("recordingStatusCallbackEvent", "completed").split()),
    )


def _trim(said: bytes, played: bytes) -> tuple[bytes, bytes]:
    """`trim-silence`: the file begins with the first and ends with the last voice."""
    voiced = [
        start
        for start in range(0, len(said), FRAME_SAMPLES)
        if is_voice(said[start : start + FRAME_SAMPLES]) or is_voice(played[start : start + FRAME_SAMPLES])
    ]
    if not voiced:
        return b"", b""
    window = slice(voiced[0], voiced[-1] + FRAME_SAMPLES)
    return said[window], played[window]


def _mix(first: bytes, second: bytes) -> bytes:
    """Frames where one side is silent are taken as they are: people rarely speak at once."""
    silent = bytes([SILENCE]) * FRAME_SAMPLES
    mixed = bytearray()
    for start in range(0, len(first), FRAME_SAMPLES):
        one, two = first[start : start + FRAME_SAMPLES], second[start : start + FRAME_SAMPLES]
        if two == silent[: len(two)]:
            mixed += one
        elif one == silent[: len(one)]:
            mixed += two
        else:
            pairs = zip(decode_mulaw(one), decode_mulaw(two), strict=True)
            mixed += encode_mulaw(max(-32768, min(32767, a + b)) for a, b in pairs)
    return bytes(mixed)
