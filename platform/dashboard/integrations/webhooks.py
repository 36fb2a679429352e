"""Integrations: webhooks out. Endpoints, their log with bodies, test, replay, and secrets that are shown once; parses and renders."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from calls.models import WebhookEndpoint
from calls.models.outbox import MAX_URL_CHARS
from calls.readouts import outbox as readout
from calls.services import outbox
from calls.vocabulary import DeliveryState, HookEvent
from dashboard.doors import tenant_act, tenant_form, tenant_screen
from tenants.middleware import TenantRequest
from tenants.permissions import Permission

SUBSCRIBABLE = [event for event in HookEvent if event is not HookEvent.TEST]


class EndpointForm(forms.Form):
    """Where to send what."""

    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=MAX_URL_CHARS,
        widget=forms.URLInput(
            attrs={"class": "form-control", "placeholder": "https://example.com/hooks/calls", "autocomplete": "off"}
        ),
        help_text=gettext_lazy("Your server's address. It must answer with 200 to 299 within 15 seconds."),
    )
    description = forms.CharField(
        label=gettext_lazy("Note"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "form-control"}),
        help_text=gettext_lazy("For your colleagues: what listens there."),
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=[(event.value, event.label) for event in SUBSCRIBABLE],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    is_active = forms.BooleanField(
        label=gettext_lazy("Send events to this address"),
        required=False,
        initial=True,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )


@tenant_screen(needs=Permission.SETTINGS_MANAGE)
def integrations(request: TenantRequest) -> HttpResponse:
    return render(request, "webhooks/list.html", {"endpoints": readout.list_endpoints()})


@tenant_form(needs=Permission.SETTINGS_MANAGE)
def new(request: TenantRequest) -> HttpResponse:
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        endpoint = _save(None, form)
        if endpoint is not None:
            return _show_secret(request, endpoint, endpoint.secret)
    return render(request, "webhooks/new.html", {"form": form})


@tenant_form(needs=Permission.SETTINGS_MANAGE)
def endpoint(request: TenantRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    found = readout.access_endpoint(endpoint_id)
    if request.method == "POST":
        form = EndpointForm(request.POST)
        if form.is_valid() and _save(found, form) is not None:
            messages.success(request, _("Saved."))
            return redirect("integrations-webhook", slug=request.tenant.slug, endpoint_id=found.pk)
    else:
        form = EndpointForm(
            initial={
                "url": found.url,
                "description": found.description,
                "events": found.events,
                "is_active": found.is_active,
            }
        )
    state = request.GET.get("state", "")
    page = readout.list_deliveries(found, state=state, before=request.GET.get("before", ""))
    return render(
        request,
        "webhooks/endpoint.html",
        {"endpoint": found, "form": form, "page": page, "state": state, "states": list(DeliveryState)},
    )


@tenant_act(needs=Permission.SETTINGS_MANAGE)
def test(request: TenantRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    delivery = outbox.send_test(readout.access_endpoint(endpoint_id))
    return redirect("integrations-delivery", slug=request.tenant.slug, delivery_id=delivery.pk)


@tenant_act(needs=Permission.SETTINGS_MANAGE)
def rotate(request: TenantRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    found = readout.access_endpoint(endpoint_id)
    return _show_secret(request, found, outbox.rotate_secret(found))


@tenant_act(needs=Permission.SETTINGS_MANAGE)
def remove(request: TenantRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    found = readout.access_endpoint(endpoint_id)
    outbox.remove_endpoint(found)
    messages.success(request, _("%(url)s gets no more events.") % {"url": found.url})
    return redirect("integrations", slug=request.tenant.slug)


@tenant_screen(needs=Permission.SETTINGS_MANAGE)
def delivery(request: TenantRequest, delivery_id: uuid.UUID) -> HttpResponse:
    return render(request, "webhooks/delivery.html", {"told": readout.read_delivery(delivery_id)})


@tenant_act(needs=Permission.SETTINGS_MANAGE)
def replay(request: TenantRequest, delivery_id: uuid.UUID) -> HttpResponse:
    told = readout.read_delivery(delivery_id)
    if outbox.replay(told.delivery):
        messages.success(request, _("It is being sent again, with the same id."))
    else:
        messages.warning(request, _("It is waiting to be sent already, or its address was removed."))
    return redirect("integrations-delivery", slug=request.tenant.slug, delivery_id=delivery_id)


def _save(endpoint: WebhookEndpoint | None, form: EndpointForm) -> WebhookEndpoint | None:
    """The saved endpoint; None when the service refused, with its reasons on the form."""
    values: dict[str, Any] = form.cleaned_data
    try:
        return outbox.save_endpoint(endpoint, **values)
    except ValidationError as error:
        form.add_error(None, error)
        return None


def _show_secret(request: TenantRequest, endpoint: WebhookEndpoint, secret: str) -> HttpResponse:
    """The only page that ever shows it: 201, since it answers the very request that made it."""
    return render(request, "webhooks/secret.html", {"endpoint": endpoint, "secret": secret}, status=201)
