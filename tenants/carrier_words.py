"""What the carrier's refusals mean to the people who read them: a sentence with cause and mend for each (twilio.md §5.3, §6.1). No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.errors import GatewayError

_BY_CODE: Mapping[str, str | Promise] = {
    "21422": _("This number was taken by somebody else a moment ago. Search again and choose another."),
    "21421": _("The carrier does not know this number. Search again and choose one from the list."),
    "21452": _("No numbers are left in this area code. Search without it, or in another one."),
    "21451": _("This area code does not exist. Leave it empty, or write three digits of the US or Canada."),
    "21404": _("The carrier's trial accounts cannot buy this number. Upgrade the account at the carrier first."),
    "21631": _("This number is sold only to an address in its country. Choose or add one, then buy again."),
    "21649": _("This number needs approved papers (a regulatory bundle). Hand them in at the carrier, then buy again."),
    "21650": _(
        "This number needs a verified identity in its regulatory bundle. Add it at the carrier, then buy again."
    ),
    "21651": _("A document is missing in the regulatory bundle. Add it at the carrier, then buy again."),
    "22300": _("The carrier keeps this account from buying such numbers. Ask the carrier's support to lift that."),
    "21402": _("The carrier refuses our address as a webhook. PUBLIC_BASE_URL must be a public https address."),
    "21400": _("An emergency address is active on this number. Deactivate it at the carrier first, then release it."),
    "21480": _("The carrier allows no more subaccounts. The operator must ask the carrier for more."),
    "21215": _("The account may not call this country. Its geographic permissions are set for the trial."),
    "20005": _("The account at the carrier is suspended, so nothing can be changed in it."),
    "10001": _("The account at the carrier is not active, so nothing can be changed in it."),
    "20404": _("The carrier has no such number any more."),
}


def explain(error: GatewayError) -> str:
    """One or two sentences: what happened, and the mend."""
    if error.code in _BY_CODE:
        return str(_BY_CODE[error.code])
    if error.status in (401, 403):
        return gettext(
            "The carrier refuses this account's credentials. Check account SID and token under Settings → Carrier."
        )
    if error.status == 429:
        return gettext("The carrier is busy with other requests of this account. It is tried again by itself.")
    if not error.permanent:
        return gettext("The carrier did not answer as it should. It is tried again by itself.")
    return gettext("The carrier refused this (%(code)s). The details are below.") % {
        "code": error.code or error.status or gettext("no code")
    }
