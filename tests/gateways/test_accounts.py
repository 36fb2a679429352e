"""Accounts over REST against the carrier's double: subaccounts, what they may spend and ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble
from gateways.accounts import DialledCountry, LimitsGateway, ParentGateway
from gateways.errors import GatewayError
from gateways.telephony import TwilioGateway
from gateways.twilio_http import CarrierHosts
from tests.emulators.twilio.product import Product

PARENT, TOKEN = "AC" + "1" * 32, "the-parents-token"


@pytest.fixture
async def double() -> AsyncIterator[TwilioDouble]:
    async with TwilioDouble(DoubleConfig(speed=20.0)) as double:
        double.add_account(sid=PARENT, auth_token=TOKEN)
        yield double


@pytest.fixture
async def product() -> AsyncIterator[Product]:
    async with Product() as product:
        yield product


@pytest.fixture
def parent(double: TwilioDouble) -> ParentGateway:
    return ParentGateway(PARENT, TOKEN, CarrierHosts(double.base_url), 5.0)


async def test_a_subaccount_is_made_found_suspended_and_resumed(double: TwilioDouble, parent: ParentGateway) -> None:
    made = await asyncio.to_thread(parent.create_subaccount, "sb-tenant")
    assert made.status == "active"
    assert made.auth_token not in repr(made)
    found = await asyncio.to_thread(parent.find_subaccounts, "sb-tenant")
    assert [(one.sid, one.auth_token) for one in found] == [(made.sid, made.auth_token)]
    assert await asyncio.to_thread(parent.find_subaccounts, "somebody else") == []
    await asyncio.to_thread(parent.set_status, made.sid, "suspended")
    own = TwilioGateway(made.sid, made.auth_token, CarrierHosts(double.base_url), 5.0)
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(
            own.create_call, to_number="+15557654321", from_number="+15550000000", url="https://x.example/"
        )
    assert refused.value.permanent
    assert (await asyncio.to_thread(parent.set_status, made.sid, "active")).status == "active"


async def test_a_trigger_calls_back_once_when_the_bill_passes_it(
    double: TwilioDouble, parent: ParentGateway, product: Product
) -> None:
    made = await asyncio.to_thread(parent.create_subaccount, "sb-tenant")
    limits = LimitsGateway(made.sid, made.auth_token, CarrierHosts(double.base_url), 5.0)
    product.answer("/usage", "")
    trigger = await asyncio.to_thread(
        limits.create_trigger, "trial cap", limit=Decimal("5.00"), callback_url=f"{product.base_url}/usage"
    )
    assert [one.sid for one in await asyncio.to_thread(limits.list_triggers)] == [trigger.sid]
    account = double.exchange.accounts[made.sid]
    await double.exchange.spend(account, Decimal("4.99"))
    assert double.exchange.triggers[trigger.sid].fired is False
    await double.exchange.spend(account, Decimal("0.01"))
    assert double.exchange.triggers[trigger.sid].fired is True
    await asyncio.to_thread(limits.delete_trigger, trigger.sid)
    await asyncio.to_thread(limits.delete_trigger, trigger.sid)  # gone is deleted
    assert await asyncio.to_thread(limits.list_triggers) == []


async def test_a_subaccount_rings_only_the_countries_that_are_open(double: TwilioDouble, parent: ParentGateway) -> None:
    made = await asyncio.to_thread(parent.create_subaccount, "sb-tenant")
    double.add_number("+15550000000", account=made.sid)
    hosts = CarrierHosts(double.base_url)
    limits = LimitsGateway(made.sid, made.auth_token, hosts, 5.0)
    await asyncio.to_thread(limits.set_inheritance, is_inherited=False)
    known = await asyncio.to_thread(limits.list_countries)
    assert all(country.is_open for country in known)
    await asyncio.to_thread(
        limits.set_countries, [DialledCountry(country.iso, country.iso == "US", False) for country in known]
    )
    assert {one.iso for one in await asyncio.to_thread(limits.list_countries) if one.is_open} == {"US"}
    gateway = TwilioGateway(made.sid, made.auth_token, hosts, 5.0)
    call = {"from_number": "+15550000000", "url": "https://x.example/"}
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(gateway.create_call, to_number="+31201234567", **call)
    assert refused.value.code == "21215"
    double.add_person("+12125550100", outcome="busy", rings_s=0.0)
    assert (await asyncio.to_thread(gateway.create_call, to_number="+12125550100", **call)).sid
    await double.settled()
