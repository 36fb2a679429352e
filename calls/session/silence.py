"""Two clocks of a call: nobody speaks (prompt, prompt, goodbye), and the longest allowed duration (wrap up, goodbye)."""

from __future__ import annotations

from calls.session.capabilities import Arrangement
from calls.session.context import Context, say_exactly
from calls.session.leaving import Exit, Leaving
from calls.session.responses import Sequencer
from calls.vocabulary import Cause, EndReason, EventKind

CONNECTING = "Tell the caller in one short sentence, in the language of the conversation, that you are connecting them to a person now."
WRAP_UP = "The call must end in {seconds} seconds. Finish the conversation politely now."


class Silence:
    """The ladder. `settle` arms it while it is the caller's turn; anything from the caller starts it anew."""

    def __init__(self, ctx: Context, *, sequencer: Sequencer, leaving: Leaving) -> None:
        self.ctx = ctx
        self.sequencer = sequencer
        self.leaving = leaving
        self._step = 0

    def caller_active(self) -> None:
        self._step = 0
        self.ctx.cancel_timer("silence")

    def settle(self, *, waiting_for_caller: bool) -> None:
        after_ms = self.ctx.spec.silence.after_s * 1000
        if not waiting_for_caller or after_ms <= 0:
            self.ctx.cancel_timer("silence")
        elif "silence" not in self.ctx.timers:
            self.ctx.set_timer("silence", at_ms=self.ctx.now + after_ms)

    def fired(self) -> None:
        ladder = self.ctx.spec.silence
        if self._step < len(ladder.prompts):
            self.ctx.record(EventKind.SILENCE_PROMPT, step=self._step + 1, text=ladder.prompts[self._step])
            self.sequencer.want(say_exactly(ladder.prompts[self._step]), purpose="silence", tools_allowed=False)
            self._step += 1
            return
        self.ctx.record(EventKind.SILENCE_PROMPT, step=self._step + 1, text=ladder.goodbye)
        self.leaving.request(
            Exit("hang_up", reason=EndReason.SILENCE, goodbye=ladder.goodbye, revocable=True),
            last_words=say_exactly(ladder.goodbye),
        )


class Duration:
    """The cap, counted over all sessions of the call."""

    def __init__(self, ctx: Context, *, leaving: Leaving) -> None:
        self.ctx = ctx
        self.leaving = leaving
        self._seconds = 0  # from the wrap-up to the cap

    @property
    def _ends_with_model(self) -> bool:
        """On a trunk no document of ours can follow, so the model's 60 minutes are the call's (openai-realtime.md §6.1)."""
        return self.ctx.arrangement is Arrangement.SIP_TRUNK

    def start(self) -> None:
        spec = self.ctx.spec
        left_ms = max(spec.max_duration_s * 1000 - self.ctx.elapsed_ms, 0)
        wrap_up_ms = left_ms - spec.wrap_up_s * 1000
        if self._ends_with_model and left_ms + self.ctx.elapsed_ms > self.ctx.limits.trunk_cap_ms:
            left_ms = max(self.ctx.limits.trunk_cap_ms - self.ctx.elapsed_ms, 0)
            wrap_up_ms = self.ctx.limits.trunk_wrap_up_ms - self.ctx.elapsed_ms
        cap, wrap_up = left_ms + self.ctx.now, wrap_up_ms + self.ctx.now
        self._seconds = max(0, round((cap - wrap_up) / 1000))
        if spec.wrap_up_s and wrap_up > self.ctx.now:
            self.ctx.set_timer("wrap_up", at_ms=wrap_up)
        self.ctx.set_timer("cap", at_ms=cap)

    def wrap_up(self) -> None:
        seconds = self._seconds
        self.ctx.record(EventKind.WRAP_UP, seconds=seconds)
        self.ctx.note(WRAP_UP.format(seconds=seconds))

    def cap(self) -> None:
        goodbye = self.ctx.spec.goodbye
        if self._ends_with_model and self.ctx.call_ms >= self.ctx.limits.trunk_cap_ms and self.ctx.spec.contacts:
            contact = self.ctx.spec.contacts[0].name  # product 5.0: refer, or goodbye
            self.ctx.record(EventKind.TRANSFER, contact=contact, state="requested")
            self.leaving.request(Exit("transfer", contact=contact, cause=Cause.SESSION_LIMIT), last_words=CONNECTING)
            return
        self.leaving.request(
            Exit("hang_up", reason=EndReason.MAX_DURATION, goodbye=goodbye), last_words=say_exactly(goodbye)
        )
