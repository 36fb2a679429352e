"""Numbers over REST against the carrier's double: what can be had, what is asked for it, what is owned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble
from emulators.twilio.rest_papers import Bundle
from gateways.errors import GatewayError
from gateways.numbers import NumberGateway, NumberType
from gateways.twilio_http import CarrierHosts

TOKEN = "a-very-secret-token"
ACCOUNT = "AC" + "1" * 32
NUMBER = "+15550000000"
NUMBER_SID = "PN" + "1" * 32
HOOKS = {
    "voice_url": "https://voice.example.com/hooks/twilio/voice/x/#rc=2",
    "voice_fallback_url": "https://voice.example.com/hooks/twilio/fallback/x/#rc=2",
    "status_callback": "https://voice.example.com/hooks/twilio/status/x/#rc=2",
}


@pytest.fixture
async def double() -> AsyncIterator[TwilioDouble]:
    async with TwilioDouble(DoubleConfig(speed=20.0)) as double:
        double.add_account(sid=ACCOUNT, auth_token=TOKEN)
        double.add_number(NUMBER, sid=NUMBER_SID, account=ACCOUNT)
        yield double


@pytest.fixture
def gateway(double: TwilioDouble) -> NumberGateway:
    return NumberGateway(ACCOUNT, TOKEN, CarrierHosts(double.base_url), 5.0)


async def test_a_number_is_pointed_at_us_in_one_request(double: TwilioDouble, gateway: NumberGateway) -> None:
    before = await asyncio.to_thread(gateway.fetch_number, NUMBER_SID)
    assert before.e164 == NUMBER
    double.exchange.numbers[NUMBER].voice_application_sid = "AP" + "2" * 32
    after = await asyncio.to_thread(gateway.update_number, NUMBER_SID, **HOOKS, clear_application=True)
    assert (after.voice_url, after.voice_method) == (HOOKS["voice_url"], "POST")
    assert (after.voice_fallback_url, after.voice_application_sid) == (HOOKS["voice_fallback_url"], "")
    listed = await asyncio.to_thread(gateway.list_numbers)
    assert [number.sid for number in listed] == [NUMBER_SID]


async def test_a_search_finds_what_fits_and_the_price_of_its_kind(gateway: NumberGateway) -> None:
    found = await asyncio.to_thread(
        gateway.search_numbers, "US", NumberType.LOCAL, area_code="415", capabilities=frozenset({"voice", "sms"})
    )
    assert found
    assert all(offer.e164.startswith("+1415") and {"voice", "sms"} <= offer.capabilities for offer in found)
    assert {(offer.locality, offer.region, offer.country, offer.address_requirements) for offer in found} == {
        ("San Francisco", "CA", "US", "none")
    }
    ending = found[0].e164[-4:]
    again = await asyncio.to_thread(gateway.search_numbers, "US", NumberType.LOCAL, contains=ending)
    assert found[0].e164 in {offer.e164 for offer in again}
    assert all(ending in offer.e164 for offer in again)
    prices = {price.number_type: price for price in await asyncio.to_thread(gateway.list_prices, "US")}
    assert (prices[NumberType.LOCAL].monthly, prices[NumberType.LOCAL].currency) == (Decimal("1.15"), "USD")
    assert prices[NumberType.TOLL_FREE].monthly == Decimal("2.15")
    assert await asyncio.to_thread(gateway.list_prices, "XX") == []


async def test_a_kind_that_a_country_lacks_is_refused(gateway: NumberGateway) -> None:
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(gateway.search_numbers, "US", NumberType.MOBILE)
    assert (refused.value.status, refused.value.permanent) == (404, True)


async def test_a_number_is_bought_configured_found_by_its_name_and_released(gateway: NumberGateway) -> None:
    offer = (await asyncio.to_thread(gateway.search_numbers, "US", NumberType.LOCAL, limit=1))[0]
    bought = await asyncio.to_thread(gateway.buy_number, offer.e164, friendly_name="Main line · sb-1", **HOOKS)
    assert (bought.e164, bought.voice_url, bought.friendly_name) == (
        offer.e164,
        HOOKS["voice_url"],
        "Main line · sb-1",
    )
    assert {"voice", "sms"} <= bought.capabilities
    named = await asyncio.to_thread(gateway.list_numbers, friendly_name="Main line · sb-1")
    assert [number.sid for number in named] == [bought.sid]
    with pytest.raises(GatewayError) as gone:
        await asyncio.to_thread(gateway.buy_number, offer.e164, friendly_name="again", **HOOKS)
    assert (gone.value.code, gone.value.permanent) == ("21422", True)
    await asyncio.to_thread(gateway.release_number, bought.sid)
    await asyncio.to_thread(gateway.release_number, bought.sid)  # gone is released
    assert [n.sid for n in await asyncio.to_thread(gateway.list_numbers)] == [NUMBER_SID]


async def test_a_country_that_asks_for_an_address_gets_one(gateway: NumberGateway) -> None:
    offer = (await asyncio.to_thread(gateway.search_numbers, "NL", NumberType.LOCAL, limit=1))[0]
    assert offer.address_requirements == "local"
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(gateway.buy_number, offer.e164, friendly_name="NL", **HOOKS)
    assert refused.value.code == "21631"
    address = await asyncio.to_thread(
        gateway.create_address,
        customer_name="Harbour Dental",
        street="Damrak 1",
        city="Amsterdam",
        region="NH",
        postal_code="1012 LG",
        country="NL",
    )
    assert [one.sid for one in await asyncio.to_thread(gateway.list_addresses, "NL")] == [address.sid]
    assert await asyncio.to_thread(gateway.list_addresses, "DE") == []
    bought = await asyncio.to_thread(
        gateway.buy_number, offer.e164, friendly_name="NL", address_sid=address.sid, **HOOKS
    )
    assert bought.e164 == offer.e164


async def test_a_country_that_asks_for_papers_names_them_and_takes_an_approved_bundle(
    double: TwilioDouble, gateway: NumberGateway
) -> None:
    (regulation,) = await asyncio.to_thread(gateway.list_regulations, "DE", NumberType.LOCAL, end_user_type="business")
    assert "Proof of address" in regulation.papers
    assert await asyncio.to_thread(gateway.list_regulations, "US", NumberType.TOLL_FREE, end_user_type="business") == []
    offer = (await asyncio.to_thread(gateway.search_numbers, "DE", NumberType.LOCAL, limit=1))[0]
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(gateway.buy_number, offer.e164, friendly_name="DE", **HOOKS)
    assert refused.value.code == "21649"
    sid = "BU" + "3" * 32
    double.exchange.bundles[sid] = Bundle(sid, ACCOUNT, "DE", "local", friendly_name="Papers")
    (bundle,) = await asyncio.to_thread(gateway.list_bundles, "DE", NumberType.LOCAL)
    assert bundle.is_approved
    bought = await asyncio.to_thread(gateway.buy_number, offer.e164, friendly_name="DE", bundle_sid=sid, **HOOKS)
    assert bought.e164 == offer.e164


async def test_an_answer_that_is_lost_may_be_looked_up(double: TwilioDouble, gateway: NumberGateway) -> None:
    """The purchase was carried out and nobody knows: the error says that it may pass, and the list tells the truth."""
    offer = (await asyncio.to_thread(gateway.search_numbers, "US", NumberType.LOCAL, limit=1))[0]
    double.faults.rest_status, double.faults.rest_count = 0, 1
    double.faults.rest_match, double.faults.rest_late = "POST /api.twilio.com/2010-04-01/Accounts", True
    with pytest.raises(GatewayError) as lost:
        await asyncio.to_thread(gateway.buy_number, offer.e164, friendly_name="sb-7", **HOOKS)
    assert not lost.value.permanent
    assert [n.e164 for n in await asyncio.to_thread(gateway.list_numbers, friendly_name="sb-7")] == [offer.e164]
