"""Scripted people: they wait for what they really hear and go on when nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from emulators.callers import (
    BargeIn,
    Caller,
    Ear,
    HangUp,
    PlayRaw,
    Press,
    Say,
    Silence,
    WaitForAgent,
    WaitHeard,
    is_voice,
    read_steps,
)
from emulators.sound import make_silence

WINDOW = 160
LOUD = bytes([0x10, 0x90] * 80)
FAINT = bytes([0xF0] * WINDOW)


@dataclass
class Handset:
    """A telephone in virtual time: each wait lets the agent's line go on, window by window."""

    line: list[bytes]  # what the agent says, 20 ms each; silence after it
    ear: Ear = field(default_factory=Ear)
    done: list[tuple[float, str]] = field(default_factory=list)

    def _hear(self) -> None:
        window = self.line.pop(0) if self.line else None
        self.ear.hear(int(self.ear.position_ms * 8) + WINDOW, window)

    def _do(self, what: str) -> None:
        self.done.append((self.ear.position_ms, what))

    async def speak(self, mulaw: bytes) -> None:
        self._do(f"speak {len(mulaw) // 8} ms")
        for _ in range(0, len(mulaw), WINDOW):
            self._hear()

    async def press(self, digits: str) -> None:
        self._do(f"press {digits}")

    async def rest(self, seconds: float) -> None:
        for _ in range(int(seconds * 50)):
            self._hear()

    async def listen(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        waiting = asyncio.ensure_future(self.ear.wait(condition))
        await asyncio.sleep(0)
        for _ in range(int(timeout_s * 50)):
            if waiting.done():
                return True
            self._hear()
            await asyncio.sleep(0)
        waiting.cancel()
        return False

    def hang_up(self) -> None:
        self._do("hang up")

    def note(self, kind: str, **detail: object) -> None:
        if kind != "step":
            self._do(kind)


def test_voice_is_told_from_silence_and_from_hiss() -> None:
    assert is_voice(LOUD)
    assert not is_voice(make_silence(20))
    assert not is_voice(FAINT)


async def test_caller_speaks_when_the_agent_has_finished() -> None:
    phone = Handset([LOUD] * 50)
    await Caller([WaitForAgent(quiet_ms=300), PlayRaw(LOUD), HangUp()]).follow(phone)
    assert phone.done == [(1300.0, "speak 20 ms"), (1320.0, "hang up")]


async def test_pause_within_a_sentence_is_not_its_end() -> None:
    phone = Handset([LOUD] * 10 + [make_silence(20)] * 10 + [LOUD] * 10)
    await Caller([WaitForAgent(quiet_ms=300), HangUp()]).follow(phone)
    assert phone.done == [(900.0, "hang up")]


async def test_each_wait_is_for_a_new_utterance() -> None:
    phone = Handset([LOUD] * 10 + [make_silence(20)] * 50 + [LOUD] * 10)
    await Caller([WaitForAgent(quiet_ms=100), WaitForAgent(quiet_ms=100), HangUp()]).follow(phone)
    assert phone.done == [(1500.0, "hang up")]


async def test_agent_who_says_nothing_is_waited_for_in_vain_and_the_script_goes_on() -> None:
    phone = Handset([])
    await Caller([WaitForAgent(timeout_s=1.0), Press("1"), HangUp()]).follow(phone)
    assert [what for _, what in phone.done] == ["waited-in-vain", "press 1", "hang up"]


async def test_barge_in_comes_in_the_middle_of_the_agents_words() -> None:
    phone = Handset([make_silence(20)] * 10 + [LOUD] * 500)
    caller = Caller([BargeIn(after_heard_ms=600, text="Stop"), HangUp()])
    await caller.prepare()
    await caller.follow(phone)
    assert phone.done[0] == (800.0, "barge-in")
    assert phone.line  # the agent was still speaking


async def test_heard_time_runs_from_the_first_voice_of_the_step() -> None:
    phone = Handset([LOUD] * 500)
    await Caller([Silence(1.0), WaitHeard(200), HangUp()]).follow(phone)
    assert phone.done == [(1200.0, "hang up")]


async def test_all_clips_are_listed_with_their_sound() -> None:
    caller = Caller([Say("Hello"), Press("1"), BargeIn(500, "Wait a moment")])
    clips = dict(caller.clips())
    assert list(clips) == ["Hello", "Wait a moment"]
    assert all(len(mulaw) > 1600 for mulaw in clips.values())
    assert clips == dict(caller.clips())  # the same bytes each time: a double knows them by content


def test_script_is_read_from_json() -> None:
    script = [
        {"wait_for_agent": {"quiet_ms": 600}},
        {"say": "Hello"},
        {"barge_in": {"after_heard_ms": 800, "text": "No"}},
        {"press": "12#"},
        {"silence": 2},
        {"wait_heard": 300},
        {"hang_up": {}},
    ]
    assert read_steps(script) == [
        WaitForAgent(quiet_ms=600),
        Say("Hello"),
        BargeIn(800, "No"),
        Press("12#"),
        Silence(2),
        WaitHeard(300),
        HangUp(),
    ]


@pytest.mark.parametrize("step", [{}, {"sing": "la"}, {"say": {"words": "x"}}, {"say": "a", "press": "1"}])
def test_step_that_is_none_is_named(step: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="step"):
        read_steps([step])
