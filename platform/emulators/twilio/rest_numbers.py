"""Incoming phone numbers over REST: list, fetch, configure, move (twilio.md §5.2). Nothing is bought here."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, not_found, read_basic, read_form, show_uri
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_views import show_number, show_page
from emulators.twilio.values import Number, TwilioFault

_NUMBER_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "SmsUrl": "sms_url",
    "SmsMethod": "sms_method",
}


class NumbersApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        root, guard = f"{ACCOUNT_PATH}/IncomingPhoneNumbers", self._door.guard
        return [
            web.get(f"{root}.json", guard(self._list_numbers)),
            web.get(f"{root}/{{number}}.json", guard(self._show_number)),
            web.post(f"{root}/{{number}}.json", guard(self._update_number)),
        ]

    def _number(self, request: web.Request) -> Number:
        wanted, account = request.match_info["number"], self._door.find_account(request)
        for number in self._door.exchange.numbers.values():
            if number.sid == wanted and number.account_sid == account.sid:
                return number
        raise not_found(request)

    async def _list_numbers(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(request.query, tables.LIST_NUMBERS, paged=True)
        items = [
            show_number(number)
            for number in self._door.exchange.numbers.values()
            if number.account_sid == account.sid
            and params.get("PhoneNumber", "") in number.e164
            and params.get("FriendlyName", number.friendly_name) == number.friendly_name
        ]
        return web.json_response(show_page("incoming_phone_numbers", items, path=show_uri(request), params=params))

    async def _show_number(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_number(self._number(request)))

    async def _update_number(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        params = check_params(await read_form(request), tables.UPDATE_NUMBER)
        if params.get("VoiceFallbackUrl") and not (params.get("VoiceUrl") or number.voice_url):
            raise TwilioFault(21405, "a fallback URL needs a voice URL")
        if "AccountSid" in params:
            self._check_move(request, params["AccountSid"])
            number.account_sid = params["AccountSid"]
        for name, field in _NUMBER_FIELDS.items():
            if name in params:
                setattr(number, field, params[name])
        if "VoiceCallerIdLookup" in params:
            number.voice_caller_id_lookup = params["VoiceCallerIdLookup"].lower() == "true"
        if params.get("TrunkSid"):
            number.voice_application_sid = ""  # §5.2: setting one clears the other
        elif params.get("VoiceApplicationSid"):
            number.trunk_sid = ""
        number.updated = datetime.now(UTC)
        return web.json_response(show_number(number))

    def _check_move(self, request: web.Request, target: str) -> None:
        """§5.2: between parent and subaccounts, by the parent only."""
        actor = self._door.exchange.accounts.get(read_basic(request.headers.get("Authorization", ""))[0])
        other = self._door.exchange.accounts.get(target)
        if actor is None or other is None or actor.sid not in {other.sid, other.parent_sid} or actor.parent_sid:
            raise TwilioFault(21474, "only the parent account moves numbers")
