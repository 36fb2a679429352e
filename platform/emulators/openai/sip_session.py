"""A Realtime session whose sound travels over SIP: the server plays, cuts and truncates by itself (openai-realtime.md §4.2, §4.5).

Control sockets come and go; what is emitted while none is attached is told to nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from emulators.openai.conversation import decode_audio
from emulators.openai.models import RealtimeModel
from emulators.openai.session import Closing, RealtimeSession, Shared
from emulators.openai.session_config import check_update_shape, update_session
from emulators.openai.wire import JsonObject, RequestError
from emulators.sound import MULAW_BYTES_PER_MS

FRAME_MS = 20
FRAME_BYTES = FRAME_MS * MULAW_BYTES_PER_MS
_TUNING = ("threshold", "prefix_padding_ms", "silence_duration_ms")  # §1.4: refused on accept
_PCMU: JsonObject = {"type": "audio/pcmu"}
Outbox = asyncio.Queue[bytes | Closing]


class Fanout(asyncio.Queue[bytes | Closing]):
    """What the session has to send, to every control socket there is."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[Outbox] = []

    def put_nowait(self, item: bytes | Closing) -> None:
        for socket in self.sockets:
            socket.put_nowait(item)


@dataclass(slots=True)
class Sound:
    """Generated audio on its way to the caller."""

    response_id: str
    item_id: str
    content_index: int
    audio: bytearray = field(default_factory=bytearray)
    played: int = 0


class SipSession(RealtimeSession):
    """Made by accept. `play` gets each 20 ms frame in time; `hear` takes the caller's."""

    def __init__(
        self,
        shared: Shared,
        *,
        index: int,
        model: RealtimeModel,
        headers: dict[str, str],
        play: Callable[[bytes], None],
        speed: float,
    ) -> None:
        super().__init__(shared, index=index, model=model, headers=headers)
        self.fanout = Fanout()
        self.outbox = self.fanout
        self.on_expired: Callable[[], None] = lambda: None
        self._play = play
        self._speed = speed
        self._sounds: deque[Sound] = deque()
        self._started: set[str] = set()  # responses that the caller began to hear
        self._done: set[str] = set()  # responses whose `response.done` was emitted
        self._data = asyncio.Event()
        self._player: asyncio.Task[None] | None = None
        self.settings["audio"]["input"]["format"] = dict(_PCMU)
        self.settings["audio"]["output"]["format"] = dict(_PCMU)
        self.is_static = False  # a format was forced: the caller hears static or silence (§1.4, reported)

    def configure(self, body: JsonObject) -> None:
        """The body of accept. Raises RequestError for what SIP refuses."""
        audio = body.get("audio") or {}
        detection = (audio.get("input") or {}).get("turn_detection") or {}
        for key in _TUNING:
            if isinstance(detection, dict) and key in detection:
                path = f"session.audio.input.turn_detection.{key}"
                raise RequestError(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)
        self.is_static = any("format" in (audio.get(side) or {}) for side in ("input", "output"))
        check_update_shape({"type": "session.update", "session": body})
        self.settings = update_session(
            self.settings,
            body,
            model=self.model,
            switches=self.config.switches,
            spoke=False,
            responding=False,
        )
        self.ear.configure()

    def begin(self) -> None:
        """The call is up: sound flows, and the hour runs."""
        self._call_later(self.config.session_seconds, self.expire)
        self._player = asyncio.get_running_loop().create_task(self._run_player())

    def attach(self) -> Outbox:
        """A control socket: it is told of the session as it now is, and of everything from here on."""
        outbox: Outbox = asyncio.Queue()
        outbox.put_nowait(
            orjson.dumps({"event_id": "event_attached", "type": "session.created", "session": self.settings})
        )
        self.fanout.sockets.append(outbox)
        return outbox

    def detach(self, outbox: Outbox) -> None:
        if outbox in self.fanout.sockets:
            self.fanout.sockets.remove(outbox)

    def hear(self, mulaw: bytes) -> None:
        if not self.is_closed:
            self.record.note_audio(self.ear.append(mulaw))

    def expire(self) -> None:
        super().expire()
        self.on_expired()

    def close(self, code: int | None) -> None:
        super().close(code)
        if self._player is not None:
            self._player.cancel()

    # --- what the session says ------------------------------------------------------------------------------------

    def send(self, event: JsonObject) -> None:
        if self.is_closed:
            return
        kind = event["type"]
        if kind == "response.output_audio.delta":
            self._enqueue(event)
            if not self.config.switches.sip_deltas_on_sideband:
                self._spoke = True
                return
        super().send(event)
        if kind == "response.done":
            self._done.add(event["response"]["id"])
            self._data.set()

    def _handle(self, event: JsonObject) -> None:
        if event["type"] == "output_audio_buffer.clear":
            self._drop_sound()
            return
        super()._handle(event)

    def interrupt(self) -> None:
        super().interrupt()
        self._drop_sound()

    # --- playing --------------------------------------------------------------------------------------------------

    def _enqueue(self, event: JsonObject) -> None:
        key = (event["response_id"], event["item_id"], event["content_index"])
        last = self._sounds[-1] if self._sounds else None
        if last is None or (last.response_id, last.item_id, last.content_index) != key:
            last = Sound(*key)
            self._sounds.append(last)
        last.audio += decode_audio(event["delta"], param="delta")
        self._data.set()

    async def _run_player(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self._sounds or not self._has_frame(self._sounds[0]):
                self._settle()
                if not self._sounds or not self._has_frame(self._sounds[0]):
                    self._data.clear()
                    await self._data.wait()
                    due = max(due, loop.time())
                    continue
            sound = self._sounds[0]
            if sound.response_id not in self._started:
                self._started.add(sound.response_id)
                self.emit({"type": "output_audio_buffer.started", "response_id": sound.response_id})
            frame = bytes(sound.audio[sound.played : sound.played + FRAME_BYTES])
            sound.played += len(frame)
            if not self.is_static:
                self._play(frame)
            due += len(frame) / MULAW_BYTES_PER_MS / 1000 / self._speed
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _has_frame(self, sound: Sound) -> bool:
        left = len(sound.audio) - sound.played
        is_last = sound.response_id in self._done or (len(self._sounds) > 1 and self._sounds[0] is sound)
        return left >= FRAME_BYTES or (left > 0 and is_last)

    def _settle(self) -> None:
        """Sounds that were played out leave; with the last one of a response its end is told, after `response.done`."""
        while self._sounds and self._sounds[0].played >= len(self._sounds[0].audio):
            sound = self._sounds[0]
            followed = len(self._sounds) > 1 and self._sounds[1].response_id == sound.response_id
            if not followed and sound.response_id not in self._done:
                return
            self._sounds.popleft()
            if not followed:
                self.emit({"type": "output_audio_buffer.stopped", "response_id": sound.response_id})

    def _drop_sound(self) -> None:
        """The rest is not played; the item that was, is cut to what was heard, without anybody asking (§4.5)."""
        dropped = list(self._sounds)
        self._sounds.clear()
        for response_id in dict.fromkeys(sound.response_id for sound in dropped):
            self.emit({"type": "output_audio_buffer.cleared", "response_id": response_id})
        for sound in dropped:
            heard_ms = sound.played // MULAW_BYTES_PER_MS
            item = self.conversation.find(sound.item_id)
            if item is None or not item.is_spoken:
                continue
            heard_ms = min(heard_ms, int(item.audio_ms))
            self.conversation.truncate(item_id=sound.item_id, content_index=sound.content_index, audio_end_ms=heard_ms)
            place = {"item_id": sound.item_id, "content_index": sound.content_index, "audio_end_ms": heard_ms}
            self.emit({"type": "conversation.item.truncated", **place})
