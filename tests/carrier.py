"""A carrier for tests: signs requests as Twilio does and sends them through Django's client, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from calls.models import Call, Route
from calls.services import addresses
from gateways.signatures import make_signature
from tests.factories import AUTH_TOKEN, make_sid

FORM = "application/x-www-form-urlencoded"  # twilio.md §3.1


@dataclass
class TestCarrier:
    """One account's side of the wire."""

    __test__ = False

    account_sid: str
    auth_token: str = AUTH_TOKEN
    client: Client = field(default_factory=lambda: Client(enforce_csrf_checks=True))

    def post(
        self,
        url: str,
        form: Mapping[str, Any],
        *,
        token: str = "",
        signature: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """POST a signed form to one of our addresses, fragment cut off as the carrier does."""
        signed = url.split("#")[0]
        if signature is None:
            signature = make_signature(signed, form, self.auth_token)
        sent = {"X-Twilio-Signature": signature, **(headers or {})}
        if token:
            sent["I-Twilio-Idempotency-Token"] = token
        parts = urlsplit(signed)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return self.client.post(
            path,
            urlencode(form, doseq=True),
            content_type=FORM,
            headers={key: text for key, text in sent.items() if text},
        )  # type: ignore[return-value]

    def call_form(self, *, to: str, call_sid: str = "", **extra: str) -> dict[str, str]:
        """The first webhook of an inbound call, as captured (twilio.md §3.1)."""
        return {
            "ApiVersion": "2010-04-01",
            "AccountSid": self.account_sid,
            "CallSid": call_sid or make_sid("CA"),
            "CallStatus": "ringing",
            "Direction": "inbound",
            "From": "+15557654321",
            "Caller": "+15557654321",
            "FromCountry": "US",
            "To": to,
            "Called": to,
            "StirVerstat": "TN-Validation-Passed-A",
            **extra,
        }

    def about(self, call: Call, status: str = "in-progress", **extra: str) -> dict[str, str]:
        """A later request about the same call."""
        form = self.call_form(to=call.to_number, call_sid=call.carrier_sid)
        return {**form, "CallStatus": status, **extra}

    def ring(self, route: Route, *, token: str = "", **extra: str) -> HttpResponse:
        form = {**self.call_form(to=route.number.e164), **extra}
        return self.post(addresses.voice_url(route.public_id), form, token=token)


def read_document(response: HttpResponse) -> ElementTree.Element:
    """The TwiML of an answer."""
    assert response.status_code == 200, response.status_code
    assert response["Content-Type"].startswith("text/xml")
    return ElementTree.fromstring(response.content)  # noqa: S314 # our own document


def verbs(response: HttpResponse) -> list[str]:
    return [verb.tag for verb in read_document(response)]


def ticket_of(response: HttpResponse) -> str:
    parameter = read_document(response).find("Connect/Stream/Parameter")
    assert parameter is not None
    assert parameter.get("name") == "ticket"
    return parameter.get("value") or ""


def public(path: str) -> str:
    return f"{settings.PUBLIC_BASE_URL}{path}"
