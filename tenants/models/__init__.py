"""The rooms' rows, gathered where Django looks for them."""

from tenants.models.audit import AuditEntry
from tenants.models.carrier import E164, CarrierAccount, Number
from tenants.models.people import Membership, Tenant, User, UserManager, check_timezone

__all__ = [
    "E164",
    "AuditEntry",
    "CarrierAccount",
    "Membership",
    "Number",
    "Tenant",
    "User",
    "UserManager",
    "check_timezone",
]
