"""Incoming phone numbers over REST: list, fetch, buy, configure, move, release (twilio.md §5.2, §5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.market import Offer, find_offer, find_offers
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, not_found, read_basic, read_form, show_uri
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_views import show_number, show_page
from emulators.twilio.values import Number, TwilioFault, make_sid

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
    "AddressSid": "address_sid",
    "BundleSid": "bundle_sid",
}


class NumbersApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        root, guard = f"{ACCOUNT_PATH}/IncomingPhoneNumbers", self._door.guard
        return [
            web.get(f"{root}.json", guard(self._list_numbers)),
            web.post(f"{root}.json", guard(self._buy_number)),
            web.delete(f"{root}/{{number}}.json", guard(self._release_number)),
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
        _configure(number, params)
        return web.json_response(show_number(number))

    async def _buy_number(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(await read_form(request), tables.BUY_NUMBER)
        offer = self._find_offer(params)
        if params.get("VoiceFallbackUrl") and not params.get("VoiceUrl"):
            raise TwilioFault(21405, "a fallback URL needs a voice URL")
        self._check_papers(account.sid, offer, params)
        number = Number(
            offer.e164,
            make_sid("PN"),
            account.sid,
            number_type=offer.kind.replace("_", " "),
            address_requirements=offer.about.address_requirements,
            capabilities=offer.about.capabilities,
        )
        _configure(number, params)
        self._door.exchange.add_number(number)
        return web.json_response(show_number(number), status=201)

    def _find_offer(self, params: Mapping[str, str]) -> Offer:
        exchange = self._door.exchange
        gone = {*exchange.faults.taken, *exchange.numbers}
        if "PhoneNumber" in params:
            offer = find_offer(params["PhoneNumber"])
            if offer is None or offer.e164 in gone:
                raise TwilioFault(21422, f"{params['PhoneNumber']} is not available")
            return offer
        if "AreaCode" not in params:
            raise TwilioFault(21421, "PhoneNumber or AreaCode is required")
        found = find_offers("US", "local", area_code=params["AreaCode"])
        for offer in found:
            if offer.e164 not in gone:
                return offer
        raise TwilioFault(21452, f"no numbers in area code {params['AreaCode']}")

    def _check_papers(self, account_sid: str, offer: Offer, params: Mapping[str, str]) -> None:
        """§5.3: 21631, 21649."""
        if offer.about.address_requirements != "none" and not offer.about.needs_bundle:
            address = self._door.exchange.addresses.get(params.get("AddressSid", ""))
            if address is None or address.account_sid != account_sid:
                raise TwilioFault(21631, "Phone Number Requires an Address")
            if offer.about.address_requirements == "local" and address.iso_country != offer.country:
                raise TwilioFault(21631, "Phone Number Requires a Local Address")
        if offer.about.needs_bundle:
            bundle = self._door.exchange.bundles.get(params.get("BundleSid", ""))
            if bundle is None or bundle.account_sid != account_sid or not bundle.status.endswith("approved"):
                raise TwilioFault(21649, "Bundle required")
            if (bundle.iso_country, bundle.number_type) != (offer.country, offer.kind):
                raise TwilioFault(21649, "Bundle does not fit this number")

    async def _release_number(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        if number.emergency_active:
            raise TwilioFault(21400, "unregister the emergency address first")  # §5.7; the code [unverified]
        del self._door.exchange.numbers[number.e164]
        return web.Response(status=204)

    def _check_move(self, request: web.Request, target: str) -> None:
        """§5.2: between parent and subaccounts, by the parent only."""
        actor = self._door.exchange.accounts.get(read_basic(request.headers.get("Authorization", ""))[0])
        other = self._door.exchange.accounts.get(target)
        if actor is None or other is None or actor.sid not in {other.sid, other.parent_sid} or actor.parent_sid:
            raise TwilioFault(21474, "only the parent account moves numbers")


def _configure(number: Number, params: Mapping[str, str]) -> None:
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
