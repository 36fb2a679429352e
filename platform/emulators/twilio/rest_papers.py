"""Addresses, regulations and bundles over REST: what a country asks of whoever owns a number (twilio.md §5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.market import COUNTRIES
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, read_basic, read_form, show_uri
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_views import Json, show_page
from emulators.twilio.values import Account, TwilioFault, make_sid, rfc2822

COMPLIANCE = "/numbers.twilio.com/v2/RegulatoryCompliance"
_PAPERS = ("Business registration", "Proof of address")


@dataclass(frozen=True, slots=True)
class Address:
    sid: str
    account_sid: str
    customer_name: str
    street: str
    city: str
    region: str
    postal_code: str
    iso_country: str
    friendly_name: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Papers as handed in; `status` as in §5.5."""

    sid: str
    account_sid: str
    iso_country: str
    number_type: str
    status: str = "twilio-approved"
    friendly_name: str = ""


class PapersApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        guard = self._door.guard
        return [
            web.get(f"{ACCOUNT_PATH}/Addresses.json", guard(self._list_addresses)),
            web.post(f"{ACCOUNT_PATH}/Addresses.json", guard(self._create_address)),
            web.get(f"{COMPLIANCE}/Regulations", guard(self._list_regulations)),
            web.get(f"{COMPLIANCE}/Bundles", guard(self._list_bundles)),
        ]

    async def _list_addresses(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(request.query, tables.LIST_ADDRESSES, paged=True)
        items = [
            show_address(address)
            for address in self._door.exchange.addresses.values()
            if address.account_sid == account.sid
            and params.get("IsoCountry", address.iso_country) == address.iso_country
        ]
        return web.json_response(show_page("addresses", items, path=show_uri(request), params=params))

    async def _create_address(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(await read_form(request), tables.CREATE_ADDRESS)
        for name in ("CustomerName", "Street", "City", "Region", "PostalCode", "IsoCountry"):
            if not params.get(name, "").strip():
                raise TwilioFault(20001, f"{name} is required")
        address = Address(
            make_sid("AD"),
            account.sid,
            params["CustomerName"],
            params["Street"],
            params["City"],
            params["Region"],
            params["PostalCode"],
            params["IsoCountry"],
            params.get("FriendlyName", ""),
        )
        self._door.exchange.addresses[address.sid] = address
        return web.json_response(show_address(address), status=201)

    async def _list_regulations(self, request: web.Request) -> web.StreamResponse:
        params = check_params(request.query, tables.LIST_REGULATIONS, paged=True)
        iso, kind = params.get("IsoCountry", ""), params.get("NumberType", "").replace("-", "_")
        country = COUNTRIES.get(iso)
        about = country.kinds.get(kind) if country else None
        items = [] if about is None or not about.needs_bundle else [_show_regulation(iso, kind, params)]
        return web.json_response(meta_page("results", items, f"{COMPLIANCE}/Regulations"))

    async def _list_bundles(self, request: web.Request) -> web.StreamResponse:
        account = self._actor(request)
        params = check_params(request.query, tables.LIST_BUNDLES, paged=True)
        items = [
            _show_bundle(bundle)
            for bundle in self._door.exchange.bundles.values()
            if bundle.account_sid == account.sid
            and params.get("IsoCountry", bundle.iso_country) == bundle.iso_country
            and params.get("NumberType", bundle.number_type).replace("-", "_") == bundle.number_type
            and params.get("Status", bundle.status) == bundle.status
        ]
        return web.json_response(meta_page("results", items, f"{COMPLIANCE}/Bundles"))

    def _actor(self, request: web.Request) -> Account:
        """§6.2: these hosts act on whoever asks."""
        return self._door.exchange.accounts[read_basic(request.headers.get("Authorization", ""))[0]]


def show_address(address: Address) -> Json:
    now = rfc2822(datetime.now(UTC))
    return {
        "sid": address.sid,
        "account_sid": address.account_sid,
        "customer_name": address.customer_name,
        "friendly_name": address.friendly_name,
        "street": address.street,
        "street_secondary": None,
        "city": address.city,
        "region": address.region,
        "postal_code": address.postal_code,
        "iso_country": address.iso_country,
        "emergency_enabled": False,
        "validated": False,
        "verified": False,
        "date_created": now,
        "date_updated": now,
        "uri": f"/2010-04-01/Accounts/{address.account_sid}/Addresses/{address.sid}.json",
    }


def _show_regulation(iso: str, kind: str, params: dict[str, str]) -> Json:
    return {
        "sid": "RN" + f"{iso}{kind}".encode().hex().ljust(32, "0")[:32],
        "friendly_name": f"{COUNTRIES[iso].name}: {kind.replace('_', ' ')} - {params.get('EndUserType', 'business')}",
        "iso_country": iso,
        "number_type": kind.replace("_", "-"),
        "end_user_type": params.get("EndUserType", "business"),
        "requirements": {
            "end_user": [{"name": "Business", "type": "business", "requirement_name": "business_info", "fields": []}],
            "supporting_document": [[{"name": paper, "requirement_name": paper.lower()} for paper in _PAPERS]],
        },
        "url": f"https:/{COMPLIANCE}/Regulations",
    }


def _show_bundle(bundle: Bundle) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "sid": bundle.sid,
        "account_sid": bundle.account_sid,
        "regulation_sid": None,
        "friendly_name": bundle.friendly_name,
        "status": bundle.status,
        "valid_until": None,
        "email": "",
        "status_callback": None,
        "date_created": now,
        "date_updated": now,
        "url": f"https:/{COMPLIANCE}/Bundles/{bundle.sid}",
        "links": {},
    }


def meta_page(key: str, items: list[Json], path: str) -> Json:
    """§0.2: a list page of the newer hosts; everything on one."""
    url = f"https:/{path}?Page=0"
    return {
        key: items,
        "meta": {
            "page": 0,
            "page_size": 50,
            "first_page_url": url,
            "previous_page_url": None,
            "url": url,
            "next_page_url": None,
            "key": key,
        },
    }
