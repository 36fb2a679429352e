"""The carrier's webhooks: each checks who asks, calls one service and renders its answer."""

from __future__ import annotations

import uuid

import structlog
from django.http import HttpRequest, HttpResponse

from calls.models import Route
from calls.selectors import (
    find_account,
    find_account_by_ref,
    find_call_by_sid,
    find_route,
    find_route_of,
    find_trunk,
)
from calls.services import addresses, opening
from calls.services.carrier_request import CarrierRequest
from calls.services.legs import note_call_status, note_person_status, note_stream_status
from calls.services.notes import tell_operator
from calls.services.people import end_dial, end_voicemail
from calls.services.recordings import note_recording
from calls.services.resuming import resume_call
from calls.services.sip_ends import end_sip_dial, recover_trunk_call
from calls.webhooks.documents import HOLD_QUERY, MOST_HOLDS, render_answer, render_farewell, render_hold
from calls.webhooks.door import (
    Checked,
    Refused,
    about_call,
    check_carrier,
    check_signature_of,
    guarded,
    read_form,
    twiml,
)
from tenants.carrier import hold_for_spending
from tenants.scope import tenant_scope


def _voice(request: HttpRequest, public_id: str) -> HttpResponse:
    """A call comes in."""
    return _open(request, public_id, is_fallback=False)


def _fallback(request: HttpRequest, public_id: str) -> HttpResponse:
    """The carrier could not get or run what the voice address answered (twilio.md §3.3)."""
    return _open(request, public_id, is_fallback=True)


@guarded
def number_status(request: HttpRequest, public_id: str) -> HttpResponse:
    """The number's own status callback: a call on it has ended."""
    form = read_form(request)
    route = find_route(public_id)
    carrier_request = _check(request, form, route)
    if route is None:
        raise Refused(404, "unknown number")
    structlog.contextvars.bind_contextvars(tenant_id=str(route.tenant_id))
    with tenant_scope(route.tenant):
        call = find_call_by_sid(carrier_request.call_sid)
        if call is not None:
            structlog.contextvars.bind_contextvars(call_id=str(call.pk))
            note_call_status(call.pk, carrier_request)
    return twiml("")


def _resume(checked: Checked) -> str:
    """What runs after `<Connect>`."""
    return render_answer(resume_call(checked.call.pk, checked.request), checked.ref)


def _dial(checked: Checked) -> str:
    """A `<Dial>` has ended."""
    return render_answer(end_dial(checked.call.pk, checked.request), checked.ref)


def _sip(checked: Checked) -> str:
    """The SIP leg to the model has ended."""
    return render_answer(end_sip_dial(checked.call.pk, checked.request), checked.ref)


@about_call
def refer(checked: Checked) -> str:
    """The model's side asked the carrier to move the caller. We move calls ourselves, so the caller goes where the record says."""
    tell_operator(
        "refer_refused", call_id=str(checked.call.pk), target=checked.request.get("ReferTransferTarget")[:120]
    )
    return render_answer(resume_call(checked.call.pk, checked.request), checked.ref)


def _trunk(request: HttpRequest, public_id: str) -> HttpResponse:
    """No origination address of a trunk took the call: it is an ordinary call from here on (twilio.md §7.3)."""
    form = read_form(request)
    found = find_trunk(public_id)
    account = found.account if found else find_account("".join(form.get("AccountSid", [])[:1]))
    carrier_request = check_carrier(request, form, account, about="trunk")
    if found is None:
        raise Refused(404, "unknown trunk")
    with tenant_scope(found.tenant):
        route = find_route_of(carrier_request.to_number, found.account)
        if route is None:
            tell_operator("unknown_number", account_sid=carrier_request.account_sid, to=carrier_request.to_number)
            return _render(opening.refuse_unknown_number())
        return _render(recover_trunk_call(route, carrier_request))


def _voicemail(checked: Checked) -> str:
    """A `<Record>` has ended."""
    return render_answer(end_voicemail(checked.call.pk, checked.request), checked.ref)


@about_call
def stream_status(checked: Checked) -> str:
    note_stream_status(checked.call.pk, checked.request)
    return ""


@about_call
def leg_status(checked: Checked) -> str:
    """Status of a person's leg, or of the call itself when we asked for it by REST."""
    if checked.request.call_sid == checked.call.carrier_sid:
        note_call_status(checked.call.pk, checked.request)
    else:
        note_person_status(checked.call.pk, checked.request)
    return ""


@about_call
def recording(checked: Checked) -> str:
    note_recording(checked.call.pk, checked.request)
    return ""


@guarded
def spend(request: HttpRequest, account_ref: str) -> HttpResponse:
    """A usage trigger fired: the trial has spent its cap (twilio.md §6.3)."""
    form = read_form(request)
    account = find_account_by_ref(account_ref)
    check_signature_of(request, form, account, about="spend")
    if account is None:
        raise Refused(404, "unknown account")
    structlog.contextvars.bind_contextvars(tenant_id=str(account.tenant_id))
    with tenant_scope(account.tenant):
        hold_for_spending(account, spent="".join(form.get("CurrentValue", [])[:1])[:32])
    return twiml("")


def _open(request: HttpRequest, public_id: str, *, is_fallback: bool) -> HttpResponse:
    form = read_form(request)
    route = find_route(public_id)
    carrier_request = _check(request, form, route)
    if route is None or not opening.is_in_service(route, carrier_request):
        tell_operator(
            "unknown_number",
            account_sid=carrier_request.account_sid,
            to=carrier_request.to_number,
            call_sid=carrier_request.call_sid,
        )
        return _render(opening.refuse_unknown_number())
    structlog.contextvars.bind_contextvars(tenant_id=str(route.tenant_id))
    with tenant_scope(route.tenant):
        try:
            opened = opening.open_call(route, carrier_request, is_fallback=is_fallback)
        except opening.CallTaken:
            tell_operator("call_taken", account_sid=carrier_request.account_sid, call_sid=carrier_request.call_sid)
            raise Refused(409, "call of another tenant") from None
    if opened.ref:
        structlog.contextvars.bind_contextvars(call_id=str(uuid.UUID(hex=opened.ref)))
    return _render(opened)


def _check(request: HttpRequest, form: dict[str, list[str]], route: Route | None) -> CarrierRequest:
    """An address nobody has here can still come from an account we know: a released number, a wrong configuration."""
    account = route.number.account if route else find_account("".join(form.get("AccountSid", [])[:1]))
    return check_carrier(request, form, account, about="number")


def _render(opened: opening.Opened) -> HttpResponse:
    return twiml(render_answer(opened.answer, opened.ref))


def _hold(request: HttpRequest) -> str:
    """Ask the same address again."""
    return _hold_at(request, request.path.removeprefix(addresses.HOOKS))


def _hold_at_resume(request: HttpRequest) -> str:
    """What the action said is lost on the way; the resume address decides from what is on record."""
    ref = request.path.rstrip("/").rpartition("/")[2]
    return _hold_at(request, f"/resume/{ref}/")


def _hold_at(request: HttpRequest, path: str) -> str:
    text = request.GET.get(HOLD_QUERY, "0")
    holds = int(text) if text.isascii() and text.isdigit() and len(text) < 3 else MOST_HOLDS
    return render_hold(addresses.hook_url(path), holds=holds)


voice = guarded(_voice, hold=_hold)
fallback = guarded(_fallback, hold=_hold)
resume = about_call(_resume, hold=_hold)
dial = about_call(_dial, hold=_hold_at_resume)
sip = about_call(_sip, hold=_hold_at_resume)
trunk = guarded(_trunk, hold=_hold)
voicemail = about_call(_voicemail, hold=lambda _request: render_farewell())
