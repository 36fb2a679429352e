"""The double's own HTTP control: set the scene, ring, look, break things. Never part of Twilio's surface."""

from __future__ import annotations

import base64
import dataclasses
import json
from decimal import Decimal
from typing import Any

from aiohttp import web

from emulators.callers import Caller, PlayRaw, Step, read_steps
from emulators.speech import CALLER_VOICE, Voice
from emulators.twilio.call import Call
from emulators.twilio.exchange import Exchange
from emulators.twilio.outbound import receive_call
from emulators.twilio.rest_papers import Bundle
from emulators.twilio.rest_views import show_call
from emulators.twilio.values import Account, Number, Outcome, Person, make_sid

ROOT = "/_double"


class ControlApi:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{ROOT}/health", self._health),
            web.post(f"{ROOT}/accounts", self._add_account),
            web.post(f"{ROOT}/numbers", self._add_number),
            web.post(f"{ROOT}/people", self._add_person),
            web.post(f"{ROOT}/bundles", self._add_bundle),
            web.post(f"{ROOT}/usage", self._spend),
            web.post(f"{ROOT}/clips", self._clips),
            web.post(f"{ROOT}/calls", self._ring),
            web.get(f"{ROOT}/calls", self._list_calls),
            web.get(f"{ROOT}/calls/{{sid}}", self._show_call),
            web.delete(f"{ROOT}/calls/{{sid}}", self._hang_up),
            web.post(f"{ROOT}/calls/{{sid}}/stream", self._disturb),
            web.get(f"{ROOT}/alerts", self._alerts),
            web.post(f"{ROOT}/faults", self._set_faults),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        live = sum(not call.over for call in self._exchange.calls.values())
        return web.json_response({"ok": True, "live_calls": live, "latest_tick_ms": self._exchange.ticker.latest_ms})

    async def _add_account(self, request: web.Request) -> web.Response:
        body = await _read(request, required={"sid", "auth_token"}, optional={"parent", "friendly_name", "api_keys"})
        account = Account(
            body["sid"],
            body["auth_token"],
            friendly_name=body.get("friendly_name", ""),
            parent_sid=body.get("parent"),
            api_keys=body.get("api_keys", {}),
        )
        try:
            self._exchange.add_account(account)
        except KeyError:
            raise _refuse(f"unknown parent {account.parent_sid}") from None
        return web.json_response({"sid": account.sid}, status=201)

    async def _add_number(self, request: web.Request) -> web.Response:
        names = {field.name for field in dataclasses.fields(Number)} - {"account_sid", "created", "updated"}
        body = await _read(request, required={"e164", "account"}, optional=names)
        number = Number(
            account_sid=body.pop("account"), sid=body.pop("sid", None) or make_sid("PN"), e164=body.pop("e164"), **body
        )
        try:
            self._exchange.add_number(number)
        except ValueError as error:
            raise _refuse(str(error)) from None
        return web.json_response({"sid": number.sid}, status=201)

    async def _add_bundle(self, request: web.Request) -> web.Response:
        """Papers that the carrier has judged already."""
        body = await _read(
            request, required={"account", "iso_country", "number_type"}, optional={"status", "friendly_name"}
        )
        bundle = Bundle(make_sid("BU"), body.pop("account"), **body)
        self._exchange.bundles[bundle.sid] = bundle
        return web.json_response({"sid": bundle.sid}, status=201)

    async def _spend(self, request: web.Request) -> web.Response:
        """The account's bill grows by `amount`; passed usage triggers call back before this answers."""
        body = await _read(request, required={"account", "amount"}, optional=set())
        account = self._exchange.accounts.get(body["account"])
        if account is None:
            raise _refuse(f"unknown account {body['account']}")
        await self._exchange.spend(account, Decimal(str(body["amount"])))
        return web.json_response({"spent": format(account.spent, "f")})

    async def _add_person(self, request: web.Request) -> web.Response:
        optional = {"outcome", "rings_s", "script", "voice", "sip_code", "answered_by"}
        body = await _read(request, required={"address"}, optional=optional)
        try:
            person = Person(
                body["address"],
                outcome=Outcome(body.get("outcome", "answer")),
                rings_s=float(body.get("rings_s", 1.0)),
                caller=_read_caller(body),
                sip_code=int(body.get("sip_code", 200)),
                answered_by=body.get("answered_by", "human"),
            )
        except ValueError as error:
            raise _refuse(str(error)) from None
        self._exchange.add_person(person)
        return web.json_response({"address": person.address}, status=201)

    async def _clips(self, request: web.Request) -> web.Response:
        """What a script says, with its sound: for a model double that cannot hear (outside the product, product.md §15)."""
        body = await _read(request, required={"script"}, optional={"voice"})
        try:
            caller = _read_caller(body)
        except ValueError as error:
            raise _refuse(str(error)) from None
        await caller.prepare()
        clips = [{"text": text, "audio": base64.b64encode(mulaw).decode()} for text, mulaw in caller.clips()]
        return web.json_response({"clips": clips})

    async def _ring(self, request: web.Request) -> web.Response:
        optional = {"from", "script", "voice", "patience_s", "account"}
        body = await _read(request, required={"to"}, optional=optional)
        try:
            caller = _read_caller(body)
            await caller.prepare()
            call = receive_call(
                self._exchange,
                to=body["to"],
                from_=body.get("from", "+15005550100"),
                caller=caller,
                account=body.get("account"),
            )
        except ValueError as error:
            raise _refuse(str(error)) from None
        return web.json_response({"sid": call.sid}, status=201)

    async def _list_calls(self, request: web.Request) -> web.Response:
        return web.json_response({"calls": [show_call(call) for call in self._exchange.calls.values()]})

    async def _show_call(self, request: web.Request) -> web.Response:
        return web.json_response(_show_inside(self._call(request)))

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._call(request)
        call.hang_up(by="caller")
        await call.finished.wait()
        return web.json_response(_show_inside(call))

    async def _disturb(self, request: web.Request) -> web.Response:
        """Faults of the call's newest stream: `{"cut": true}`, `{"freeze": true}`, `{"raw": "…"}`."""
        call = self._call(request)
        body = await _read(request, required=set(), optional={"cut", "freeze", "raw"})
        if not call.streams:
            raise _refuse("this call has no stream")
        stream = call.streams[-1]
        if "freeze" in body:
            stream.freeze(bool(body["freeze"]))
        if "raw" in body:
            stream.send_raw(str(body["raw"]))
        if body.get("cut"):
            stream.cut()
        return web.json_response(_show_inside(call))

    async def _alerts(self, request: web.Request) -> web.Response:
        return web.json_response({"alerts": [dataclasses.asdict(alert) for alert in self._exchange.alerts]})

    async def _set_faults(self, request: web.Request) -> web.Response:
        names = {field.name for field in dataclasses.fields(self._exchange.faults)}
        for name, value in (await _read(request, required=set(), optional=names)).items():
            if name == "gaps_ms":
                value = [tuple(gap) for gap in value]
            setattr(self._exchange.faults, name, value)
        return web.json_response(dataclasses.asdict(self._exchange.faults))

    def _call(self, request: web.Request) -> Call:
        call = self._exchange.calls.get(request.match_info["sid"])
        if call is None:
            raise web.HTTPNotFound
        return call


def _read_caller(body: dict[str, Any]) -> Caller:
    script = body.get("script", [])
    steps: list[Step] = []
    for entry in script:
        if isinstance(entry, dict) and set(entry) == {"play_raw"}:
            steps.append(PlayRaw(base64.b64decode(entry["play_raw"], validate=True)))
        else:
            steps += read_steps([entry])
    voice = Voice(**body["voice"]) if "voice" in body else CALLER_VOICE
    return Caller(steps, voice=voice, patience_s=float(body.get("patience_s", 60.0)))


def _show_inside(call: Call) -> dict[str, object]:
    """The resource and what only the double knows."""
    now = call.exchange.clock.samples()
    playout = call.leg.playout
    return {
        "call": show_call(call),
        "ended_by": call.ended_by,
        "digits_heard": call.leg.digits_heard,
        "voice_heard_ms": call.leg.ear.voice_ms,
        "first_voice_ms": call.leg.ear.first_voice_ms,
        "log": [{"at_s": entry.at_s, "kind": entry.kind, **entry.detail} for entry in call.log],
        "streams": [
            {
                "sid": stream.sid,
                "name": stream.name,
                "running": stream.running,
                "frames_sent": stream.frames_sent,
                "messages_received": stream.messages_received,
                "received_samples": playout.received(stream.sid),
                "played_samples": playout.played(stream.sid, now=now),
                **dataclasses.asdict(stream.breaches),
            }
            for stream in call.streams
        ],
        "clears": [
            {"at": clear.at, "sid": clear.source, "played": clear.played, "received": clear.received}
            for clear in playout.clears
        ],
        "recordings": [recording.sid for recording in call.recordings],
    }


async def _read(request: web.Request, *, required: set[str], optional: set[str]) -> dict[str, Any]:
    try:
        body = await request.json()
    except json.JSONDecodeError as error:
        raise _refuse(f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise _refuse("a JSON object is expected")
    if missing := required - body.keys():
        raise _refuse(f"missing: {sorted(missing)}")
    if unknown := body.keys() - required - optional:
        raise _refuse(f"unknown: {sorted(unknown)}")
    return body


def _refuse(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"error": text}), content_type="application/json")
