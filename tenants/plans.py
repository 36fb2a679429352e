"""What a business may use: the one place that compares use with the plan's limits. Refuses with a sentence that names limit and mend.

Whoever buys or starts something asks here inside the transaction that does it. A tenant without a plan (the operator's own) has no limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tenants.models import Number, Plan, Tenant
from tenants.scope import current_tenant_id


class NotAllowed(Exception):
    """The business may not do this now. The text is for its members: what stands in the way, and how to lift it."""


class NotActive(NotAllowed):
    """Waiting for approval, declined or suspended: nothing may be bought or begun."""


class TrialOver(NotAllowed):
    """The trial has ended: what is there stays, nothing is added."""


class LimitReached(NotAllowed):
    """The plan's limit is used up."""


class Limit(StrEnum):
    """The limits of a plan, by the name of their column."""

    NUMBERS = "numbers"
    CONCURRENT_CALLS = "concurrent_calls"
    OUTBOUND_CONCURRENCY = "outbound_concurrency"

    @property
    def label(self) -> str | Promise:
        return _LABELS[self]


_LABELS: dict[Limit, str | Promise] = {
    Limit.NUMBERS: _("Numbers"),
    Limit.CONCURRENT_CALLS: _("Calls at the same time"),
    Limit.OUTBOUND_CONCURRENCY: _("Outbound calls at the same time"),
}


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is used. `allowed` is None when nothing limits it."""

    limit: Limit
    used: int
    allowed: int | None


def check_active(tenant: Tenant) -> None:
    """Raises NotActive unless the business may buy and begin things at all."""
    if tenant.state == Tenant.State.ACTIVE:
        return
    raise NotActive(
        {
            Tenant.State.PENDING: gettext(
                "%(name)s waits for approval by the people who run this Switchboard; until then nothing is bought and "
                "no calls are made. You get an e-mail when it is approved."
            ),
            Tenant.State.DECLINED: gettext(
                "The people who run this Switchboard did not approve %(name)s; ask them to look at it again."
            ),
            Tenant.State.SUSPENDED: gettext(
                "%(name)s is suspended; ask the people who run this Switchboard to open it again."
            ),
        }[Tenant.State(tenant.state)]
        % {"name": tenant.name}
    )


def is_trial_over(tenant: Tenant) -> bool:
    return tenant.trial_ends_at is not None and tenant.trial_ends_at <= timezone.now()


def check_limit(tenant: Tenant, limit: Limit, *, used: int, adding: int = 1) -> None:
    """Raises NotActive, TrialOver or LimitReached when `adding` more are not allowed.

    Lock first (`lock_for_limits`) when the count could change under you.
    """
    check_active(tenant)
    if tenant.plan is None:
        return
    if is_trial_over(tenant) and tenant.trial_ends_at is not None:
        raise TrialOver(
            gettext("The trial of %(name)s ended on %(day)s. %(mend)s")
            % {"name": tenant.name, "day": date_format(tenant.trial_ends_at), "mend": _mend()}
        )
    allowed: int = getattr(tenant.plan, limit.value)
    if used + adding > allowed:
        raise LimitReached(_explain(tenant.plan, limit, used=used, allowed=allowed))


def lock_for_limits(tenant: Tenant) -> Tenant:
    """The tenant's row, locked until the end of the transaction: two buyers are counted one after the other."""
    return Tenant.objects.select_for_update(of=("self",)).select_related("plan").get(pk=tenant.pk)


def count_numbers() -> int:
    """Numbers that count against the plan, of the tenant in scope: owned, being bought or being released."""
    return Number.objects.filter(state__in=Number.OWNED).count()


def has_feature(tenant: Tenant, feature: str) -> bool:
    return tenant.plan is None or feature in tenant.plan.features


def explain_feature(tenant: Tenant, feature: str) -> str:
    """Why a feature is closed and how to open it."""
    return gettext("%(plan)s does not include this: %(feature)s. %(mend)s") % {
        "plan": tenant.plan,
        "feature": Plan.Feature(feature).label,
        "mend": _mend(),
    }


def _explain(plan: Plan, limit: Limit, *, used: int, allowed: int) -> str:
    if limit == Limit.NUMBERS:
        text = ngettext(
            "%(plan)s includes %(allowed)d number and you have %(used)d.",
            "%(plan)s includes %(allowed)d numbers and you have %(used)d.",
            allowed,
        )
    elif limit == Limit.CONCURRENT_CALLS:
        text = ngettext(
            "%(plan)s includes %(allowed)d call at a time and %(used)d are running.",
            "%(plan)s includes %(allowed)d calls at a time and %(used)d are running.",
            allowed,
        )
    else:
        text = ngettext(
            "%(plan)s includes %(allowed)d outbound call at a time and %(used)d are running.",
            "%(plan)s includes %(allowed)d outbound calls at a time and %(used)d are running.",
            allowed,
        )
    larger = Plan.objects.filter(**{f"{limit.value}__gt": allowed}).order_by(limit.value).first()
    mend = (
        gettext("%(larger)s includes %(count)d: ask the people who run this Switchboard to change your plan.")
        % {"larger": larger, "count": getattr(larger, limit.value)}
        if larger
        else _mend()
    )
    return f"{text % {'plan': plan, 'allowed': allowed, 'used': used}} {mend}"


def _mend() -> str:
    return gettext(
        "The people who run this Switchboard can change your plan; Settings → Plan and usage shows all plans."
    )


def read_use(tenant: Tenant, *, live_calls: int) -> list[Use]:
    """The plan page's table for the tenant in scope. Calls are counted by whoever stands above this room."""
    assert current_tenant_id() == tenant.pk  # noqa: S101 # the counts below follow the scope
    counted = {Limit.NUMBERS: count_numbers(), Limit.CONCURRENT_CALLS: live_calls}
    return [
        Use(limit, used, getattr(tenant.plan, limit.value) if tenant.plan else None) for limit, used in counted.items()
    ]
