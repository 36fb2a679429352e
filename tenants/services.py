"""Changes to tenants, members, carrier accounts and numbers: one atomic change each, safe to repeat."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext

from tenants import audit
from tenants.models import CarrierAccount, Membership, Number, Tenant, User
from tenants.scope import every_tenant, tenant_scope


class NumberTaken(ValueError):
    """The number is active under another tenant; a line has one owner."""


@transaction.atomic
def save_tenant(slug: str, *, name: str, timezone: str) -> Tenant:
    """Create the tenant, or bring its name and zone up to date. Raises ValidationError naming the field."""
    tenant = Tenant.objects.select_for_update().filter(slug=slug).first() or Tenant(slug=slug)
    tenant.name, tenant.timezone = name, timezone
    tenant.full_clean(validate_unique=False)
    tenant.save()
    return tenant


@transaction.atomic
def save_member(tenant: Tenant, *, email: str, role: str, password: str | None = None) -> Membership:
    """Give a person a role. A password is set for a new person only: a file never resets what somebody chose since.

    Raises ValidationError for a weak password or a malformed e-mail.
    """
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        user = User(email=User.objects.normalize_email(email).lower())
        if password:
            validate_password(password, user)
            user.set_password(password)
        else:
            user.set_unusable_password()
        user.full_clean(exclude=["password"])
        user.save()
        confirm_address(user)
    membership = Membership.objects.filter(tenant=tenant, user=user).first() or Membership(tenant=tenant, user=user)
    before = audit.values_of(membership, ["role"])
    membership.role = role
    with tenant_scope(tenant):
        action = "member.added" if membership._state.adding else "member.role_changed"
        membership.save()
        if before["role"] != role:
            audit.note(action, membership, name=user.email, before=before, after={"role": role})
    return membership


def confirm_address(user: User) -> None:
    """The operator vouches for the address: no letter asks its owner to confirm it."""
    EmailAddress.objects.get_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})


@transaction.atomic
def save_carrier_account(*, account_sid: str, auth_token: str) -> CarrierAccount:
    """Connect the tenant in scope to its carrier account. Raises ValidationError naming the field."""
    account = CarrierAccount.objects.first() or CarrierAccount()
    if not account_sid or not auth_token:
        raise ValidationError({"account_sid": gettext("Give the account SID and its token.")})
    account.kind, account.state = CarrierAccount.Kind.OWN, CarrierAccount.State.ACTIVE
    account.account_sid, account.auth_token = account_sid, auth_token
    account.check_tenant()
    account.full_clean(validate_constraints=False)
    account.save()
    return account


@transaction.atomic
def save_number(account: CarrierAccount, *, e164: str, carrier_sid: str = "", name: str = "") -> Number:
    """Put a number into the inventory of the tenant in scope. Raises NumberTaken, or ValidationError naming the field."""
    number = Number.objects.filter(e164=e164, state__in=Number.OWNED).first() or Number(e164=e164)
    number.account, number.carrier_sid = account, carrier_sid
    number.name = name or number.name
    number.check_tenant()
    number.full_clean(validate_constraints=False)
    if number._state.adding and is_taken(e164):
        raise NumberTaken(f"{e164} is active under another tenant: release it there first")
    number.save()
    return number


def is_taken(e164: str) -> bool:
    with every_tenant(reason="a line has one owner across all tenants"):
        return Number.objects.filter(e164=e164, state__in=Number.OWNED).exists()
