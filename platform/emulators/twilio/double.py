"""The carrier double: REST, webhooks, streams and people behind one port, in-process or as a process of its own."""

from __future__ import annotations

import socket
from types import TracebackType

from aiohttp import web

from emulators.callers import Caller
from emulators.twilio.call import Call
from emulators.twilio.config import DoubleConfig, Faults
from emulators.twilio.control import ControlApi
from emulators.twilio.exchange import Exchange
from emulators.twilio.outbound import receive_call
from emulators.twilio.rest import RestApi
from emulators.twilio.rest_door import Handler, refuse
from emulators.twilio.values import Account, Alert, Number, Outcome, Person, TwilioFault, make_sid


class TwilioDouble:
    """`async with TwilioDouble() as double:`; then `double.base_url` is the TWILIO_API_BASE_URL of the product."""

    exchange: Exchange
    rest: RestApi

    def __init__(self, config: DoubleConfig | None = None) -> None:
        self.config = config or DoubleConfig()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> TwilioDouble:
        self.exchange = Exchange(self.config)
        self.rest = RestApi(self.exchange)
        await self.exchange.open()
        app = web.Application(middlewares=[_answer_as_twilio], client_max_size=1024 * 1024)
        app.add_routes(self.rest.routes())
        app.add_routes(ControlApi(self.exchange).routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        listener = socket.create_server((self.config.host, self.config.port))
        await web.SockSite(self._runner, listener).start()
        self.exchange.base_url = f"http://{self.config.host}:{listener.getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.exchange.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if error is None and self.exchange.failures:
            raise ExceptionGroup(
                "the double failed", [one for one in self.exchange.failures if isinstance(one, Exception)]
            )

    # -- what exists ------------------------------------------------------------

    @property
    def base_url(self) -> str:
        return self.exchange.base_url

    @property
    def faults(self) -> Faults:
        return self.exchange.faults

    @property
    def alerts(self) -> list[Alert]:
        return self.exchange.alerts

    @property
    def calls(self) -> dict[str, Call]:
        return self.exchange.calls

    def add_account(self, *, sid: str | None = None, auth_token: str, parent: str | None = None) -> Account:
        return self.exchange.add_account(Account(sid or make_sid("AC"), auth_token, parent_sid=parent))

    def add_number(self, e164: str, *, account: str, sid: str | None = None, **fields: str) -> Number:
        """`fields` are those of `Number`: voice_url, voice_fallback_url, status_callback, …"""
        number = Number(e164, sid or make_sid("PN"), account)
        for name, value in fields.items():
            setattr(number, name, value)
        return self.exchange.add_number(number)

    def add_person(
        self,
        address: str,
        *,
        outcome: str = "answer",
        rings_s: float = 1.0,
        caller: Caller | None = None,
        sip_code: int = 200,
        answered_by: str = "human",
    ) -> Person:
        return self.exchange.add_person(
            Person(address, Outcome(outcome), rings_s, caller or Caller(), sip_code, answered_by)
        )

    # -- what happens -------------------------------------------------------------

    async def ring(
        self, *, to: str, from_: str = "+15005550100", caller: Caller | None = None, account: str | None = None
    ) -> Call:
        """Somebody rings a number of the product; returns as soon as the call exists."""
        caller = caller or Caller()
        await caller.prepare()
        return receive_call(self.exchange, to=to, from_=from_, caller=caller, account=account)

    def forget(self, call: Call) -> None:
        """Lets go of a call that is over and of all its sound: a bench of hundreds would fill the memory."""
        if not call.over:
            raise ValueError(f"{call.sid} is still {call.status}")
        self.exchange.calls.pop(call.sid, None)
        for recording in call.recordings:
            self.exchange.recordings.pop(recording.sid, None)

    async def settled(self) -> None:
        """Returns when no callback, recording or closing handshake is under way and every call is over."""
        await self.exchange.settled()


@web.middleware
async def _answer_as_twilio(request: web.Request, handler: Handler) -> web.StreamResponse:
    """§0.2: also what no route knows is refused with a code."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refuse(TwilioFault(20404, f"The requested resource {request.path} was not found"))
    except web.HTTPMethodNotAllowed:
        return refuse(TwilioFault(20004, "Method not allowed"))
