"""A double that runs ten times faster than the wall clock, and a product for it to call."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble
from tests.emulators.twilio.product import ACCOUNT, NUMBER, NUMBER_SID, TOKEN, Product

MakeDouble = Callable[..., Awaitable[TwilioDouble]]


@pytest.fixture
async def product() -> AsyncIterator[Product]:
    async with Product() as product:
        yield product


@pytest.fixture
async def make_double(product: Product) -> AsyncIterator[MakeDouble]:
    async with AsyncExitStack() as stack:

        async def make(**settings: object) -> TwilioDouble:
            config = DoubleConfig(**{"speed": 10.0, "apology": "Sorry", **settings})  # type: ignore[arg-type] # switches by name
            double = await stack.enter_async_context(TwilioDouble(config))
            double.add_account(sid=ACCOUNT, auth_token=TOKEN)
            double.add_number(NUMBER, sid=NUMBER_SID, account=ACCOUNT, voice_url=f"{product.base_url}/voice")
            return double

        yield make


@pytest.fixture
async def double(make_double: MakeDouble) -> TwilioDouble:
    return await make_double()


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens (it was free a moment ago)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
