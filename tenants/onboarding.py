"""The life of a business: signed up, approved or declined, suspended, opened again. One atomic change each, audited.

Nothing is bought here; whoever buys asks `tenants.plans` first. The account at the carrier follows each change (tenants.carrier).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone as clock
from django.utils.text import slugify
from django.utils.translation import gettext

from tenants import audit
from tenants.carrier import ensure_account
from tenants.mail import queue_mail
from tenants.models import Membership, Plan, Tenant, User
from tenants.scope import tenant_scope

_SLUG_TRIES = 100


class NotInThisState(ValueError):
    """The business is in a state that this act does not lead away from; the text says which."""


@transaction.atomic
def sign_up(user: User, *, business_name: str, timezone: str) -> Tenant:
    """A person's new business, with them as its owner. Raises ValidationError naming the field."""
    is_open = settings.SIGN_UP == "open"
    tenant = Tenant(
        slug=_free_slug(business_name),
        name=business_name,
        timezone=timezone,
        state=Tenant.State.ACTIVE if is_open else Tenant.State.PENDING,
        plan=_plan_for_new(),
        trial_ends_at=_trial_end() if is_open else None,  # the days count from the approval
    )
    tenant.full_clean()
    tenant.save()
    membership = Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.OWNER)
    with tenant_scope(tenant):
        audit.note("tenant.signed_up", tenant, after={"name": tenant.name, "state": tenant.state, "plan": tenant.plan})
        audit.note("member.added", membership, name=user.email, after={"role": membership.role})
    ensure_account(tenant)  # only an active one gets an account at the carrier
    return tenant


def approve(tenant: Tenant) -> Tenant:
    """Let a waiting (or declined) business begin: its trial starts now. Raises NotInThisState."""
    before = (Tenant.State.PENDING, Tenant.State.DECLINED)
    with transaction.atomic():
        tenant = _move(
            tenant,
            before,
            Tenant.State.ACTIVE,
            "tenant.approved",
            trial_ends_at=_trial_end() if tenant.plan_id else None,
        )
        _tell_owners(
            tenant,
            gettext("%(name)s is approved") % {"name": tenant.name},
            gettext(
                "%(name)s has been approved: buy a number, give it an agent, and it answers from then on.\n\n%(url)s"
            ),
        )
    return tenant


def decline(tenant: Tenant) -> Tenant:
    """Refuse a waiting business. Its people keep their accounts. Raises NotInThisState."""
    with transaction.atomic():
        tenant = _move(tenant, (Tenant.State.PENDING,), Tenant.State.DECLINED, "tenant.declined")
        _tell_owners(
            tenant,
            gettext("%(name)s was not approved") % {"name": tenant.name},
            gettext("The people who run this Switchboard did not approve %(name)s. Nothing was bought.\n\n%(url)s"),
        )
    return tenant


def suspend(tenant: Tenant) -> Tenant:
    """Stop a business: callers hear that it takes no calls; its members may still look. Raises NotInThisState."""
    with transaction.atomic():
        return _move(tenant, (Tenant.State.ACTIVE,), Tenant.State.SUSPENDED, "tenant.suspended")


def resume(tenant: Tenant) -> Tenant:
    """Open a suspended business again. Raises NotInThisState."""
    with transaction.atomic():
        return _move(tenant, (Tenant.State.SUSPENDED,), Tenant.State.ACTIVE, "tenant.resumed")


def _move(tenant: Tenant, from_states: tuple[str, ...], to_state: str, action: str, **also: object) -> Tenant:
    """The conditional UPDATE decides who moved it (decision 8)."""
    won = Tenant.objects.filter(pk=tenant.pk, state__in=from_states).update(state=to_state, **also)
    now = Tenant.objects.select_related("plan").get(pk=tenant.pk)
    if not won:
        raise NotInThisState(
            gettext("%(name)s is in the state “%(state)s”; this act does not lead away from it.")
            % {"name": now.name, "state": now.get_state_display()}
        )
    with tenant_scope(now):
        audit.note(action, now, before={"state": tenant.state}, after={"state": now.state})
    ensure_account(now)
    return now


def _tell_owners(tenant: Tenant, subject: str, text: str) -> None:
    url = f"{settings.DASHBOARD_BASE_URL}/o/{tenant.slug}/"
    owners = User.objects.filter(memberships__tenant=tenant, memberships__role=Membership.Role.OWNER, is_active=True)
    for owner in owners:
        queue_mail(to=owner.email, subject=subject, text=text % {"name": tenant.name, "url": url})


def _plan_for_new() -> Plan:
    plan = Plan.objects.filter(is_default=True).first() or Plan.objects.first()
    if plan is None:  # never without limits by accident
        raise ValidationError(gettext("There is no plan for new businesses: the operator adds one in the back-office."))
    return plan


def _trial_end() -> datetime:
    return clock.now() + timedelta(days=settings.TRIAL_DAYS)


def _free_slug(name: str) -> str:
    """A slug from the name that nobody has; the unique constraint settles a race."""
    stem = slugify(name)[:50].strip("-") or "business"
    taken = set(Tenant.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    for number in range(1, _SLUG_TRIES + len(taken)):
        slug = stem if number == 1 else f"{stem}-{number}"
        if slug not in taken:
            return slug
    raise ValidationError({"business_name": gettext("Choose another name: this one is taken too often.")})
