"""The hops beyond us: public address and TLS, signed webhooks, socket upgrades, the model vendor, the carrier's accounts and numbers.

Asks and compares; changes nothing anywhere.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from agents.models import Agent
from calls.models import Route
from calls.services.addresses import fallback_url, media_url, number_status_url, voice_url
from config.doctor.result import Finding, failed, ok, warning
from gateways.errors import GatewayError
from gateways.numbers import open_numbers
from gateways.signatures import make_signature
from gateways.telephony import open_account
from gateways.voice_model import list_models
from tenants.models import CarrierAccount
from tenants.scope import every_tenant

TIMEOUT_SECONDS = 10.0
CERTIFICATE_DAYS = 14  # renewal of short-lived certificates happens well before this
WEBHOOK_SECONDS = 1.0  # twilio.md §3.2: aim for less, the caller hears silence
NOBODY = "0" * 32


def check_public_url() -> Iterator[Finding]:
    """The address the carrier calls answers, from here, under the very name it was given."""
    for name, base in {"public URL": settings.PUBLIC_BASE_URL, "media URL": settings.MEDIA_BASE_URL}.items():
        began = time.perf_counter()
        try:
            answer = httpx.get(f"{base}/healthz", timeout=TIMEOUT_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            yield failed(
                name,
                f"{base}: {error or type(error).__name__}",
                mend="start the web and media processes; check DNS, port and proxy",
            )
            continue
        took_ms = (time.perf_counter() - began) * 1000
        if answer.status_code == 200:
            yield ok(name, f"{base} answers in {took_ms:.0f} ms")
        else:
            yield failed(
                name, f"{base}/healthz answers {answer.status_code}", mend="route this address to the product unchanged"
            )
        if base.startswith("https://"):
            yield _check_certificate(base)


def _check_certificate(base: str) -> Finding:
    parts = urlsplit(base)
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 443), timeout=TIMEOUT_SECONDS) as raw,
            ssl.create_default_context().wrap_socket(raw, server_hostname=parts.hostname) as wrapped,
        ):
            certificate = wrapped.getpeercert() or {}
    except OSError as error:
        return failed(
            "TLS",
            f"{parts.hostname}: {error}",
            mend="serve the whole certificate chain for this name (Twilio error 31910)",
        )
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), tz=UTC)
    days = (ends - datetime.now(tz=UTC)).days
    if days < CERTIFICATE_DAYS:
        return warning("TLS", f"{parts.hostname} expires in {days} days", mend="renew the certificate")
    return ok("TLS", f"{parts.hostname} is valid for {days} days")


def check_webhooks() -> Iterator[Finding]:
    """A signed request goes through and a forged one does not: the proxy hands our URL on unchanged (twilio.md §3.4)."""
    route = _any_route()
    if route is None:
        yield warning("webhook signature", "no number to try it with", mend="provision a tenant with a number")
        return
    # A status of a call that nobody knows: a genuine one is answered 204 and changes nothing.
    url = number_status_url(route.public_id)
    form = {"AccountSid": route.number.account.account_sid, "CallSid": f"CA{NOBODY}", "CallStatus": "completed"}
    signature = make_signature(url.partition("#")[0], form, route.number.account.auth_token)
    for name, given, wanted in (("webhook signature", signature, 204), ("forged signature", "forged", 403)):
        began = time.perf_counter()
        try:
            answer = httpx.post(
                url.partition("#")[0],
                data=form,
                headers={"X-Twilio-Signature": given},
                timeout=TIMEOUT_SECONDS,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            yield failed(name, str(error) or type(error).__name__, mend="see the public URL check")
            continue
        took = time.perf_counter() - began
        if answer.status_code != wanted:
            mend = "PUBLIC_BASE_URL must be exactly what the carrier is given: scheme, host, port and path"
            yield failed(name, f"answered {answer.status_code} instead of {wanted}", mend=mend)
        elif took > WEBHOOK_SECONDS:
            yield warning(
                name,
                f"took {took * 1000:.0f} ms",
                mend="the caller hears silence meanwhile: look at the database and the load",
            )
        else:
            yield ok(name, f"{'accepted' if wanted == 204 else 'refused'} in {took * 1000:.0f} ms")


def check_socket() -> Iterator[Finding]:
    """The media address upgrades to a WebSocket as far as our refusal: 403 comes from us, anything else from a proxy."""
    route = _any_route()
    if route is None:
        yield warning("socket upgrade", "no number to try it with", mend="provision a tenant with a number")
        return
    url = media_url("doctor", NOBODY)
    try:
        connect(
            url, open_timeout=TIMEOUT_SECONDS, additional_headers={"X-Twilio-Signature": "forged"}, proxy=None
        ).close()
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 403:
            yield ok("socket upgrade", f"{url} reaches us, and a forged handshake is refused")
        else:
            yield failed(
                "socket upgrade",
                f"{url} answered {status}",
                mend="let the proxy pass WebSocket upgrades to the media process",
            )
    except (OSError, WebSocketException) as error:
        yield failed(
            "socket upgrade", f"{url}: {error}", mend="start the media process; let the proxy pass WebSocket upgrades"
        )
    else:
        yield failed(
            "socket upgrade",
            f"{url} accepted a forged handshake",
            mend="something else answers there: check MEDIA_BASE_URL",
        )


def check_model() -> Iterator[Finding]:
    """The key works, and every published agent's model is there, with its announced end."""
    if not settings.OPENAI_API_KEY:
        yield failed("model key", "OPENAI_API_KEY is not set", mend="set it, or OPENAI_API_KEY_FILE")
        return
    began = time.perf_counter()
    try:
        listed = {model.id: model for model in list_models()}
    except GatewayError as error:
        yield failed("model key", str(error), mend="check OPENAI_API_KEY, OPENAI_PROJECT and OPENAI_BASE_URL")
        return
    yield ok("model key", f"{len(listed)} models listed in {(time.perf_counter() - began) * 1000:.0f} ms")
    with every_tenant(reason="the doctor checks the models that any tenant's published agents use"):
        agents = list(Agent.objects.filter(published__isnull=False).select_related("published"))
    for model in sorted({agent.published.to_spec().realtime.model for agent in agents if agent.published}):
        if model not in listed:
            yield failed(
                "model name",
                f"{model} is not offered to this key",
                mend="choose another model in the agent and publish",
            )
        elif date := listed[model].shutdown_date:
            yield warning(
                "model name", f"{model} shuts down on {date}", mend="choose its successor in the agent and publish"
            )
        else:
            yield ok("model name", f"{model} is available")


def check_carrier() -> Iterator[Finding]:
    """Each tenant's account accepts our token, and each number still points at us (drift)."""
    with every_tenant(reason="the doctor checks every tenant's carrier account and numbers"):
        accounts = list(CarrierAccount.objects.select_related("tenant").order_by("tenant__slug"))
        routes = list(Route.objects.select_related("number__account", "number__tenant").order_by("number__e164"))
    if not accounts:
        yield warning(
            "carrier account", "no tenant has one", mend="provision a tenant with twilio: {account_sid, auth_token}"
        )
    good = set()
    for account in accounts:
        name = f"carrier account {account.tenant.slug}"
        try:
            info = open_account(account.account_sid, account.auth_token).fetch_account()
        except GatewayError as error:
            yield failed(name, str(error), mend="check account_sid and auth_token of this tenant")
            continue
        if info.status == "active":
            good.add(account.pk)
            yield ok(name, f"{info.sid} is active")
        else:
            yield failed(name, f"{info.sid} is {info.status}", mend="reactivate the account at the carrier")
    for route in routes:
        if route.number.account_id in good and route.number.carrier_sid:
            yield from _check_number(route)


def _check_number(route: Route) -> Iterator[Finding]:
    name = f"number {route.number.e164}"
    account = route.number.account
    try:
        number = open_numbers(account.account_sid, account.auth_token).fetch_number(route.number.carrier_sid)
    except GatewayError as error:
        yield failed(name, str(error), mend="check the number's sid; it may have been released")
        return
    wanted = {
        "voice_url": voice_url(route.public_id),
        "voice_fallback_url": fallback_url(route.public_id),
        "status_callback": number_status_url(route.public_id),
    }
    wrong = [field for field, url in wanted.items() if getattr(number, field) != url]
    if number.trunk_sid or number.voice_application_sid:
        yield failed(
            name, "a trunk or application overrides its voice URL", mend="remove it from the number at the carrier"
        )
    elif wrong:
        mend = "; ".join(f"set {field} to {wanted[field]}" for field in wrong)
        yield failed(name, f"{', '.join(wrong)} differs at the carrier", mend=mend)
    else:
        yield ok(name, "the carrier's configuration is ours")


def _any_route() -> Route | None:
    with every_tenant(reason="the doctor tries webhooks with any tenant's number"):
        return Route.objects.select_related("number__account").filter(number__state="active").order_by("id").first()
