"""The demo's back office: its rules, and each way in which it misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, time

import aiohttp
import pytest

from emulators.toolserver import BackOffice, ToolServer, furnish

MONDAY = date(2026, 11, 23)
MORNING = datetime(2026, 11, 23, 8, 0)  # noqa: DTZ001 - a practice's wall clock


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    async with ToolServer() as server:
        yield server


@pytest.fixture
async def client(server: ToolServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=server.base_url) as client:
        yield client


def test_practice_is_open_on_weekdays_from_nine_to_five() -> None:
    office = BackOffice()
    slots = office.find_slots(MONDAY, now=MORNING)
    assert len(slots) == 16
    assert slots[0].time() == time(9, 0)
    assert slots[-1].time() == time(16, 30)
    assert office.find_slots(date(2026, 11, 22), now=MORNING) == []


def test_same_booking_twice_is_one_booking_and_another_patient_is_refused() -> None:
    office = BackOffice()
    start = datetime.combine(MONDAY, time(10, 0))
    first, new = office.book(start, name="Maria", phone="+1", reason="", now=MORNING)
    again, new_again = office.book(start, name="Maria", phone="+1", reason="", now=MORNING)
    other, _ = office.book(start, name="Peter", phone="+2", reason="", now=MORNING)
    assert new
    assert not new_again
    assert first == again
    assert other is None
    assert start not in office.find_slots(MONDAY, now=MORNING)


def test_nobody_is_booked_into_the_past_or_outside_hours() -> None:
    office = BackOffice()
    noon = datetime.combine(MONDAY, time(12, 0))
    for start in (datetime.combine(MONDAY, time(9, 0)), datetime.combine(MONDAY, time(17, 0))):
        assert office.book(start, name="Maria", phone="+1", reason="", now=noon) == (None, False)


def test_demo_callers_are_known() -> None:
    office = furnish(BackOffice(), today=MONDAY)
    assert office.customers["+15005550100"].name == "Maria Jansen"
    assert office.orders["1001"].status == "shipped"


async def test_order_is_found_by_post_and_by_get(client: aiohttp.ClientSession) -> None:
    async with client.post("/orders", json={"order_id": "#1001"}) as posted, client.get("/orders/1001") as got:
        assert (await posted.json())["items"] == ["electric toothbrush"]
        assert await got.json() == await posted.json()
    async with client.post("/orders", json={"order_id": "9999"}) as unknown:
        assert unknown.status == 404
        assert await unknown.json() == {"found": False, "order_id": "9999"}


async def test_customer_is_found_by_telephone_number(client: aiohttp.ClientSession) -> None:
    async with client.get("/crm/customers", params={"phone": "+15005550100"}) as answer:
        found = await answer.json()
    assert found["name"] == "Maria Jansen"
    assert found["orders"] == ["1001", "1003"]


async def test_slot_that_was_offered_can_be_booked_and_cancelled(client: aiohttp.ClientSession) -> None:
    async with client.get("/calendar/slots") as answer:
        offered = await answer.json()
    start = (offered["slots"] or offered["next_slots"])[-1]
    wanted = {"start": start, "name": "Maria Jansen", "phone": "+15005550100"}
    async with client.post("/calendar/bookings", json=wanted) as answer:
        assert answer.status == 201
        booking = await answer.json()
    async with client.post("/calendar/bookings", json=wanted | {"name": "Another"}) as answer:
        assert answer.status == 409
        assert start not in (await answer.json())["slots"]
    async with client.delete(f"/calendar/bookings/{booking['booking_id']}") as answer:
        assert await answer.json() == {"cancelled": True}


async def test_nonsense_is_refused_in_json(client: aiohttp.ClientSession) -> None:
    async with client.post("/orders", data=b"[1]") as answer:
        assert answer.status == 400
        assert await answer.json() == {"error": "a JSON object is expected"}
    async with client.get("/calendar/slots", params={"date": "tomorrow"}) as answer:
        assert answer.status == 400


async def test_every_fault_is_what_it_says(client: aiohttp.ClientSession) -> None:
    async with client.post("/500") as answer:
        assert answer.status == 500
    async with client.post("/not-json") as answer:
        assert answer.content_type == "text/html"
    async with client.post("/huge") as answer:
        assert len(await answer.read()) == 5 * 1024 * 1024
    async with client.post("/redirect-to-metadata", allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["Location"].startswith("http://169.254.169.254/")
    async with client.post("/flaky") as first, client.post("/flaky") as second:
        assert (first.status, second.status) == (503, 200)


async def test_slow_tool_outlasts_a_timeout(client: aiohttp.ClientSession) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await client.post("/slow", timeout=aiohttp.ClientTimeout(total=0.1))
