"""How the screens write icons, times, durations, money, phones and the vocabulary's words; formats and never queries."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import phonenumbers
from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_noop, ngettext

from calls import vocabulary
from calls.models import LedgerEntry, ToolRun
from dashboard.formats import clock, duration, latency
from dashboard.icons import read_icon
from dashboard.navigation import Group, menu_for
from tenants.middleware import TenantRequest

register = template.Library()
register.filter("duration", duration)
register.filter("clock", clock)
register.filter("latency", latency)

# A hidden caller in the carrier's words and its numeric stand-in (twilio.md §3.1).
HIDDEN_CALLERS = frozenset({"anonymous", "restricted", "unavailable", "unknown", "private", "+266696687", ""})
CURRENCY_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
_UNITS = {  # as rate cards name them
    "minute": gettext_noop("min"),
    "call": gettext_noop("calls"),
    "segment": gettext_noop("segments"),
    "month": gettext_noop("months"),
}
_AFTER_STEPS = {  # calls.services.after_steps
    "totals": gettext_noop("Add up the call's figures"),
    "carrier_cost": gettext_noop("Price the carrier's minutes"),
    "recording": gettext_noop("Fetch the recording"),
    "time_limit": gettext_noop("Limit the call at the carrier"),
}
_E164 = re.compile(r"^\+[1-9]\d{6,14}$")


@register.simple_tag
def icon(name: str, css: str = "", *, filled: bool = False, label: str = "") -> SafeString:
    """An inline SVG; decoration for screen readers unless it has a label."""
    # The shapes come from the pinned package, never from input.
    shapes = mark_safe(read_icon(name, filled=filled))  # noqa: S308
    naming = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    paint = mark_safe('fill="currentColor"' if filled else 'fill="none" stroke="currentColor"')  # noqa: S308
    return format_html(
        '<svg class="icon {}" width="24" height="24" viewBox="0 0 24 24" {} stroke-width="2" stroke-linecap="round" '
        'stroke-linejoin="round" focusable="false" {}>{}</svg>',
        css,
        paint,
        naming,
        shapes,
    )


@register.simple_tag
def term(kind: str, value: str) -> vocabulary.Term | None:
    """The vocabulary's word, e.g. `{% term "Outcome" call.outcome as outcome %}`; None for an empty value."""
    words = getattr(vocabulary, kind)
    found: vocabulary.Term | None = words.of(value) if value else None
    return found


@register.filter
def label(word: vocabulary.Term) -> str:
    """The word's label in the reader's language."""
    return gettext(word.label)


@register.filter
def meaning(word: vocabulary.Term) -> str:
    return gettext(word.meaning)


@register.filter
def moment(value: dt.datetime | None, style: str = "short") -> SafeString | str:
    """A time in the tenant's zone; zone and UTC on hover, machine-readable in `datetime`.

    Styles: short (day and time, no year in the running year), time (with seconds), long.
    """
    if value is None:
        return "–"
    local = timezone.localtime(value)
    if style == "time":
        text = formats.date_format(local, "H:i:s")
    elif style == "long":
        text = formats.date_format(local, "j M Y, H:i:s")
    else:
        same_year = local.year == timezone.localtime().year
        text = formats.date_format(local, "j M, H:i" if same_year else "j M Y, H:i")
    utc = value.astimezone(dt.UTC)
    hover = f"{local:%Y-%m-%d %H:%M:%S %Z} · {utc:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', utc.isoformat(), hover, text)


@register.filter
def took(run: ToolRun) -> str:
    """How long a tool run took."""
    return latency(None if run.ended_ms is None else max(run.ended_ms - run.started_ms, 0))


@register.filter
def money(amount: Decimal | None, currency: str) -> str:
    """An amount with four decimals: calls cost cents and fractions of cents. The only place where amounts are rounded."""
    if amount is None:
        return "–"
    rounded = amount.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
    if amount and not rounded:
        return f"< {_with_sign('0.0001', currency)}"
    return _with_sign(formats.number_format(abs(rounded), 4), currency, negative=rounded < 0)


@register.filter
def priced(entry: LedgerEntry, quantity: Decimal | None = None) -> str:
    """Quantity (the entry's own unless given) and unit price as vendors write them: tokens by the million, the rest by one; exact."""
    amount = entry.quantity if quantity is None else quantity
    count = _exact(amount)
    if entry.unit == "token":
        price = _with_sign(_exact(entry.unit_price * 1_000_000, least=2), entry.currency)
        return ngettext("%(count)s token × %(price)s / M", "%(count)s tokens × %(price)s / M", int(amount)) % {
            "count": count,
            "price": price,
        }
    unit = _UNITS.get(entry.unit, entry.unit)
    price = _with_sign(_exact(entry.unit_price, least=2), entry.currency)
    return f"{count} {gettext(unit)} × {price}"


@register.filter
def phone(number: str) -> str:
    """A telephone number as people write it; the carrier's word for a hidden caller becomes ours."""
    if number.lower() in HIDDEN_CALLERS:
        return gettext("Hidden number")
    if not _E164.match(number):
        return number
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


@register.filter
def step_name(step: str) -> str:
    """What a step after the call does, in words; a step of tomorrow keeps its own name."""
    kind = step.partition(":")[0]
    return gettext(_AFTER_STEPS[kind]) if kind in _AFTER_STEPS else step


@register.filter
def pretty(text: str) -> str:
    """JSON with indents; other text as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """This page's query string with some keys changed; None removes one."""
    parameters = context["request"].GET.copy()
    for key, value in changes.items():
        parameters.pop(key, None)
        if value is not None:
            parameters[key] = value
    return f"?{parameters.urlencode()}"


def _exact(value: Decimal, *, least: int = 0) -> str:
    """All digits, grouped, no trailing zeros beyond `least` decimals."""
    text = f"{value.normalize():f}"
    return formats.number_format(Decimal(text), max(len(text.partition(".")[2]), least), force_grouping=True)


def _with_sign(text: str, currency: str, *, negative: bool = False) -> str:
    minus = "−" if negative else ""
    sign = CURRENCY_SIGNS.get(currency)
    return f"{minus}{sign}{text}" if sign else f"{minus}{currency} {text}"


@register.simple_tag
def menu(request: TenantRequest) -> list[Group]:
    """The main menu of this member."""
    return menu_for(request.can)


@register.filter
def is_section_of(url_name: str, request: TenantRequest) -> bool:
    """Whether the page at hand lies below this menu entry: "calls" covers "calls-export" and, as its singular, "call"."""
    match = request.resolver_match
    current = (match.url_name or "") if match else ""
    return current.split("-", 1)[0].rstrip("s") == url_name.split("-", 1)[0].rstrip("s")
