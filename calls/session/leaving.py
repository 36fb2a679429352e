"""Leaves a call gracefully: hang-up, transfer and the next rung only after the last words were heard, and never later than a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from calls.session import commands as do
from calls.session import events as ev
from calls.session.capabilities import Arrangement
from calls.session.context import Context, say_exactly
from calls.session.responses import Sequencer
from calls.session.voice import Voice
from calls.vocabulary import Cause, EndReason, EventKind, Fault
from calls.vocabulary import gettext_noop as _

CLOSE_MS = 5_000.0  # the driver makes the disposition durable and closes the socket well within this

REFER_FAILED = (
    "The transfer to {contact} did not work. Tell the caller so, and offer to take a message or to help in another way."
)
# Spoken by the carrier, translated where the document is made.
SORRY = _("I'm sorry, I have a technical problem. Please hold the line.")


@dataclass(slots=True, frozen=True)
class Exit:
    """Where the caller goes next. `goodbye` is said by the carrier when the agent could not say its last words."""

    next: Literal["hang_up", "transfer", "voicemail", "ladder", "resume"]
    reason: str = ""
    contact: str = ""
    cause: str = ""
    fault: str = ""
    goodbye: str = ""
    detail: str = ""
    revocable: bool = False  # the caller may speak up before it happens


class Leaving:
    """The pending exit, if any, and whether it was taken."""

    def __init__(self, ctx: Context, *, voice: Voice, sequencer: Sequencer) -> None:
        self.ctx = ctx
        self.voice = voice
        self.sequencer = sequencer
        self.pending: Exit | None = None
        self.left: Exit | None = None
        self._spoken = False
        self._fallen: Exit | None = None  # before the carrier's stream came
        self._referring: Exit | None = (
            None  # a REFER is under way; the session goes on until the carrier shows the new leg
        )

    def request(self, exit_: Exit, *, last_words: str = "") -> None:
        """Leave once the last words were heard. `last_words` are instructions for them; the first request that cannot be taken
        back stands."""
        if self.left or self._referring or (self.pending and not self.pending.revocable):
            return
        self.pending = exit_
        self._spoken = not exit_.goodbye
        if last_words:
            self.say_last(last_words)
        self.ctx.set_timer("drain", at_ms=self.ctx.now + self.ctx.limits.drain_ms)
        self.ctx.unsettled = True

    def say_last(self, instructions: str) -> None:
        """Owe the last words: nothing else that was owed is said any more."""
        self.sequencer.wants.clear()
        self.sequencer.want(instructions, purpose="goodbye", tools_allowed=False)

    def heard(self, purpose: str) -> None:
        """A response was heard to its end; it may have been the goodbye."""
        if purpose == "goodbye":
            self._spoken = True

    def revoke(self) -> bool:
        """The caller spoke up: a revocable exit is off. Returns True when one was."""
        if self.pending is None or not self.pending.revocable or self.left:
            return False
        self.pending = None
        self.sequencer.drop("goodbye")
        self.ctx.cancel_timer("drain")
        return True

    def settle(self) -> None:
        """Takes the pending exit when the last words were heard."""
        if self.pending and not self.left and self.sequencer.idle and self.voice.playback.idle:
            self._take(self.pending, goodbye="" if self._spoken else self.pending.goodbye)

    def overdue(self) -> None:
        """The last words took too long: the carrier says them."""
        if self.pending and not self.left:
            self._take(self.pending, goodbye="" if self._spoken else self.pending.goodbye)

    def referred(self, answer: ev.ReferAnswered) -> None:
        """On a trunk: the caller is with the person, or still with us."""
        exit_, self._referring = self._referring, None
        self.ctx.cancel_timer("refer")
        if exit_ is None or self.left:
            return
        self.ctx.record(
            EventKind.TRANSFER,
            contact=exit_.contact,
            state="connected" if answer.ok else "failed",
            detail=answer.detail[:200],
        )
        if answer.ok:
            self._go(exit_, goodbye="")
            return
        if exit_.cause == Cause.SESSION_LIMIT:  # no time is left for another try
            goodbye = self.ctx.spec.goodbye
            self.request(Exit("hang_up", reason=EndReason.MAX_DURATION), last_words=say_exactly(goodbye))
            return
        self.ctx.note(REFER_FAILED.format(contact=exit_.contact))
        self.sequencer.want(purpose="answer")

    def refer_overdue(self) -> None:
        """Nobody told what became of the REFER."""
        self.referred(ev.ReferAnswered(ok=False, detail="no answer in time"))

    def fall(self, cause: Cause, *, detail: str = "") -> None:
        """The model cannot go on: down the ladder at once, with a sentence, so that the caller never meets silence."""
        if self.left:
            return
        exit_ = Exit("ladder", cause=cause, fault=Fault.MODEL, detail=detail[:200], goodbye=SORRY)
        if self.ctx.stream_up:
            self._take(exit_, goodbye=SORRY)
        else:
            self._fallen = exit_

    def stream_came(self) -> None:
        """There is a caller now. The model may have failed before."""
        if self._fallen:
            self._take(self._fallen, goodbye=SORRY)

    def _take(self, exit_: Exit, *, goodbye: str) -> None:
        if exit_.next == "transfer" and self.ctx.arrangement is Arrangement.SIP_TRUNK:
            self.pending, self._referring = None, exit_
            self.ctx.cancel_timer("drain")
            self.ctx.set_timer("refer", at_ms=self.ctx.now + self.ctx.limits.refer_ms)
            self.ctx.emit(do.Refer(contact=exit_.contact))
            return
        self._go(exit_, goodbye=goodbye)

    def _go(self, exit_: Exit, *, goodbye: str) -> None:
        self.left = exit_
        for name in list(self.ctx.timers):
            self.ctx.cancel_timer(name)
        self.voice.stop()
        self.voice.turns.close()
        self.ctx.emit(
            do.Leave(
                next=exit_.next,
                reason=exit_.reason,
                contact=exit_.contact,
                cause=exit_.cause,
                fault=exit_.fault,
                say=goodbye,
                detail=exit_.detail,
            )
        )
        self.ctx.model_ready = False  # it is told nothing any more
        self.ctx.set_state("leaving")
        self.ctx.set_timer("close", at_ms=self.ctx.now + CLOSE_MS)
