"""The first words, and the recording disclosure: recording starts only after the caller heard it to its end."""

from __future__ import annotations

from calls.session import commands as do
from calls.session.capabilities import Arrangement
from calls.session.context import Context, say_exactly
from calls.session.responses import Response, Sequencer
from calls.vocabulary import EventKind

ATTEMPTS = 3  # a caller who always talks over the disclosure is not recorded


class Greeting:
    def __init__(self, ctx: Context, *, sequencer: Sequencer) -> None:
        resume = ctx.plan.resume
        self.ctx = ctx
        self.sequencer = sequencer
        self.given = bool(resume and resume.history)
        # On SIP and relay the carrier says the disclosure and records, before we are on the line (product 5.0).
        by_carrier = ctx.arrangement is not Arrangement.STREAMS
        self._disclosed = by_carrier or bool(resume and resume.disclosed)
        self._recording = by_carrier or bool(resume and resume.recording)
        self._attempts = 0

    @property
    def _disclosure_owed(self) -> bool:
        spec = self.ctx.spec
        return spec.recording and bool(spec.disclosure) and not self._disclosed

    def settle(self, *, quiet: bool) -> None:
        """Speaks first if it is ours to, says an unheard disclosure again, starts the recording when it may."""
        ctx, spec = self.ctx, self.ctx.spec
        if not ctx.model_ready:
            return
        if not self.given:
            self.given = True
            words = [spec.disclosure] if self._disclosure_owed else []
            self._attempts += len(words)
            if spec.speaks_first == "agent" and spec.greeting:
                words.append(spec.greeting)
            if words:
                self.sequencer.want(say_exactly(" ".join(words)), purpose="greeting", tools_allowed=False)
        elif quiet and self._disclosure_owed and self._attempts < ATTEMPTS:
            self._attempts += 1
            self.sequencer.want(say_exactly(spec.disclosure), purpose="disclosure", tools_allowed=False)
        if spec.recording and not self._recording and not self._disclosure_owed:
            self._recording = True
            ctx.emit(do.StartRecording())

    def heard(self, response: Response) -> None:
        """A response was heard to its end."""
        if response.purpose in ("greeting", "disclosure") and self._disclosure_owed:
            self._disclosed = True
            self.ctx.record(EventKind.DISCLOSURE_HEARD, text=self.ctx.spec.disclosure)

    def repeat(self) -> None:
        """The model was lost before it made a sound: the greeting is still to come."""
        self.given = False
        self._attempts = 0
