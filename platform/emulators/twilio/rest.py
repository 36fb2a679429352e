"""Twilio's REST API below `<base>/<host>/…`, put together from one module per resource (twilio.md §0.2)."""

from __future__ import annotations

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.exchange import Exchange
from emulators.twilio.rest_calls import CallsApi
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, read_form
from emulators.twilio.rest_numbers import NumbersApi
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_recordings import RecordingsApi
from emulators.twilio.rest_views import Json, show_account
from emulators.twilio.values import TwilioFault


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
            web.get(f"{ACCOUNT_PATH}.json", guard(self._show_account)),
            web.post(f"{ACCOUNT_PATH}.json", guard(self._update_account)),
            web.get("/monitor.twilio.com/v1/Alerts", guard(self._list_alerts)),
            *CallsApi(self._door).routes(),
            *RecordingsApi(self._door).routes(),
            *NumbersApi(self._door).routes(),
        ]

    async def _show_account(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_account(self._door.find_account(request)))

    async def _update_account(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(await read_form(request), tables.UPDATE_ACCOUNT)
        if account.status == "closed":
            raise TwilioFault(21479, "a closed account stays closed")  # §6.1
        account.status = params.get("Status", account.status)
        account.friendly_name = params.get("FriendlyName", account.friendly_name)
        return web.json_response(show_account(account))

    async def _list_alerts(self, request: web.Request) -> web.StreamResponse:
        items: list[Json] = [
            {"error_code": str(alert.code), "alert_text": alert.text, "resource_sid": alert.call_sid}
            for alert in self._door.exchange.alerts
        ]
        return web.json_response({"alerts": items, "meta": {"key": "alerts", "page": 0, "page_size": len(items)}})
