"""The door of every carrier webhook: bounded body, signature of the account that owns the call, then the tenant's scope. Nothing before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from calls.models import Call
from calls.selectors import find_account, find_call
from calls.services.carrier_request import CarrierRequest, MalformedRequest, read_request
from calls.services.notes import tell_operator
from gateways.signatures import HEADER, check_signature
from gateways.twiml import CONTENT_TYPE
from tenants.models import CarrierAccount
from tenants.scope import tenant_scope

log = structlog.get_logger(__name__)

LARGEST_BODY = 65_536  # the carrier's forms are below 4 kB; passports and forwarded headers may grow them
IDEMPOTENCY_HEADER = "I-Twilio-Idempotency-Token"  # the same across retries of one webhook (twilio.md §3.3)


class Refused(Exception):
    """The request is not the carrier's, or not readable. Answered with `status`, nothing was created."""

    permanent = True

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Checked:
    """A genuine request about one call, its tenant in scope."""

    request: CarrierRequest
    call: Call
    ref: str


def read_form(request: HttpRequest) -> dict[str, list[str]]:
    """The form as signed. Raises Refused for another method, or a body that is too large."""
    if request.method != "POST":
        raise Refused(405, "method")
    try:
        if int(request.headers.get("Content-Length") or 0) > LARGEST_BODY or len(request.body) > LARGEST_BODY:
            raise Refused(413, "body too large")
        return {name: [str(value) for value in values] for name, values in request.POST.lists()}
    except (RequestDataTooBig, SuspiciousOperation, ValueError):
        raise Refused(413, "body too large") from None


def check_carrier(
    request: HttpRequest, form: dict[str, list[str]], account: CarrierAccount | None, *, about: str
) -> CarrierRequest:
    """As `check_signature_of`, and the form as a call's request. Raises Refused."""
    fields = check_signature_of(request, form, account, about=about)
    try:
        return read_request(fields, token=request.headers.get(IDEMPOTENCY_HEADER, ""))
    except MalformedRequest as error:
        raise Refused(400, str(error)) from None


def check_signature_of(
    request: HttpRequest, form: dict[str, list[str]], account: CarrierAccount | None, *, about: str
) -> dict[str, str]:
    """Raises Refused unless one of the account's tokens signed exactly this, and the body names the same account."""
    url = f"{settings.PUBLIC_BASE_URL}{request.get_full_path()}"  # never from headers (twilio.md §1.3)
    signature = request.headers.get(HEADER, "")
    if account is None or not check_signature(url, form, signature, account.tokens):
        kind = "signature_missing" if not signature else "signature_forged"
        tell_operator(kind, about=about, path=request.path[:120], known_account=account is not None)
        raise Refused(403, kind)
    fields = {name: values[-1] for name, values in form.items() if values}
    if fields.get("AccountSid") != account.account_sid:
        tell_operator("account_mismatch", about=about, path=request.path[:120])
        raise Refused(403, "account_mismatch")
    return fields


def guarded(
    view: Callable[[HttpRequest, str], HttpResponse], *, hold: Callable[[HttpRequest], str] | None = None
) -> Callable[[HttpRequest, str], HttpResponse]:
    """Turns Refused into its plain answer. The reason goes to the log, not to the stranger.

    `hold` makes the document for a time without database, when nobody can be told from anybody: it must say and change nothing.
    """

    def answer(request: HttpRequest, name: str) -> HttpResponse:
        try:
            return view(request, name)
        except (OperationalError, InterfaceError) as error:
            log.error(
                "webhook_without_database", path=request.path[:120], error=f"{type(error).__name__}: {error}"[:300]
            )
            if hold is None or request.method != "POST":
                return HttpResponse(status=503)  # a callback: the carrier repeats it (twilio.md §3.3, rp=all)
            return twiml(hold(request))
        except Refused as refused:
            log.info("webhook_refused", status=refused.status, reason=refused.reason, path=request.path[:120])
            if refused.status == 405:
                return HttpResponseNotAllowed(["POST"])
            return HttpResponse(status=refused.status, content_type="text/plain")

    answer.csrf_exempt = True  # type: ignore[attr-defined]  # what Django's middleware reads; the signature is the guard
    answer.__name__ = view.__name__
    return answer


def about_call(
    view: Callable[[Checked], str], *, hold: Callable[[HttpRequest], str] | None = None
) -> Callable[[HttpRequest, str], HttpResponse]:
    """A webhook whose address names a call: `view` runs inside the tenant's scope and returns TwiML, or nothing for a callback."""

    def answer(request: HttpRequest, name: str) -> HttpResponse:
        form = read_form(request)
        found = find_call(name)
        account = found[1] if found else find_account(_first(form, "AccountSid"))
        carrier_request = check_carrier(request, form, account, about="call")
        if found is None:
            raise Refused(404, "unknown call")  # genuine, and about nothing we know
        call = found[0]
        structlog.contextvars.bind_contextvars(tenant_id=str(call.tenant_id), call_id=str(call.pk))
        with tenant_scope(call.tenant):
            return twiml(view(Checked(carrier_request, call, name)))

    answer.__name__ = view.__name__
    return guarded(answer, hold=hold)


def twiml(text: str) -> HttpResponse:
    """A document, or the empty answer that callbacks get."""
    if not text:
        return HttpResponse(status=204)
    return HttpResponse(text, content_type=CONTENT_TYPE)


def _first(form: dict[str, list[str]], name: str) -> str:
    return next(iter(form.get(name, [])), "")
