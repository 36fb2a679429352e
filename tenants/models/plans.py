"""What a business may use: plans as rows that the operator edits (product 2.5). Enforced by tenants.plans alone."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.ids import new_id


class Plan(models.Model):
    """One plan with its limits. Belongs to the operator, not to a tenant; names and limits may change at any time."""

    class Feature(models.TextChoices):
        EXPORT = "export", _("Exports of calls, costs and the audit log")
        LIVE_ACTS = "live_acts", _("Acting in live calls: listen, note to the agent, transfer, end")
        SHARING = "sharing", _("Links that share a call with somebody outside")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key = models.SlugField(_("key"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)
    position = models.PositiveSmallIntegerField(_("position"), default=0, help_text=_("Plans are shown in this order."))
    is_default = models.BooleanField(_("for new businesses"), default=False)
    numbers = models.PositiveIntegerField(_("numbers"))
    concurrent_calls = models.PositiveIntegerField(_("calls at the same time"))
    outbound_concurrency = models.PositiveIntegerField(_("outbound calls at the same time"))
    features = ArrayField(
        models.CharField(max_length=32, choices=Feature.choices), verbose_name=_("features"), default=list, blank=True
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["position", "key"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="plan_one_default"
            ),
            models.CheckConstraint(
                condition=models.Q(outbound_concurrency__lte=models.F("concurrent_calls")),
                name="plan_outbound_within_calls",
                violation_error_message=_(
                    "Outbound calls are part of all calls: not more than calls at the same time."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name
