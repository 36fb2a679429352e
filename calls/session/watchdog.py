"""Sees to it that a turn of the caller, and anything else we owe an answer to, brings sound in time; it never speaks itself."""

from __future__ import annotations

from calls.session.context import Context
from calls.session.leaving import Leaving
from calls.session.responses import Sequencer, Want
from calls.vocabulary import Cause, EventKind


class Watchdog:
    """Armed while speech is owed. First silence: the response is asked for again. Second: the call goes down the ladder."""

    def __init__(self, ctx: Context, *, sequencer: Sequencer, leaving: Leaving) -> None:
        self.ctx = ctx
        self.sequencer = sequencer
        self.leaving = leaving
        self._strikes = 0
        self._last: Want | None = None

    @property
    def armed(self) -> bool:
        return "watchdog" in self.ctx.timers

    def owe(self, want: Want | None = None) -> None:
        """Speech is owed from now on, unless it already was."""
        self._last = want or self._last
        if not self.armed:
            self.ctx.set_timer("watchdog", at_ms=self.ctx.now + self.ctx.limits.watchdog_ms)

    def asked(self, want: Want | None) -> None:
        """A want was sent to the model."""
        if want is not None:
            self.owe(want)

    def pay(self) -> None:
        """Sound came."""
        self._strikes = 0
        self.rest()

    def rest(self) -> None:
        """Nothing is owed for now: the caller speaks, or a tool runs within its own limit."""
        self._last = None
        self.ctx.cancel_timer("watchdog")

    def fired(self) -> None:
        self._strikes += 1
        self.ctx.record(EventKind.WATCHDOG, strike=self._strikes)
        if self._strikes > 1:
            self.leaving.fall(Cause.MODEL_SILENT)
            return
        lost = self.sequencer.give_up() or self._last
        if not self.sequencer.wants:
            self.sequencer.want(
                lost.instructions if lost else "",
                purpose=lost.purpose if lost else "answer",
                tools_allowed=lost.tools_allowed if lost else True,
            )
        self.owe()
