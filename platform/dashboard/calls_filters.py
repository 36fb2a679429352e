"""The filters of the calls list as they stand in the URL; checks and converts, never queries rows itself."""

from __future__ import annotations

import datetime as dt
import uuid
import zoneinfo
from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from calls.readouts.listing import FEWEST_DIGITS, ORDERS, CallFilter
from calls.vocabulary import Direction, EndReason, Fault, Flag, Outcome, Path, Term
from tenants.models import Number

NOT_FILTERS = ("at", "cols", "did")  # in the list's address, and no part of what it is narrowed to
FIRST = ("outcome", "number", "agent", "tag", "since", "until")  # the others are folded away until one is used


class CallFilterForm(forms.Form):
    """The filters of the list; unknown values are explained and do not narrow."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=100,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": _("Words said, last digits, call SID"),
                "aria-keyshortcuts": "/",
            }
        ),
    )
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    number = forms.ChoiceField(label=_("Number"), required=False)
    agent = forms.ChoiceField(label=_("Agent"), required=False)
    tag = forms.ChoiceField(label=_("Tag"), required=False)
    since = forms.DateField(label=_("From day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("Any")), ("live", _("Live")), ("ended", _("Ended"))]
    )
    flag = forms.ChoiceField(label=_("Flag"), required=False)
    reviewed = forms.ChoiceField(
        label=_("Reviewed"), required=False, choices=[("", _("Any")), ("no", _("Not yet")), ("yes", _("Reviewed"))]
    )
    reason = forms.ChoiceField(label=_("End reason"), required=False)
    fault = forms.ChoiceField(label=_("Fault"), required=False)
    path = forms.ChoiceField(label=_("Path"), required=False)
    direction = forms.ChoiceField(label=_("Direction"), required=False)
    sort = forms.ChoiceField(
        label=_("Sort by"),
        required=False,
        choices=[
            ("", _("Newest")),
            ("duration", _("Longest")),
            ("latency", _("Slowest")),
            ("cost", _("Most expensive")),
        ],
    )

    def __init__(self, data: Any, *, numbers: Sequence[Number], agents: Sequence[Agent], tags: Sequence[str]) -> None:
        super().__init__(data)
        self._offer("outcome", _terms(Outcome))
        self._offer("flag", _terms(Flag))
        self._offer("reason", _terms(EndReason))
        self._offer("fault", _terms(Fault))
        self._offer("path", _terms(Path))
        self._offer("direction", _terms(Direction))
        self._offer("number", [(str(n.pk), n.name or n.e164) for n in numbers])
        self._offer("agent", [(str(a.pk), a.name) for a in agents])
        self._offer("tag", [(tag, tag) for tag in tags])
        for field in self.fields.values():
            css = "form-select" if isinstance(field, forms.ChoiceField) else "form-control"
            field.widget.attrs["class"] = css

    def _offer(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 # tells mypy what the class body declares
        field.choices = [("", _("Any")), *choices]

    @property
    def first_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in FIRST]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in FIRST and name != "q"]

    @property
    def is_more_used(self) -> bool:
        return any(field.value() for field in self.more_fields)

    def clean_q(self) -> str:
        text: str = self.cleaned_data["q"].strip()
        found = CallFilter(search=text)
        if found.digits and len(found.digits) < FEWEST_DIGITS:
            raise forms.ValidationError(
                _("Type at least %(count)d digits of the caller's number."), params={"count": FEWEST_DIGITS}
            )
        return text

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and until < since:
            self.add_error("until", _("This day lies before the first one; choose a later day."))
        return data

    def to_filter(self, zone: zoneinfo.ZoneInfo) -> CallFilter:
        """What was understood; a field with an error does not narrow the list. Days are the tenant's."""
        self.is_valid()
        data = self.cleaned_data
        since, until = data.get("since"), data.get("until")
        return CallFilter(
            search=data.get("q", ""),
            number_id=uuid.UUID(data["number"]) if data.get("number") else None,
            agent_id=uuid.UUID(data["agent"]) if data.get("agent") else None,
            since=_midnight(since, zone) if since else None,
            until=_midnight(until + dt.timedelta(days=1), zone) if until else None,
            **{
                name: data.get(name, "")
                for name in ("state", "outcome", "reason", "fault", "flag", "tag", "path", "direction", "reviewed")
            },
        )

    @property
    def order(self) -> str:
        """Call `to_filter` first."""
        wanted = self.cleaned_data.get("sort") or "time"
        return wanted if wanted in ORDERS else "time"


def keep_filters(query: QueryDict, *, also: Sequence[str] = ()) -> str:
    """The list's address without its page: what a saved view holds (with `also=["cols"]`) and what the acts come back to."""
    kept = query.copy()
    for name in NOT_FILTERS:
        if name not in also:
            kept.pop(name, None)
    for name in [name for name, values in kept.lists() if not any(values)]:
        kept.pop(name)
    return kept.urlencode()


def _midnight(day: dt.date, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=zone)


def _terms(words: type[Term]) -> list[tuple[str, Any]]:
    return [(word.value, _(word.label)) for word in words]
