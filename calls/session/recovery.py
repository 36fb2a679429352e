"""Keeps the conversation when its model session does not last: loss, renewal before the 60-minute limit, resume, and the move away."""

from __future__ import annotations

from calls.session import commands as do
from calls.session import events as ev
from calls.session.builtins import Builtins
from calls.session.capabilities import Arrangement
from calls.session.context import Context
from calls.session.greeting import Greeting
from calls.session.guardrails import Guardrails
from calls.session.history import replay
from calls.session.leaving import Exit, Leaving
from calls.session.plan import Resume
from calls.session.responses import Sequencer, Want
from calls.session.tools import Tools
from calls.session.voice import Voice
from calls.session.watchdog import Watchdog
from calls.vocabulary import Cause, EventKind, Fault
from calls.vocabulary import gettext_noop as _

APOLOGY = (
    "In the language of the conversation, apologise in one short sentence for the interruption on the line, then go on exactly where "
    "the conversation stopped; if the caller's last words are missing, ask them to say them again."
)
PERMANENT: dict[str, Cause] = {cause.value: cause for cause in (Cause.MODEL_REFUSED, Cause.MODEL_QUOTA)}
REDIAL_MS = 500.0  # before a second attempt: 1012 and 1013 ask for a delay (§6.2)
RENEW_ANYWAY_MS = 3 * 60_000.0  # a call that never falls silent is renewed before the vendor ends it
MOMENT = _("One moment please.")  # said by the carrier, translated where the document is made
RESTORED = (
    "Your control connection was interrupted for a moment. If a tool call of yours was never answered, make it again; "
    "otherwise go on."
)
RENEW_AGAIN_MS = 60_000.0  # a renewal that failed is tried again; five minutes are left for it


class Recovery:
    def __init__(
        self,
        ctx: Context,
        *,
        voice: Voice,
        sequencer: Sequencer,
        tools: Tools,
        builtins: Builtins,
        guardrails: Guardrails,
        greeting: Greeting,
        watchdog: Watchdog,
        leaving: Leaving,
    ) -> None:
        self.ctx = ctx
        self.voice = voice
        self.sequencer = sequencer
        self.tools = tools
        self.builtins = builtins
        self.guardrails = guardrails
        self.greeting = greeting
        self.watchdog = watchdog
        self.leaving = leaving
        self.moving = False
        self._connecting = ctx.agent  # whom the session that comes next is configured for
        self._attempts = 0
        self._sessions = 0
        self._owed = False
        self._renew_due = False
        self._renewing = False

    # --- the model session -----------------------------------------------------------------------------------------

    def ready(self, event: ev.ModelReady) -> None:
        """A model session is configured: the first one, one in place of a lost one, or a planned fresh one."""
        ctx = self.ctx
        if event.attached:
            self._attached(event)
            return
        if ctx.model_ready:
            if not self._renewing:
                ctx.note_peer("model", "ready twice")
                return
            self._lose_session()
        ctx.cancel_timer("reconnect")
        ctx.cancel_timer("redial")
        ctx.model_ready = True
        ctx.connected = ctx.plan.agents[self._connecting]
        if ctx.agent != self._connecting:  # handed off while the session was being opened
            ctx.emit(do.UseAgent(event_id=ctx.next_id(), agent=ctx.agent))
        ctx.model = event.model or ctx.model
        renewed, self._renewing, self._renew_due = self._renewing, False, False
        ctx.record(EventKind.MODEL_READY, session_id=event.session_id, model=event.model, renewed=renewed)
        replay(ctx, turns=self.voice.turns, tools=self.tools)
        if not self._sessions and ctx.plan.resume:
            self._resume(ctx.plan.resume)
        self._sessions += 1
        if self._owed and self.greeting.given:
            self.sequencer.want(APOLOGY, purpose="apology")
        self._owed = False
        self._watch_age(event)

    def _watch_age(self, event: ev.ModelReady) -> None:
        if self.ctx.arrangement is not Arrangement.SIP_TRUNK:  # there the call ends with the session
            left_ms = max(0.0, self.ctx.limits.renew_after_ms - event.age_ms)
            self.ctx.set_timer("renew", at_ms=self.ctx.now + left_ms)

    def _attached(self, event: ev.ModelReady) -> None:
        """Control of a session that went on without us (SIP): nothing is replayed, and what waited for us is done now."""
        ctx = self.ctx
        if ctx.model_ready:
            ctx.note_peer("model", "attached twice")
            return
        ctx.cancel_timer("reconnect")
        ctx.cancel_timer("redial")
        ctx.model_ready = True
        ctx.model = event.model or ctx.model
        ctx.connected = ctx.spec
        ctx.record(EventKind.MODEL_READY, session_id=event.session_id, model=event.model, attached=True)
        # Its place in the conversation tells the driver what stands last there: a call that nobody heard, maybe.
        ctx.emit(do.AddMessage(event_id=ctx.next_id(), role="system", text=RESTORED))
        if not self._sessions and ctx.plan.resume:
            ctx.record(EventKind.RECOVERY, cause=ctx.plan.resume.cause, attempt=ctx.plan.resume.attempt)
            self.tools.resume()
        self._sessions += 1
        self.builtins.hand_off_again()
        self.tools.resend()
        if self._owed:
            self.watchdog.owe()
        self._owed = False
        self._watch_age(event)

    def _resume(self, resume: Resume) -> None:
        self.ctx.record(EventKind.RECOVERY, cause=resume.cause, attempt=resume.attempt)
        self.tools.resume()
        said_last = resume.history[-1].kind if resume.history else ""
        # A call that was moved at a silence after the agent's words noticed nothing: the caller is to speak.
        self._owed = not (resume.cause == Cause.DEPLOY and said_last == "agent")

    def lost(self, event: ev.ModelLost) -> None:
        """The model's socket is gone, or a new one could not be opened."""
        ctx = self.ctx
        ctx.record(EventKind.MODEL_LOST, cause=event.cause, code=event.code, detail=event.detail[:200])
        if self._renewing and ctx.model_ready and event.cause != Cause.MODEL_LOST:
            self._renewing = self._renew_due = False  # the fresh one failed; the old one still serves
            ctx.cancel_timer("reconnect")
            ctx.set_timer("renew", at_ms=ctx.now + RENEW_AGAIN_MS)
            return
        if ctx.model_ready:
            self._lose_session()
        if event.cause in PERMANENT:
            self.leaving.fall(PERMANENT[event.cause], detail=event.detail)
        elif self.leaving.pending:
            if self.voice.playback.idle or not self.sequencer.idle:
                self.leaving.overdue()  # the last words will not come; else they are being played
        elif self._renewing:
            self._renewing = False  # one is being opened already
        elif "redial" not in ctx.timers:  # else this is the late word of an attempt that was given up
            self._connect(Cause.MODEL_LOST if self._sessions else Cause.MODEL_UNREACHABLE)

    def overdue(self) -> None:
        """A session that was asked for did not come."""
        if self._renewing and self.ctx.model_ready:
            self._renewing = self._renew_due = False
            self.ctx.set_timer("renew", at_ms=self.ctx.now + RENEW_AGAIN_MS)
        else:
            self._connect(Cause.MODEL_UNREACHABLE)

    def sound(self) -> None:
        """The agent was heard from again: earlier losses are history."""
        self._attempts = 0

    def _connect(self, cause: Cause) -> None:
        if self._attempts >= self.ctx.limits.model_reconnects:
            self.leaving.fall(cause)
            return
        self._attempts += 1
        if self._attempts == 1:
            self.open_session()
        else:
            self.ctx.set_timer("redial", at_ms=self.ctx.now + REDIAL_MS)

    def open_session(self) -> None:
        """Asks for a session for the present agent, within a limit."""
        self._connecting = self.ctx.agent
        self.ctx.emit(do.ConnectModel(agent=self.ctx.agent))
        self.ctx.set_timer("reconnect", at_ms=self.ctx.now + self.ctx.limits.reconnect_ms)

    def _lose_session(self) -> None:
        """What lived in the model session is gone: responses, items, pending updates."""
        ctx, sequencer = self.ctx, self.sequencer
        self._owed = self._owed or not sequencer.idle or ctx.caller_speaking or self.watchdog.armed
        ctx.model_ready = False
        ctx.cancel_timer("renew")
        asked = sequencer.outstanding
        for response in sequencer.lost():
            self.voice.end_response(response)
        if ctx.is_sip:
            self._lose_control(asked)
            return
        sequencer.wants = [want for want in sequencer.wants if want.purpose == "goodbye"]
        self.guardrails.lost()
        self.voice.forget_session()
        self.tools.session_lost()
        self.builtins.hand_off_done()  # the fresh session starts as the other agent
        self.watchdog.rest()
        ctx.caller_speaking = False
        if not self.voice.sounded:
            self.greeting.repeat()

    def _lose_control(self, asked: Want | None) -> None:
        """Only our socket is gone: the session talks on. What was asked for last may not have arrived."""
        if asked is not None:
            self.sequencer.wants.insert(0, asked)
        self.guardrails.lost()
        self.watchdog.rest()
        self.ctx.caller_speaking = False

    # --- at a silence ----------------------------------------------------------------------------------------------

    def renew_due(self) -> None:
        if self.ctx.is_sip and self._renew_due:
            self._renew_by_carrier()  # it never fell silent
            return
        if self.ctx.is_sip:
            self.ctx.set_timer("renew", at_ms=self.ctx.now + RENEW_ANYWAY_MS)
        self._renew_due = True
        self.ctx.unsettled = True

    def move(self) -> None:
        """This process is stopping: go at the next silence, or at the deadline."""
        if not self.moving:
            self.moving = True
            self.ctx.set_timer("move", at_ms=self.ctx.now + self.ctx.limits.move_ms)

    def settle(self, *, quiet: bool) -> None:
        if not quiet:
            return
        if self.moving:
            self.move_now()
        elif self._renew_due and not self._renewing:
            if self.ctx.is_sip:
                self._renew_by_carrier()
                return
            self._renewing = True
            self.open_session()

    def _renew_by_carrier(self) -> None:
        """The carrier asks our action address, which sends the caller to a fresh session (product 5.0)."""
        self._renewing = True
        self.leaving.request(Exit("resume", cause=Cause.SESSION_LIMIT, fault=Fault.NONE, goodbye=MOMENT))
        self.leaving.overdue()

    def move_now(self) -> None:
        if not self.ctx.stream_up:
            return  # nobody to move; the first silence of a call that comes all the same will do
        self.leaving.request(Exit("resume", cause=Cause.DEPLOY, fault=Fault.NONE))
        self.leaving.overdue()
