"""Which agent answers a number, on which path, and what is tried next; rows only, routing decides."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from calls.models.choices import arrangement_field, known, known_arrangement, term_field
from calls.vocabulary import Path, Step
from tenants.base import TenantModel
from tenants.models import E164, Number

OPAQUE = RegexValidator(r"^[a-z0-9]{20,40}$")


class Route(TenantModel):
    """One number's route. `public_id` stands in the carrier's URLs, so that changing the route is no drift there."""

    number = models.OneToOneField(Number, on_delete=models.PROTECT, related_name="route")
    public_id = models.CharField(max_length=40, unique=True, validators=[OPAQUE])
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="routes")
    path = term_field(Path, default=Path.STREAMS)
    arrangement = arrangement_field()
    # A change at the carrier that is under way: what to go back to when whoever began it died (product 3.6).
    switching_from = models.JSONField(null=True, blank=True)
    switching_since = models.DateTimeField(null=True, blank=True)
    ladder = ArrayField(models.CharField(max_length=32, choices=Step.choices()), default=list)
    hours = models.JSONField(default=dict, blank=True, help_text=_("Opening hours; empty: always open."))
    person_name = models.CharField(max_length=100, blank=True, default="")
    person_e164 = models.CharField(max_length=16, blank=True, default="", validators=[E164])
    voicemail_greeting = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            known("path", Path, name="route_path_known"),
            known_arrangement("route_arrangement_known"),
            models.CheckConstraint(
                condition=models.Q(ladder__contained_by=[step.value for step in Step]), name="route_ladder_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(ladder__contains=[Step.PERSON.value]) | ~models.Q(person_e164=""),
                name="route_person_has_number",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number_id} by {self.path}"
