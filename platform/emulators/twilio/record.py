"""<Record>: a beep, the caller's words, and an action that only a caller who spoke brings about (twilio.md §3.7)."""

from __future__ import annotations

import asyncio

from emulators.callers import is_voice
from emulators.twilio.call import Call, Source
from emulators.twilio.clock import FRAME_SAMPLES, SAMPLE_RATE_HZ
from emulators.twilio.interpreter import Document, ask_action, bid_farewell, resolve_callback
from emulators.twilio.leg import Frame
from emulators.twilio.recording import Recording, begin_recording, read_order
from emulators.twilio.tones import make_beep
from emulators.twilio.twiml import Node
from emulators.twilio.values import TwilioFault

_ALL_KEYS = "1234567890*#"


class _Attention:
    """Listens to the caller frame by frame: ends on silence, on length, on a key."""

    def __init__(self, *, timeout_s: int, max_length_s: int, keys: str) -> None:
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.spoke = False
        self._timeout = timeout_s * SAMPLE_RATE_HZ
        self._max_length = max_length_s * SAMPLE_RATE_HZ
        self._keys = keys
        self._heard = 0
        self._quiet = 0

    def hear_frame(self, position: int, frame: Frame) -> None:
        self._heard += FRAME_SAMPLES
        if is_voice(frame.audio):
            self.spoke, self._quiet = True, 0
        else:
            self._quiet += FRAME_SAMPLES
        if self._quiet >= self._timeout or self._heard >= self._max_length:
            self._finish("")

    def take_digit(self, digit: str) -> None:
        if digit in self._keys:
            self._finish(digit)

    def _finish(self, digit: str) -> None:
        if not self.done.done():
            self.done.set_result(digit)


async def record(call: Call, document: Document, node: Node) -> Source | None:
    if node.flag("transcribe"):
        raise TwilioFault(12200, "this double does not transcribe: <Record transcribe> is legacy (§8.3)")
    call.answer()
    if node.flag("playBeep", default=True):
        await call.leg.play(make_beep(), source="beep")
    attention = _Attention(
        timeout_s=node.number("timeout", 5),
        max_length_s=node.number("maxLength", 3600),
        keys=node.get("finishOnKey", _ALL_KEYS),
    )
    attributes = resolve_callback(document, node) | {"track": "inbound"}
    recording = begin_recording(call, read_order(attributes, channels="mono", source="RecordVerb"))
    call.leg.listeners.append(attention)
    call.digit_listeners.append(attention.take_digit)
    try:
        digits = await attention.done
    except asyncio.CancelledError:
        recording.stop()
        if attention.spoke and call.hung_up:  # §3.1: Digits is `hangup` when the caller hung up
            bid_farewell(call, document, node, _describe(recording, "hangup"), default=document.url)
        raise
    finally:
        call.leg.listeners.remove(attention)
        call.digit_listeners.remove(attention.take_digit)
        recording.stop()
    if not attention.spoke:
        return None  # silent caller: no action call, the next verb runs
    # Without `action` the current URL is asked again: the loop trap is real, so it is here as well.
    return await ask_action(call, document, node, _describe(recording, digits), default=document.url)


def _describe(recording: Recording, digits: str) -> dict[str, str]:
    return {
        "RecordingUrl": recording.url,
        "RecordingSid": recording.sid,
        "RecordingDuration": str(recording.duration_s),
        "Digits": digits,
    }
