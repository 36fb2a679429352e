"""What a tenant owns at the carrier: its account and its numbers. Rows and constraints only."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.base import TenantModel
from tenants.crypto import EncryptedTextField

E164 = RegexValidator(r"^\+[1-9]\d{6,14}$", _("Write the number as +, country code and digits, e.g. +31201234567."))


class CarrierAccount(TenantModel):
    """The tenant's account at the carrier: its token signs every webhook of its calls (twilio.md §6.2)."""

    account_sid = models.CharField(max_length=34, unique=True, validators=[RegexValidator(r"^AC[0-9a-fA-F]{32}$")])
    auth_token = EncryptedTextField()
    secondary_token = EncryptedTextField(blank=True, default="")  # while a rotation runs (twilio.md §3.4)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="carrier_account_one_per_tenant")]

    def __str__(self) -> str:
        return self.account_sid

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens a signature may be made with, primary first."""
        return tuple(token for token in (self.auth_token, self.secondary_token) if token)


class Number(TenantModel):
    """A telephone number that a tenant owns at the carrier. What answers it is calls.Route's business."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        RELEASED = "released", _("Released")

    account = models.ForeignKey(CarrierAccount, on_delete=models.PROTECT, related_name="numbers")
    e164 = models.CharField(max_length=16, validators=[E164])
    carrier_sid = models.CharField(
        max_length=34, blank=True, default="", validators=[RegexValidator(r"^(PN[0-9a-fA-F]{32})?$")]
    )
    name = models.CharField(max_length=100, blank=True, default="")
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["e164"], condition=models.Q(state="active"), name="number_active_once"
            ),  # across tenants: a line has one owner
            models.CheckConstraint(condition=models.Q(state__in=["active", "released"]), name="number_state_known"),
            models.CheckConstraint(condition=models.Q(e164__regex=r"^\+[1-9][0-9]{6,14}$"), name="number_is_e164"),
        ]

    def __str__(self) -> str:
        return self.e164
