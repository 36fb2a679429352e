"""The live call's way to rows, secrets and the carrier's REST API: asked in threads, so that no call waits for another's.

Bounded threads with connections of their own: one slow query must not delay every call (decision 3). Decides nothing; services do.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from agents.models import Secret
from agents.tools.client import ToolClient
from agents.tools.fence import EgressFence
from agents.tools.runner import ToolRunner
from calls.models import Call
from calls.selectors import find_call, find_trial
from calls.services import live, tickets, trials
from calls.services.addresses import call_ref, dial_url, resume_url
from calls.services.disposition import save_disposition
from calls.session.commands import Leave
from calls.session.plan import CallPlan
from calls.transports.ports import LiveCall, Redeem, Tools
from calls.vocabulary import Direction
from calls.wire.media_streams import Start
from gateways.errors import GatewayError
from gateways.signatures import check_signature
from gateways.telephony import TwilioGateway
from gateways.twiml import Document
from tenants.models import Tenant
from tenants.scope import tenant_scope

log = structlog.get_logger(__name__)

THREADS = 16  # questions at once; as many database connections as the pool gives (DB_POOL_MAX)
TICKET = "ticket"  # the <Parameter> of our TwiML
GOODBYE_TRIES = (
    40  # 20 s without PostgreSQL (issue), doubled; then the carrier's callbacks and the reaper close the call
)
GOODBYE_PAUSE_S = 1.0
PERSON_TIMEOUT_S = (
    20  # the last net without a database: ring as long as the carrier does by default (twilio.md §3.6 says 30)
)

P = ParamSpec("P")
T = TypeVar("T")


class SwitchboardHouse:
    """One a process. Implements calls.transports.media.House and calls.transports.ports.Desk."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="house")
        self._client: ToolClient | None = None
        self._carriers: dict[UUID, TwilioGateway] = {}  # of live calls: usable when the database is not
        self._secrets: dict[UUID, dict[str, str]] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()

    @property
    def desk(self) -> SwitchboardHouse:
        return self

    async def ask(self, question: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in one of our threads, inside this context; the connection goes back afterwards."""
        context = contextvars.copy_context()

        def answer() -> T:
            try:
                return question(*args, **kwargs)
            finally:
                connections.close_all()

        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, answer)

    async def warm_up(self) -> None:
        """Before the first call: the trust store takes 60 ms to read, which no caller's loop has to spare."""
        self._client = await asyncio.get_running_loop().run_in_executor(self._threads, _make_client)

    # --- the door ---------------------------------------------------------------------------------------------------

    async def check_handshake(self, ref: str, *, path: str, signature: str) -> bool:
        found = await self.ask(find_call, ref)
        if found is None:
            return False
        _, account = found
        return check_signature(_socket_url(path), {}, signature, account.tokens)

    async def check_page(self, ref: str, *, origin: str) -> bool:
        """Whether a page of ours began this test call, and the socket comes from that very page's origin."""
        trial = await self.ask(find_trial, ref)
        return trial is not None and bool(origin) and trial.origin == origin

    async def admit(self, ref: str, start: Start) -> LiveCall | None:
        try:
            return await self.ask(self._claim, ref, start)
        except tickets.TicketError as refusal:
            log.warning("ticket_refused", reason=refusal.reason, call_ref=ref)
            return None

    def _claim(self, ref: str, start: Start) -> LiveCall | None:
        body = start.start
        claimed = tickets.claim(
            body.custom_parameters.get(TICKET, ""),
            call_sid=body.call_sid,
            account_sid=body.account_sid,
            stream_sid=start.stream_sid,
        )
        if claimed.ref != ref:
            log.warning("ticket_of_another_path", call_ref=ref)  # genuine, only misdelivered: the ticket decides
        return self._furnish(claimed.tenant, claimed.call, token=claimed.token, plan=claimed.plan)

    def _furnish(self, tenant: Tenant, call: Call, *, token: int, plan: CallPlan) -> LiveCall:
        """Keep at hand what the call needs when the database is away: its carrier and its tools' secrets."""
        with tenant_scope(tenant):
            if call.direction != Direction.TEST:
                self._carriers[call.pk] = live.open_carrier(call)
            names = {name for agent in plan.agents.values() for tool in agent.tools for name in tool.secret_names}
            if names:
                self._secrets[call.pk] = {row.name: row.value for row in Secret.objects.filter(name__in=names)}
        return LiveCall(
            call_id=call.pk,
            tenant_id=tenant.pk,
            ref=call_ref(call.pk),
            carrier_sid=call.carrier_sid,
            account_sid=call.account_sid,
            token=token,
            plan=plan,
            end_user=call.from_number,
        )

    def release(self, call: LiveCall, *, reason: str, fault: str, is_over: bool) -> None:
        """Give the lease back, as soon as the database listens; nobody waits for it."""
        self._carriers.pop(call.call_id, None)
        self._secrets.pop(call.call_id, None)
        self._later(self._say_goodbye(call, reason, fault, is_over))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def _say_goodbye(self, call: LiveCall, reason: str, fault: str, is_over: bool) -> None:
        def finish() -> bool:
            with tenant_scope(Tenant(pk=call.tenant_id)):
                return live.session_finished(
                    call.call_id, token=call.token, reason=reason, fault=fault, is_over=is_over
                )

        await self._insist(finish)

    async def _insist(self, question: Callable[[], bool]) -> None:
        """Until the database answers, or for so long that others have settled the call."""
        for _ in range(GOODBYE_TRIES):
            try:
                await self.ask(question)
                return
            except DatabaseError as error:
                log.warning("lease_not_released", detail=str(error)[:200])
            await asyncio.sleep(GOODBYE_PAUSE_S)

    # --- the desk ---------------------------------------------------------------------------------------------------

    async def save_disposition(self, call: LiveCall, leave: Leave) -> None:
        def save() -> bool:
            with tenant_scope(Tenant(pk=call.tenant_id)):
                return save_disposition(call.call_id, leave, token=call.token)

        if not await self.ask(save):
            log.warning("disposition_outdated", token=call.token)  # a newer holder decides now

    async def redirect(self, call: LiveCall, leave: Leave) -> None:
        """Without a store: hand the carrier the next document itself. Raises GatewayError."""
        carrier = self._carriers.get(call.call_id)
        if carrier is not None:
            await self.ask(carrier.update_call, call.carrier_sid, twiml=_document(call, leave))

    async def start_recording(self, call: LiveCall, *, offset_ms: int) -> str:
        if call.account_sid == trials.SELF:
            raise GatewayError("a test call in the browser passes no carrier that could record it", permanent=True)

        def start() -> str:
            with tenant_scope(Tenant(pk=call.tenant_id)):
                found = find_call(call.ref)
                if found is None:
                    raise GatewayError("the call has no row", permanent=True)
                return live.start_recording(found[0], offset_ms=offset_ms)

        return await self.ask(start)

    def make_tools(self, call: LiveCall, redeem: Redeem) -> Tools:
        secrets = self._secrets.get(call.call_id, {})
        if self._client is None:
            self._client = _make_client()
        return ToolRunner(secrets.get, client=self._client, redeem=redeem)

    async def close(self) -> None:
        """After the last call."""
        if self._goodbyes:
            await asyncio.wait(self._goodbyes, timeout=GOODBYE_PAUSE_S * 2)
        for task in list(self._goodbyes):
            task.cancel()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _make_client() -> ToolClient:
    return ToolClient(EgressFence(allow=settings.TOOL_EGRESS_ALLOW))


def _socket_url(path: str) -> str:
    """What the carrier signed: the configured base and the path as sent, never a header (twilio.md §1.3)."""
    base = urlsplit(settings.MEDIA_BASE_URL)
    scheme = {"http": "ws", "https": "wss"}.get(base.scheme, base.scheme)
    prefix = "" if path.startswith(f"{base.path}/") else base.path  # a proxy may have taken it off
    return f"{scheme}://{base.netloc}{prefix}{path}"


def _document(call: LiveCall, leave: Leave) -> str:
    document = Document().say(leave.say)
    contact = next(
        (
            person
            for agent in call.plan.agents.values()
            for person in agent.contacts
            if person.name.casefold() == leave.contact.casefold()
        ),
        None,
    )
    if leave.next == "hang_up":
        document.hangup()
    elif leave.next == "transfer" and contact is not None:
        document.dial_number(
            contact.e164,
            action=dial_url(call.ref),
            time_limit_s=settings.CALL_TIME_LIMIT_S,
            timeout_s=PERSON_TIMEOUT_S,
        )
    else:  # the resume URL decides once it can; until then the carrier retries it
        document.redirect(resume_url(call.ref))
    return document.render()


_house: SwitchboardHouse | None = None


def current_house() -> SwitchboardHouse:
    """The process's own, made at first use."""
    global _house
    if _house is None:
        _house = SwitchboardHouse()
    return _house


async def close_house() -> None:
    global _house
    house, _house = _house, None
    if house is not None:
        await house.close()
