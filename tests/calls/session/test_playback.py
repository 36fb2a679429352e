"""Heard time, pacing and marks, held against a carrier that plays in virtual time."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from calls.session import events as ev
from tests.calls.session.script import Call


def barge_in(call: Call, seed: int) -> None:
    """One turn with one or two items, cut at a random moment, maybe after generation finished."""
    pick = random.Random(seed)
    response_id = call.begin()
    call.speak(response_id, "One moment please.", ms=pick.randrange(300, 1500), phase="commentary")
    if pick.random() < 0.5:
        call.run(pick.uniform(0, 300))
    call.speak(response_id, "Your order is on its way.", ms=pick.randrange(500, 6000), phase="final_answer")
    finished = pick.random() < 0.5
    if finished:
        call.end(response_id)
    call.run(pick.uniform(50, 5000))
    call.interrupt()
    if not finished:
        call.end(response_id, "cancelled", reason="turn_detected")
    call.run(700)
    call.feed(ev.SpeechStopped(item_id="user_x", audio_end_ms=1))
    call.feed(ev.CallerTurnCommitted(item_id=f"user_{seed}"))
    call.run(pick.uniform(100, 900))


@pytest.mark.parametrize(("delay_ms", "bar_ms"), [(0.0, 5.0), (80.0, 20.0)])
def test_truncation_is_what_the_carrier_really_played(delay_ms: float, bar_ms: float) -> None:
    call = Call(delay_ms=delay_ms)
    call.greet()
    for seed in range(300):
        barge_in(call, seed)

    errors = [abs(error) for error in call.errors_ms]
    assert len(errors) > 150
    assert mean(errors) <= bar_ms / 5
    assert max(errors) <= 5
