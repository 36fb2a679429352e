"""What people type to log in and to sign up; checks and hands on to one service, never writes rows itself."""

from __future__ import annotations

import zoneinfo
from typing import Any

from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.core import context
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from dashboard.accounts.invited import INVITATION_KEY, invitation_of
from tenants.audit import acting
from tenants.members import InvitationRefused, accept_invitation
from tenants.middleware import actor_of
from tenants.models import User
from tenants.onboarding import sign_up


def zone_choices() -> list[tuple[str, str]]:
    """Every zone of the time zone database with a place in its name, and UTC."""
    zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    return [("UTC", "UTC"), *((zone, zone.replace("_", " ")) for zone in zones)]


class LoginForm(AllauthLoginForm):
    """E-mail and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login, password = self.fields["login"], self.fields["password"]
        login.label, password.label = _("E-mail address"), _("Password")
        login.widget.attrs = {"autocomplete": "username", "autofocus": True}
        password.widget.attrs = {"autocomplete": "current-password"}
        password.help_text = ""  # the page links to the reset itself


class SignUpForm(AllauthSignupForm):
    """A person and their business; with an invitation in hand the person alone."""

    business_name = forms.CharField(
        label=_("Name of your business"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "organization"})
    )
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        choices=zone_choices,
        initial="UTC",
        widget=forms.Select(attrs={"data-guess-zone": ""}),
        help_text=_("Opening hours, days and months of your business follow it."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invitation = invitation_of(_request_now())
        self.is_by_approval = settings.SIGN_UP == "approval"
        email, password = self.fields["email"], self.fields["password1"]
        email.label, password.label = _("E-mail address"), _("Password")
        email.widget.attrs = {"autocomplete": "username", "autofocus": True}
        password.widget.attrs = {"autocomplete": "new-password"}
        password.help_text = _("At least eight characters, and none of the well-known ones.")
        if self.invitation is not None:
            del self.fields["business_name"], self.fields["timezone"]
            email.initial, email.disabled = self.invitation.email, True
        else:
            self.order_fields(["business_name", "email", "password1", "timezone"])

    def clean_business_name(self) -> str:
        name = " ".join(self.cleaned_data["business_name"].split())
        if not any(character.isalnum() for character in name):
            raise ValidationError(_("Write the name as your callers know it, with at least one letter or digit."))
        return name

    def try_save(self, request: HttpRequest) -> Any:
        """The person, the business and their membership stand or fall together."""
        try:
            with transaction.atomic():
                return super().try_save(request)
        except InvitationRefused:  # taken back, or accepted in another window, since the page was shown
            return None, redirect("invitation", token=request.session[INVITATION_KEY])

    def custom_signup(self, request: HttpRequest, user: User) -> None:
        with acting(actor_of(request, user)):
            if self.invitation is None:
                sign_up(user, business_name=self.cleaned_data["business_name"], timezone=self.cleaned_data["timezone"])
                return
            accept_invitation(self.invitation.token, user=user)
            del request.session[INVITATION_KEY]


def _request_now() -> HttpRequest:
    request: HttpRequest = context.request  # set by allauth's middleware for each request
    return request
