"""Resources as Twilio writes them: snake_case, numbers as strings, RFC 2822 dates (twilio.md §0.2, §4.2, §4.5, §5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from emulators.twilio.call import Call
from emulators.twilio.exchange import API_VERSION
from emulators.twilio.media_stream import MediaStream
from emulators.twilio.recording import Recording
from emulators.twilio.values import Account, LogEntry, Number, rfc2822

Json = dict[str, object]
DEFAULT_PAGE_SIZE = 50  # §0.2


def show_account(account: Account) -> Json:
    uri = f"/{API_VERSION}/Accounts/{account.sid}"
    return {
        "sid": account.sid,
        "auth_token": account.auth_token,
        "friendly_name": account.friendly_name,
        "owner_account_sid": account.parent_sid or account.sid,
        "status": account.status,
        "type": "Full",
        "date_created": rfc2822(account.created),
        "date_updated": rfc2822(account.created),
        "uri": f"{uri}.json",
        "subresource_uris": {
            "calls": f"{uri}/Calls.json",
            "incoming_phone_numbers": f"{uri}/IncomingPhoneNumbers.json",
            "recordings": f"{uri}/Recordings.json",
        },
    }


def show_call(call: Call) -> Json:
    uri = f"/{API_VERSION}/Accounts/{call.account.sid}/Calls/{call.sid}"
    return {
        "sid": call.sid,
        "parent_call_sid": call.parent.sid if call.parent else None,
        "account_sid": call.account.sid,
        "to": call.to,
        "to_formatted": call.to,
        "from": call.from_,
        "from_formatted": call.from_,
        "phone_number_sid": call.number.sid if call.number else None,
        "status": str(call.status),
        "start_time": rfc2822(call.start_time),
        "end_time": rfc2822(call.end_time),
        "duration": None if call.duration_s is None and not call.over else str(call.duration_s or 0),
        "price": call.price,
        "price_unit": "USD",
        "direction": call.direction,
        "answered_by": call.answered_by,
        "api_version": API_VERSION,
        "annotation": None,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": str(call.queue_ms),
        "trunk_sid": None,
        "date_created": rfc2822(call.created),
        "date_updated": rfc2822(call.updated),
        "uri": f"{uri}.json",
        "subresource_uris": {
            "recordings": f"{uri}/Recordings.json",
            "streams": f"{uri}/Streams.json",
            "events": f"{uri}/Events.json",
        },
    }


def show_recording(recording: Recording) -> Json:
    account, call = recording.call.account, recording.call
    uri = f"/{API_VERSION}/Accounts/{account.sid}/Recordings/{recording.sid}"
    return {
        "sid": recording.sid,
        "account_sid": account.sid,
        "call_sid": call.sid,
        "conference_sid": None,
        "api_version": API_VERSION,
        "channels": recording.order.channels,
        "duration": "-1" if recording.ended is None else str(recording.duration_s),
        "start_time": rfc2822(recording.start_time),
        "date_created": rfc2822(recording.created),
        "date_updated": rfc2822(recording.updated),
        "price": None,
        "price_unit": "USD",
        "source": recording.order.source,
        "status": recording.status,
        "track": recording.order.track,
        "error_code": None,
        "encryption_details": None,
        "media_url": recording.url,
        "uri": f"{uri}.json",
        "subresource_uris": {},
    }


def show_stream(stream: MediaStream) -> Json:
    call = stream.call
    return {
        "sid": stream.sid,
        "account_sid": call.account.sid,
        "call_sid": call.sid,
        "name": stream.name,
        "status": "in-progress" if stream.running else "stopped",
        "date_updated": rfc2822(call.exchange.clock.utc()),
        "uri": f"/{API_VERSION}/Accounts/{call.account.sid}/Calls/{call.sid}/Streams/{stream.sid}.json",
    }


def show_number(number: Number) -> Json:
    return {
        "sid": number.sid,
        "account_sid": number.account_sid,
        "phone_number": number.e164,
        "friendly_name": number.friendly_name or number.e164,
        "api_version": API_VERSION,
        "capabilities": {name: name in number.capabilities for name in ("voice", "sms", "mms", "fax")},
        "address_requirements": number.address_requirements,
        "address_sid": number.address_sid or None,
        "bundle_sid": number.bundle_sid or None,
        "identity_sid": None,
        "beta": False,
        "origin": "twilio",
        "status": "in-use",
        "type": number.number_type,
        "emergency_status": "Active" if number.emergency_active else "Inactive",
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "trunk_sid": number.trunk_sid or None,
        "voice_application_sid": number.voice_application_sid or None,
        "voice_url": number.voice_url,
        "voice_method": number.voice_method,
        "voice_fallback_url": number.voice_fallback_url,
        "voice_fallback_method": number.voice_fallback_method,
        "voice_caller_id_lookup": number.voice_caller_id_lookup,
        "voice_receive_mode": "voice",
        "status_callback": number.status_callback,
        "status_callback_method": number.status_callback_method,
        "sms_url": number.sms_url,
        "sms_method": number.sms_method,
        "sms_fallback_url": "",
        "sms_fallback_method": "POST",
        "sms_application_sid": "",
        "date_created": rfc2822(number.created),
        "date_updated": rfc2822(number.updated),
        "uri": f"/{API_VERSION}/Accounts/{number.account_sid}/IncomingPhoneNumbers/{number.sid}.json",
        "subresource_uris": {},
    }


def show_event(entry: LogEntry) -> Json:
    """§4.6: one webhook as the call's Events list tells it."""
    detail = entry.detail
    return {
        "request": {"method": detail["method"], "url": detail["url"], "parameters": detail["params"]},
        "response": {
            "response_code": detail.get("status"),
            "request_duration": detail["took_ms"],
            "content_type": detail.get("content_type"),
            "response_body": detail.get("body", detail.get("error")),
        },
    }


def show_page(name: str, items: Sequence[Json], *, path: str, params: Mapping[str, str]) -> Json:
    """§0.2: the page of a v2010 list."""
    size, page = int(params.get("PageSize", DEFAULT_PAGE_SIZE)), int(params.get("Page", 0))
    filters = {key: value for key, value in params.items() if key not in {"PageSize", "Page", "PageToken"}}
    start = page * size
    shown = items[start : start + size]

    def uri(number: int) -> str:
        return f"{path}?{urlencode({**filters, 'PageSize': size, 'Page': number})}"

    return {
        name: list(shown),
        "page": page,
        "page_size": size,
        "first_page_uri": uri(0),
        "next_page_uri": uri(page + 1) if start + size < len(items) else None,
        "previous_page_uri": uri(page - 1) if page else None,
        "uri": uri(page),
        "start": start,
        "end": max(start, start + len(shown) - 1),
    }
