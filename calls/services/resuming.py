"""What happens after `<Connect>`, `<Dial>` or `<Record>`: acts on the call's disposition, one answer per webhook (product 7.1).

Every decision is taken under the call's row lock, stored with its event and given again when the carrier repeats the request.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from agents.spec import AgentSpec, Contact
from calls.models import Call, CallEvent, Route
from calls.services import processes, sentences
from calls.services.addresses import call_ref
from calls.services.announce import announce_call
from calls.services.answers import AnyAnswer, ConnectStream, HangUp, Line, from_json
from calls.services.carrier_request import CarrierRequest
from calls.services.closing import TERMINAL_STATUSES, close_call, derive_end, reopen_call
from calls.services.leases import is_process_dead
from calls.services.notes import fresh_key
from calls.services.plan import build_plan, speaking_agent
from calls.services.rungs import Why, agent_language, connect_agent, dial_person, end_call, take_rung, take_voicemail
from calls.session.commands import Leave
from calls.vocabulary import CallState, Cause, EndReason, EventKind, Fault, Step

MOST_RESUMES = 3  # product 7.1: at most 3 in 60 s, then the next rung
RESUME_WINDOW_S = 60


def resume_call(call_id: uuid.UUID, request: CarrierRequest, *, is_failed: bool = False) -> AnyAnswer:
    """The next document. `is_failed`: our last one could not be run (fallback address), so its rung is not tried again."""
    with transaction.atomic():
        call = lock_call(call_id)
        key = f"w:resume:{request.token}" if request.token else fresh_key("w:resume")
        known = find_answer(call, key)
        if known is not None:
            return known
        answer = _decide(call, request, key=key, is_failed=is_failed)
        announce_call(call)
    if isinstance(answer, ConnectStream) and processes.is_preparing():
        agent = speaking_agent(call)
        if agent is not None:
            processes.call_opened(call_ref(call.pk), agent, call.from_number)
    return answer


def lock_call(call_id: uuid.UUID) -> Call:
    """The call, its row locked until the transaction ends. Raises Call.DoesNotExist."""
    call: Call = (
        Call.objects.select_related("tenant", "number", "agent_version").select_for_update(of=("self",)).get(pk=call_id)
    )
    return call


def find_answer(call: Call, key: str) -> AnyAnswer | None:
    """What this very webhook was answered before, if it was."""
    row = CallEvent.objects.filter(call=call, key=key).values_list("data", flat=True).first()
    return from_json(row["answer"]) if row and "answer" in row else None


def find_route(call: Call) -> Route | None:
    return Route.objects.filter(number_id=call.number_id).first() if call.number_id else None


def _decide(call: Call, request: CarrierRequest, *, key: str, is_failed: bool) -> AnyAnswer:
    if call.state == CallState.ENDED and not reopen_call(call, request.status):
        return HangUp()
    if request.status in TERMINAL_STATUSES:
        end_reason, fault = derive_end(call, request.status)
        close_call(call, end_reason=end_reason, fault=fault, carrier_status=request.status)
        return HangUp()
    route = find_route(call)
    if is_failed:
        why = Why(Cause.INTERNAL, Fault.US, request.get("ErrorCode"))
        return take_rung(call, route, start=call.rung + 1, key=key, why=why)
    leave = read_leave(call.disposition)
    if leave is None:
        return reconnect(call, route, key=key, why=_why_without_word(call))
    return act_on(call, route, leave, key=key)


def act_on(call: Call, route: Route | None, leave: Leave, *, key: str) -> AnyAnswer:
    """What the session decided when it left."""
    why = Why(leave.cause, leave.fault, leave.detail)
    say = sentences.make_line(leave.say, language=agent_language(call))
    match leave.next:
        case "hang_up":
            reason = EndReason.of(leave.reason) if leave.reason else EndReason.AGENT_ENDED
            if reason == EndReason.VOICEMAIL_EMPTY:
                say = (sentences.voicemail_empty(),)
            return end_call(call, key=key, reason=reason, fault=leave.fault, data=why.as_data(), say=say)
        case "transfer":
            return _transfer(call, route, leave.contact, key=key, why=why, say=say)
        case "voicemail":
            return take_voicemail(
                call,
                route,
                key=key,
                kind=EventKind.VOICEMAIL,
                data={"state": "offered", **why.as_data()},
                say=say,
            )
        case "ladder":
            return take_rung(call, route, start=call.rung + 1, key=key, why=why, say=say)
        case "resume":
            return reconnect(call, route, key=key, why=why, say=say)


def read_leave(disposition: dict[str, Any]) -> Leave | None:
    """None when nobody left word: the stream was cut, or never came."""
    if not disposition.get("next"):
        return None
    return msgspec.convert(disposition, Leave)


def _why_without_word(call: Call) -> Why:
    if call.ticket_used_serial < call.ticket_serial:
        if current_step(call) == Step.SIP:
            return Why(Cause.INVITE_MISSING, Fault.MODEL)
        return Why(Cause.STREAM_MISSING, Fault.CARRIER)
    lease = getattr(call, "lease", None)
    if lease is not None and lease.process_id is not None:
        is_dead = is_process_dead(lease.process)
        return Why(Cause.PROCESS_LOST if is_dead else Cause.STREAM_LOST, Fault.US if is_dead else Fault.CARRIER)
    return Why(Cause.STREAM_LOST, Fault.CARRIER)


def reconnect(call: Call, route: Route | None, *, key: str, why: Why, say: tuple[Line, ...] = ()) -> AnyAnswer:
    """The agent again, on whichever process the stream reaches, unless that has been tried enough."""
    now = timezone.now()
    if call.agent_version_id is None or not _may_reconnect(call):
        say = say or (sentences.moment_please(),)
        return take_rung(call, route, start=call.rung + 1, key=key, why=why, say=say)
    call.resumes += 1
    call.last_resume_at = now
    data = {**why.as_data(), "attempt": call.resumes}
    return connect_agent(call, current_step(call), key=key, kind=EventKind.RECOVERY, data=data, say=say)


def current_step(call: Call) -> Step:
    """The rung on which the agent serves, or served last: a person or a voicemail below it is no place to reconnect to."""
    agents = [Step.of(step) for step in call.ladder[: call.rung + 1] if step in (Step.STREAMS, Step.SIP)]
    return agents[-1] if agents else Step.STREAMS


def _may_reconnect(call: Call) -> bool:
    since = timezone.now() - timedelta(seconds=RESUME_WINDOW_S)
    recent = CallEvent.objects.filter(call=call, key__startswith="w:", kind=EventKind.RECOVERY, at__gt=since).count()
    if recent >= MOST_RESUMES:
        return False
    # A rung without progress is not tried again (product 7.1): the last stream must have come, unless another process tries now
    # than the one it was sent to (that one died, or is being stopped and took no more streams).
    return call.ticket_used_serial >= call.ticket_serial or _was_sent_elsewhere(call)


def _was_sent_elsewhere(call: Call) -> bool:
    last = (
        CallEvent.objects.filter(call=call, key__startswith="w:", data__answer__type="ConnectStream")
        .order_by("-at", "-id")
        .values_list("data", flat=True)
        .first()
    )
    return last is not None and (last["answer"]["process"] != processes.current_name() or processes.is_stopping())


def _transfer(
    call: Call, route: Route | None, contact_name: str, *, key: str, why: Why, say: tuple[Line, ...]
) -> AnyAnswer:
    contact = _find_contact(call, route, contact_name)
    if contact is None:
        why = Why(Cause.NO_CONTACT, Fault.US, contact_name)
        return take_rung(call, route, start=call.rung + 1, key=key, why=why, say=say)
    return dial_person(
        call,
        e164=contact.e164,
        name=contact.name,
        key=key,
        kind=EventKind.TRANSFER,
        data=why.as_data(),
        say=say,
    )


def _find_contact(call: Call, route: Route | None, name: str) -> Contact | None:
    """The model names a person, never a number (product 6.3). Contacts of every agent in reach count: a hand-off may precede."""
    if call.agent_version_id is not None:
        speaker = speaking_agent(call)
        agents: list[AgentSpec] = [speaker] if speaker else []
        agents += build_plan(call, is_resumed=False).agents.values()
        for agent in agents:
            for contact in agent.contacts:
                if contact.name.casefold() == name.casefold():
                    return contact
    if route is not None and route.person_e164 and name.casefold() in ("", route.person_name.casefold()):
        return Contact(name=route.person_name or route.person_e164, e164=route.person_e164)
    return None
