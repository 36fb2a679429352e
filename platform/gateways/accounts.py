"""Accounts at Twilio: subaccounts made and suspended by their parent, and what an account may spend and ring. Knows no tenant.

The parent's credentials reach subaccounts on the api host alone; other hosts need the subaccount's own (twilio.md §6.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from django.conf import settings

from gateways.errors import GatewayError
from gateways.telephony import configured_hosts
from gateways.twilio_account import TwilioAccount, read_decimal, text_reader

MOST_COUNTRIES = 400  # the world has some 250


@dataclass(frozen=True, slots=True)
class Subaccount:
    """A subaccount with the token that signs its webhooks (§6.1)."""

    sid: str
    name: str
    status: str  # active, suspended, closed
    auth_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SpendTrigger:
    """A usage trigger on the whole account's price (§6.3)."""

    sid: str
    name: str
    limit: Decimal | None
    callback_url: str


@dataclass(frozen=True, slots=True)
class DialledCountry:
    """What an account may ring in one country."""

    iso: str
    is_open: bool
    has_high_risk: bool


@dataclass(frozen=True, slots=True)
class ParentGateway(TwilioAccount):
    """The operator's own account, above all tenants'. Each method raises GatewayError."""

    def find_subaccounts(self, name: str) -> list[Subaccount]:
        """Those with exactly this name that are not closed for good."""
        with self._speaking("find subaccount"):
            rows = self._client.api.accounts.list(friendly_name=name, limit=50)
            found = [_subaccount(row) for row in rows]
        return [one for one in found if one.name == name and one.status != "closed" and one.sid != self.account_sid]

    def create_subaccount(self, name: str) -> Subaccount:
        """Never repeated here: look first (§0.2)."""
        with self._speaking("create subaccount"):
            return _subaccount(self._client.api.accounts.create(friendly_name=name))

    def set_status(self, sid: str, status: Literal["active", "suspended"]) -> Subaccount:
        """Closing is for good (§6.1), so it is not offered."""
        with self._speaking(f"set subaccount {status}"):
            return _subaccount(self._client.api.accounts(sid).update(status=status))


@dataclass(frozen=True, slots=True)
class LimitsGateway(TwilioAccount):
    """What one account may spend and ring; spoken with that account's own credentials. Each method raises GatewayError."""

    def list_triggers(self) -> list[SpendTrigger]:
        with self._speaking("list usage triggers"):
            rows = self._client.api.account.usage.triggers.list(usage_category="totalprice", limit=100)
            return [_trigger(row) for row in rows]

    def create_trigger(self, name: str, *, limit: Decimal, callback_url: str) -> SpendTrigger:
        """Calls `callback_url` once the account's whole price passes `limit`: about a minute late, so no hard stop (§6.3)."""
        with self._speaking("create usage trigger"):
            row = self._client.api.account.usage.triggers.create(
                callback_url=callback_url,
                callback_method="POST",
                trigger_value=format(limit, "f"),
                usage_category="totalprice",
                trigger_by="price",
                friendly_name=name,
            )
            return _trigger(row)

    def delete_trigger(self, sid: str) -> None:
        """One that is gone already is deleted."""
        try:
            with self._speaking("delete usage trigger"):
                self._client.api.account.usage.triggers(sid).delete()
        except GatewayError as error:
            if error.status != 404:
                raise

    def list_countries(self) -> list[DialledCountry]:
        with self._speaking("list dialing permissions"):
            rows = self._client.voice.v1.dialing_permissions.countries.list(limit=MOST_COUNTRIES, page_size=100)
            return [_country(row) for row in rows]

    def set_inheritance(self, *, is_inherited: bool) -> None:
        """Whether the parent's geographic permissions hold for this subaccount."""
        with self._speaking("set dialing permissions inheritance"):
            self._client.voice.v1.dialing_permissions.settings().update(dialing_permissions_inheritance=is_inherited)

    def set_countries(self, countries: Iterable[DialledCountry]) -> None:
        """Open and close countries; the special and toll-fraud prefixes of each follow `has_high_risk`."""
        wanted = [
            {
                "iso_code": country.iso,
                "low_risk_numbers_enabled": country.is_open,
                "high_risk_special_numbers_enabled": country.has_high_risk,
                "high_risk_tollfraud_numbers_enabled": country.has_high_risk,
            }
            for country in countries
        ]
        if wanted:
            with self._speaking("set dialing permissions"):
                self._client.voice.v1.dialing_permissions.bulk_country_updates.create(update_request=json.dumps(wanted))


def open_parent() -> ParentGateway | None:
    """The operator's account of the settings; None without one: then tenants bring their own."""
    if not settings.TWILIO_ACCOUNT_SID or not settings.TWILIO_AUTH_TOKEN:
        return None
    return ParentGateway(
        settings.TWILIO_ACCOUNT_SID, settings.TWILIO_AUTH_TOKEN, configured_hosts(), settings.TWILIO_TIMEOUT_S
    )


def open_limits(account_sid: str, auth_token: str) -> LimitsGateway:
    return LimitsGateway(account_sid, auth_token, configured_hosts(), settings.TWILIO_TIMEOUT_S)


def _subaccount(row: object) -> Subaccount:
    get = text_reader(row)
    return Subaccount(get("sid"), get("friendly_name"), get("status"), get("auth_token"))


def _trigger(row: object) -> SpendTrigger:
    get = text_reader(row)
    return SpendTrigger(get("sid"), get("friendly_name"), read_decimal(get("trigger_value")), get("callback_url"))


def _country(row: object) -> DialledCountry:
    return DialledCountry(
        iso=str(getattr(row, "iso_code", "") or ""),
        is_open=bool(getattr(row, "low_risk_numbers_enabled", False)),
        has_high_risk=bool(getattr(row, "high_risk_special_numbers_enabled", False))
        or bool(getattr(row, "high_risk_tollfraud_numbers_enabled", False)),
    )
