"""Accounts over REST: subaccounts, usage triggers and geographic permissions (twilio.md §6.1, §6.3)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.exchange import API_VERSION
from emulators.twilio.market import COUNTRIES
from emulators.twilio.rest_door import ACCOUNT_PATH, HOST, Door, not_found, read_basic, read_form, show_uri
from emulators.twilio.rest_papers import meta_page
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_views import Json, show_account, show_page
from emulators.twilio.values import Account, TwilioFault, make_sid, rfc2822

DIALING = "/voice.twilio.com/v1/DialingPermissions"
SETTINGS = "/voice.twilio.com/v1/Settings"
MOST_SUBACCOUNTS = 1000  # §6.1: 21480


@dataclass(slots=True)
class Trigger:
    """§6.3; fires once."""

    sid: str
    account_sid: str
    name: str
    value: Decimal
    category: str
    callback_url: str
    trigger_by: str
    fired: bool = False


class AccountsApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        guard, accounts = self._door.guard, f"{HOST}/{API_VERSION}/Accounts.json"
        return [
            web.get(accounts, guard(self._list)),
            web.post(accounts, guard(self._create)),
            web.get(f"{ACCOUNT_PATH}.json", guard(self._show)),
            web.post(f"{ACCOUNT_PATH}.json", guard(self._update)),
            web.get(f"{ACCOUNT_PATH}/Usage/Triggers.json", guard(self._list_triggers)),
            web.post(f"{ACCOUNT_PATH}/Usage/Triggers.json", guard(self._create_trigger)),
            web.delete(f"{ACCOUNT_PATH}/Usage/Triggers/{{trigger}}.json", guard(self._delete_trigger)),
            web.get(f"{DIALING}/Countries", guard(self._list_countries)),
            web.post(f"{DIALING}/BulkCountryUpdates", guard(self._update_countries)),
            web.post(SETTINGS, guard(self._update_settings)),
        ]

    def _actor(self, request: web.Request) -> Account:
        return self._door.exchange.accounts[read_basic(request.headers.get("Authorization", ""))[0]]

    # -- accounts ---------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        actor = self._actor(request)
        params = check_params(request.query, tables.LIST_ACCOUNTS, paged=True)
        items = [
            show_account(account)
            for account in self._door.exchange.accounts.values()
            if actor.sid in (account.sid, account.parent_sid)
            and params.get("FriendlyName", account.friendly_name) == account.friendly_name
            and params.get("Status", account.status) == account.status
        ]
        return web.json_response(show_page("accounts", items, path=show_uri(request), params=params))

    async def _create(self, request: web.Request) -> web.StreamResponse:
        actor = self._actor(request)
        params = check_params(await read_form(request), tables.CREATE_ACCOUNT)
        if actor.parent_sid:
            raise TwilioFault(21101, "subaccounts cannot have subaccounts")
        if sum(one.parent_sid == actor.sid for one in self._door.exchange.accounts.values()) >= MOST_SUBACCOUNTS:
            raise TwilioFault(21480, "too many subaccounts")
        account = self._door.exchange.add_account(
            Account(
                make_sid("AC"),
                make_sid(""),
                friendly_name=params.get("FriendlyName", "SubAccount"),
                parent_sid=actor.sid,
            )
        )
        return web.json_response(show_account(account), status=201)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_account(self._door.find_account(request)))

    async def _update(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(await read_form(request), tables.UPDATE_ACCOUNT)
        if account.status == "closed":
            raise TwilioFault(21479, "a closed account stays closed")  # §6.1
        account.status = params.get("Status", account.status)
        account.friendly_name = params.get("FriendlyName", account.friendly_name)
        if account.status == "closed":  # §5.7: its numbers are released
            numbers = self._door.exchange.numbers
            for number in [one for one in numbers.values() if one.account_sid == account.sid]:
                del numbers[number.e164]
        return web.json_response(show_account(account))

    # -- usage triggers -----------------------------------------------------------

    async def _list_triggers(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(request.query, tables.LIST_TRIGGERS, paged=True)
        items = [
            _show_trigger(trigger, account)
            for trigger in self._door.exchange.triggers.values()
            if trigger.account_sid == account.sid and params.get("UsageCategory", trigger.category) == trigger.category
        ]
        return web.json_response(show_page("usage_triggers", items, path=show_uri(request), params=params))

    async def _create_trigger(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(await read_form(request), tables.CREATE_TRIGGER)
        for name in ("CallbackUrl", "TriggerValue", "UsageCategory"):
            if name not in params:
                raise TwilioFault(20001, f"{name} is required")
        value = Decimal(params["TriggerValue"])
        trigger = Trigger(
            make_sid("UT"),
            account.sid,
            params.get("FriendlyName", ""),
            account.spent + value if params["TriggerValue"].startswith("+") else value,
            params["UsageCategory"],
            params["CallbackUrl"],
            params.get("TriggerBy", "usage"),
        )
        self._door.exchange.triggers[trigger.sid] = trigger
        return web.json_response(_show_trigger(trigger, account), status=201)

    async def _delete_trigger(self, request: web.Request) -> web.StreamResponse:
        account, trigger = self._door.find_account(request), request.match_info["trigger"]
        found = self._door.exchange.triggers.get(trigger)
        if found is None or found.account_sid != account.sid:
            raise not_found(request)
        del self._door.exchange.triggers[trigger]
        return web.Response(status=204)

    # -- geographic permissions ---------------------------------------------------

    async def _list_countries(self, request: web.Request) -> web.StreamResponse:
        actor = self._actor(request)
        check_params(request.query, tables.LIST_DIALED_COUNTRIES, paged=True)
        allowed = self._door.exchange.allowed_countries(actor)
        items = [_show_country(iso, is_open=allowed is None or iso in allowed) for iso in COUNTRIES]
        return web.json_response(meta_page("content", items, f"{DIALING}/Countries"))

    async def _update_countries(self, request: web.Request) -> web.StreamResponse:
        actor = self._actor(request)
        params = check_params(await read_form(request), tables.UPDATE_DIALED_COUNTRIES)
        wanted = _read_update(params.get("UpdateRequest", ""))
        allowed = set(self._door.exchange.allowed_countries(actor) or COUNTRIES)
        for entry in wanted:
            (allowed.add if entry["low_risk_numbers_enabled"] else allowed.discard)(entry["iso_code"])
        actor.countries = frozenset(allowed)
        return web.json_response(
            {"update_count": len(wanted), "update_request": params.get("UpdateRequest", "")}, status=201
        )

    async def _update_settings(self, request: web.Request) -> web.StreamResponse:
        actor = self._actor(request)
        params = check_params(await read_form(request), tables.UPDATE_DIALING_SETTINGS)
        is_inherited = params.get("DialingPermissionsInheritance", "").lower() == "true"
        if is_inherited:
            actor.countries = None
        elif actor.countries is None:
            actor.countries = frozenset(self._door.exchange.allowed_countries(actor) or COUNTRIES)
        return web.json_response(
            {"dialing_permissions_inheritance": is_inherited, "url": f"https:/{SETTINGS}"}, status=202
        )


def _show_trigger(trigger: Trigger, account: Account) -> Json:
    return {
        "sid": trigger.sid,
        "account_sid": trigger.account_sid,
        "friendly_name": trigger.name,
        "api_version": API_VERSION,
        "callback_method": "POST",
        "callback_url": trigger.callback_url,
        "current_value": format(account.spent, "f"),
        "date_created": rfc2822(account.created),
        "date_updated": rfc2822(account.created),
        "date_fired": rfc2822(account.created) if trigger.fired else None,
        "recurring": None,
        "trigger_by": trigger.trigger_by,
        "trigger_value": format(trigger.value, "f"),
        "usage_category": trigger.category,
        "usage_record_uri": f"/{API_VERSION}/Accounts/{account.sid}/Usage/Records.json?Category={trigger.category}",
        "uri": f"/{API_VERSION}/Accounts/{account.sid}/Usage/Triggers/{trigger.sid}.json",
    }


def _show_country(iso: str, *, is_open: bool) -> Json:
    return {
        "iso_code": iso,
        "name": COUNTRIES[iso].name,
        "continent": "",
        "country_codes": [f"+{COUNTRIES[iso].code}"],
        "low_risk_numbers_enabled": is_open,
        "high_risk_special_numbers_enabled": False,
        "high_risk_tollfraud_numbers_enabled": False,
        "url": f"https:/{DIALING}/Countries/{iso}",
        "links": {},
    }


def _read_update(text: str) -> list[dict[str, Any]]:
    try:
        wanted = json.loads(text)
        return [
            {"iso_code": str(entry["iso_code"]), "low_risk_numbers_enabled": bool(entry["low_risk_numbers_enabled"])}
            for entry in wanted
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise TwilioFault(20001, "UpdateRequest is a list of countries as JSON") from error
