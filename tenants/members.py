"""Who belongs to a business: invitations by e-mail, roles, leaving. One atomic change each, audited; the last owner stays.

An invitation's link is signed, names one state of one row (`serial`), and works once; only whoever reads that mailbox may use it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from tenants import audit
from tenants.mail import queue_mail
from tenants.models import Invitation, Membership, Tenant, User
from tenants.scope import every_tenant, tenant_scope

_SALT = "tenants.invitation"
OPEN_AT_MOST = 50  # invitations that wait at the same time: a business has people, not mailing lists
SEND_AGAIN_AFTER = timedelta(minutes=1)


class InvitationRefused(ValueError):
    """The invitation cannot be made, sent or accepted; the text says why and what to do."""


class LastOwner(ValueError):
    """A business always has an owner."""


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation that may be accepted now, as its link finds it."""

    token: str
    email: str
    role: str
    role_label: str
    tenant: Tenant
    invited_by: str


def token_of(invitation: Invitation) -> str:
    return signing.dumps([str(invitation.pk), invitation.serial], salt=_SALT)


def find_invitation(token: str) -> OpenInvitation:
    """What a link invites to. Raises InvitationRefused when it was changed, used, revoked, replaced, or is too old."""
    row = _row_of(token)
    if row.state == Invitation.State.ACCEPTED:
        raise InvitationRefused(gettext("This invitation was accepted already. Log in to go on."))
    if row.state == Invitation.State.REVOKED:
        raise InvitationRefused(gettext("This invitation was taken back. Ask whoever invited you for a new one."))
    if row.is_over:
        raise InvitationRefused(gettext("This invitation is too old. Ask whoever invited you to send it again."))
    return OpenInvitation(
        token=token,
        email=row.email,
        role=row.role,
        role_label=row.get_role_display(),
        tenant=row.tenant,
        invited_by=str(row.invited_by or row.tenant),
    )


@transaction.atomic
def invite(email: str, *, role: str, by: User, tenant: Tenant) -> Invitation:
    """Invite somebody to the tenant in scope. Raises ValidationError or InvitationRefused."""
    email = User.objects.normalize_email(email).lower()
    validate_email(email)
    if role not in Membership.Role.values:
        raise ValidationError({"role": gettext("Choose one of the four roles.")})
    if Membership.objects.filter(tenant=tenant, user__email__iexact=email).exists():
        raise InvitationRefused(
            gettext("%(email)s is a member already; change their role in the list.") % {"email": email}
        )
    if Invitation.objects.filter(state=Invitation.State.OPEN).count() >= OPEN_AT_MOST:
        raise InvitationRefused(
            gettext("%(count)d invitations wait already: take some back first.") % {"count": OPEN_AT_MOST}
        )
    invitation = Invitation(email=email, role=role, invited_by=by, expires_at=_expiry())
    try:
        with transaction.atomic():
            invitation.save()
    except IntegrityError as error:
        raise InvitationRefused(
            gettext("%(email)s is invited already: send that invitation again, or take it back.") % {"email": email}
        ) from error
    _send(invitation)
    audit.note("member.invited", invitation, after={"email": email, "role": role})
    return invitation


@transaction.atomic
def resend_invitation(invitation_id: uuid.UUID) -> Invitation:
    """Send it again with a new link and a new expiry; the old link stops working. Raises InvitationRefused."""
    now = timezone.now()
    won = Invitation.objects.filter(
        pk=invitation_id, state=Invitation.State.OPEN, sent_at__lte=now - SEND_AGAIN_AFTER
    ).update(serial=F("serial") + 1, sent_at=now, expires_at=_expiry())
    if not won:
        raise InvitationRefused(
            gettext("It was sent less than a minute ago, or it does not wait any more. Look again in a minute.")
        )
    invitation = Invitation.objects.select_related("invited_by", "tenant").get(pk=invitation_id)
    _send(invitation)
    audit.note("member.invited_again", invitation)
    return invitation


@transaction.atomic
def revoke_invitation(invitation_id: uuid.UUID) -> Invitation:
    """Take it back. Raises InvitationRefused when it does not wait any more."""
    won = Invitation.objects.filter(pk=invitation_id, state=Invitation.State.OPEN).update(
        state=Invitation.State.REVOKED
    )
    if not won:
        raise InvitationRefused(gettext("This invitation does not wait any more."))
    invitation = Invitation.objects.get(pk=invitation_id)
    audit.note("member.invitation_revoked", invitation)
    return invitation


@transaction.atomic
def accept_invitation(token: str, *, user: User) -> Membership:
    """Join. The caller has made sure that `user` reads the mailbox of `user.email`. Raises InvitationRefused."""
    found = find_invitation(token)
    if user.email.lower() != found.email.lower():
        raise InvitationRefused(
            gettext("This invitation is for %(email)s and you are logged in as %(you)s.")
            % {"email": found.email, "you": user.email}
        )
    key, serial = _unsign(token)
    with tenant_scope(found.tenant):
        # The link works once: whoever changes the row has won (decision 8).
        won = Invitation.objects.filter(
            pk=key, serial=serial, state=Invitation.State.OPEN, expires_at__gt=timezone.now()
        ).update(state=Invitation.State.ACCEPTED, accepted_by=user)
        if not won:
            raise InvitationRefused(gettext("This invitation was accepted already. Log in to go on."))
        membership, is_new = Membership.objects.get_or_create(
            tenant=found.tenant, user=user, defaults={"role": found.role}
        )
        if is_new:
            audit.note("member.added", membership, name=user.email, after={"role": membership.role})
    return membership


@transaction.atomic
def change_role(membership_id: uuid.UUID, *, tenant: Tenant, role: str) -> Membership:
    """Raises LastOwner, or Membership.DoesNotExist when it is not one of this tenant's."""
    if role not in Membership.Role.values:
        raise ValidationError({"role": gettext("Choose one of the four roles.")})
    membership = _lock_members(tenant, membership_id)
    if membership.role == role:
        return membership
    if membership.role == Membership.Role.OWNER:
        _check_not_last(tenant)
    before = audit.values_of(membership, ["role"])
    membership.role = role
    membership.save(update_fields=["role"])
    audit.note("member.role_changed", membership, name=membership.user.email, before=before, after={"role": role})
    return membership


@transaction.atomic
def remove_member(membership_id: uuid.UUID, *, tenant: Tenant) -> None:
    """Raises LastOwner, or Membership.DoesNotExist when it is not one of this tenant's."""
    membership = _lock_members(tenant, membership_id)
    if membership.role == Membership.Role.OWNER:
        _check_not_last(tenant)
    audit.note("member.removed", membership, name=membership.user.email, before={"role": membership.role})
    membership.delete()


def _lock_members(tenant: Tenant, membership_id: uuid.UUID) -> Membership:
    # Two owners who remove each other at the same moment wait here for one another.
    Tenant.objects.select_for_update(of=("self",)).get(pk=tenant.pk)
    return Membership.objects.select_related("user").get(tenant=tenant, pk=membership_id)


def _check_not_last(tenant: Tenant) -> None:
    if Membership.objects.filter(tenant=tenant, role=Membership.Role.OWNER).count() == 1:
        raise LastOwner(gettext("This is the only owner: make somebody else an owner first."))


def _unsign(token: str) -> tuple[str, int]:
    try:
        key, serial = signing.loads(token, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise InvitationRefused(
            gettext("This link is incomplete or was changed. Open it from the letter once more.")
        ) from error
    return str(key), int(serial)


def _row_of(token: str) -> Invitation:
    key, serial = _unsign(token)
    with every_tenant(reason="an invitation's link names the invitation, and the invitation its tenant"):
        row = Invitation.objects.select_related("tenant", "invited_by").filter(pk=key).first()
    if row is None or row.serial != serial:
        raise InvitationRefused(gettext("A newer letter has replaced this one: open the link in that."))
    return row


def _expiry() -> datetime:
    return timezone.now() + timedelta(days=settings.INVITATION_DAYS)


def _send(invitation: Invitation) -> None:
    tenant = invitation.tenant
    queue_mail(
        to=invitation.email,
        subject=gettext("Join %(name)s on Switchboard") % {"name": tenant.name},
        text=gettext(
            "%(by)s invites you to %(name)s on Switchboard, as %(role)s.\n\n"
            "Open this link to join; it works once and until %(day)s:\n\n%(url)s\n\n"
            "You do not know them? Then do nothing: without the link nobody joins in your name."
        )
        % {
            "by": invitation.invited_by or tenant.name,
            "name": tenant.name,
            "role": invitation.get_role_display(),
            "day": date_format(invitation.expires_at),
            "url": f"{settings.DASHBOARD_BASE_URL}/invitations/{token_of(invitation)}/",
        },
    )
