"""The last moments of a session: every record is completed, and what is lost is said to be lost; it never speaks."""

from __future__ import annotations

from calls.session import commands as do
from calls.session.context import Context, Phase
from calls.session.digits import Digits
from calls.session.guardrails import Guardrails
from calls.session.leaving import Leaving
from calls.session.responses import Sequencer
from calls.session.tools import Tools
from calls.session.voice import Voice
from calls.vocabulary import EventKind


class Ending:
    def __init__(
        self,
        ctx: Context,
        *,
        voice: Voice,
        sequencer: Sequencer,
        guardrails: Guardrails,
        digits: Digits,
        tools: Tools,
        leaving: Leaving,
    ) -> None:
        self.ctx = ctx
        self.voice = voice
        self.sequencer = sequencer
        self.guardrails = guardrails
        self.digits = digits
        self.tools = tools
        self.leaving = leaving
        self._farewell = ("", "")  # reason and fault of the end, once it is known

    def part(self, reason: str, fault: str) -> None:
        """The caller is gone. What was heard is known; the last transcript and the last bill may be a moment away."""
        ctx = self.ctx
        self._farewell = (reason, fault)
        if not (ctx.limits.linger_ms and ctx.model_ready and self._awaited):
            self.finish(reason, fault)
            return
        self._stop_everything()
        if self.sequencer.active:
            self.sequencer.cancel(self.sequencer.active)  # brings its bill at once
        ctx.model_ready = False  # it is told nothing any more
        ctx.set_timer("close", at_ms=ctx.now + ctx.limits.linger_ms)
        ctx.phase = Phase.CLOSING

    def stop_lingering(self) -> None:
        """After the caller has gone and the last word about the call was told, the session is over."""
        if self.ctx.phase is Phase.CLOSING and self.leaving.left is None and not self._awaited:
            self.close()

    def close(self) -> None:
        """Nothing more is waited for."""
        if self.leaving.left:
            self._farewell = (self.leaving.left.reason or self.leaving.left.next, self.leaving.left.fault)
        self.finish(*self._farewell)

    def finish(self, reason: str, fault: str) -> None:
        """The last commands of a session."""
        ctx = self.ctx
        self._stop_everything()
        self.sequencer.lost()
        self.guardrails.lost()
        self.digits.close()
        self.tools.close()
        ctx.record(EventKind.ENDED, reason=reason, fault=fault, caller_audio_ms=ctx.caller_audio_ms)
        ctx.emit(do.Finish(reason=reason, fault=fault))
        ctx.phase = Phase.ENDED

    @property
    def _awaited(self) -> bool:
        return self.sequencer.active is not None or self.voice.turns.awaited or self.guardrails.awaited

    def _stop_everything(self) -> None:
        for name in list(self.ctx.timers):
            self.ctx.cancel_timer(name)
        self.voice.stop()
        self.voice.turns.close()
