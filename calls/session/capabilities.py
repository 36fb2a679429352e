"""What each call path can do, as data: read by preflight, the editor, the live board and the documentation; decides nothing itself.

The table is product 5.0. What still has to be confirmed on a live account is marked and can be switched on by name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from calls.vocabulary import gettext_noop as _


class Arrangement(StrEnum):
    """A path as it is set up at the carrier; SIP has two."""

    STREAMS = "streams"
    SIP_DIAL = "sip_dial"
    SIP_TRUNK = "sip_trunk"
    RELAY = "relay"


class Ability(StrEnum):
    DIGITS_OUT = "digits_out"
    LIVE_LISTEN = "live_listen"
    FILLER = "filler"
    RECORDING = "recording"
    PAUSE_RECORDING = "pause_recording"
    TRANSFER_COLD = "transfer_cold"
    TRANSFER_WARM = "transfer_warm"
    ADMISSION = "admission"
    QUEUE = "queue"
    RENEWAL = "renewal"
    HEARD_TEXT = "heard_text"


class Support(StrEnum):
    YES = "yes"
    NO = "no"
    LIMITED = "limited"  # with the condition that the text names
    UNCONFIRMED = "unconfirmed"  # off until confirmed on a live account


@dataclass(frozen=True, slots=True)
class Cell:
    support: Support
    how: str = ""


def _yes(how: str = "") -> Cell:
    return Cell(Support.YES, how)


def _no(how: str = "") -> Cell:
    return Cell(Support.NO, how)


def _limited(how: str) -> Cell:
    return Cell(Support.LIMITED, how)


def _unconfirmed(how: str) -> Cell:
    return Cell(Support.UNCONFIRMED, how)


TABLE: dict[Ability, dict[Arrangement, Cell]] = {
    Ability.DIGITS_OUT: {
        Arrangement.STREAMS: _yes(_("In-band tones; else the carrier plays them and rejoins.")),
        Arrangement.SIP_DIAL: _no(),
        Arrangement.SIP_TRUNK: _no(),
        Arrangement.RELAY: _yes(_("The carrier sends them.")),
    },
    Ability.LIVE_LISTEN: {
        Arrangement.STREAMS: _yes(_("A tee of our audio.")),
        Arrangement.SIP_DIAL: _yes(_("A stream fork by REST, both tracks; billed.")),
        Arrangement.SIP_TRUNK: _no(_("Transcript only.")),
        Arrangement.RELAY: _unconfirmed(_("A stream started before the relay.")),
    },
    Ability.FILLER: {
        Arrangement.STREAMS: _yes(),
        Arrangement.SIP_DIAL: _no(_("The model owns the audio path.")),
        Arrangement.SIP_TRUNK: _no(_("The model owns the audio path.")),
        Arrangement.RELAY: _yes(_("As text or as a played file.")),
    },
    Ability.RECORDING: {
        Arrangement.STREAMS: _yes(_("By REST, after the disclosure was heard.")),
        Arrangement.SIP_DIAL: _yes(_("The carrier says the disclosure, then records from answer, dual channel.")),
        Arrangement.SIP_TRUNK: _limited(_("All or nothing on the trunk; only for tenants who confirm that they may.")),
        Arrangement.RELAY: _yes(_("The carrier says the disclosure and starts the recording before the relay.")),
    },
    Ability.PAUSE_RECORDING: {
        Arrangement.STREAMS: _yes(),
        Arrangement.SIP_DIAL: _yes(),
        Arrangement.SIP_TRUNK: _no(),
        Arrangement.RELAY: _unconfirmed(_("Pausing a recording that TwiML started.")),
    },
    Ability.TRANSFER_COLD: {
        Arrangement.STREAMS: _yes(),
        Arrangement.SIP_DIAL: _yes(_("The carrier redirects the parent call.")),
        Arrangement.SIP_TRUNK: _yes(_("By REFER, checked by call look-up.")),
        Arrangement.RELAY: _yes(),
    },
    Ability.TRANSFER_WARM: {
        Arrangement.STREAMS: _yes(),
        Arrangement.SIP_DIAL: _yes(),
        Arrangement.SIP_TRUNK: _no(),
        Arrangement.RELAY: _yes(),
    },
    Ability.ADMISSION: {
        Arrangement.STREAMS: _yes(),
        Arrangement.SIP_DIAL: _yes(),
        Arrangement.SIP_TRUNK: _limited(_("Accept, reject or refer.")),
        Arrangement.RELAY: _yes(),
    },
    Ability.QUEUE: {
        Arrangement.STREAMS: _yes(_("Queue, voicemail and every rung of the ladder.")),
        Arrangement.SIP_DIAL: _yes(_("Queue, voicemail and every rung of the ladder.")),
        Arrangement.SIP_TRUNK: _no(_("Only by letting the carrier fail over.")),
        Arrangement.RELAY: _yes(_("Queue, voicemail and every rung of the ladder.")),
    },
    Ability.RENEWAL: {
        Arrangement.STREAMS: _yes(_("Unnoticed.")),
        Arrangement.SIP_DIAL: _limited(_("Through the action URL back to us: at most 3 s and one sentence.")),
        Arrangement.SIP_TRUNK: _no(_("Wrap-up at 50 minutes, then refer or goodbye.")),
        Arrangement.RELAY: _yes(_("Not needed.")),
    },
    Ability.HEARD_TEXT: {
        Arrangement.STREAMS: _yes(_("By marks.")),
        Arrangement.SIP_DIAL: _limited(_("By the model's own truncation.")),
        Arrangement.SIP_TRUNK: _limited(_("By the model's own truncation.")),
        Arrangement.RELAY: _yes(_("By the carrier's word of what was spoken until the interruption.")),
    },
}


def look_up(ability: Ability, arrangement: Arrangement) -> Cell:
    """The cell of the table."""
    return TABLE[ability][arrangement]


def can(ability: Ability, arrangement: Arrangement, *, confirmed: Collection[str] = ()) -> bool:
    """Whether the ability may be used. `confirmed` holds "ability:arrangement" of cells tried on a live account."""
    support = TABLE[ability][arrangement].support
    if support is Support.UNCONFIRMED:
        return f"{ability}:{arrangement}" in confirmed
    return support is not Support.NO


def render_table() -> str:
    """The table as Markdown, for docs/call-session.md (a test holds the two together)."""
    lines = ["| | " + " | ".join(arrangement.value for arrangement in Arrangement) + " |"]
    lines.append("|---" * (len(Arrangement) + 1) + "|")
    for ability, row in TABLE.items():
        cells = [f"{row[a].support}. {row[a].how}".removesuffix(". ") for a in Arrangement]
        lines.append(f"| {ability.value.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
