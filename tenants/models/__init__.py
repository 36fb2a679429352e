"""The rooms' rows, gathered where Django looks for them."""

from tenants.models.audit import AuditEntry
from tenants.models.carrier import E164, CarrierAccount, Number, NumberOrder
from tenants.models.invitations import Invitation
from tenants.models.letters import OutgoingLetter
from tenants.models.people import Membership, Tenant, User, UserManager, check_timezone
from tenants.models.plans import Plan
from tenants.models.profile import BusinessProfile, RetentionPolicy

__all__ = [
    "E164",
    "AuditEntry",
    "BusinessProfile",
    "CarrierAccount",
    "Invitation",
    "Membership",
    "Number",
    "OutgoingLetter",
    "Plan",
    "RetentionPolicy",
    "NumberOrder",
    "Tenant",
    "User",
    "UserManager",
    "check_timezone",
]
