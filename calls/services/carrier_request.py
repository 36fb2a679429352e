"""A webhook's form, checked and in our words. Reads values only; whether the request is genuine was decided before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")
STREAM_SID = re.compile(r"MZ[0-9a-fA-F]{32}")
RECORDING_SID = re.compile(r"RE[0-9a-fA-F]{32}")
LONGEST_PARTY = 64  # what the column holds; the carrier's own are far shorter


class MalformedRequest(ValueError):
    """A genuine request that does not hold what the carrier documents."""

    permanent = True


@dataclass(frozen=True, slots=True)
class CarrierRequest:
    """What every request about a call carries (twilio.md §3.1). `token` names the webhook across its retries (§3.3)."""

    call_sid: str
    account_sid: str
    status: str = ""
    from_number: str = ""
    to_number: str = ""
    attestation: str = ""
    forwarded_from: str = ""
    token: str = ""
    form: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> str:
        """Any other field; empty when absent."""
        return self.form.get(name, "")

    def get_int(self, name: str) -> int | None:
        """A whole number, None when absent or not one."""
        text = self.form.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def read_request(form: Mapping[str, str], *, token: str) -> CarrierRequest:
    """Raises MalformedRequest without a call SID."""
    call_sid = form.get("CallSid", "")
    if not CALL_SID.fullmatch(call_sid):
        raise MalformedRequest("CallSid is missing or malformed")
    return CarrierRequest(
        call_sid=call_sid,
        account_sid=form.get("AccountSid", ""),
        status=form.get("CallStatus", ""),
        from_number=form.get("From", "")[:LONGEST_PARTY],
        to_number=form.get("To", "")[:LONGEST_PARTY],
        attestation=form.get("StirVerstat", "")[:LONGEST_PARTY],
        forwarded_from=form.get("ForwardedFrom", "")[:LONGEST_PARTY],
        token=token[:64],
        form=form,
    )
