"""What people type into the screens: the filters of the calls list; checks and converts, never queries rows itself."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from calls.readouts.listing import CallFilter
from calls.vocabulary import Flag, Outcome, Term
from tenants.models import Number


class CallFilterForm(forms.Form):
    """The filters as they stand in the URL."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=64,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Caller's digits or call SID"), "aria-keyshortcuts": "/"}
        ),
    )
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("Any")), ("live", _("Live")), ("ended", _("Ended"))]
    )
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    number = forms.ChoiceField(label=_("Number"), required=False)
    agent = forms.ChoiceField(label=_("Agent"), required=False)
    flag = forms.ChoiceField(label=_("Flag"), required=False)
    since = forms.DateField(label=_("From day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, data: Any, *, numbers: Sequence[Number], agents: Sequence[Agent]) -> None:
        super().__init__(data)
        self._offer("outcome", _("Any"), _terms(Outcome))
        self._offer("flag", _("Any"), _terms(Flag))
        self._offer("number", _("Any"), [(str(n.pk), n.name or n.e164) for n in numbers])
        self._offer("agent", _("Any"), [(str(a.pk), a.name) for a in agents])
        for field in self.fields.values():
            css = "form-select" if isinstance(field, forms.ChoiceField) else "form-control"
            field.widget.attrs["class"] = css

    def _offer(self, name: str, nothing: Any, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 # tells mypy what the class body declares
        field.choices = [("", nothing), *choices]

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
            search=data.get("q", "").strip(),
            state=data.get("state", ""),
            outcome=data.get("outcome", ""),
            flag=data.get("flag", ""),
            number_id=data.get("number") or None,
            agent_id=data.get("agent") or None,
            since=_midnight(since, zone) if since else None,
            until=_midnight(until + dt.timedelta(days=1), zone) if until else None,
        )


def _midnight(day: dt.date, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=zone)


def _terms(words: type[Term]) -> list[tuple[str, Any]]:
    return [(word.value, _(word.label)) for word in words]
