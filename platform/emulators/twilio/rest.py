"""Twilio's REST API below `<base>/<host>/…`, put together from one module per resource (twilio.md §0.2)."""

from __future__ import annotations

from aiohttp import web

from emulators.twilio.exchange import Exchange
from emulators.twilio.rest_accounts import AccountsApi
from emulators.twilio.rest_calls import CallsApi
from emulators.twilio.rest_door import Door
from emulators.twilio.rest_market import MarketApi
from emulators.twilio.rest_numbers import NumbersApi
from emulators.twilio.rest_papers import PapersApi
from emulators.twilio.rest_recordings import RecordingsApi
from emulators.twilio.rest_views import Json


class RestApi:
    def __init__(self, exchange: Exchange) -> None:
        self._door = Door(exchange)

    @property
    def requests(self) -> list[tuple[str, str, dict[str, str]]]:
        """Every request that arrived: (method, path, parameters)."""
        return self._door.requests

    def routes(self) -> list[web.RouteDef]:
        guard = self._door.guard
        return [
            web.get("/monitor.twilio.com/v1/Alerts", guard(self._list_alerts)),
            *CallsApi(self._door).routes(),
            *RecordingsApi(self._door).routes(),
            *NumbersApi(self._door).routes(),
            *MarketApi(self._door).routes(),
            *PapersApi(self._door).routes(),
            *AccountsApi(self._door).routes(),
        ]

    async def _list_alerts(self, request: web.Request) -> web.StreamResponse:
        items: list[Json] = [
            {"error_code": str(alert.code), "alert_text": alert.text, "resource_sid": alert.call_sid}
            for alert in self._door.exchange.alerts
        ]
        return web.json_response({"alerts": items, "meta": {"key": "alerts", "page": 0, "page_size": len(items)}})
