"""Scripted people on the telephone: what they say and press, and when, by what they really hear. They know no vendor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from emulators.sound import decode_mulaw
from emulators.speech import CALLER_VOICE, Synthesiser, Voice

_LOUD_SAMPLE = 500  # of 32767: above the noise of a synthesiser, below any spoken vowel
_LOUD_SHARE = 10  # a window is voice when one sample in ten is loud
_LOUD = bytes(int(abs(sample) >= _LOUD_SAMPLE) for sample in decode_mulaw(bytes(range(256))))
_SAMPLES_PER_MS = 8

_synthesiser = Synthesiser()  # one memory of clips for the process: a text is the same bytes for all who ask


def keep_clips_in(folder: Path) -> None:
    """Shares clips with other processes. Call it before anything is spoken."""
    global _synthesiser
    _synthesiser = Synthesiser(cache_dir=folder)


async def render(text: str, *, voice: Voice) -> bytes:
    """The sentence as μ-law, the same bytes each time it is asked for."""
    return await _synthesiser.speak_soon(text, voice=voice)


def is_voice(window: bytes) -> bool:
    return window.translate(_LOUD).count(1) * _LOUD_SHARE >= len(window)


@dataclass(slots=True)
class Ear:
    """Follows by energy what was played to one person. Times are milliseconds of call time."""

    position_ms: float = 0.0
    first_voice_ms: float | None = None
    last_voice_ms: float | None = None
    voice_ms: float = 0.0
    _waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(default_factory=list)

    def hear(self, end_sample: int, window: bytes | None) -> None:
        self.position_ms = end_sample / _SAMPLES_PER_MS
        if window is not None and is_voice(window):
            if self.first_voice_ms is None:
                self.first_voice_ms = self.position_ms - len(window) / _SAMPLES_PER_MS
            self.last_voice_ms = self.position_ms
            self.voice_ms += len(window) / _SAMPLES_PER_MS
        if self._waiting:
            for condition, waiter in self._waiting:
                if not waiter.done() and condition():
                    waiter.set_result(None)
            self._waiting = [entry for entry in self._waiting if not entry[1].done()]

    async def wait(self, condition: Callable[[], bool]) -> None:
        if not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((condition, waiter))
            await waiter


class Phone(Protocol):
    """What a script can do with the telephone in its hand."""

    @property
    def ear(self) -> Ear: ...

    async def speak(self, mulaw: bytes) -> None: ...

    async def press(self, digits: str) -> None: ...

    async def rest(self, seconds: float) -> None: ...

    async def listen(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        """False when the time was up first."""

    def hang_up(self) -> None: ...

    def note(self, kind: str, **detail: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class PlayRaw:
    mulaw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WaitForAgent:
    """Until the other side spoke (after this step began) and then was silent for `quiet_ms`."""

    quiet_ms: float = 700
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class WaitHeard:
    """Until `ms` have passed since the first voice heard in this step."""

    ms: float
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class BargeIn:
    """Speaks over the agent, `after_heard_ms` into what it says."""

    after_heard_ms: float
    text: str
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Press:
    digits: str  # 0-9 A-D * # and w (half a second)


@dataclass(frozen=True, slots=True)
class Silence:
    seconds: float


@dataclass(frozen=True, slots=True)
class HangUp:
    pass


Step: TypeAlias = Say | PlayRaw | WaitForAgent | WaitHeard | BargeIn | Press | Silence | HangUp


@dataclass(frozen=True, slots=True)
class Caller:
    """A person with a script. When it ends, the person stays on the line and is silent."""

    steps: Sequence[Step] = ()
    voice: Voice = CALLER_VOICE
    patience_s: float = 60.0  # how long it lets the telephone ring before it gives up

    def clips(self) -> list[tuple[str, bytes]]:
        """Every sentence with its sound, so that a double which cannot hear may be told what was said."""
        texts = [step.text for step in self.steps if isinstance(step, Say | BargeIn)]
        return [(text, _synthesiser.speak(text, voice=self.voice)) for text in texts]

    async def prepare(self) -> None:
        """Renders the sentences before the call, so that rendering never delays a word."""
        for step in self.steps:
            if isinstance(step, Say | BargeIn):
                await render(step.text, voice=self.voice)

    async def follow(self, phone: Phone) -> None:
        """Plays the whole script on the phone; returns after its last step."""
        for step in self.steps:
            phone.note("step", step=describe_step(step))
            await self._do(step, phone)

    async def _do(self, step: Step, phone: Phone) -> None:
        match step:
            case Say(text):
                await phone.speak(await render(text, voice=self.voice))
            case PlayRaw(mulaw):
                await phone.speak(mulaw)
            case Press(digits):
                await phone.press(digits)
            case Silence(seconds):
                await phone.rest(seconds)
            case HangUp():
                phone.hang_up()
            case WaitForAgent(quiet_ms, timeout_s):
                await _listen(phone, _quiet_after_voice(phone.ear, quiet_ms), step, timeout_s)
            case WaitHeard(ms, timeout_s):
                await _listen(phone, _voice_for(phone.ear, ms), step, timeout_s)
            case BargeIn(after_heard_ms, text, timeout_s):
                clip = await render(text, voice=self.voice)
                await _listen(phone, _voice_for(phone.ear, after_heard_ms), step, timeout_s)
                phone.note("barge-in", text=text)
                await phone.speak(clip)


async def _listen(phone: Phone, condition: Callable[[], bool], step: Step, timeout_s: float) -> None:
    if not await phone.listen(condition, timeout_s=timeout_s):
        phone.note("waited-in-vain", step=describe_step(step))  # a person goes on as well


def _quiet_after_voice(ear: Ear, quiet_ms: float) -> Callable[[], bool]:
    began_ms = ear.position_ms

    def condition() -> bool:
        last = ear.last_voice_ms
        return last is not None and last > began_ms and ear.position_ms - last >= quiet_ms

    return condition


def _voice_for(ear: Ear, ms: float) -> Callable[[], bool]:
    began_voice_ms = ear.voice_ms
    first_ms: float | None = None

    def condition() -> bool:
        nonlocal first_ms
        if first_ms is None and ear.voice_ms > began_voice_ms:
            first_ms = ear.position_ms - (ear.voice_ms - began_voice_ms)
        return first_ms is not None and ear.position_ms - first_ms >= ms

    return condition


def describe_step(step: Step) -> str:
    match step:
        case PlayRaw(mulaw):
            return f"PlayRaw({len(mulaw) // _SAMPLES_PER_MS} ms)"
        case _:
            return repr(step)


def read_steps(script: Sequence[Mapping[str, object]]) -> list[Step]:
    """A script from JSON, one single-key object a step. Raises ValueError with the step that is not one.

    `[{"wait_for_agent": {"quiet_ms": 600}}, {"say": "Hello"}, {"press": "1#"}, {"silence": 2}, {"hang_up": {}}]`
    """
    return [_read_step(entry) for entry in script]


_STEPS: dict[str, tuple[Callable[..., Step], str]] = {
    "say": (Say, "text"),
    "wait_for_agent": (WaitForAgent, "quiet_ms"),
    "wait_heard": (WaitHeard, "ms"),
    "barge_in": (BargeIn, "text"),
    "press": (Press, "digits"),
    "silence": (Silence, "seconds"),
    "hang_up": (HangUp, ""),
}


def _read_step(entry: Mapping[str, object]) -> Step:
    if len(entry) != 1:
        raise ValueError(f"a step has exactly one key: {dict(entry)}")
    ((name, value),) = entry.items()
    if name not in _STEPS:
        raise ValueError(f"unknown step {name!r}; known: {', '.join(sorted(_STEPS))}")
    kind, main = _STEPS[name]
    arguments = dict(value) if isinstance(value, Mapping) else {main: value}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"step {name!r}: {error}") from None
