"""Numbers for sale and their prices over REST (twilio.md §5.1, §5.4)."""

from __future__ import annotations

import itertools

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.market import COUNTRIES, Country, Offer, find_offers
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, not_found, show_uri
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_views import DEFAULT_PAGE_SIZE, Json
from emulators.twilio.values import TwilioFault

_KINDS = {"Local": "local", "TollFree": "toll_free", "Mobile": "mobile", "National": "national"}
_CAPABILITIES = {"VoiceEnabled": "voice", "SmsEnabled": "sms", "MmsEnabled": "mms", "FaxEnabled": "fax"}
PRICING = "/pricing.twilio.com/v1/PhoneNumbers/Countries"


class MarketApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        guard = self._door.guard
        return [
            web.get(f"{ACCOUNT_PATH}/AvailablePhoneNumbers/{{country}}/{{kind}}.json", guard(self._search)),
            web.get(f"{PRICING}/{{country}}", guard(self._show_prices)),
        ]

    async def _search(self, request: web.Request) -> web.StreamResponse:
        country, kind = request.match_info["country"], _KINDS.get(request.match_info["kind"], "")
        if country not in COUNTRIES or kind not in COUNTRIES[country].kinds:
            raise not_found(request)  # §5.1: 20404
        params = check_params(request.query, tables.SEARCH_NUMBERS, paged=True)
        if "AreaCode" in params and country not in ("US", "CA"):
            raise TwilioFault(21451, "AreaCode is for numbers of the US and Canada")
        offers = find_offers(
            country,
            kind,
            area_code=params.get("AreaCode", ""),
            contains=params.get("Contains", ""),
            locality=params.get("InLocality", ""),
        )
        wanted = {name for param, name in _CAPABILITIES.items() if params.get(param, "").lower() == "true"}
        fitting = (
            offer
            for offer in offers
            if offer.e164 not in self._door.exchange.numbers and wanted <= set(offer.about.capabilities)
        )
        size = int(params.get("PageSize", DEFAULT_PAGE_SIZE))
        items = [show_offer(offer) for offer in itertools.islice(fitting, size)]
        # A sample, no pages (§5.1).
        return web.json_response({"available_phone_numbers": items, "uri": show_uri(request)})

    async def _show_prices(self, request: web.Request) -> web.StreamResponse:
        iso = request.match_info["country"]
        if iso not in COUNTRIES:
            raise not_found(request)
        return web.json_response(_show_prices(iso, COUNTRIES[iso]))


def show_offer(offer: Offer) -> Json:
    """§5.1: capabilities of available numbers come with upper-case keys."""
    return {
        "friendly_name": offer.e164,
        "phone_number": offer.e164,
        "lata": None,
        "locality": offer.place.locality or None,
        "rate_center": offer.place.locality.upper() or None,
        "latitude": None,
        "longitude": None,
        "region": offer.place.region or None,
        "postal_code": None,
        "iso_country": offer.country,
        "address_requirements": offer.about.address_requirements,
        "beta": False,
        "capabilities": {
            shown: name in offer.about.capabilities
            for shown, name in (("voice", "voice"), ("SMS", "sms"), ("MMS", "mms"))
        },
    }


def _show_prices(iso: str, country: Country) -> Json:
    return {
        "country": country.name,
        "iso_country": iso,
        "phone_number_prices": [
            {"number_type": kind.replace("_", " "), "base_price": about.price, "current_price": about.price}
            for kind, about in country.kinds.items()
        ],
        "price_unit": country.currency,
        "url": f"https:/{PRICING}/{iso}",
    }
