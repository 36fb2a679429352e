"""Recordings over REST: of live calls, their metadata, their media (twilio.md §4.5, §8.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from emulators.twilio import rest_params as tables
from emulators.twilio.recording import Recording, RecordingOrder, begin_recording, read_order
from emulators.twilio.rest_door import ACCOUNT_PATH, Door, not_found, read_form, refuse, show_uri
from emulators.twilio.rest_params import check_params
from emulators.twilio.rest_views import show_page, show_recording
from emulators.twilio.values import TwilioFault

_WAV_ONLY = "this double keeps WAV only"


class RecordingsApi:
    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        of_call, guard = f"{ACCOUNT_PATH}/Calls/{{call}}/Recordings", self._door.guard
        root = f"{ACCOUNT_PATH}/Recordings"
        return [
            web.get(f"{of_call}.json", guard(self._list_recordings)),
            web.post(f"{of_call}.json", guard(self._create_recording)),
            web.get(f"{of_call}/{{recording}}.json", guard(self._show_recording)),
            web.post(f"{of_call}/{{recording}}.json", guard(self._update_recording)),
            web.delete(f"{of_call}/{{recording}}.json", guard(self._delete_recording)),
            web.get(f"{root}.json", guard(self._list_recordings)),
            web.get(f"{root}/{{recording}}.json", guard(self._show_recording)),
            web.delete(f"{root}/{{recording}}.json", guard(self._delete_recording)),
            web.get(f"{root}/{{recording}}.wav", self._serve_media),
            web.get(f"{root}/{{recording}}.mp3", self._serve_media),
            web.get(f"{root}/{{recording}}", self._serve_media),
        ]

    async def _create_recording(self, request: web.Request) -> web.StreamResponse:
        call = self._door.find_call(request)
        params = check_params(await read_form(request), tables.CREATE_RECORDING)
        if not call.live:
            raise TwilioFault(21220, "Requested resource is not eligible for recording: the call is not in-progress")
        order = read_recording_order(params, source="StartCallRecordingAPI", trim="do-not-trim")  # §4.5
        return web.json_response(show_recording(begin_recording(call, order)), status=201)

    def _recording(self, request: web.Request) -> Recording:
        wanted = request.match_info["recording"]
        if wanted == "Twilio.CURRENT":
            running = [recording for recording in self._door.find_call(request).recordings if recording.running]
            if running:
                return running[-1]
            raise not_found(request)
        recording = self._door.exchange.recordings.get(wanted)
        if recording is None or recording.call.account is not self._door.find_account(request):
            raise not_found(request)
        if "call" in request.match_info and recording.call is not self._door.find_call(request):
            raise not_found(request)
        return recording

    async def _update_recording(self, request: web.Request) -> web.StreamResponse:
        recording = self._recording(request)
        params = check_params(await read_form(request), tables.UPDATE_RECORDING)
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
        account = self._door.find_account(request)
        params = check_params(request.query, tables.LIST_RECORDINGS, paged=True)
        call_sid = request.match_info.get("call") or params.get("CallSid")
        items = [
            show_recording(recording)
            for recording in reversed(self._door.exchange.recordings.values())
            if recording.call.account is account and call_sid in {None, recording.call.sid}
        ]
        return web.json_response(show_page("recordings", items, path=show_uri(request), params=params))

    async def _delete_recording(self, request: web.Request) -> web.StreamResponse:
        recording = self._recording(request)
        if recording.running:
            raise TwilioFault(20409, "a running recording cannot be deleted")
        recording.delete()
        return web.Response(status=204)

    async def _serve_media(self, request: web.Request) -> web.StreamResponse:
        """§8.2. Without an extension it is the WAV; an MP3 is refused (deviation)."""
        try:
            if self._door.exchange.config.media_needs_auth:
                self._door.check_credentials(request)
            recording = self._recording(request)
            if not recording.media_ready:
                raise not_found(request)
        except TwilioFault as fault:
            return refuse(fault)
        if request.path.endswith(".mp3"):
            return web.Response(status=415, text=_WAV_ONLY)
        wanted = request.query.get("RequestedChannels", str(recording.order.channels))
        if wanted not in {"1", "2"} or (wanted == "2" and recording.order.channels == 1):
            return refuse(TwilioFault(20001, f"RequestedChannels={wanted!r}"))
        media = await asyncio.to_thread(recording.make_media, channels=int(wanted))
        return web.Response(body=media, content_type="audio/x-wav")


def read_recording_order(params: Mapping[str, str], *, source: str, trim: str) -> RecordingOrder:
    names = {
        "RecordingTrack": "track",
        "Trim": "trim",
        "RecordingStatusCallback": "recordingStatusCallback",
        "RecordingStatusCallbackMethod": "recordingStatusCallbackMethod",
        "RecordingStatusCallbackEvent": "recordingStatusCallbackEvent",
    }
    attributes = {names[name]: value for name, value in params.items() if name in names}
    return read_order(attributes, channels=params.get("RecordingChannels", "mono"), source=source, trim=trim)
