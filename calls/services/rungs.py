"""Moves a call to a rung of its ladder and says what the carrier is to do there. Runs inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from calls.models import Call, CallEvent, Route
from calls.routing.ladder import Means, find_rung, index_of
from calls.services import processes, sentences
from calls.services.answers import AnyAnswer, ConnectStream, DialPerson, DialSip, HangUp, Line, TakeVoicemail, to_json
from calls.services.closing import close_call
from calls.services.leases import fence_lease
from calls.services.notes import make_event
from calls.services.time_limits import limit_call
from calls.vocabulary import CallState, EndReason, EventKind, Fault, Step
from gateways.voice_calls import is_sip_ready

_MOVED_FIELDS = ["state", "rung", "answered_at", "ticket_serial", "disposition", "resumes", "last_resume_at"]


@dataclass(frozen=True, slots=True)
class Why:
    """What made the call move, for its time line."""

    cause: str = ""
    fault: str = ""
    detail: str = ""

    def as_data(self) -> dict[str, str]:
        return {
            key: text for key, text in (("cause", self.cause), ("fault", self.fault), ("detail", self.detail)) if text
        }


def take_rung(
    call: Call,
    route: Route | None,
    *,
    start: int,
    key: str,
    why: Why,
    say: tuple[Line, ...] = (),
    kind: EventKind = EventKind.STEP,
    note: Mapping[str, Any] | None = None,
) -> AnyAnswer:
    """Go to the first rung from `start` on that can be run; below the last one, say sorry and end."""
    means = Means(
        has_agent=call.agent_version_id is not None,
        can_sip=is_sip_ready(),
        person_e164=route.person_e164 if route else "",
        dialled=_find_dialled(call),
    )
    move = find_rung(call.ladder, start=start, means=means)
    data: dict[str, Any] = {"step": str(move.step or "end"), "rung": move.index, **why.as_data(), **(note or {})}
    if move.skipped:
        data["skipped"] = [{"step": str(s), "cause": str(c), "fault": str(f)} for s, c, f in move.skipped]
    call.rung = min(move.index, max(0, len(call.ladder) - 1))
    last_fault = str(move.skipped[-1][2]) if move.skipped else why.fault
    match move.step:
        case Step.STREAMS | Step.SIP:
            return connect_agent(call, move.step, key=key, kind=kind, data=data, say=say)
        case Step.PERSON if route is not None:
            return dial_person(
                call, e164=route.person_e164, name=route.person_name, key=key, kind=kind, data=data, say=say
            )
        case Step.VOICEMAIL:
            return take_voicemail(call, route, key=key, kind=kind, data=data, say=say)
        case _:  # goodbye, or no rung left
            return end_call(
                call,
                key=key,
                reason=EndReason.NO_AGENT if call.agent_version_id is None else EndReason.LADDER_EXHAUSTED,
                fault=why.fault or last_fault,
                data=data,
                kind=kind,
                say=(*say, sentences.cannot_help()),
            )


def connect_agent(
    call: Call, step: Step, *, key: str, kind: EventKind, data: dict[str, Any], say: tuple[Line, ...] = ()
) -> AnyAnswer:
    """The agent on the path of this rung, fresh or again."""
    if step == Step.SIP:
        return connect_sip(call, key=key, kind=kind, data=data, say=say)
    return connect_stream(call, key=key, kind=kind, data=data, say=say)


def connect_sip(
    call: Call, *, key: str, kind: EventKind, data: dict[str, Any], say: tuple[Line, ...] = ()
) -> AnyAnswer:
    """A fresh ticket, and the carrier rings the model. Recording begins with the answer, after the disclosure (product 5.0)."""
    at = timezone.now()
    call.ticket_serial += 1
    spec = call.agent_version.to_spec() if call.agent_version else None
    records = spec is not None and spec.recording
    disclosed = call.resumes > 0 and CallEvent.objects.filter(call=call, kind=EventKind.DISCLOSURE_HEARD).exists()
    if spec is not None and records and not disclosed:
        say = (*say, *sentences.make_line(spec.disclosure, language=agent_language(call)))
    answer = DialSip(
        serial=call.ticket_serial,
        issued_at=int(at.timestamp()),
        time_limit_s=settings.CALL_TIME_LIMIT_S,
        timeout_s=settings.SIP_DIAL_TIMEOUT_S,
        records=records,
        say=say,
    )
    _move(call, answer, key=key, kind=kind, data=data, at=at)
    return answer


def connect_stream(
    call: Call, *, key: str, kind: EventKind, data: dict[str, Any], say: tuple[Line, ...] = ()
) -> AnyAnswer:
    """A fresh ticket, and the agent again."""
    at = timezone.now()
    call.ticket_serial += 1
    answer = ConnectStream(
        serial=call.ticket_serial, issued_at=int(at.timestamp()), process=processes.current_name(), say=say
    )
    _move(call, answer, key=key, kind=kind, data=data, at=at)
    return answer


def dial_person(
    call: Call, *, e164: str, name: str, key: str, kind: EventKind, data: dict[str, Any], say: tuple[Line, ...] = ()
) -> AnyAnswer:
    """A cold transfer, shown with the number that was called: it is ours, which is what the carrier asks for (twilio.md §3.6)."""
    answer = DialPerson(
        e164=e164,
        name=name,
        caller_id=call.number.e164 if call.number else "",
        time_limit_s=settings.CALL_TIME_LIMIT_S,
        timeout_s=settings.DIAL_TIMEOUT_S,
        say=say,
    )
    limit_call(call, settings.CALL_TIME_LIMIT_S)
    _move(call, answer, key=key, kind=kind, data={**data, "contact": name, "e164": e164, "state": "dialling"})
    return answer


def take_voicemail(
    call: Call, route: Route | None, *, key: str, kind: EventKind, data: dict[str, Any], say: tuple[Line, ...] = ()
) -> AnyAnswer:
    """Greeting, tone, recording. Until something was recorded the call is one with an empty voicemail."""
    own = sentences.make_line(route.voicemail_greeting if route else "", language=agent_language(call))
    greeting = own[0] if own else sentences.voicemail_greeting()
    call.rung = index_of(call.ladder, Step.VOICEMAIL, default=call.rung)
    answer = TakeVoicemail(greeting=greeting, max_length_s=settings.VOICEMAIL_MAX_S, say=say)
    call.answered_at = call.answered_at or timezone.now()  # the carrier answers to speak the greeting
    limit_call(call, settings.VOICEMAIL_MAX_S)
    _move(
        call,
        answer,
        key=key,
        kind=kind,
        data=data,
        # A caller who stays silent gets no action request: the next verb asks the resume URL, which acts on this (§3.7).
        disposition={"next": "hang_up", "reason": str(EndReason.VOICEMAIL_EMPTY), "say": ""},
    )
    return answer


def end_call(
    call: Call,
    *,
    key: str,
    reason: EndReason,
    fault: str,
    data: dict[str, Any],
    say: tuple[Line, ...] = (),
    kind: EventKind = EventKind.STEP,
) -> AnyAnswer:
    """The last document: our word that the call is over. The carrier's own word follows and corrects the duration."""
    answer = HangUp(say=say)
    _move(call, answer, key=key, kind=kind, data={**data, "end_reason": str(reason)})
    close_call(call, end_reason=reason, fault=Fault.of(fault) if fault else Fault.NONE)
    return answer


def agent_language(call: Call) -> str:
    """The first language of the agent who took the call."""
    languages = call.agent_version.spec.get("languages") if call.agent_version else None
    return str(languages[0]) if languages else ""


def _move(
    call: Call,
    answer: AnyAnswer,
    *,
    key: str,
    kind: EventKind,
    data: dict[str, Any],
    at: datetime | None = None,
    disposition: dict[str, Any] | None = None,
) -> None:
    """Store the answer with its event, fence off whoever served the call until now, and write the call."""
    call.disposition = disposition or {}
    if call._state.adding:
        call.save(force_insert=True)
    else:
        if call.state != CallState.RINGING:
            call.state = CallState.MOVING
        fence_lease(call.pk)
        call.save(update_fields=_MOVED_FIELDS)
    make_event(call, key, kind, at=at, data={**data, "answer": to_json(answer)}).save(force_insert=True)


def _find_dialled(call: Call) -> frozenset[str]:
    if call._state.adding:
        return frozenset()
    rows = CallEvent.objects.filter(call=call, data__state="dialling").values_list("data__e164", flat=True)
    return frozenset(str(row) for row in rows)
