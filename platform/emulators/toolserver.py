"""A small practice's back office over HTTP for the demo's tools: calendar, customers, orders; and ways to misbehave.

It keeps everything in memory and knows neither vendor nor product. `python -m emulators.toolserver --port N`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import sys
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from types import TracebackType
from typing import Any

from aiohttp import web

OPENING, CLOSING = time(9, 0), time(17, 0)
SLOT = timedelta(minutes=30)
HUGE_BYTES = 5 * 1024 * 1024
SLOW_S = 30.0
_METADATA = "http://169.254.169.254/latest/meta-data/"  # where clouds keep credentials: a fetcher must not go there
_WEEKEND = 5


@dataclass(frozen=True, slots=True)
class Customer:
    phone: str
    name: str
    email: str
    tier: str
    notes: str


@dataclass(slots=True)
class Order:
    order_id: str
    phone: str
    status: str
    items: list[str]
    ordered: str
    expected: str | None


@dataclass(frozen=True, slots=True)
class Booking:
    booking_id: str
    start: str
    name: str
    phone: str
    reason: str


@dataclass(slots=True)
class BackOffice:
    """The rules: weekdays nine to five, one patient at a time, the same request twice books once."""

    customers: dict[str, Customer] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    bookings: dict[datetime, Booking] = field(default_factory=dict)

    def find_slots(self, day: date, *, now: datetime) -> list[datetime]:
        if day.weekday() >= _WEEKEND:
            return []
        slot = datetime.combine(day, OPENING)
        slots = []
        while slot + SLOT <= datetime.combine(day, CLOSING):
            if slot > now and slot not in self.bookings:
                slots.append(slot)
            slot += SLOT
        return slots

    def book(
        self, start: datetime, *, name: str, phone: str, reason: str, now: datetime
    ) -> tuple[Booking | None, bool]:
        """The booking and whether it is new; None when that time cannot be had."""
        held = self.bookings.get(start)
        if held is not None:
            return (held, False) if (held.name, held.phone) == (name, phone) else (None, False)
        if start not in self.find_slots(start.date(), now=now):
            return None, False
        booking = Booking(f"B-{uuid.uuid4().hex[:8]}", start.isoformat(timespec="minutes"), name, phone, reason)
        self.bookings[start] = booking
        return booking, True

    def cancel(self, booking_id: str) -> bool:
        for start, booking in self.bookings.items():
            if booking.booking_id == booking_id:
                del self.bookings[start]
                return True
        return False


def furnish(office: BackOffice, *, today: date) -> BackOffice:
    """The people and orders the demo's callers speak of."""
    for customer in (
        Customer("+15005550100", "Maria Jansen", "maria@example.com", "gold", "Prefers mornings."),
        Customer("+15005550101", "Peter de Vries", "peter@example.com", "standard", "Afraid of needles."),
    ):
        office.customers[customer.phone] = customer
    yesterday, tomorrow = (today - timedelta(days=1)).isoformat(), (today + timedelta(days=1)).isoformat()
    for order in (
        Order("1001", "+15005550100", "shipped", ["electric toothbrush"], yesterday, tomorrow),
        Order("1002", "+15005550101", "processing", ["night guard"], yesterday, None),
        Order("1003", "+15005550100", "delivered", ["whitening kit"], yesterday, yesterday),
    ):
        office.orders[order.order_id] = order
    return office


class ToolServer:
    """`async with ToolServer() as server:` then `server.base_url`; the requests it saw are in `server.requests`."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.office = furnish(BackOffice(), today=datetime.now(UTC).date())
        self.requests: list[tuple[str, str]] = []
        self.base_url = ""
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> ToolServer:
        app = web.Application(middlewares=[self._watch])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/calendar/slots", self._slots),
                web.post("/calendar/slots", self._slots),
                web.post("/calendar/bookings", self._book),
                web.delete("/calendar/bookings/{booking}", self._cancel),
                web.get("/crm/customers", self._customer),
                web.post("/crm/customers", self._customer),
                web.post("/orders", self._order),
                web.get("/orders/{order}", self._order),
                web.route("*", "/slow", self._slow),
                web.route("*", "/500", self._broken),
                web.route("*", "/not-json", self._not_json),
                web.route("*", "/huge", self._huge),
                web.route("*", "/redirect-to-metadata", self._redirect),
                web.route("*", "/flaky", self._flaky),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        listener = socket.create_server((self._host, self._port))
        await web.SockSite(self._runner, listener).start()
        self.base_url = f"http://{self._host}:{listener.getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        answer: web.StreamResponse = await handler(request)
        return answer

    # -- what the tools are for -----------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _slots(self, request: web.Request) -> web.Response:
        """`date` (ISO, today when it is missing) → free half hours; on a full day the next day that has one."""
        now = datetime.now()  # noqa: DTZ005 - a practice's wall clock: the demo runs where its practice is
        asked = (await _arguments(request)).get("date")
        try:
            day = date.fromisoformat(asked) if asked else now.date()
        except (TypeError, ValueError):
            return _refuse(f"date must be YYYY-MM-DD, not {asked!r}")
        free = self.office.find_slots(day, now=now)
        following = day
        while not free and (following - day).days < 14:
            following += timedelta(days=1)
            if nearest := self.office.find_slots(following, now=now):
                return web.json_response(
                    {
                        "date": day.isoformat(),
                        "slots": [],
                        "next_date": following.isoformat(),
                        "next_slots": _times(nearest),
                    }
                )
        return web.json_response({"date": day.isoformat(), "slots": _times(free)})

    async def _book(self, request: web.Request) -> web.Response:
        arguments = await _arguments(request)
        missing = [name for name in ("start", "name", "phone") if not isinstance(arguments.get(name), str)]
        if missing:
            return _refuse(f"missing: {', '.join(missing)}")
        try:
            start = datetime.fromisoformat(arguments["start"]).replace(tzinfo=None)
        except ValueError:
            return _refuse(f"start must be YYYY-MM-DDTHH:MM, not {arguments['start']!r}")
        now = datetime.now()  # noqa: DTZ005 - as above
        booking, new = self.office.book(
            start,
            name=arguments["name"],
            phone=arguments["phone"],
            reason=str(arguments.get("reason", "")),
            now=now,
        )
        if booking is None:
            others = _times(self.office.find_slots(start.date(), now=now))
            return web.json_response({"booked": False, "error": "that time is not free", "slots": others}, status=409)
        return web.json_response({"booked": True, **asdict(booking)}, status=201 if new else 200)

    async def _cancel(self, request: web.Request) -> web.Response:
        if not self.office.cancel(request.match_info["booking"]):
            return _refuse("no such booking", status=404)
        return web.json_response({"cancelled": True})

    async def _customer(self, request: web.Request) -> web.Response:
        phone = (await _arguments(request)).get("phone")
        customer = self.office.customers.get(phone) if isinstance(phone, str) else None
        if customer is None:
            return web.json_response({"found": False}, status=404)
        orders = [order.order_id for order in self.office.orders.values() if order.phone == customer.phone]
        return web.json_response({"found": True, **asdict(customer), "orders": orders})

    async def _order(self, request: web.Request) -> web.Response:
        wanted = request.match_info.get("order") or (await _arguments(request)).get("order_id")
        order = self.office.orders.get(str(wanted).strip().lstrip("#"))
        if order is None:
            return web.json_response({"found": False, "order_id": wanted}, status=404)
        return web.json_response({"found": True, **asdict(order)})

    # -- what goes wrong --------------------------------------------------------------

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("seconds", SLOW_S)))
        return web.json_response({"late": True})

    async def _broken(self, request: web.Request) -> web.Response:
        return web.json_response({"error": "the back office is on fire"}, status=500)

    async def _not_json(self, request: web.Request) -> web.Response:
        return web.Response(text="<html><body>Welcome!</body></html>", content_type="text/html")

    async def _huge(self, request: web.Request) -> web.Response:
        return web.Response(body=b'"' + b"x" * (HUGE_BYTES - 2) + b'"', content_type="application/json")

    async def _redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": _METADATA})

    async def _flaky(self, request: web.Request) -> web.Response:
        """Fails every first, works every second time: what a retry is for."""
        visits = sum(path == request.path_qs for _, path in self.requests)
        if visits % 2:
            return web.json_response({"error": "try again"}, status=503)
        return web.json_response({"ok": True})


async def _arguments(request: web.Request) -> dict[str, Any]:
    """The query of a GET, the JSON object of a POST."""
    if request.method == "GET":
        return dict(request.query)
    try:
        body = await request.json()
    except json.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(
            text=json.dumps({"error": "a JSON object is expected"}), content_type="application/json"
        )
    return body


def _times(slots: list[datetime]) -> list[str]:
    return [slot.isoformat(timespec="minutes") for slot in slots]


def _refuse(text: str, *, status: int = 400) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def serve(*, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    async with ToolServer(host=host, port=port) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="emulators.toolserver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the address is printed")
    given = parser.parse_args()
    asyncio.run(serve(host=given.host, port=given.port))


if __name__ == "__main__":
    main()
