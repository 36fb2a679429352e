"""The door of the REST API: faults, credentials, forms, look-ups and the error body (twilio.md §0.2, §6.2). No resource."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from multidict import MultiDict

from emulators.twilio.call import Call
from emulators.twilio.exchange import API_VERSION, Exchange
from emulators.twilio.values import Account, TwilioFault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HOST = "/api.twilio.com"
ACCOUNT_PATH = f"{HOST}/{API_VERSION}/Accounts/{{account}}"
_STATUS_OF_CODE = {
    20003: 401,
    20004: 405,
    20005: 401,
    10001: 401,
    20404: 404,
    20409: 409,
    20429: 429,
    20500: 500,
    20503: 503,
}
_CODE_OF_STATUS = {401: 20003, 404: 20404, 429: 20429, 500: 20500, 503: 20503}


def refuse(fault: TwilioFault) -> web.Response:
    """§0.2: the error body."""
    status = _STATUS_OF_CODE.get(fault.code, 400)
    return web.json_response(
        {
            "code": fault.code,
            "message": fault.message,
            "more_info": f"https://www.twilio.com/docs/errors/{fault.code}",
            "status": status,
        },
        status=status,
    )


class Door:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # (method, path, parameters)

    def guard(self, handler: Handler) -> Handler:
        """The handler behind faults and credentials, its TwilioFault turned into an error body."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                await self._note(request)
                fails = self._is_to_fail(request)
                if fails and not self.exchange.faults.rest_late:
                    return self._fail(request)
                self.check_credentials(request)
                answer = await handler(request)
                return self._fail(request) if fails else answer
            except TwilioFault as fault:
                return refuse(fault)

        return guarded

    async def _note(self, request: web.Request) -> None:
        form = await request.post() if request.method == "POST" else request.query
        self.requests.append((request.method, request.path, {name: str(value) for name, value in form.items()}))

    def _is_to_fail(self, request: web.Request) -> bool:
        faults = self.exchange.faults
        if faults.rest_status is None or faults.rest_count <= 0:
            return False
        if faults.rest_match not in f"{request.method} {request.path}":
            return False
        faults.rest_count -= 1
        return True

    def _fail(self, request: web.Request) -> web.StreamResponse:
        status = self.exchange.faults.rest_status
        if status == 0:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)  # finds nobody to go to
        raise TwilioFault(_CODE_OF_STATUS.get(status or 500, 20500), "fault ordered", permanent=False)

    def check_credentials(self, request: web.Request) -> Account:
        """§6.2: own credentials, or the parent's on the path of a subaccount. Raises TwilioFault 20003, 20404."""
        user, password = read_basic(request.headers.get("Authorization", ""))
        actor = self.exchange.accounts.get(user)
        secret = actor.auth_token if actor is not None else None
        if user.startswith("SK"):
            actor = next((one for one in self.exchange.accounts.values() if user in one.api_keys), None)
            secret = actor.api_keys[user] if actor is not None else None
        if actor is None or secret is None or not secrets.compare_digest(secret.encode(), password.encode()):
            raise TwilioFault(20003, "Authenticate")
        sid = request.match_info.get("account", actor.sid)
        owner = self.exchange.accounts.get(sid)
        if owner is None or actor.sid not in {owner.sid, owner.parent_sid}:
            raise TwilioFault(20404, f"The requested resource {request.path} was not found")
        may_revive = actor.active or owner.parent_sid is None  # a subaccount does not free itself
        is_revival = may_revive and request.path == f"{HOST}/{API_VERSION}/Accounts/{owner.sid}.json"
        if request.method != "GET" and not owner.active and not is_revival:
            raise TwilioFault(20005, "Account not active")  # §6.1: API writes fail
        return owner

    def find_account(self, request: web.Request) -> Account:
        account = self.exchange.accounts.get(request.match_info["account"])
        if account is None:
            raise not_found(request)
        return account

    def find_call(self, request: web.Request) -> Call:
        call = self.exchange.calls.get(request.match_info["call"])
        if call is None or call.account is not self.find_account(request):
            raise not_found(request)
        return call


def read_basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise TwilioFault(20003, "Authenticate")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise TwilioFault(20003, "Authenticate") from error
    return user, password


async def read_form(request: web.Request) -> MultiDict[str]:
    form: MultiDict[str] = MultiDict()
    for name, value in (await request.post()).items():
        if not isinstance(value, str):
            raise TwilioFault(20001, "file uploads are not parameters")
        form.add(name, value)
    return form


def not_found(request: web.Request) -> TwilioFault:
    return TwilioFault(20404, f"The requested resource {request.path.removeprefix('/api.twilio.com')} was not found")


def show_uri(request: web.Request) -> str:
    return request.path.removeprefix(HOST)
