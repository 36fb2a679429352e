"""What follows when the model answers with an error or an unfinished response: try once more, say a fixed line, or leave by the ladder."""

from __future__ import annotations

from calls.session import events as ev
from calls.session.context import Context, say_ours
from calls.session.leaving import Leaving
from calls.session.responses import ACTIVE_RESPONSE, Response, Sequencer
from calls.vocabulary import Cause
from calls.vocabulary import gettext_noop as _

RATE_LIMIT_MS = 1_500.0  # reset_seconds of rate_limits.updated are 1–2 s in practice (§4.9)
CONTINUATIONS = 2  # a capped response may go on so often before we let the caller speak

PERMANENT = {  # §4.8: fatal only auth, model, quota
    "insufficient_quota": Cause.MODEL_QUOTA,
    "invalid_api_key": Cause.MODEL_REFUSED,
    "model_not_found": Cause.MODEL_REFUSED,
}
HARMLESS = frozenset({"response_cancel_not_active", "input_audio_buffer_commit_empty"})

NEUTRAL = _("I'm sorry, I can't help with that. Is there anything else I can do for you?")
CONTINUE = "Continue your last sentence exactly where it was cut off. Do not repeat what you already said."


class Failures:
    """Counts failures in a row; sound in a completed response makes good."""

    def __init__(self, ctx: Context, *, sequencer: Sequencer, leaving: Leaving) -> None:
        self.ctx = ctx
        self.sequencer = sequencer
        self.leaving = leaving
        self._in_row = 0
        self._continued = 0

    def response_ended(self, response: Response, event: ev.ResponseEnded) -> None:
        if event.status == "completed":
            if response.audio_bytes:
                self._in_row = self._continued = 0
        elif event.status == "failed":
            self._failed(response, event.error_code, event.error_message)
        elif event.status == "incomplete" and not response.cut:
            if event.reason == "content_filter":
                self._strike(Cause.MODEL_FAILED, "content_filter")
                self.sequencer.want(say_ours(NEUTRAL, spec=self.ctx.spec), purpose="neutral", tools_allowed=False)
            elif response.audio_bytes and self._continued < CONTINUATIONS:
                self._continued += 1
                self.sequencer.want(CONTINUE, purpose="continue")

    def errored(self, event: ev.ModelErrored) -> None:
        """An error that belongs to no create of ours."""
        if event.code in PERMANENT:
            self.leaving.fall(PERMANENT[event.code], detail=event.message)
        elif event.code == ACTIVE_RESPONSE and not event.event_id:
            self.sequencer.answer_later()  # voice detection's own create was refused (§3.4)
        elif event.code not in HARMLESS:
            self.ctx.note_peer("model", event.code, message=event.message[:200], param=event.param)

    def _failed(self, response: Response, code: str, message: str) -> None:
        self.ctx.note_peer("model", code or "response failed", message=message[:200])
        if code in PERMANENT:
            self.leaving.fall(PERMANENT[code], detail=message)
            return
        if response.cut:
            return
        limited = code == "rate_limit_exceeded"
        self._strike(Cause.MODEL_QUOTA if limited else Cause.MODEL_FAILED, message)
        if limited:
            self.sequencer.hold(self.ctx.now + RATE_LIMIT_MS)
            self.ctx.set_timer("retry", at_ms=self.ctx.now + RATE_LIMIT_MS)
        want = response.want
        self.sequencer.want(
            want.instructions if want else "",
            purpose=want.purpose if want else "answer",
            tools_allowed=want.tools_allowed if want else True,
        )

    def _strike(self, cause: Cause, detail: str) -> None:
        self._in_row += 1
        if self._in_row > 1:
            self.leaving.fall(cause, detail=detail)
