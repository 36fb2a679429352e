"""A caller rings, the carrier's double asks us, the model's double speaks: everything between is the product."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pytest_django.fixtures import Settings

from calls.models import Call, LedgerEntry, Turn
from calls.services import addresses
from emulators.openai.double import OpenAIDouble
from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble
from tenants.models import Tenant
from tenants.scope import every_tenant
from tests.calls.transports.rows import in_thread
from tests.factories import AUTH_TOKEN, make_account, make_agent, make_route, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def carrier(served: str, settings: Settings) -> AsyncIterator[TwilioDouble]:
    async with TwilioDouble(DoubleConfig()) as double:
        settings.TWILIO_API_BASE_URL = double.base_url
        yield double


@in_thread
def open_line(carrier: TwilioDouble, **spec: object) -> str:
    tenant: Tenant = make_tenant()
    make_agent(tenant, greeting="Good morning, Acme Dental.", **spec)
    route = make_route(tenant)
    account = make_account(tenant)
    carrier.add_account(sid=account.account_sid, auth_token=AUTH_TOKEN)
    carrier.add_number(
        route.number.e164,
        sid=route.number.carrier_sid,
        account=account.account_sid,
        voice_url=addresses.voice_url(route.public_id),
        status_callback=addresses.number_status_url(route.public_id),
    )
    e164: str = route.number.e164
    return e164


@in_thread
def read_turns(call_sid: str) -> list[Turn]:
    with every_tenant(reason="a test looks at what was written"):
        return list(Turn.objects.filter(call__carrier_sid=call_sid))


@in_thread
def read_call(call_sid: str) -> tuple[Call, list[LedgerEntry]]:
    with every_tenant(reason="a test looks at what was written"):
        call = Call.objects.get(carrier_sid=call_sid)
        return call, list(LedgerEntry.objects.filter(call=call))


async def test_a_caller_is_greeted_and_the_call_is_on_record(carrier: TwilioDouble, model: OpenAIDouble) -> None:
    number = await open_line(carrier)
    call = await carrier.ring(to=number)
    async with asyncio.timeout(15):
        while not any(turn.heard for turn in await read_turns(call.sid)):  # noqa: ASYNC110 # rows tell nobody
            await asyncio.sleep(0.1)
    (turn,) = await read_turns(call.sid)
    assert turn.generated == "Good morning, Acme Dental."
