"""Calls over REST: create, fetch, list, update, delete, and the streams forked from them (twilio.md §4.1–§4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.call import Call, End, Source, StatusCallback
from emulators.twilio.connect import start_fork
from emulators.twilio.market import country_of
from emulators.twilio.media_stream import StreamOrder
from emulators.twilio.outbound import CallOrder, Detection, check_can_dial, place_call
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, not_found, read_form, show_uri
from emulators.twilio.rest_params import MAX_TWIML_CHARACTERS, check_params
from emulators.twilio.rest_recordings import read_recording_order
from emulators.twilio.rest_views import show_call, show_event, show_page, show_stream
from emulators.twilio.values import Account, Status, TwilioFault


class CallsApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        root, guard = f"{ACCOUNT_PATH}/Calls", self._door.guard
        return [
            web.get(f"{root}.json", guard(self._list_calls)),
            web.post(f"{root}.json", guard(self._create_call)),
            web.get(f"{root}/{{call}}.json", guard(self._show_call)),
            web.post(f"{root}/{{call}}.json", guard(self._update_call)),
            web.delete(f"{root}/{{call}}.json", guard(self._delete_call)),
            web.get(f"{root}/{{call}}/Events.json", guard(self._list_events)),
            web.post(f"{root}/{{call}}/Streams.json", guard(self._create_stream)),
            web.post(f"{root}/{{call}}/Streams/{{stream}}.json", guard(self._stop_stream)),
        ]

    async def _create_call(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        check_can_dial(self._door.exchange, account)
        params = check_params(await read_form(request), tables.CREATE_CALL)
        order = self._read_call_order(account, params)
        call = place_call(self._door.exchange, order, account=account)
        return web.json_response(show_call(call), status=201)

    def _read_call_order(self, account: Account, params: Mapping[str, str]) -> CallOrder:
        """§4.1."""
        if "To" not in params:
            raise TwilioFault(21201, "No 'To' number is specified")
        if "From" not in params:
            raise TwilioFault(21213, "No 'From' number is specified")
        number = self._door.exchange.numbers.get(params["From"])
        if params["From"].startswith("+") and (number is None or number.account_sid != account.sid):
            raise TwilioFault(21210, f"{params['From']} is not owned or verified by this account")
        allowed = self._door.exchange.allowed_countries(account)
        if allowed is not None and country_of(params["To"]) not in allowed:
            raise TwilioFault(21215, f"Account not authorized to call {params['To']}")  # §4.8: geographic permissions
        if "ApplicationSid" in params:
            raise TwilioFault(21218, "this double knows no TwiML applications")
        if "Url" not in params and "Twiml" not in params:
            raise TwilioFault(21205, "Url, Twiml or ApplicationSid is required")
        detection = None
        if "MachineDetection" in params:
            in_background = params.get("AsyncAmd") == "true"
            if in_background and "AsyncAmdStatusCallback" not in params:
                raise TwilioFault(21262, "AsyncAmd needs AsyncAmdStatusCallback")
            detection = Detection(
                wait_for_end=params["MachineDetection"] == "DetectMessageEnd",
                in_background=in_background,
                callback=params.get("AsyncAmdStatusCallback", ""),
                callback_method=params.get("AsyncAmdStatusCallbackMethod", "POST"),
            )
        recording = None
        if params.get("Record", "").lower() == "true":
            recording = read_recording_order(params, source="OutboundAPI", trim="trim-silence")
        return CallOrder(
            to=params["To"],
            from_=params["From"],
            source=self._read_source(params),
            fallback=_read_fallback(params),
            status_callback=_read_status_callback(params),
            ring_s=float(params.get("Timeout", 60)),
            limit_s=float(params["TimeLimit"]) if "TimeLimit" in params else None,
            send_digits=params.get("SendDigits", ""),
            recording=recording,
            detection=detection,
        )

    def _read_source(self, params: Mapping[str, str]) -> Source:
        if len(params.get("Twiml", "")) > MAX_TWIML_CHARACTERS:
            raise TwilioFault(32018, f"Twiml is longer than {MAX_TWIML_CHARACTERS} characters")
        if "Url" in params:
            if "Twiml" in params:
                self._door.exchange.alert(32019, "Url wins over Twiml")  # §4.1
            return Source(url=params["Url"], method=params.get("Method", "POST"))
        return Source(twiml=params["Twiml"])

    async def _show_call(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_call(self._door.find_call(request)))

    async def _list_calls(self, request: web.Request) -> web.StreamResponse:
        account = self._door.find_account(request)
        params = check_params(request.query, tables.LIST_CALLS, paged=True)
        calls = [
            call for call in self._door.exchange.calls.values() if call.account is account and _matches(call, params)
        ]
        items = [show_call(call) for call in reversed(calls)]  # newest first
        return web.json_response(show_page("calls", items, path=show_uri(request), params=params))

    async def _update_call(self, request: web.Request) -> web.StreamResponse:
        """§4.3."""
        call = self._door.find_call(request)
        params = check_params(await read_form(request), tables.UPDATE_CALL)
        if "Url" in params and "Twiml" in params:
            raise TwilioFault(20001, "Url and Twiml are exclusive")
        if call.over:
            raise TwilioFault(21220, "Call is not in-progress. Cannot redirect.")
        status = params.get("Status")
        if status == "canceled" and call.answered.is_set():
            raise TwilioFault(21220, "only a queued or ringing call can be canceled")
        if ("Url" in params or "Twiml" in params) and status is None and not call.live:
            raise TwilioFault(21220, "Call is not in-progress. Cannot redirect.")
        if "StatusCallback" in params:
            call.status_callback = _read_status_callback(params) or StatusCallback()
        if fallback := _read_fallback(params):
            call.fallback = fallback
        if "TimeLimit" in params:
            elapsed_s = self._door.exchange.clock.seconds() - (
                call.answered_at_s or self._door.exchange.clock.seconds()
            )
            call.limit_to(max(0.0, float(params["TimeLimit"]) - elapsed_s))
        call.note("rest-update", **{name: value[:4096] for name, value in params.items()})
        if status == "canceled":
            call.end_with(End(Status.CANCELED, "api"))
        elif status == "completed":
            call.end_with(End(Status.COMPLETED if call.live else Status.CANCELED, "api"))
        elif "Url" in params or "Twiml" in params:
            call.run_document(self._read_source(params))
        if status is not None:
            await call.finished.wait()
        return web.json_response(show_call(call))

    async def _delete_call(self, request: web.Request) -> web.StreamResponse:
        call = self._door.find_call(request)
        if not call.over:
            raise TwilioFault(20409, "a call in progress cannot be deleted")
        del self._door.exchange.calls[call.sid]
        return web.Response(status=204)

    async def _list_events(self, request: web.Request) -> web.StreamResponse:
        """§4.6: what was asked of the product for this call and what it answered."""
        call = self._door.find_call(request)
        params = check_params(request.query, {}, paged=True)
        items = [show_event(entry) for entry in call.log if entry.kind in {"webhook", "callback"}]
        return web.json_response(show_page("events", items, path=show_uri(request), params=params))

    async def _create_stream(self, request: web.Request) -> web.StreamResponse:
        call = self._door.find_call(request)
        params = check_params(await read_form(request), tables.CREATE_STREAM)
        if "Url" not in params:
            raise TwilioFault(31923, "Url is required")
        if not call.live:
            raise TwilioFault(21220, "Call is not in-progress")
        track = params.get("Track", "inbound_track")
        order = StreamOrder(
            url=params["Url"],
            name=params.get("Name", ""),
            tracks=("inbound", "outbound") if track == "both_tracks" else (track.removesuffix("_track"),),
            parameters=tuple(
                (params[f"Parameter{index}.Name"], params.get(f"Parameter{index}.Value", ""))
                for index in range(1, 100)
                if f"Parameter{index}.Name" in params
            ),
            status_callback=params.get("StatusCallback", ""),
            status_callback_method=params.get("StatusCallbackMethod", "POST"),
            bidirectional=False,
        )
        stream = await start_fork(call, order)
        if stream is None:
            raise TwilioFault(20001, "no more tracks can be forked from this call")
        return web.json_response(show_stream(stream), status=201)

    async def _stop_stream(self, request: web.Request) -> web.StreamResponse:
        call = self._door.find_call(request)
        check_params(await read_form(request), tables.UPDATE_STREAM)
        wanted = request.match_info["stream"]
        for stream in call.streams:
            if not stream.order.bidirectional and wanted in {stream.sid, stream.name}:
                await stream.stop()
                return web.json_response(show_stream(stream))
        raise not_found(request)


def _read_status_callback(params: Mapping[str, str]) -> StatusCallback | None:
    if "StatusCallback" not in params:
        return None
    return StatusCallback(
        url=params["StatusCallback"],
        method=params.get("StatusCallbackMethod", "POST"),
        events=frozenset(params.get("StatusCallbackEvent", "completed").split()),
    )


def _read_fallback(params: Mapping[str, str]) -> Source | None:
    if "FallbackUrl" not in params:
        return None
    return Source(url=params["FallbackUrl"], method=params.get("FallbackMethod", "POST"))


def _matches(call: Call, params: Mapping[str, str]) -> bool:
    """§4.2: the filters of the call list."""
    if params.get("To", call.to) != call.to or params.get("From", call.from_) != call.from_:
        return False
    if params.get("Status", str(call.status)) != str(call.status):
        return False
    if "ParentCallSid" in params and (call.parent is None or call.parent.sid != params["ParentCallSid"]):
        return False
    return _within(call.start_time, params, "StartTime") and _within(call.end_time, params, "EndTime")


def _within(moment: datetime | None, params: Mapping[str, str], name: str) -> bool:
    for sign in ("", "<", ">"):
        if f"{name}{sign}" not in params:
            continue
        if moment is None:
            return False
        wanted = _read_date(params[f"{name}{sign}"])
        if sign == "" and moment.date() != wanted.date():
            return False
        if (sign == "<" and moment > wanted) or (sign == ">" and moment < wanted):
            return False
    return True


def _read_date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError as error:
            raise TwilioFault(20001, f"not a date: {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
