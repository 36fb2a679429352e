"""Carries one live SIP call: the control socket in, one pure session, commands out. Audio never passes here; it never decides.

What all paths share is the driver's. The exit differs by arrangement: on a dialled leg the carrier asks us what comes next; on a trunk
there is nobody to ask, so the model's side hangs up or refers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from calls.session import commands as do
from calls.session import events as ev
from calls.session.capabilities import Arrangement
from calls.transports.control_line import AGAIN_S, CallOver, ControlLine, attach, explain_loss
from calls.transports.driver import CLOSED_BY_US, LINGER_S, SHARED, CallDriver
from calls.transports.errands import DISPOSITION_S, REDIRECT_S
from calls.transports.model_socket import ModelOpenError, ModelSocket
from calls.transports.ports import Desk, Live, LiveCall, Records, Redeem, Session, Tools
from calls.vocabulary import Cause, EndReason, Fault
from calls.wire.realtime_session import encode, encode_update
from calls.wire.realtime_sip import describe_sip_hand_off, encode_clear
from gateways.errors import GatewayError
from gateways.voice_calls import VoiceCalls, is_gone

log = structlog.get_logger(__name__)

UNCONTROLLED_S = 5.0  # issue: a call nobody can control within 5 s is not left running
REFER_POLL_S = 0.5
REFER_S = 15.0  # a REFER is relayed, a leg is made; the session's own limit is above (plan.Limits.refer_ms)


class SipDesk(Desk, Protocol):
    """What a SIP call asks of rows and of the carrier beyond what every call does."""

    async def ask_again(self, call: LiveCall) -> None:
        """Have the carrier drop what it runs and ask the resume address. Raises GatewayError."""

    async def find_transfer(self, call: LiveCall, e164: str) -> str:
        """The carrier's word on the leg that a REFER made: its status, empty while there is none. Raises GatewayError."""

    async def find_person(self, call: LiveCall) -> str:
        """The number of the person on the route's ladder; empty when there is none."""


class SipBridge(CallDriver):
    """Made when the control socket is attached; `run` returns when the call is over for this process."""

    def __init__(
        self,
        call: LiveCall,
        session: Session,
        *,
        model_call_id: str,
        calls: VoiceCalls,
        records: Records,
        make_tools: Callable[[Redeem], Tools],
        desk: SipDesk,
        live: Live,
    ) -> None:
        super().__init__(call, session, records=records, make_tools=make_tools, desk=desk, live=live)
        self.model_call_id = model_call_id
        self.was_moved = False  # another process is to attach
        self._sip_desk = desk
        self._calls = calls
        self._referring: asyncio.Task[None] | None = None
        self._uncontrolled: asyncio.TimerHandle | None = None
        self._line = ControlLine(
            deliver=self.deliver,
            press=self.hear_key,
            lost=self._lose_line,
            note_error=self._note_model,
            hooks=self.on_model_event,
        )

    @property
    def _is_trunk(self) -> bool:
        return self.call.plan.arrangement is Arrangement.SIP_TRUNK

    async def run(self, socket: ModelSocket, *, attached: bool) -> None:
        """Serve the call until it is over here. `attached`: its model session has been going on without us."""
        self._keep_flight(self._flight.open())
        try:
            self.deliver(ev.StreamStarted(self.model_call_id))
            self._line.take(socket, model=self._model_name(), age_ms=self._age_ms(), attached=attached)
            await self._over.wait()
        finally:
            if self._uncontrolled is not None:
                self._uncontrolled.cancel()
            await self._tidy_up()
            await self._line.close()

    def lose_lease(self) -> None:
        """Another process has the call: let go of it without a word to anybody."""
        log.warning("sip_lease_lost", token=self.call.token)
        self._leaving = self._carrier_gone = True
        self.was_moved = True
        self.deliver(ev.StreamLost(CLOSED_BY_US))
        self._over.set()

    def _model_name(self) -> str:
        plan = self.call.plan
        agent = plan.resume.agent if plan.resume else plan.agent
        return plan.agents[agent].realtime.model

    def _age_ms(self) -> float:
        resume = self.call.plan.resume
        return float(resume.elapsed_ms) if resume and resume.attached else 0.0

    # --- the control socket ---------------------------------------------------------------------------------------

    def _lose_line(self, code: int, reason: str) -> None:
        if self._leaving or self._over.is_set():
            return
        if self._uncontrolled is None:
            self._uncontrolled = self._loop.call_later(UNCONTROLLED_S, self._give_control_up)
        # Whatever the code (1000, 1001, 1006, 1011): the call itself may go on, and only asking tells (§6.2).
        self.deliver(ev.ModelLost(Cause.MODEL_LOST, code, reason[:500]))

    def _give_control_up(self) -> None:
        if not self._line.is_up and not self._leaving:
            log.error("sip_uncontrolled", model_call_id=self.model_call_id)
            self._leave(do.Leave("ladder", cause=Cause.MODEL_LOST, fault=Fault.MODEL, detail="control lost"))

    def _open_model(self, command: do.ConnectModel) -> None:
        self._spawn(self._attach_again(command.agent))

    async def _attach_again(self, agent: str) -> None:
        model = self.call.plan.agents[agent].realtime.model
        try:
            socket = await attach(self.model_call_id, model, end_user=self.call.end_user, patience_s=AGAIN_S)
        except CallOver:
            if self._referring is not None:  # a transfer that works ends the model's leg, too
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(self._referring)
            self._end_with_caller()
        except ModelOpenError as error:
            self.deliver(explain_loss(error))
        else:
            if self._uncontrolled is not None:
                self._uncontrolled.cancel()
                self._uncontrolled = None
            age_ms = self._age_ms() + (time.monotonic() - self._born) * 1000
            self._line.take(socket, model=model, age_ms=age_ms, attached=True)

    def _end_with_caller(self) -> None:
        """The model's leg is gone. On a dialled leg the carrier says what that means for the caller; on a trunk it is the end."""
        if self._carrier_gone or self._leaving:
            return
        self._carrier_gone = True
        self.caller_hung_up = self._is_trunk
        self.deliver(ev.CallerHungUp())
        self._loop.call_later(LINGER_S, self._over.set)

    # --- commands -------------------------------------------------------------------------------------------------

    def _to_model(self, command: Any) -> None:
        for event in encode(command):
            self._line.send(event)

    def _clear_playback(self, command: do.ClearPlayback) -> None:
        self._line.send(encode_clear("clear"))

    def _use_agent(self, command: do.UseAgent) -> None:
        diff = describe_sip_hand_off(self.call.plan.agents[command.agent])
        self._line.send(encode_update(diff, event_id=command.event_id))

    def _refer(self, command: do.Refer) -> None:
        self._referring = self._loop.create_task(self._carry_refer(command.contact))
        self._tasks.add(self._referring)
        self._referring.add_done_callback(self._tasks.discard)

    async def _carry_refer(self, contact: str) -> None:
        ok, detail = False, "no such contact"
        e164 = self._find_number(contact)
        if e164:
            try:
                async with asyncio.timeout(REFER_S):
                    ok, detail = await self._watch_refer(e164)
            except TimeoutError:
                detail = "the carrier shows no new leg"
            except GatewayError as error:
                detail = str(error)
        self._referring = None
        self.deliver(ev.ReferAnswered(ok, detail[:300]))

    async def _watch_refer(self, e164: str) -> tuple[bool, str]:
        """200 means "relayed": only a leg in the carrier's list shows that it worked."""
        await self._calls.refer(self.model_call_id, target_uri=f"tel:{e164}")
        while True:
            status = await self._sip_desk.find_transfer(self.call, e164)
            if status in ("in-progress", "completed"):
                return True, status
            if status in ("busy", "failed", "no-answer", "canceled"):
                return False, status
            await asyncio.sleep(REFER_POLL_S)

    def _find_number(self, contact: str) -> str:
        people = (person for agent in self.call.plan.agents.values() for person in agent.contacts)
        return next((person.e164 for person in people if person.name.casefold() == contact.casefold()), "")

    # --- the exit -------------------------------------------------------------------------------------------------

    async def _walk_out(self, leave: do.Leave) -> None:
        try:
            if leave.next == "resume" and leave.cause == Cause.DEPLOY:
                self.was_moved = True  # the call stays as it is; who attaches next reads the records
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DISPOSITION_S * 4):
                        await self._records.flush(self.call)
            elif self._is_trunk:
                await self._end_trunk_call(leave)
            else:
                await self._hand_back(leave)
        finally:
            self._carrier_gone = True
            self.deliver(ev.StreamLost(CLOSED_BY_US))  # the session writes its last records
            self._over.set()

    async def _hand_back(self, leave: do.Leave) -> None:
        """Store what comes next, then end the dial: the carrier asks, and the record answers. Never raises."""
        try:
            async with asyncio.timeout(DISPOSITION_S * 4):  # speech is over: the store may take its time
                await self._desk.save_disposition(self.call, leave)
                await self._records.flush(self.call)
        except Exception as error:
            log.warning("disposition_not_saved", detail=str(error) or type(error).__name__, next=leave.next)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(REDIRECT_S):
                    await self._desk.redirect(self.call, leave)
            return
        first, second = self._end_model_leg, self._redirect_parent
        if leave.next != "hang_up":  # the redirect spares the caller the moment of a closing leg
            first, second = second, first
        if not await first():
            await second()

    async def _end_model_leg(self) -> bool:
        try:
            await self._calls.hang_up(self.model_call_id)
        except GatewayError as error:
            log.warning("sip_hang_up_failed", detail=str(error))
            return is_gone(error)
        return True

    async def _redirect_parent(self) -> bool:
        try:
            async with asyncio.timeout(REDIRECT_S):
                await self._sip_desk.ask_again(self.call)
        except (GatewayError, TimeoutError) as error:
            log.warning("sip_redirect_failed", detail=str(error) or type(error).__name__)
            return False
        return True

    async def _end_trunk_call(self, leave: do.Leave) -> None:
        """Nothing of ours can follow on a trunk, but for a person by REFER when the model cannot go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISPOSITION_S * 4):
                await self._records.flush(self.call)
        self.caller_hung_up = True  # the record ends here; the carrier's figures follow
        if leave.next == "transfer":
            self.ending = (EndReason.TRANSFERRED, Fault.NONE)
            return
        reason = leave.reason if leave.next == "hang_up" else EndReason.LADDER_EXHAUSTED
        self.ending = (reason or EndReason.AGENT_ENDED, leave.fault)
        if leave.next in ("ladder", "voicemail") and await self._refer_to_person():
            self.ending = (EndReason.TRANSFERRED, leave.fault)
            return
        await self._end_model_leg()

    async def _refer_to_person(self) -> bool:
        try:
            async with asyncio.timeout(REFER_S):
                e164 = await self._sip_desk.find_person(self.call)
                return bool(e164) and (await self._watch_refer(e164))[0]
        except (GatewayError, TimeoutError) as error:
            log.warning("sip_refer_failed", detail=str(error) or type(error).__name__)
            return False

    def _finish(self, command: do.Finish) -> None:
        before = self.ending
        super()._finish(command)
        if before[0]:
            self.ending = before


def _ignore(driver: SipBridge, command: do.Command) -> None:
    """The model owns the audio path."""


SipBridge.obey = {
    **SHARED,
    do.Play: _ignore,
    do.SendMark: _ignore,
    do.DropAudio: _ignore,
    do.MakeTones: _ignore,
    do.StartRecording: _ignore,
    do.ClearPlayback: SipBridge._clear_playback,
    do.CreateResponse: SipBridge._to_model,
    do.CancelResponse: SipBridge._to_model,
    do.TruncateItem: SipBridge._to_model,
    do.DeleteItem: SipBridge._to_model,
    do.AddMessage: SipBridge._to_model,
    do.AddToolExchange: SipBridge._to_model,
    do.AddToolOutput: SipBridge._to_model,
    do.UseAgent: SipBridge._use_agent,
    do.ConnectModel: SipBridge._open_model,
    do.Refer: SipBridge._refer,
}
