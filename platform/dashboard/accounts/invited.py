"""An invitation's link: shown to whoever opens it, kept in the session through log-in or sign-up, accepted once."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from tenants.audit import acting
from tenants.members import InvitationRefused, OpenInvitation, accept_invitation, find_invitation
from tenants.middleware import actor_of
from tenants.models import User

INVITATION_KEY = "invitation"


def invitation_of(request: HttpRequest) -> OpenInvitation | None:
    """The invitation that this visitor came with, while it is still open."""
    token = request.session.get(INVITATION_KEY)
    if not token:
        return None
    try:
        return find_invitation(token)
    except InvitationRefused:
        del request.session[INVITATION_KEY]
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows who invites and to what; POST joins, for the person it was sent to."""
    try:
        found = find_invitation(token)
        if request.method == "POST" and isinstance(request.user, User):
            with acting(actor_of(request)):
                accept_invitation(token, user=request.user)
            request.session.pop(INVITATION_KEY, None)
            messages.success(request, gettext("Welcome to %(name)s.") % {"name": found.tenant.name})
            return redirect("tenant-home", slug=found.tenant.slug)
    except InvitationRefused as refused:
        response = render(request, "accounts/invitation_refused.html", {"reason": str(refused)}, status=410)
    else:
        if not request.user.is_authenticated:
            request.session[INVITATION_KEY] = token
            # Whoever has the link reads the mailbox: a new account needs no second letter.
            get_adapter(request).stash_verified_email(request, found.email)
        is_theirs = isinstance(request.user, User) and request.user.email.lower() == found.email.lower()
        response = render(request, "accounts/invitation.html", {"invitation": found, "is_theirs": is_theirs})
    patch_cache_control(response, private=True, no_store=True)
    return response
