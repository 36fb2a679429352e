"""A control process's work: claims invitations and orphans, accepts, attaches, and serves each call until it is over. It never decides.

Nudged through the channel layer; the database is polled every 500 ms because a nudge is a hint (decision 5). Each call is a task of its
own: what one waits for, no other waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

import structlog
from channels.layers import get_channel_layer
from django.db import DatabaseError

from calls.models import SipInvitation
from calls.services.announce import SIDEBANDS
from calls.services.sip_admission import FAIL_OVER, Admitted, Refusal
from calls.services.sip_lines import Orphan
from calls.session.capabilities import Arrangement
from calls.session.machine import CallSession
from calls.transports.control_line import FIRST_S, CallOver, attach
from calls.transports.debug import watch_call
from calls.transports.model_socket import ModelOpenError, ModelSocket
from calls.transports.ports import LiveCall
from calls.transports.process import MediaProcess
from calls.transports.sip_bridge import UNCONTROLLED_S, SipBridge
from calls.transports.sip_house import AT_ONCE, SipHouse
from calls.vocabulary import Cause, Fault
from calls.wire.realtime_sip import describe_accept
from gateways.errors import GatewayError
from gateways.voice_calls import VoiceCalls, is_gone

log = structlog.get_logger(__name__)

LOOK_S = 0.5  # decision 5
AWAY_S = 1.0  # between attempts while Redis or the database is away
CARRIER_TRIES = 3  # a carrier that cannot be asked about a trunk call, within the ring time
State = SipInvitation.State


class Sidebands:
    """One a process; `run` until cancelled, after the process was drained."""

    def __init__(self, process: MediaProcess, house: SipHouse, calls: VoiceCalls) -> None:
        self._process = process
        self._house = house
        self._calls = calls
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bridges: dict[object, SipBridge] = {}
        self._taking: set[object] = set()  # orphans being claimed: not looked at twice

    async def run(self) -> None:
        """Look, take, look again. While the process drains nothing new is taken."""
        listener = asyncio.get_running_loop().create_task(self._listen(), name="sidebands nudges")
        try:
            while True:
                more = False
                try:
                    more = await self._look()
                except DatabaseError as error:
                    log.warning("sidebands_without_database", detail=str(error)[:200])
                    await asyncio.sleep(AWAY_S)
                if not more:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await self._news.wait()
                self._news.clear()
        finally:
            listener.cancel()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(listener, *self._tasks, return_exceptions=True)

    async def _look(self) -> bool:
        """True when there may be more than one look takes."""
        await self._check_leases()
        if self._process.draining:
            return False
        claimed = await self._house.claim_invitations()
        for invitation in claimed:
            self._spawn(self._take_invitation(invitation))
        orphans = [orphan for orphan in await self._house.find_orphans() if orphan.call_id not in self._taking]
        for orphan in orphans:
            self._taking.add(orphan.call_id)
            self._spawn(self._take_orphan(orphan))
        return len(claimed) == AT_ONCE

    async def _check_leases(self) -> None:
        """A process that was cut off and is back may find its calls with another."""
        held = {bridge.call.call_id: bridge.call.token for bridge in self._bridges.values()}
        for call_id in await self._house.find_lost(held) if held else ():
            bridge = self._bridges.get(call_id)
            if bridge is not None and not bridge.is_leaving and bridge.call.token == held[call_id]:
                bridge.lose_lease()

    async def _listen(self) -> None:
        """Nudges set the event; without Redis the polling goes on."""
        layer = get_channel_layer()
        while True:
            try:
                name = await layer.new_channel()
                await layer.group_add(SIDEBANDS, name)
                while True:
                    await layer.receive(name)
                    self._news.set()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the layer's own errors are of many families
                log.warning("sidebands_without_nudges", detail=f"{type(error).__name__}: {error}"[:200])
                await asyncio.sleep(AWAY_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # one call's trouble is not the others'
            log.exception("sideband_failed")

    # --- invitations ----------------------------------------------------------------------------------------------

    async def _take_invitation(self, invitation: SipInvitation) -> None:
        model_call_id = invitation.model_call_id
        try:
            admitted, call = await self._admit(invitation)
        except Refusal as refusal:
            log.warning("sip_refused", reason=refusal.reason, status_code=refusal.status_code)
            await self._reject(model_call_id, refusal.status_code)
            await self._house.end_invitation(invitation, state=State.REJECTED, reason=refusal.reason)
            return
        except GatewayError as error:
            log.warning("sip_identity_unknown", detail=str(error))
            await self._reject(model_call_id, FAIL_OVER)
            await self._house.end_invitation(invitation, state=State.REJECTED, reason=str(error))
            return
        with structlog.contextvars.bound_contextvars(tenant_id=str(call.tenant_id), call_id=str(call.call_id)):
            await self._accept(invitation, admitted, call)

    async def _admit(self, invitation: SipInvitation) -> tuple[Admitted, LiveCall]:
        for tries_left in reversed(range(CARRIER_TRIES)):
            try:
                return await self._house.admit_sip(invitation)
            except GatewayError as error:
                if error.permanent or not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def _accept(self, invitation: SipInvitation, admitted: Admitted, call: LiveCall) -> None:
        plan = call.plan
        spec = plan.agents[plan.resume.agent if plan.resume else plan.agent]
        began = time.monotonic()
        try:
            await self._calls.accept(admitted.model_call_id, describe_accept(spec), end_user=call.end_user)
        except GatewayError as error:
            await self._fail_accept(invitation, admitted, error)
            return
        log.info("sip_accepted", model_call_id=admitted.model_call_id, took_ms=round((time.monotonic() - began) * 1000))
        self._later(self._house.end_invitation(invitation, state=State.ACCEPTED))
        try:
            socket = await attach(
                admitted.model_call_id, spec.realtime.model, end_user=call.end_user, patience_s=FIRST_S
            )
        except CallOver:
            # §2.3: the caller left while it rang, or the session killed the call; the carrier's action tells the two apart.
            log.info("sip_gone_after_accept", model_call_id=admitted.model_call_id)
            await self._house.accept_failed(
                admitted, cause=Cause.MODEL_LOST, fault=Fault.MODEL, detail="the call was gone after accept"
            )
            return
        except ModelOpenError as error:
            await self._give_up(admitted, cause=error.cause, detail=error.detail)
            return
        await self._serve(admitted, call, socket, attached=False)

    async def _fail_accept(self, invitation: SipInvitation, admitted: Admitted, error: GatewayError) -> None:
        """404: nobody is there any more. Else the model's side must end, so that the carrier goes on with the next rung."""
        gone = is_gone(error)
        log.warning("sip_accept_failed", status=error.status, code=error.code, detail=str(error))
        cause = Cause.MODEL_UNREACHABLE
        if error.status == 429:
            cause = Cause.MODEL_QUOTA
        elif error.permanent:
            cause = Cause.MODEL_REFUSED
        detail = "the call was gone at accept" if gone else str(error)
        await self._house.accept_failed(
            admitted, cause=Cause.MODEL_LOST if gone else cause, fault=Fault.MODEL, detail=detail
        )
        if not gone:
            await self._reject(admitted.model_call_id, FAIL_OVER)
            await self._end_model_leg(admitted)  # a timeout may hide an accept that worked
        await self._house.end_invitation(invitation, state=State.GONE if gone else State.FAILED, reason=detail)

    async def _give_up(self, admitted: Admitted, *, cause: Cause, detail: str) -> None:
        """Accepted, and nobody can control it: not left running (issue); the carrier goes on with the next rung."""
        log.error("sip_uncontrolled", model_call_id=admitted.model_call_id, cause=str(cause), detail=detail)
        await self._house.accept_failed(admitted, cause=cause, fault=Fault.MODEL, detail=f"no control socket: {detail}")
        await self._end_model_leg(admitted)

    async def _reject(self, model_call_id: str, status_code: int) -> None:
        try:
            await self._calls.reject(model_call_id, status_code=status_code)
        except GatewayError as error:  # accepted meanwhile, or gone: the carrier's ring time decides
            log.info("sip_reject_failed", status=error.status, detail=str(error))

    async def _end_model_leg(self, admitted: Admitted) -> None:
        try:
            await self._calls.hang_up(admitted.model_call_id)
        except GatewayError as error:
            log.info("sip_hang_up_failed", status=error.status, detail=str(error))

    # --- orphans --------------------------------------------------------------------------------------------------

    async def _take_orphan(self, orphan: Orphan) -> None:
        try:
            taken = await self._house.take_over(orphan)
            if taken is None:
                return
            admitted, call = taken
            with structlog.contextvars.bound_contextvars(tenant_id=str(call.tenant_id), call_id=str(call.call_id)):
                await self._attach_orphan(admitted, call)
        finally:
            self._taking.discard(orphan.call_id)

    async def _attach_orphan(self, admitted: Admitted, call: LiveCall) -> None:
        plan = call.plan
        model = plan.agents[plan.resume.agent if plan.resume else plan.agent].realtime.model
        try:
            socket = await attach(admitted.model_call_id, model, end_user=call.end_user, patience_s=UNCONTROLLED_S)
        except CallOver:
            log.info("sip_orphan_over", model_call_id=admitted.model_call_id)
            is_trunk = plan.arrangement is Arrangement.SIP_TRUNK
            self._house.release(call, reason="", fault="", is_over=is_trunk)
            return
        except ModelOpenError as error:
            await self._give_up(admitted, cause=error.cause, detail=error.detail)
            return
        log.info("sip_attached_again", model_call_id=admitted.model_call_id, token=call.token)
        self._taking.discard(call.call_id)
        await self._serve(admitted, call, socket, attached=True)

    # --- a call ---------------------------------------------------------------------------------------------------

    async def _serve(self, admitted: Admitted, call: LiveCall, socket: ModelSocket, *, attached: bool) -> None:
        process, house = self._process, self._house
        bridge = SipBridge(
            call,
            CallSession(call.plan),
            model_call_id=admitted.model_call_id,
            calls=self._calls,
            records=process.writer,
            make_tools=lambda redeem: house.make_tools(call, redeem),
            desk=house,
            live=process.live,
        )
        process.hold(bridge)
        self._bridges[call.call_id] = bridge
        try:
            with watch_call(bridge):
                await bridge.run(socket, attached=attached)
        finally:
            process.release(bridge)
            if self._bridges.get(call.call_id) is bridge:
                del self._bridges[call.call_id]
            reason, fault = bridge.ending
            if bridge.was_moved:
                house.release_for_another(call)
            else:
                house.release(call, reason=reason, fault=fault, is_over=bridge.caller_hung_up)
            log.info("sip_ended", moved=bridge.was_moved)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        self._spawn(work)
