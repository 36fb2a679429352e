"""Tells a call's events and tool runs as one list of sentences on the call's clock; computes only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext

from calls.models import Call, CallEvent, ToolRun
from calls.vocabulary import Cause, EndReason, EventKind, Fault, LegKind, Step, Term, ToolStatus
from dashboard.formats import latency

ICONS: dict[EventKind, str] = {
    EventKind.RECEIVED: "phone-incoming",
    EventKind.STEP: "stairs",
    EventKind.STREAM_STARTED: "broadcast",
    EventKind.SIP: "route",
    EventKind.MODEL_READY: "brain",
    EventKind.MODEL_LOST: "plug-connected-x",
    EventKind.BARGE_IN: "hand-stop",
    EventKind.DIGIT: "dialpad",
    EventKind.DIGITS_COLLECTED: "dialpad",
    EventKind.DIGITS_SENT: "dialpad",
    EventKind.HAND_OFF: "arrows-exchange",
    EventKind.GUARDRAIL: "shield-exclamation",
    EventKind.SILENCE_PROMPT: "volume-off",
    EventKind.DISCLOSURE_HEARD: "ear",
    EventKind.RECORDING: "microphone",
    EventKind.MESSAGE_TAKEN: "message",
    EventKind.TRANSFER: "phone-outgoing",
    EventKind.VOICEMAIL: "record-mail",
    EventKind.RECOVERY: "lifebuoy",
    EventKind.WATCHDOG: "clock-exclamation",
    EventKind.WRAP_UP: "hourglass",
    EventKind.PEER_ERROR: "alert-triangle",
    EventKind.AUDIO_DROPPED: "wave-saw-tool",
    EventKind.LEG: "arrows-split",
    EventKind.SUPERVISOR: "user-shield",
    EventKind.ENDED: "phone-off",
}
_BAD = frozenset({EventKind.MODEL_LOST, EventKind.WATCHDOG, EventKind.PEER_ERROR, EventKind.AUDIO_DROPPED})
_NOTABLE = frozenset(
    {EventKind.BARGE_IN, EventKind.GUARDRAIL, EventKind.RECOVERY, EventKind.TRANSFER, EventKind.VOICEMAIL}
)
_MARKED = _BAD | _NOTABLE | {EventKind.STEP, EventKind.HAND_OFF, EventKind.MESSAGE_TAKEN, EventKind.SILENCE_PROMPT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the time line."""

    key: str
    kind: EventKind | None  # None: a tool run
    at_ms: int
    at: dt.datetime
    icon: str
    tone: str  # bad | notable | tool | plain
    title: str
    hint: str
    detail: str


def tell_timeline(call: Call, *, events: Sequence[CallEvent], tool_runs: Sequence[ToolRun]) -> list[Entry]:
    """Events and tool runs in the order in which they happened."""
    zero = find_zero(call, events)
    entries = [_tell_event(event, zero) for event in events]
    entries += [_tell_tool_run(run, zero) for run in tool_runs]
    return sorted(entries, key=lambda entry: (entry.at_ms, entry.at))


def find_zero(call: Call, events: Sequence[CallEvent]) -> dt.datetime:
    """The time of day at which the call's clock began: known from any event of the session, which carries both."""
    for event in events:
        if _is_on_clock(event):
            return event.at - dt.timedelta(milliseconds=event.at_ms)
    return call.answered_at or call.created_at


def event_ms(event: CallEvent, zero: dt.datetime) -> int:
    """The event's place on the call's clock. Webhooks and services have no such clock: their time of day decides."""
    if _is_on_clock(event):
        return event.at_ms
    return max(int((event.at - zero).total_seconds() * 1000), 0)


def is_marked(event: CallEvent) -> bool:
    """Worth a mark on the strip: what changed the course of the call."""
    return event.kind in _MARKED


def describe(kind: EventKind, data: dict[str, Any]) -> str:
    """One sentence about the event; where none fits, the fields as they are, so that nothing on record is hidden."""
    teller = _TELLERS.get(kind)
    text = teller(data) if teller else None
    return _plain(data) if text is None else text


def _is_on_clock(event: CallEvent) -> bool:
    return not event.key.startswith(("w:", "x:"))  # webhooks and services; calls.models.CallEvent names the sources


def _tell_event(event: CallEvent, zero: dt.datetime) -> Entry:
    kind = EventKind.of(event.kind)
    return Entry(
        key=f"event-{event.pk.hex}",
        kind=kind,
        at_ms=event_ms(event, zero),
        at=event.at,
        icon=ICONS[kind],
        tone="bad" if kind in _BAD else "notable" if kind in _NOTABLE else "plain",
        title=gettext(kind.label),
        hint=gettext(kind.meaning),
        detail=describe(kind, event.data),
    )


def _tell_tool_run(run: ToolRun, zero: dt.datetime) -> Entry:
    status = ToolStatus.of(run.status)
    took = ""
    if run.ended_ms is not None:
        took = gettext("%(status)s after %(time)s") % {
            "status": gettext(status.label),
            "time": latency(max(run.ended_ms - run.started_ms, 0)),
        }
    return Entry(
        key=f"run-{run.pk.hex}",
        kind=None,
        at_ms=run.started_ms,
        at=zero + dt.timedelta(milliseconds=run.started_ms),
        icon="tool",
        tone="tool" if status in (ToolStatus.STARTED, ToolStatus.SUCCEEDED) else "bad",
        title=run.name,
        hint=gettext(status.meaning),
        detail=took or gettext(status.label),
    )


def _word(words: type[Term], value: Any) -> str:
    try:
        return gettext(words.of(value).label)
    except KeyError:
        return str(value)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (
            (key.replace("_", " "), _plain(inner)) for key, inner in value.items() if inner not in ("", None, [], {})
        )
        return " · ".join(f"{key}: {text}" for key, text in pairs)
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return str(value)


def _why(data: dict[str, Any]) -> str:
    """Cause and fault, where they are given."""
    words = []
    if cause := data.get("cause"):
        words.append(_word(Cause, cause))
    if (fault := data.get("fault")) and fault != Fault.NONE:
        words.append(gettext("fault: %(fault)s") % {"fault": _word(Fault, fault)})
    if detail := data.get("detail"):
        words.append(str(detail))
    return _joined(*words)


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _step(data: dict[str, Any]) -> str | None:
    step = str(data.get("step", ""))
    skipped = [
        gettext("skipped %(step)s: %(why)s") % {"step": _word(Step, one.get("step", "")), "why": _why(one)}
        for one in data.get("skipped", [])
    ]
    named = gettext("no rung left") if step == "end" else _word(Step, step) if step else ""
    return _joined(named, _why(data), *skipped)


def _model_ready(data: dict[str, Any]) -> str | None:
    return _joined(str(data.get("model", "")), gettext("renewed session") if data.get("renewed") else "")


def _barge_in(data: dict[str, Any]) -> str | None:
    heard = sum(int(part.get("heard_ms", 0)) for part in data.get("cut", []))
    return gettext("the agent was heard for %(time)s") % {"time": latency(heard)} if data.get("cut") else None


def _transfer(data: dict[str, Any]) -> str:
    seconds = int(data.get("duration_s") or 0)
    talked = ngettext("talked for %(count)d second", "talked for %(count)d seconds", seconds) % {"count": seconds}
    return _joined(
        str(data.get("contact") or data.get("name") or ""),
        str(data.get("state", "")),
        str(data.get("dial", "")),
        talked if seconds else "",
        _why(data),
    )


def _recording(data: dict[str, Any]) -> str:
    code = data.get("error")
    failed = (
        gettext("error %(code)s") % {"code": code} if code not in (None, "", "0") else ""
    )  # "0" says that there was none
    return _joined(str(data.get("state", "")), failed)


def _leg(data: dict[str, Any]) -> str:
    named = _word(LegKind, data["kind"]) if data.get("kind") else ""
    sip = gettext("SIP %(code)s") % {"code": data["sip"]} if data.get("sip") else ""
    return _joined(named, str(data.get("state", "")), sip)


def _ended(data: dict[str, Any]) -> str | None:
    if "reason" not in data:
        return None
    return _joined(_word(EndReason, data["reason"]), _why(data))


def _hand_off(data: dict[str, Any]) -> str | None:
    if "source" not in data or "target" not in data:
        return None
    text = gettext("%(source)s → %(target)s") % data
    return f"{text} · {data['reason']}" if data.get("reason") else text


def _guardrail(data: dict[str, Any]) -> str | None:
    if "name" not in data:
        return None
    heard = gettext("some of it was heard") if data.get("heard") else gettext("nothing of it was heard")
    said = f"“{data['said']}”" if data.get("said") else ""
    return _joined(str(data["name"]), said, heard)


def _recovery(data: dict[str, Any]) -> str:
    attempt = int(data.get("attempt") or 0)
    return _joined(_why(data), gettext("attempt %(count)d") % {"count": attempt} if attempt else "")


def _message(data: dict[str, Any]) -> str | None:
    message = data.get("message")
    return _plain(message) if message else None


def _text(data: dict[str, Any]) -> str | None:
    return f"“{data['text']}”" if data.get("text") else None


_TELLERS: dict[EventKind, Callable[[dict[str, Any]], str | None]] = {
    EventKind.RECEIVED: _step,
    EventKind.STEP: _step,
    EventKind.STREAM_STARTED: lambda data: "",  # its id is the stream leg's
    EventKind.MODEL_READY: _model_ready,
    EventKind.BARGE_IN: _barge_in,
    EventKind.TRANSFER: _transfer,
    EventKind.VOICEMAIL: _transfer,
    EventKind.RECORDING: _recording,
    EventKind.LEG: _leg,
    EventKind.ENDED: _ended,
    EventKind.MODEL_LOST: _why,
    EventKind.HAND_OFF: _hand_off,
    EventKind.GUARDRAIL: _guardrail,
    EventKind.RECOVERY: _recovery,
    EventKind.MESSAGE_TAKEN: _message,
    EventKind.SILENCE_PROMPT: _text,
    EventKind.DISCLOSURE_HEARD: _text,
}
