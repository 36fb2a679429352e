"""Twilio's REST API below `<base>/<host>/…`: credentials, parameters, refusals, lists (twilio.md §0.2, §4, §5.2, §8.2).

Every handler checks, does one thing to the exchange and shows a resource.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiohttp import web
from multidict import MultiDict

from emulators.twilio import rest_params as tables
from emulators.twilio.call import Call, End, Source, StatusCallback
from emulators.twilio.connect import start_fork
from emulators.twilio.exchange import API_VERSION, Exchange
from emulators.twilio.media_stream import StreamOrder
from emulators.twilio.outbound import CallOrder, Detection, check_can_dial, place_call
from emulators.twilio.recording import Recording, RecordingOrder, begin_recording, read_order
from emulators.twilio.rest_params import MAX_TWIML_CHARACTERS, check_params
from emulators.twilio.rest_views import (
    Json,
    show_account,
    show_call,
    show_number,
    show_page,
    show_recording,
    show_stream,
)
from emulators.twilio.values import Account, Number, Status, TwilioFault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_STATUS_OF_CODE = {
    20003: 401,
    20004: 405,
    20005: 401,
    10001: 401,
    20404: 404,
    20409: 409,
    20429: 429,
    20500: 500,
    20503: 503,
}
_CODE_OF_STATUS = {429: 20429, 500: 20500, 503: 20503}
_TWIML_ONLY_MP3 = "this double keeps WAV only"


def refuse(fault: TwilioFault) -> web.Response:
    """§0.2: the error body."""
    status = _STATUS_OF_CODE.get(fault.code, 400)
    return web.json_response(
        {
            "code": fault.code,
            "message": fault.message,
            "more_info": f"https://www.twilio.com/docs/errors/{fault.code}",
            "status": status,
        },
        status=status,
    )


class RestApi:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # (method, path, parameters)

    def routes(self) -> list[web.RouteDef]:
        root = f"/api.twilio.com/{API_VERSION}/Accounts/{{account}}"
        guard = self._guard
        return [
            web.get(f"{root}.json", guard(self._show_account)),
            web.post(f"{root}.json", guard(self._update_account)),
            web.get(f"{root}/Calls.json", guard(self._list_calls)),
            web.post(f"{root}/Calls.json", guard(self._create_call)),
            web.get(f"{root}/Calls/{{call}}.json", guard(self._show_call)),
            web.post(f"{root}/Calls/{{call}}.json", guard(self._update_call)),
            web.delete(f"{root}/Calls/{{call}}.json", guard(self._delete_call)),
            web.post(f"{root}/Calls/{{call}}/Streams.json", guard(self._create_stream)),
            web.post(f"{root}/Calls/{{call}}/Streams/{{stream}}.json", guard(self._stop_stream)),
            web.get(f"{root}/Calls/{{call}}/Recordings.json", guard(self._list_recordings)),
            web.post(f"{root}/Calls/{{call}}/Recordings.json", guard(self._create_recording)),
            web.get(f"{root}/Calls/{{call}}/Recordings/{{recording}}.json", guard(self._show_recording)),
            web.post(f"{root}/Calls/{{call}}/Recordings/{{recording}}.json", guard(self._update_recording)),
            web.delete(f"{root}/Calls/{{call}}/Recordings/{{recording}}.json", guard(self._delete_recording)),
            web.get(f"{root}/Recordings.json", guard(self._list_recordings)),
            web.get(f"{root}/Recordings/{{recording}}.json", guard(self._show_recording)),
            web.delete(f"{root}/Recordings/{{recording}}.json", guard(self._delete_recording)),
            web.get(f"{root}/Recordings/{{recording}}.wav", self._serve_media),
            web.get(f"{root}/Recordings/{{recording}}.mp3", self._serve_media),
            web.get(f"{root}/Recordings/{{recording}}", self._serve_media),
            web.get(f"{root}/IncomingPhoneNumbers.json", guard(self._list_numbers)),
            web.get(f"{root}/IncomingPhoneNumbers/{{number}}.json", guard(self._show_number)),
            web.post(f"{root}/IncomingPhoneNumbers/{{number}}.json", guard(self._update_number)),
            web.get("/monitor.twilio.com/v1/Alerts", guard(self._list_alerts)),
        ]

    # -- the door -----------------------------------------------------------------

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                await self._note(request)
                self._fail_as_ordered()
                self._check_credentials(request)
                return await handler(request)
            except TwilioFault as fault:
                return refuse(fault)

        return guarded

    async def _note(self, request: web.Request) -> None:
        form = await request.post() if request.method == "POST" else request.query
        self.requests.append((request.method, request.path, {name: str(value) for name, value in form.items()}))

    def _fail_as_ordered(self) -> None:
        faults = self._exchange.faults
        if faults.rest_status is not None and faults.rest_count > 0:
            faults.rest_count -= 1
            raise TwilioFault(_CODE_OF_STATUS.get(faults.rest_status, 20500), "fault ordered", permanent=False)

    def _check_credentials(self, request: web.Request) -> Account:
        """§6.2: own credentials, or the parent's on the path of a subaccount. Raises TwilioFault 20003, 20404."""
        user, password = _read_basic(request.headers.get("Authorization", ""))
        actor = self._exchange.accounts.get(user)
        secret = actor.auth_token if actor is not None else None
        if user.startswith("SK"):
            actor = next((one for one in self._exchange.accounts.values() if user in one.api_keys), None)
            secret = actor.api_keys[user] if actor is not None else None
        if actor is None or secret is None or not secrets.compare_digest(secret.encode(), password.encode()):
            raise TwilioFault(20003, "Authenticate")
        sid = request.match_info.get("account", actor.sid)
        owner = self._exchange.accounts.get(sid)
        if owner is None or actor.sid not in {owner.sid, owner.parent_sid}:
            raise TwilioFault(20404, f"The requested resource {request.path} was not found")
        if request.method != "GET" and not owner.active and "Calls" in request.path:
            raise TwilioFault(20005, "Account not active")  # §6.1: API writes fail
        return owner

    def _account(self, request: web.Request) -> Account:
        account = self._exchange.accounts.get(request.match_info["account"])
        if account is None:
            raise _not_found(request)
        return account

    def _call(self, request: web.Request) -> Call:
        call = self._exchange.calls.get(request.match_info["call"])
        if call is None or call.account is not self._account(request):
            raise _not_found(request)
        return call

    # -- accounts --------------------------------------------------------------------

    async def _show_account(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_account(self._account(request)))

    async def _update_account(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        params = check_params(await _form(request), tables.UPDATE_ACCOUNT)
        if account.status == "closed":
            raise TwilioFault(21479, "a closed account stays closed")  # §6.1
        account.status = params.get("Status", account.status)
        account.friendly_name = params.get("FriendlyName", account.friendly_name)
        return web.json_response(show_account(account))

    # -- calls -------------------------------------------------------------------------

    async def _create_call(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        check_can_dial(self._exchange, account)
        params = check_params(await _form(request), tables.CREATE_CALL)
        order = self._read_call_order(account, params)
        call = place_call(self._exchange, order, account=account)
        return web.json_response(show_call(call), status=201)

    def _read_call_order(self, account: Account, params: Mapping[str, str]) -> CallOrder:
        """§4.1."""
        if "To" not in params:
            raise TwilioFault(21201, "No 'To' number is specified")
        if "From" not in params:
            raise TwilioFault(21213, "No 'From' number is specified")
        number = self._exchange.numbers.get(params["From"])
        if params["From"].startswith("+") and (number is None or number.account_sid != account.sid):
            raise TwilioFault(21210, f"{params['From']} is not owned or verified by this account")
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
            recording = _read_recording(params, source="OutboundAPI", trim="trim-silence")
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
                self._exchange.alert(32019, "Url wins over Twiml")  # §4.1
            return Source(url=params["Url"], method=params.get("Method", "POST"))
        return Source(twiml=params["Twiml"])

    async def _show_call(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_call(self._call(request)))

    async def _list_calls(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        params = check_params(request.query, tables.LIST_CALLS, paged=True)
        calls = [call for call in self._exchange.calls.values() if call.account is account and _matches(call, params)]
        items = [show_call(call) for call in reversed(calls)]  # newest first
        return web.json_response(show_page("calls", items, path=_uri(request), params=params))

    async def _update_call(self, request: web.Request) -> web.StreamResponse:
        """§4.3."""
        call = self._call(request)
        params = check_params(await _form(request), tables.UPDATE_CALL)
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
            elapsed_s = self._exchange.clock.seconds() - (call.answered_at_s or self._exchange.clock.seconds())
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
        call = self._call(request)
        if not call.over:
            raise TwilioFault(20409, "a call in progress cannot be deleted")
        del self._exchange.calls[call.sid]
        return web.Response(status=204)

    # -- streams (§4.4) ------------------------------------------------------------------

    async def _create_stream(self, request: web.Request) -> web.StreamResponse:
        call = self._call(request)
        params = check_params(await _form(request), tables.CREATE_STREAM)
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
        call = self._call(request)
        check_params(await _form(request), tables.UPDATE_STREAM)
        wanted = request.match_info["stream"]
        for stream in call.streams:
            if not stream.order.bidirectional and wanted in {stream.sid, stream.name}:
                await stream.stop()
                return web.json_response(show_stream(stream))
        raise _not_found(request)

    # -- recordings (§4.5, §8.2) -----------------------------------------------------------

    async def _create_recording(self, request: web.Request) -> web.StreamResponse:
        call = self._call(request)
        params = check_params(await _form(request), tables.CREATE_RECORDING)
        if not call.live:
            raise TwilioFault(21220, "Requested resource is not eligible for recording: the call is not in-progress")
        order = _read_recording(params, source="StartCallRecordingAPI", trim="do-not-trim")  # §4.5
        return web.json_response(show_recording(begin_recording(call, order)), status=201)

    def _recording(self, request: web.Request) -> Recording:
        wanted = request.match_info["recording"]
        if wanted == "Twilio.CURRENT":
            running = [recording for recording in self._call(request).recordings if recording.running]
            if running:
                return running[-1]
            raise _not_found(request)
        recording = self._exchange.recordings.get(wanted)
        if recording is None or recording.call.account is not self._account(request):
            raise _not_found(request)
        if "call" in request.match_info and recording.call is not self._call(request):
            raise _not_found(request)
        return recording

    async def _update_recording(self, request: web.Request) -> web.StreamResponse:
        recording = self._recording(request)
        params = check_params(await _form(request), tables.UPDATE_RECORDING)
        if "Status" not in params:
            raise TwilioFault(20001, "Status is required")
        if not recording.running:
            raise TwilioFault(21220, "Recording is not in-progress")
        if params["Status"] == "paused":
            recording.pause(params.get("PauseBehavior", "silence"))
        elif params["Status"] == "in-progress":
            recording.resume()
        else:
            recording.stop()
        return web.json_response(show_recording(recording) | {"status": params["Status"]})

    async def _show_recording(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_recording(self._recording(request)))

    async def _list_recordings(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        params = check_params(request.query, tables.LIST_RECORDINGS, paged=True)
        call_sid = request.match_info.get("call") or params.get("CallSid")
        items = [
            show_recording(recording)
            for recording in reversed(self._exchange.recordings.values())
            if recording.call.account is account and call_sid in {None, recording.call.sid}
        ]
        return web.json_response(show_page("recordings", items, path=_uri(request), params=params))

    async def _delete_recording(self, request: web.Request) -> web.StreamResponse:
        recording = self._recording(request)
        if recording.running:
            raise TwilioFault(20409, "a running recording cannot be deleted")
        recording.delete()
        return web.Response(status=204)

    async def _serve_media(self, request: web.Request) -> web.StreamResponse:
        """§8.2. Without an extension it is the WAV; an MP3 is refused (deviation)."""
        try:
            if self._exchange.config.media_needs_auth:
                self._check_credentials(request)
            recording = self._recording(request)
            if not recording.media_ready:
                raise _not_found(request)
        except TwilioFault as fault:
            return refuse(fault)
        if request.path.endswith(".mp3"):
            return web.Response(status=415, text=_TWIML_ONLY_MP3)
        wanted = request.query.get("RequestedChannels", str(recording.order.channels))
        if wanted not in {"1", "2"} or (wanted == "2" and recording.order.channels == 1):
            return refuse(TwilioFault(20001, f"RequestedChannels={wanted!r}"))
        media = await asyncio.to_thread(recording.make_media, channels=int(wanted))
        return web.Response(body=media, content_type="audio/x-wav")

    # -- numbers (§5.2) ------------------------------------------------------------------------

    def _number(self, request: web.Request) -> Number:
        wanted, account = request.match_info["number"], self._account(request)
        for number in self._exchange.numbers.values():
            if number.sid == wanted and number.account_sid == account.sid:
                return number
        raise _not_found(request)

    async def _list_numbers(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        params = check_params(request.query, tables.LIST_NUMBERS, paged=True)
        items = [
            show_number(number)
            for number in self._exchange.numbers.values()
            if number.account_sid == account.sid
            and params.get("PhoneNumber", "") in number.e164
            and params.get("FriendlyName", number.friendly_name) == number.friendly_name
        ]
        return web.json_response(show_page("incoming_phone_numbers", items, path=_uri(request), params=params))

    async def _show_number(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(show_number(self._number(request)))

    async def _update_number(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        params = check_params(await _form(request), tables.UPDATE_NUMBER)
        if params.get("VoiceFallbackUrl") and not (params.get("VoiceUrl") or number.voice_url):
            raise TwilioFault(21405, "a fallback URL needs a voice URL")
        if "AccountSid" in params:
            self._check_move(request, params["AccountSid"])
            number.account_sid = params["AccountSid"]
        for name, field in _NUMBER_FIELDS.items():
            if name in params:
                setattr(number, field, params[name])
        if "VoiceCallerIdLookup" in params:
            number.voice_caller_id_lookup = params["VoiceCallerIdLookup"].lower() == "true"
        if params.get("TrunkSid"):
            number.voice_application_sid = ""  # §5.2: setting one clears the other
        elif params.get("VoiceApplicationSid"):
            number.trunk_sid = ""
        number.updated = datetime.now(UTC)
        return web.json_response(show_number(number))

    def _check_move(self, request: web.Request, target: str) -> None:
        """§5.2: between parent and subaccounts, by the parent only."""
        actor = self._exchange.accounts.get(_read_basic(request.headers.get("Authorization", ""))[0])
        other = self._exchange.accounts.get(target)
        if actor is None or other is None or actor.sid not in {other.sid, other.parent_sid} or actor.parent_sid:
            raise TwilioFault(21474, "only the parent account moves numbers")

    # -- monitor ---------------------------------------------------------------------------------

    async def _list_alerts(self, request: web.Request) -> web.StreamResponse:
        items: list[Json] = [
            {"error_code": str(alert.code), "alert_text": alert.text, "resource_sid": alert.call_sid}
            for alert in self._exchange.alerts
        ]
        return web.json_response({"alerts": items, "meta": {"key": "alerts", "page": 0, "page_size": len(items)}})


_NUMBER_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "SmsUrl": "sms_url",
    "SmsMethod": "sms_method",
}


def _read_basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise TwilioFault(20003, "Authenticate")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise TwilioFault(20003, "Authenticate") from error
    return user, password


async def _form(request: web.Request) -> MultiDict[str]:
    form: MultiDict[str] = MultiDict()
    for name, value in (await request.post()).items():
        if not isinstance(value, str):
            raise TwilioFault(20001, "file uploads are not parameters")
        form.add(name, value)
    return form


def _not_found(request: web.Request) -> TwilioFault:
    return TwilioFault(20404, f"The requested resource {request.path.removeprefix('/api.twilio.com')} was not found")


def _uri(request: web.Request) -> str:
    return request.path.removeprefix("/api.twilio.com")


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


def _read_recording(params: Mapping[str, str], *, source: str, trim: str) -> RecordingOrder:
    names = {
        "RecordingTrack": "track",
        "Trim": "trim",
        "RecordingStatusCallback": "recordingStatusCallback",
        "RecordingStatusCallbackMethod": "recordingStatusCallbackMethod",
        "RecordingStatusCallbackEvent": "recordingStatusCallbackEvent",
    }
    attributes = {names[name]: value for name, value in params.items() if name in names}
    return read_order(attributes, channels=params.get("RecordingChannels", "mono"), source=source, trim=trim)


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
