"""Twilio's REST API in plain values and frozen dataclasses: calls and recordings. Knows no tenant and no row.

One `TwilioGateway` speaks for one account (gateways.twilio_account). Numbers are in gateways.numbers, accounts in gateways.accounts.
TwiML is built in gateways.twiml, signatures are checked in gateways.signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import IO, Literal
from urllib.parse import urljoin, urlsplit

import requests
from django.conf import settings
from twilio.base import values

from gateways.errors import GatewayError
from gateways.twilio_account import RETRYABLE_STATUSES, TwilioAccount, read_decimal, text_reader
from gateways.twilio_http import CarrierHosts

API_HOST = "https://api.twilio.com"
TERMINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})  # twilio.md §3.5
LARGEST_RECORDING_BYTES = 480_000_000  # 4 h, the carrier's longest (§4.8), of two channels at 8 kHz and 16 bit
CHUNK_BYTES = 65_536
LONGEST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class CarrierCall:
    """A call as the carrier has it (twilio.md §4.2). `price` is positive, or None until the carrier has priced it."""

    sid: str
    status: str
    direction: str
    from_number: str
    to_number: str
    parent_sid: str
    duration_s: int | None
    price: Decimal | None
    price_unit: str
    started_at: datetime | None
    ended_at: datetime | None
    created_at: datetime | None = None
    trunk_sid: str = ""

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class CarrierRecording:
    """A recording's metadata (§4.5); `status` is the carrier's word."""

    sid: str
    call_sid: str
    status: str
    channels: int
    duration_s: int | None
    source: str
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class CarrierAccountInfo:
    sid: str
    name: str
    status: str  # active, suspended, closed


@dataclass(frozen=True, slots=True)
class TwilioGateway(TwilioAccount):
    """The carrier, spoken to as one account. Each method raises GatewayError."""

    # --- calls ------------------------------------------------------------------------------------------------------

    def fetch_call(self, sid: str) -> CarrierCall:
        with self._speaking("fetch call"):
            return _call(self._client.calls(sid).fetch())

    def list_calls(
        self,
        *,
        to_number: str = "",
        status: str = "",
        parent_sid: str = "",
        started_after: datetime | None = None,
        limit: int = 50,
    ) -> list[CarrierCall]:
        """Newest first."""
        with self._speaking("list calls"):
            rows = self._client.calls.list(
                to=to_number or values.unset,
                status=status or values.unset,
                parent_call_sid=parent_sid or values.unset,
                start_time_after=started_after or values.unset,
                limit=limit,
            )
            return [_call(row) for row in rows]

    def update_call(
        self,
        sid: str,
        *,
        twiml: str = "",
        url: str = "",
        status: Literal["", "canceled", "completed"] = "",
        time_limit_s: int | None = None,
        status_callback: str = "",
    ) -> CarrierCall:
        """Change a live call. `twiml` or `url` replaces what runs; a call that is over answers 21220, which is permanent."""
        if twiml and url:
            raise ValueError("twiml and url exclude each other (twilio.md §4.3)")
        with self._speaking("update call"):
            row = self._client.calls(sid).update(
                twiml=twiml or values.unset,
                url=url or values.unset,
                method="POST" if url else values.unset,
                status=status or values.unset,
                time_limit=values.unset if time_limit_s is None else time_limit_s,
                status_callback=status_callback or values.unset,
                status_callback_method="POST" if status_callback else values.unset,
            )
            return _call(row)

    def create_call(
        self,
        *,
        to_number: str,
        from_number: str,
        url: str,
        status_callback: str = "",
        time_limit_s: int = 300,
        timeout_s: int = 30,
    ) -> CarrierCall:
        """Ring somebody. Never repeated on failure: it may ring twice (§0.2)."""
        with self._speaking("create call"):
            row = self._client.calls.create(
                to=to_number,
                from_=from_number,
                url=url,
                method="POST",
                status_callback=status_callback or values.unset,
                status_callback_method="POST" if status_callback else values.unset,
                time_limit=time_limit_s,
                timeout=timeout_s,
            )
            return _call(row)

    # --- recordings -------------------------------------------------------------------------------------------------

    def start_recording(self, call_sid: str, *, status_callback: str) -> CarrierRecording:
        """Record both sides of a live call, one channel each, silence kept so that offsets hold (§4.5)."""
        with self._speaking("start recording"):
            row = self._client.calls(call_sid).recordings.create(
                recording_channels="dual",
                recording_track="both",
                trim="do-not-trim",
                recording_status_callback=status_callback,
                recording_status_callback_method="POST",
                recording_status_callback_event=["in-progress", "completed", "absent"],
            )
            return _recording(row)

    def update_recording(
        self, call_sid: str, recording_sid: str, *, status: Literal["paused", "in-progress", "stopped"]
    ) -> CarrierRecording:
        """Pause (leaving the pause out, §8.2: card data), go on, or stop."""
        with self._speaking("update recording"):
            behaviour = "skip" if status == "paused" else values.unset
            return _recording(
                self._client.calls(call_sid).recordings(recording_sid).update(status=status, pause_behavior=behaviour)
            )

    def stop_recording(self, call_sid: str, recording_sid: str) -> CarrierRecording:
        return self.update_recording(call_sid, recording_sid, status="stopped")

    def fetch_recording(self, sid: str) -> CarrierRecording:
        with self._speaking("fetch recording"):
            return _recording(self._client.recordings(sid).fetch())

    def delete_recording(self, sid: str) -> None:
        """Delete the media at the carrier. A recording that is gone already is deleted (404)."""
        try:
            with self._speaking("delete recording"):
                self._client.recordings(sid).delete()
        except GatewayError as error:
            if error.status != 404:
                raise

    def download_recording(self, sid: str, target: IO[bytes], *, channels: int = 1) -> int:
        """Stream the WAV into `target`; returns its bytes. A 404 right after `completed` is temporary (§8.2)."""
        url = f"{API_HOST}/2010-04-01/Accounts/{self.account_sid}/Recordings/{sid}.wav"
        with self._speaking("download recording"):
            answer = self._get_media(self.hosts.place(url), {"RequestedChannels": str(channels)})
            with answer:
                if answer.status_code != 200:
                    temporary = answer.status_code in {404} | RETRYABLE_STATUSES or answer.status_code >= 500
                    raise GatewayError(
                        f"download recording: HTTP {answer.status_code}",
                        permanent=not temporary,
                        code=str(answer.status_code),
                        status=answer.status_code,
                    )
                size = 0
                for chunk in answer.iter_content(CHUNK_BYTES):
                    size += len(chunk)
                    if size > LARGEST_RECORDING_BYTES:
                        raise GatewayError("download recording: larger than any call of ours", permanent=True)
                    target.write(chunk)
                return size

    def _get_media(self, url: str, params: dict[str, str]) -> requests.Response:
        """Follow redirects by hand: storage must not be shown the account's token (§8.2)."""
        home = urlsplit(url).netloc
        auth: tuple[str, str] | None = (self.account_sid, self.auth_token)
        for _ in range(LONGEST_REDIRECTS):
            answer = self._http.pool.get(
                url, params=params, auth=auth, timeout=self.timeout_s, stream=True, allow_redirects=False
            )
            if not answer.is_redirect:
                return answer
            url = urljoin(url, answer.headers["Location"])
            answer.close()
            params = {}
            if urlsplit(url).netloc != home:
                auth = None
        raise GatewayError("download recording: too many redirects", permanent=False)

    # --- account ----------------------------------------------------------------------------------------------------

    def fetch_account(self) -> CarrierAccountInfo:
        with self._speaking("fetch account"):
            row = self._client.api.accounts(self.account_sid).fetch()
            return CarrierAccountInfo(row.sid or "", row.friendly_name or "", str(row.status or ""))


def open_account(account_sid: str, auth_token: str) -> TwilioGateway:
    """The gateway of one account, with the hosts and limits of the settings."""
    return TwilioGateway(
        account_sid,
        auth_token,
        configured_hosts(),
        settings.TWILIO_TIMEOUT_S,
    )


def configured_hosts() -> CarrierHosts:
    """Where the settings say the carrier is."""
    return CarrierHosts(settings.TWILIO_API_BASE_URL, settings.TWILIO_HOSTS)


def _call(row: object) -> CarrierCall:
    get = text_reader(row)
    return CarrierCall(
        sid=get("sid"),
        status=get("status"),
        direction=get("direction"),
        from_number=get("_from"),  # the SDK's spelling: `from` is a keyword
        to_number=get("to"),
        parent_sid=get("parent_call_sid"),
        duration_s=_whole(get("duration")),
        price=_price(get("price")),
        price_unit=get("price_unit").upper(),
        started_at=_moment(row, "start_time"),
        ended_at=_moment(row, "end_time"),
        created_at=_moment(row, "date_created"),
        trunk_sid=get("trunk_sid"),
    )


def _recording(row: object) -> CarrierRecording:
    get = text_reader(row)
    return CarrierRecording(
        sid=get("sid"),
        call_sid=get("call_sid"),
        status=get("status"),
        channels=_whole(get("channels")) or 1,
        duration_s=_whole(get("duration")),
        source=get("source"),
        started_at=_moment(row, "start_time"),
    )


def _moment(row: object, name: str) -> datetime | None:
    value = getattr(row, name, None)
    return value if isinstance(value, datetime) else None


def _whole(text: str) -> int | None:
    """Unknown and the carrier's -1 (a recording that still runs) are None."""
    return int(text) if text.isdigit() else None


def _price(text: str) -> Decimal | None:
    """The carrier writes costs as negative numbers (§4.2)."""
    price = read_decimal(text)
    return None if price is None else abs(price)
