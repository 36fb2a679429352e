"""Keys in both directions: what the caller presses goes to a collection or, as one note per burst, to the model; tones go to the line.

Keys of a secret collection never come here: the driver keeps them, masked by `mask`, and seals them under a one-use reference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from agents.builtins import MAX_COLLECTED_DIGITS, MAX_SENT_DIGITS
from calls.session import commands as do
from calls.session.capabilities import Ability
from calls.session.context import Context
from calls.session.responses import Sequencer
from calls.session.tools import DEADLINE, ToolRun, Tools
from calls.vocabulary import EventKind, ToolStatus

BURST_MS = 1_000.0  # keys pressed within this of each other are one thing to tell the model
KEYS = frozenset("0123456789*#ABCD")
SENDABLE = KEYS | frozenset("wW")
MASK = "•"  # stands for a secret key in events, so that the flight recorder holds none


@dataclass(slots=True, eq=False)
class Collection:
    """The caller is typing for a tool."""

    run: ToolRun
    most: int
    terminator: str
    secret: bool
    reference: str
    keys: list[str] = field(default_factory=list)


class Digits:
    def __init__(self, ctx: Context, *, sequencer: Sequencer, tools: Tools) -> None:
        self.ctx = ctx
        self.sequencer = sequencer
        self.tools = tools
        self.collection: Collection | None = None
        self._burst: list[str] = []
        self._tones: dict[str, tuple[ToolRun, str]] = {}  # local item id -> who asked, digits

    @property
    def secret_input(self) -> bool:
        """The next key is secret: the driver keeps it and tells us `mask(key)` instead."""
        return self.collection is not None and self.collection.secret

    def mask(self, key: str) -> str:
        """What the session may be told about a key: all of it, or during secret input only whether it ends the input."""
        if self.collection is None or not self.collection.secret or key == self.collection.terminator:
            return key
        return MASK

    # --- from the caller -------------------------------------------------------------------------------------------

    def pressed(self, key: str) -> None:
        if key not in KEYS and key != MASK:
            self.ctx.note_peer("carrier", "unknown key")
            return
        if self.collection:
            self._collect(self.collection, key)
            return
        self.ctx.record(EventKind.DIGIT, digit=key)
        self._burst.append(key)
        self.ctx.set_timer("burst", at_ms=self.ctx.now + BURST_MS)

    def settle(self) -> None:
        """Tells the model what was pressed, once the burst is over; it does not hear keys (openai-realtime.md §6.3)."""
        if self._burst and "burst" not in self.ctx.timers and self.ctx.model_ready:
            self.ctx.note(f"Caller pressed {' '.join(self._burst)}.")
            self._burst.clear()
            self.sequencer.want(purpose="answer")

    def collect(self, run: ToolRun, arguments: dict[str, Any]) -> None:
        """Behaviour of `collect_digits`."""
        most, terminator = arguments.get("max_digits"), arguments.get("terminator", "#")
        if self.collection:
            self.tools.refuse(run, "Digits are being collected already.")
        elif not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MAX_COLLECTED_DIGITS:
            self.tools.refuse(run, f"max_digits must be a whole number from 1 to {MAX_COLLECTED_DIGITS}.")
        elif terminator not in ("#", "*", ""):
            self.tools.refuse(run, "terminator must be #, * or empty.")
        else:
            secret = arguments.get("secret") is True
            reference = f"secret:{self.ctx.plan.generation}-{run.sequence}"
            self.collection = Collection(run, most, terminator, secret, reference)
            self.ctx.set_timer("collect", at_ms=self.ctx.now + self.ctx.limits.digit_wait_ms)

    def _collect(self, collection: Collection, key: str) -> None:
        if key == collection.terminator:
            self.collection_over()
            return
        collection.keys.append(key)
        if len(collection.keys) >= collection.most:
            self.collection_over()
        else:
            self.ctx.set_timer("collect", at_ms=self.ctx.now + self.ctx.limits.digit_gap_ms)

    def collection_over(self) -> None:
        """The input is complete, or the caller stopped typing."""
        collection = self.collection
        if collection is None:
            return
        self.collection = None
        self.ctx.cancel_timer("collect")
        count = len(collection.keys)
        result: dict[str, Any] = {"count": count}
        if collection.secret:
            self.ctx.emit(do.SealDigits(reference=collection.reference, count=count))
            if count:
                result["reference"] = collection.reference
        else:
            result["digits"] = "".join(collection.keys)
        self.ctx.record(EventKind.DIGITS_COLLECTED, secret=collection.secret, **result)
        if not count:
            self.tools.answer(
                collection.run, json.dumps({"error": "The caller typed nothing."}), status=ToolStatus.FAILED
            )
        else:
            self.tools.answer(collection.run, json.dumps(result))

    # --- to the line -----------------------------------------------------------------------------------------------

    def send(self, run: ToolRun, arguments: dict[str, Any]) -> None:
        """Behaviour of `send_digits`: answered when the tones were played."""
        if not self.ctx.may(Ability.DIGITS_OUT):
            self.tools.refuse(run, "Keys cannot be sent on this line.")
            return
        digits = arguments.get("digits")
        if not isinstance(digits, str) or not 1 <= len(digits) <= MAX_SENT_DIGITS or not SENDABLE.issuperset(digits):
            self.tools.refuse(run, f"digits must be 1 to {MAX_SENT_DIGITS} of 0-9 * # A-D, w and W.")
            return
        item_id = f"tones-{self.ctx.plan.generation}-{run.sequence}"
        self._tones[item_id] = (run, digits)
        self.ctx.emit(do.MakeTones(item_id=item_id, digits=digits))
        self.ctx.set_timer(DEADLINE + run.call_id, at_ms=self.ctx.now + self.ctx.limits.drain_ms * 2)

    def played(self, item_id: str) -> None:
        """Local audio was played to its end."""
        asked = self._tones.pop(item_id, None)
        if asked:
            run, digits = asked
            self.ctx.record(EventKind.DIGITS_SENT, digits=digits)
            self.tools.answer(run, json.dumps({"sent": digits}))

    def close(self) -> None:
        """The call is over: a secret that was being typed is thrown away with it."""
        if self.collection and self.collection.secret:
            self.ctx.emit(do.SealDigits(reference=self.collection.reference, count=0))
        self.collection = None
