"""What a business says about itself, and how long its records are kept. Rows and constraints only."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.base import TenantModel
from tenants.models.carrier import E164

SHORTEST_DAYS, LONGEST_DAYS = 1, 3650


class BusinessProfile(TenantModel):
    """Who answers for the business: the operator reads it before approving, and reaches somebody by it."""

    contact_name = models.CharField(_("contact person"), max_length=200, blank=True, default="")
    contact_phone = models.CharField(_("telephone"), max_length=16, blank=True, default="", validators=[E164])
    website = models.URLField(_("website"), blank=True, default="")
    street = models.CharField(_("street and number"), max_length=200, blank=True, default="")
    postal_code = models.CharField(_("postal code"), max_length=20, blank=True, default="")
    city = models.CharField(_("city"), max_length=100, blank=True, default="")
    country = models.CharField(_("country"), max_length=2, blank=True, default="")  # ISO 3166-1 alpha-2

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant"], name="business_profile_once"),
        ]

    def __str__(self) -> str:
        return self.contact_name


def _days(label: str | Promise) -> models.PositiveIntegerField:  # type: ignore[type-arg]  # generic only in the stubs
    return models.PositiveIntegerField(
        label,  # type: ignore[arg-type]  # the stubs know only one kind of lazy text
        null=True,
        blank=True,
        validators=[MinValueValidator(SHORTEST_DAYS), MaxValueValidator(LONGEST_DAYS)],
    )


class RetentionPolicy(TenantModel):
    """Days after a call's end; empty keeps for good. Enforced every night by calls.aftermath.retention."""

    recordings_days = _days(_("recordings"))
    transcripts_days = _days(_("transcripts"))
    events_days = _days(_("raw events"))

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant"], name="retention_policy_once"),
        ]

    def __str__(self) -> str:
        return f"{self.recordings_days}/{self.transcripts_days}/{self.events_days}"
