"""The state of the carrier: accounts, numbers, people, calls, recordings, alerts, and the tasks that serve them.

It knows the calls' machinery and no HTTP server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from emulators.callers import Caller
from emulators.twilio.clock import Clock, Ticker
from emulators.twilio.config import DoubleConfig, Faults
from emulators.twilio.values import Account, Alert, Number, Outcome, Person, TwilioFault, rfc2822
from emulators.twilio.webhooks import Cookies, Fetcher, Reply, make_idempotency_token

if TYPE_CHECKING:
    from emulators.twilio.call import Call
    from emulators.twilio.recording import Recording
    from emulators.twilio.rest_accounts import Trigger
    from emulators.twilio.rest_papers import Address, Bundle

logger = logging.getLogger(__name__)
API_VERSION = "2010-04-01"


class Exchange:
    """Made inside the loop that serves it; `open` first, `close` last."""

    def __init__(self, config: DoubleConfig) -> None:
        self.config = config
        self.faults = Faults()
        self.clock = Clock(speed=config.speed)
        self.ticker = Ticker(self.clock)
        self.fetcher = Fetcher(limit_s=config.webhook_limit_s, retry_pause_s=config.retry_pause_s)
        self.base_url = ""  # set by the server that stands in front
        self.accounts: dict[str, Account] = {}
        self.numbers: dict[str, Number] = {}  # by E.164
        self.people: dict[str, Person] = {}
        self.calls: dict[str, Call] = {}
        self.recordings: dict[str, Recording] = {}
        self.addresses: dict[str, Address] = {}
        self.bundles: dict[str, Bundle] = {}
        self.triggers: dict[str, Trigger] = {}
        self.alerts: list[Alert] = []
        self.failures: list[BaseException] = []  # our own bugs: any entry fails the test that made it
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        await self.fetcher.open()

    async def close(self) -> None:
        for call in list(self.calls.values()):
            call.hang_up(by="double")
        live = [call.ended() for call in self.calls.values()]
        if live:
            await asyncio.wait([asyncio.ensure_future(end) for end in live], timeout=5)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        self.ticker.stop()
        await self.fetcher.close()

    # -- what exists ----------------------------------------------------------

    def add_account(self, account: Account) -> Account:
        if account.parent_sid and self.accounts[account.parent_sid].parent_sid:
            raise TwilioFault(21101, "subaccounts cannot have subaccounts")  # §6.1
        self.accounts[account.sid] = account
        return account

    def add_number(self, number: Number) -> Number:
        if number.account_sid not in self.accounts:
            raise ValueError(f"number {number.e164} belongs to an unknown account {number.account_sid}")
        self.numbers[number.e164] = number
        return number

    def add_person(self, person: Person) -> Person:
        self.people[person_key(person.address)] = person
        return person

    def allowed_countries(self, account: Account) -> frozenset[str] | None:
        """Geographic permissions: its own, else the parent's; None is everywhere."""
        if account.countries is not None or account.parent_sid is None:
            return account.countries
        return self.accounts[account.parent_sid].countries

    async def spend(self, account: Account, amount: Decimal) -> None:
        """The account's bill grows; a usage trigger that is passed calls back once (§6.3)."""
        account.spent += amount
        for trigger in list(self.triggers.values()):
            if trigger.account_sid != account.sid or trigger.fired or account.spent < trigger.value:
                continue
            trigger.fired = True
            form = {
                "AccountSid": account.sid,
                "UsageTriggerSid": trigger.sid,
                "UsageCategory": trigger.category,
                "TriggerBy": trigger.trigger_by,
                "TriggerValue": format(trigger.value, "f"),
                "CurrentValue": format(account.spent, "f"),
                "Recurring": "",
                "DateFired": str(rfc2822(self.clock.utc())),
                "IdempotencyToken": make_idempotency_token(),
            }
            try:
                await self.fetch(
                    trigger.callback_url,
                    method="POST",
                    params=form,
                    account=account,
                    cookies=Cookies(),
                    note=lambda *_a, **_k: None,
                )
            except TwilioFault as fault:
                self.alert(fault.code, f"usage trigger: {fault.message}", resource=trigger.callback_url)

    def find_person(self, address: str) -> Person:
        """Whoever answers there; an address nobody registered cannot be reached (§4.8: 13224)."""
        person = self.people.get(person_key(address))
        return person or Person(address, outcome=Outcome.FAILED, rings_s=0.0, caller=Caller(), sip_code=404)

    # -- what happens ---------------------------------------------------------

    def alert(self, code: int, text: str, *, call: Call | None = None, resource: str | None = None) -> None:
        sid = call.sid if call else None
        self.alerts.append(Alert(code, text, call_sid=sid, resource=resource, at_s=round(self.clock.seconds(), 3)))
        if call is not None:
            call.note("alert", code=code, text=text)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        logger.error("the double itself failed", exc_info=error)
        self.failures.append(error)

    async def settled(self) -> None:
        """Returns when no callback, recording or closing handshake is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def fetch(
        self,
        url: str,
        *,
        method: str,
        params: Mapping[str, str],
        account: Account,
        cookies: Cookies,
        note: Callable[..., None],
        copies: int = 1,
    ) -> Reply:
        idempotency_token = make_idempotency_token()

        async def fetch_once() -> Reply:
            return await self.fetcher.fetch(
                url,
                method=method,
                params=params,
                token=self.signing_token(account),
                cookies=cookies,
                note=note,
                idempotency_token=idempotency_token,
            )

        replies = [await fetch_once() for _ in range(copies)]
        return replies[0]

    def signing_token(self, account: Account) -> str | None:
        """The account's own (§3.4: primary) token, unless a fault was ordered; None is no signature at all."""
        if self.faults.signatures == "missing":
            return None
        return account.auth_token if self.faults.signatures == "proper" else f"not-{account.auth_token}"

    def notify(self, call: Call, url: str, *, method: str, params: Mapping[str, str], event: str) -> None:
        """Sends a callback whose answer does not matter; those of one call in order unless a fault delays one."""
        delay_s = self.faults.callback_delay_s.get(event, 0.0)
        for _ in range(self.faults.callback_copies):
            delivery = self._deliver(call, url, method=method, params=dict(params), event=event, delay_s=delay_s)
            task = self.spawn(delivery)
            call.callbacks.add(task)
            task.add_done_callback(call.callbacks.discard)

    async def _deliver(
        self, call: Call, url: str, *, method: str, params: Mapping[str, str], event: str, delay_s: float
    ) -> None:
        if delay_s:
            await self.clock.sleep(delay_s)
            await self._deliver_now(call, url, method=method, params=params, event=event)
            return
        async with call.callback_lock:  # locks are fair: first come, first served
            await self._deliver_now(call, url, method=method, params=params, event=event)

    async def _deliver_now(self, call: Call, url: str, *, method: str, params: Mapping[str, str], event: str) -> None:
        def note(kind: str, **detail: object) -> None:
            call.note("callback", event=event, **detail)

        try:
            await self.fetch(url, method=method, params=params, account=call.account, cookies=call.cookies, note=note)
        except TwilioFault as fault:
            self.alert(fault.code, f"{event} callback: {fault.message}", call=call, resource=url)


def person_key(address: str) -> str:
    """A SIP address without its parameters and headers (§7.4), a number as it is."""
    return address.split(";")[0].split("?")[0].lower() if address.lower().startswith("sip:") else address
