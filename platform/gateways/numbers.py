"""Telephone numbers at Twilio: what can be had and for how much, what is asked for it, what is owned, and what it does. Knows no tenant.

A number can be searched, bought, pointed at us and released. A POST is never repeated here: whoever retries looks first (twilio.md §0.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.conf import settings
from twilio.base import values

from gateways.errors import GatewayError
from gateways.telephony import configured_hosts
from gateways.twilio_account import TwilioAccount, read_decimal, text_reader

MOST_FOUND = 30  # a search is a sample, no inventory to page through (§5.1)


class NumberType(StrEnum):
    """Which kinds we offer (§5.1); shared-cost, VoIP and machine numbers cannot take the calls we are made for everywhere."""

    LOCAL = "local"
    TOLL_FREE = "toll_free"
    MOBILE = "mobile"
    NATIONAL = "national"


_REGULATION_TYPE = {NumberType.TOLL_FREE: "toll-free"}  # §5.5's spelling; the others are spelled as here


@dataclass(frozen=True, slots=True)
class AvailableNumber:
    """One number that can be had now (§5.1). `address_requirements`: none, any, local, foreign."""

    e164: str
    friendly_name: str
    locality: str
    region: str
    country: str
    address_requirements: str
    capabilities: frozenset[str]
    is_beta: bool


@dataclass(frozen=True, slots=True)
class CarrierNumber:
    """An owned number with what it is configured to do (§5.2)."""

    sid: str
    e164: str
    friendly_name: str
    voice_url: str
    voice_method: str
    voice_fallback_url: str
    voice_fallback_method: str
    status_callback: str
    status_callback_method: str
    trunk_sid: str
    voice_application_sid: str
    capabilities: frozenset[str]
    address_requirements: str
    emergency_active: bool


@dataclass(frozen=True, slots=True)
class NumberPrice:
    """A month of one kind of number in one country (§5.4), with the account's discounts."""

    number_type: NumberType
    monthly: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class CarrierAddress:
    """An address that the account has on file: some countries sell numbers only to one (§5.2 AddressSid)."""

    sid: str
    customer_name: str
    street: str
    city: str
    region: str
    postal_code: str
    country: str


@dataclass(frozen=True, slots=True)
class Regulation:
    """What a country asks of whoever owns such a number (§5.5): the papers by name."""

    sid: str
    name: str
    end_user_type: str
    papers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The papers as handed in; `status` is the carrier's word (§5.5)."""

    sid: str
    name: str
    status: str
    regulation_sid: str

    @property
    def is_approved(self) -> bool:
        return self.status in {"twilio-approved", "provisionally-approved"}


@dataclass(frozen=True, slots=True)
class NumberGateway(TwilioAccount):
    """The numbers of one account. Each method raises GatewayError."""

    # --- what can be had ----------------------------------------------------------------------------------------------

    def search_numbers(
        self,
        country: str,
        number_type: NumberType,
        *,
        area_code: str = "",
        contains: str = "",
        locality: str = "",
        capabilities: frozenset[str] = frozenset(),
        limit: int = MOST_FOUND,
    ) -> list[AvailableNumber]:
        """A sample of what is free. A kind that the country does not have is refused with 404 (§5.1)."""
        with self._speaking("search numbers"):
            kinds = self._client.available_phone_numbers(country)
            # Without the digits of an area code there is nothing to filter by; the parameter is a number (§5.1).
            rows = getattr(kinds, number_type.value).list(
                area_code=int(area_code) if area_code else values.unset,
                contains=contains or values.unset,
                in_locality=locality or values.unset,
                voice_enabled=_wanted("voice", capabilities),
                sms_enabled=_wanted("sms", capabilities),
                mms_enabled=_wanted("mms", capabilities),
                limit=limit,
                page_size=limit,
            )
            return [_available(row) for row in rows]

    def list_prices(self, country: str) -> list[NumberPrice]:
        """What a month costs, by kind; kinds we do not offer are left out. A country without a price list has none."""
        try:
            with self._speaking("number prices"):
                row = self._client.pricing.v1.phone_numbers.countries(country).fetch()
                currency = str(row.price_unit or "").upper()
                return [
                    price for entry in row.phone_number_prices or [] if (price := _price(entry, currency)) is not None
                ]
        except GatewayError as error:
            if error.status == 404:
                return []
            raise

    def list_regulations(self, country: str, number_type: NumberType, *, end_user_type: str) -> list[Regulation]:
        with self._speaking("list regulations"):
            rows = self._client.numbers.v2.regulatory_compliance.regulations.list(
                iso_country=country,
                number_type=_REGULATION_TYPE.get(number_type, number_type.value),
                end_user_type=end_user_type,
                limit=20,
            )
            return [_regulation(row) for row in rows]

    def list_bundles(self, country: str, number_type: NumberType) -> list[Bundle]:
        """The papers this account has handed in for such numbers."""
        with self._speaking("list bundles"):
            rows = self._client.numbers.v2.regulatory_compliance.bundles.list(
                iso_country=country, number_type=_REGULATION_TYPE.get(number_type, number_type.value), limit=50
            )
            return [_bundle(row) for row in rows]

    def list_addresses(self, country: str = "") -> list[CarrierAddress]:
        with self._speaking("list addresses"):
            rows = self._client.addresses.list(iso_country=country or values.unset, limit=50)
            return [_address(row) for row in rows]

    def create_address(
        self, *, customer_name: str, street: str, city: str, region: str, postal_code: str, country: str
    ) -> CarrierAddress:
        with self._speaking("create address"):
            row = self._client.addresses.create(
                customer_name=customer_name,
                street=street,
                city=city,
                region=region,
                postal_code=postal_code,
                iso_country=country,
                friendly_name=customer_name[:64],
            )
            return _address(row)

    # --- what is owned ------------------------------------------------------------------------------------------------

    def fetch_number(self, sid: str) -> CarrierNumber:
        with self._speaking("fetch number"):
            return _number(self._client.incoming_phone_numbers(sid).fetch())

    def list_numbers(self, *, e164: str = "", friendly_name: str = "", limit: int = 1000) -> list[CarrierNumber]:
        """`e164` is matched as a part by the carrier: compare what comes back."""
        with self._speaking("list numbers"):
            rows = self._client.incoming_phone_numbers.list(
                phone_number=e164 or values.unset, friendly_name=friendly_name or values.unset, limit=limit
            )
            return [_number(row) for row in rows]

    def buy_number(
        self,
        e164: str,
        *,
        friendly_name: str,
        voice_url: str,
        voice_fallback_url: str,
        status_callback: str,
        address_sid: str = "",
        bundle_sid: str = "",
    ) -> CarrierNumber:
        """Money is spent here. All addresses go in the same POST, so that the number never plays the vendor's own document (§5.2)."""
        with self._speaking("buy number"):
            row = self._client.incoming_phone_numbers.create(
                phone_number=e164,
                friendly_name=friendly_name,
                voice_url=voice_url,
                voice_method="POST",
                voice_fallback_url=voice_fallback_url,
                voice_fallback_method="POST",
                status_callback=status_callback,
                status_callback_method="POST",
                address_sid=address_sid or values.unset,
                bundle_sid=bundle_sid or values.unset,
            )
            return _number(row)

    def update_number(
        self,
        sid: str,
        *,
        voice_url: str,
        voice_fallback_url: str = "",
        status_callback: str = "",
        friendly_name: str = "",
        clear_application: bool = False,
        trunk_sid: str | None = None,
    ) -> CarrierNumber:
        """Point the number at us. All in one POST, so that a crash leaves no half (§5.2).

        A trunk or an application overrides the voice URL: an empty value takes it off the number, None leaves it.
        """
        with self._speaking("update number"):
            row = self._client.incoming_phone_numbers(sid).update(
                friendly_name=friendly_name or values.unset,
                voice_url=voice_url,
                voice_method="POST",
                voice_fallback_url=voice_fallback_url or values.unset,
                voice_fallback_method="POST" if voice_fallback_url else values.unset,
                status_callback=status_callback or values.unset,
                status_callback_method="POST" if status_callback else values.unset,
                voice_application_sid="" if clear_application else values.unset,
                trunk_sid=values.unset if trunk_sid is None else trunk_sid,
            )
            return _number(row)

    def release_number(self, sid: str) -> None:
        """Give the number back: at once, and for good (§5.7). One that is gone already is released."""
        try:
            with self._speaking("release number"):
                self._client.incoming_phone_numbers(sid).delete()
        except GatewayError as error:
            if error.status != 404:
                raise


def open_numbers(account_sid: str, auth_token: str) -> NumberGateway:
    """The numbers of one account, with the hosts and limits of the settings."""
    return NumberGateway(account_sid, auth_token, configured_hosts(), settings.TWILIO_TIMEOUT_S)


def _wanted(name: str, capabilities: frozenset[str]) -> bool | object:
    return True if name in capabilities else values.unset


def _capabilities(row: object) -> frozenset[str]:
    """Available numbers have been seen with upper-case keys, owned ones with lower-case (§5.1)."""
    given: Mapping[str, object] = getattr(row, "capabilities", None) or {}
    return frozenset(name.lower() for name, can in dict(given).items() if can)


def _available(row: object) -> AvailableNumber:
    get = text_reader(row)
    return AvailableNumber(
        e164=get("phone_number"),
        friendly_name=get("friendly_name"),
        locality=get("locality") or get("rate_center"),
        region=get("region"),
        country=get("iso_country"),
        address_requirements=get("address_requirements") or "none",
        capabilities=_capabilities(row),
        is_beta=bool(getattr(row, "beta", False)),
    )


def _number(row: object) -> CarrierNumber:
    get = text_reader(row)
    return CarrierNumber(
        sid=get("sid"),
        e164=get("phone_number"),
        friendly_name=get("friendly_name"),
        voice_url=get("voice_url"),
        voice_method=get("voice_method"),
        voice_fallback_url=get("voice_fallback_url"),
        voice_fallback_method=get("voice_fallback_method"),
        status_callback=get("status_callback"),
        status_callback_method=get("status_callback_method"),
        trunk_sid=get("trunk_sid"),
        voice_application_sid=get("voice_application_sid"),
        capabilities=_capabilities(row),
        address_requirements=get("address_requirements") or "none",
        emergency_active=get("emergency_status").lower() == "active",
    )


def _price(entry: Mapping[str, Any], currency: str) -> NumberPrice | None:
    kind = str(entry.get("number_type") or "").replace(" ", "_")  # "toll free" (§5.4)
    monthly = read_decimal(str(entry.get("current_price") or entry.get("base_price") or ""))
    if kind not in set(NumberType) or monthly is None:
        return None
    return NumberPrice(NumberType(kind), monthly, currency)


def _address(row: object) -> CarrierAddress:
    get = text_reader(row)
    return CarrierAddress(
        sid=get("sid"),
        customer_name=get("customer_name"),
        street=get("street"),
        city=get("city"),
        region=get("region"),
        postal_code=get("postal_code"),
        country=get("iso_country"),
    )


def _regulation(row: object) -> Regulation:
    get = text_reader(row)
    asked: Mapping[str, Any] = getattr(row, "requirements", None) or {}
    papers = [
        str(paper.get("name") or paper.get("friendly_name") or "")
        for kind in ("end_user", "supporting_document")
        for paper in _flat(asked.get(kind))
    ]
    return Regulation(get("sid"), get("friendly_name"), get("end_user_type"), tuple(paper for paper in papers if paper))


def _flat(listed: object) -> list[Mapping[str, Any]]:
    """Documents come in lists of alternatives (§5.5)."""
    if isinstance(listed, Mapping):
        return [listed]
    return [found for item in listed for found in _flat(item)] if isinstance(listed, list) else []


def _bundle(row: object) -> Bundle:
    get = text_reader(row)
    return Bundle(get("sid"), get("friendly_name"), get("status"), get("regulation_sid"))
