"""What a tenant owns at the carrier: its account, its numbers, and the work that brings both in line. Rows and constraints only."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.base import TenantModel
from tenants.crypto import EncryptedTextField

E164 = RegexValidator(r"^\+[1-9]\d{6,14}$", _("Write the number as +, country code and digits, e.g. +31201234567."))


class Work(models.Model):
    """Columns of a row that is worked on until it is as it should be (decision 9): due, claimed, tried, and why it waits."""

    due_at = models.DateTimeField(null=True, blank=True)  # None: nothing to do
    claimed_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, default="")  # a sentence for people
    error_detail = models.TextField(blank=True, default="")  # what the carrier said; never a secret

    class Meta:
        abstract = True


class CarrierAccount(Work, TenantModel):
    """The tenant's account at the carrier: its token signs every webhook of its calls (twilio.md §6.2).

    A managed one is a subaccount of the operator's, made, limited, suspended and resumed by tenants.carrier_work.
    """

    class Kind(models.TextChoices):
        MANAGED = "managed", _("Managed for you")
        OWN = "own", _("Your own")

    class State(models.TextChoices):
        OPENING = "opening", _("Being opened")
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")

    class Hold(models.TextChoices):
        NONE = "", _("None")
        SPEND_CAP = "spend_cap", _("The trial's spend cap was reached")

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.OWN)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)  # as the carrier last had it
    account_sid = models.CharField(
        max_length=34, blank=True, default="", validators=[RegexValidator(r"^AC[0-9a-fA-F]{32}$")]
    )
    auth_token = EncryptedTextField(blank=True, default="")
    secondary_token = EncryptedTextField(blank=True, default="")  # while a rotation runs (twilio.md §3.4)
    hold = models.CharField(max_length=16, choices=Hold.choices, blank=True, default=Hold.NONE)
    limits = models.CharField(max_length=500, blank=True, default="")  # which limits the carrier holds for us now
    checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant"], name="carrier_account_one_per_tenant"),
            models.UniqueConstraint(
                fields=["account_sid"], condition=~models.Q(account_sid=""), name="carrier_account_sid_once"
            ),
            models.CheckConstraint(condition=models.Q(kind__in=["managed", "own"]), name="carrier_account_kind_known"),
            models.CheckConstraint(
                condition=models.Q(state="opening", account_sid="") & models.Q(kind="managed")
                | models.Q(state__in=["active", "suspended"]) & ~models.Q(account_sid=""),
                name="carrier_account_open_has_sid",
            ),
            models.CheckConstraint(condition=models.Q(hold__in=["", "spend_cap"]), name="carrier_account_hold_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="carrier_account_due")
        ]

    def __str__(self) -> str:
        return self.account_sid or self.get_state_display()

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens a signature may be made with, primary first."""
        return tuple(token for token in (self.auth_token, self.secondary_token) if token)

    @property
    def is_managed(self) -> bool:
        return self.kind == self.Kind.MANAGED

    @property
    def is_usable(self) -> bool:
        return self.state == self.State.ACTIVE


class Number(TenantModel):
    """A telephone number that a tenant owns at the carrier. What answers it is calls.Route's business."""

    class State(models.TextChoices):
        PROVISIONING = "provisioning", _("Being set up")
        ACTIVE = "active", _("Active")
        RELEASING = "releasing", _("Being released")
        RELEASED = "released", _("Released")
        FAILED = "failed", _("Not bought")

    class Kind(models.TextChoices):
        LOCAL = "local", _("Local")
        TOLL_FREE = "toll_free", _("Toll-free")
        MOBILE = "mobile", _("Mobile")
        NATIONAL = "national", _("National")

    OWNED: ClassVar[tuple[str, ...]] = ("provisioning", "active", "releasing")  # calls to these are answered

    account = models.ForeignKey(CarrierAccount, on_delete=models.PROTECT, related_name="numbers")
    e164 = models.CharField(max_length=16, validators=[E164])
    carrier_sid = models.CharField(
        max_length=34, blank=True, default="", validators=[RegexValidator(r"^(PN[0-9a-fA-F]{32})?$")]
    )
    name = models.CharField(max_length=100, blank=True, default="")
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    country = models.CharField(max_length=2, blank=True, default="")
    kind = models.CharField(max_length=16, choices=Kind.choices, blank=True, default="")
    capabilities = ArrayField(models.CharField(max_length=8), default=list, blank=True)
    monthly_price = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    address_sid = models.CharField(max_length=34, blank=True, default="")
    bundle_sid = models.CharField(max_length=34, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    acquired_at = models.DateTimeField(null=True, blank=True)  # billed from here (twilio.md §5.7)
    released_at = models.DateTimeField(null=True, blank=True)

    # Whether the carrier's configuration is ours: what differs, or why it could not be asked (product 3.3).
    checked_at = models.DateTimeField(null=True, blank=True)
    drift = models.JSONField(default=list, blank=True)
    check_error = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["e164"],
                condition=models.Q(state__in=["provisioning", "active", "releasing"]),
                name="number_owned_once",
            ),  # across tenants: a line has one owner
            models.CheckConstraint(
                condition=models.Q(state__in=["provisioning", "active", "releasing", "released", "failed"]),
                name="number_state_known",
            ),
            models.CheckConstraint(condition=models.Q(e164__regex=r"^\+[1-9][0-9]{6,14}$"), name="number_is_e164"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["", "local", "toll_free", "mobile", "national"]), name="number_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.e164

    @property
    def is_owned(self) -> bool:
        return self.state in self.OWNED


class NumberOrder(Work, TenantModel):
    """One order about one number: to buy it, to take one in that the account owns already, to give it back (product 3.4)."""

    class Kind(models.TextChoices):
        BUY = "buy", _("Buy")
        IMPORT = "import", _("Take in")
        RELEASE = "release", _("Release")

    class State(models.TextChoices):
        OPEN = "open", _("Under way")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    class Step(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        ORDERING = "ordering", _("Ordering")  # the purchase may have been sent: only a look at the carrier tells
        OWNED = "owned", _("Bought")
        CONFIGURED = "configured", _("Pointed at us")
        VERIFIED = "verified", _("Checked")

    number = models.ForeignKey(Number, on_delete=models.PROTECT, related_name="orders")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    step = models.CharField(max_length=16, choices=Step.choices, default=Step.REQUESTED)
    key = models.CharField(max_length=64)  # the browser's: the same form sent twice is one order
    config = models.JSONField(default=dict, blank=True)  # tenants.numbers.config.CarrierConfig
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "key"], name="number_order_key_once"),
            models.UniqueConstraint(fields=["number"], condition=models.Q(state="open"), name="number_order_one_open"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["buy", "import", "release"]), name="number_order_kind_known"
            ),
            models.CheckConstraint(
                condition=models.Q(state="open", due_at__isnull=False)
                | models.Q(state__in=["done", "failed"], due_at__isnull=True),
                name="number_order_open_is_due",
            ),
            models.CheckConstraint(
                condition=models.Q(step__in=["requested", "ordering", "owned", "configured", "verified"]),
                name="number_order_step_known",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(state="open"), name="number_order_due")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.number_id}"

    @property
    def marker(self) -> str:
        """Stands in the number's name at the carrier: whoever finds it there knows which order bought it."""
        return f"sb-{self.pk.hex[-16:]}"
