"""The model's end of SIP: invitations as the vendor announces them, and the trunk a tenant may have; rows only.

An invitation belongs to nobody until its identity is proven (product 5.2.2), so it is no tenant's row and no screen shows it.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from tenants.base import TenantModel
from tenants.ids import new_id
from tenants.models import CarrierAccount


class SipInvitation(models.Model):
    """One `realtime.call.incoming`, once by webhook id and once by call id. Control processes claim it; nudges are hints."""

    class State(models.TextChoices):
        PENDING = "pending"
        CLAIMED = "claimed"
        ACCEPTED = "accepted"
        REJECTED = "rejected"  # admission said no; the vendor was told a SIP status
        GONE = "gone"  # the caller had left when we accepted
        FAILED = "failed"  # the vendor refused the accept, or did not answer

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    webhook_id = models.CharField(max_length=128, unique=True)
    model_call_id = models.CharField(max_length=64, unique=True)
    headers = models.JSONField(default=list)  # [[name, value], …] in order; the caller's own words, proof of nothing
    media_security = models.CharField(max_length=16, blank=True, default="")
    received_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    process_id = models.UUIDField(null=True)
    claimed_until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True, default="")
    carrier_sid = models.CharField(max_length=34, blank=True, default="")  # the carrier's call, once proven

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=["pending", "claimed", "accepted", "rejected", "gone", "failed"]),
                name="sip_invitation_state_known",
            ),
            # A trunk call proves the identity of one invitation, never of a second (product 5.2.2: "never used before").
            models.UniqueConstraint(
                fields=["carrier_sid"], condition=~models.Q(carrier_sid=""), name="sip_invitation_proof_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["received_at"], condition=models.Q(state__in=["pending", "claimed"]), name="sip_invitation_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_call_id} {self.state}"


class SipTrunk(TenantModel):
    """The tenant's Elastic SIP Trunk, as far as it was built: each SID is written when its part stands at the carrier."""

    class State(models.TextChoices):
        BUILDING = "building"
        ACTIVE = "active"
        REMOVING = "removing"

    account = models.ForeignKey(CarrierAccount, on_delete=models.PROTECT, related_name="trunks")
    public_id = models.CharField(max_length=40, unique=True)  # stands in its disaster-recovery address
    state = models.CharField(max_length=16, choices=State.choices, default=State.BUILDING)
    carrier_sid = models.CharField(max_length=34, blank=True, default="")
    origination_sid = models.CharField(max_length=34, blank=True, default="")
    origination_uri = models.CharField(max_length=255, blank=True, default="")
    records = models.BooleanField(
        default=False
    )  # all or nothing (product 5.0); only where the tenant confirmed that it may
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="sip_trunk_one_per_tenant"),
            models.CheckConstraint(
                condition=models.Q(state__in=["building", "active", "removing"]), name="sip_trunk_state_known"
            ),
        ]

    def __str__(self) -> str:
        return self.carrier_sid or self.public_id
