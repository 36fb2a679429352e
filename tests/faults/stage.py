"""The whole product between the two doubles, and what a test wants to know of a call: what was heard, and what stands on record."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pytest
from django.db import connections
from django.db.utils import OperationalError
from django.utils import timezone

from calls import tasks  # noqa: F401 # registers the steps' workers
from calls.aftermath import steps
from calls.models import (
    AfterStep,
    Call,
    CallEvent,
    FlightChunk,
    LedgerEntry,
    Leg,
    OperatorEvent,
    Recording,
    Route,
    ToolRun,
    Turn,
    UsageRecord,
)
from calls.services import addresses
from calls.vocabulary import CallState, EventKind, ToolStatus, TurnStatus
from emulators.callers import Caller, Say, Step, WaitForAgent, render
from emulators.openai.double import OpenAIDouble
from emulators.openai.models import choose_session_voice
from emulators.openai.script import Script
from emulators.openai.session import RealtimeSession
from emulators.sound import measure_ms
from emulators.speech import AGENT_VOICE, CALLER_VOICE, Voice
from emulators.toolserver import ToolServer
from emulators.twilio.call import Call as CarrierCall
from emulators.twilio.double import TwilioDouble
from emulators.twilio.values import LogEntry
from tenants.models import Tenant
from tenants.scope import every_tenant, tenant_scope
from tests.factories import AUTH_TOKEN, make_account, make_agent, make_number, make_route, make_tenant

GREETING = "Good morning, Acme Dental."
VOICEMAIL_GREETING = "Nobody can come to the phone right now. Please leave a message after the tone, then hang up."
PATIENCE_S = 20.0  # a deadline, never a wait: what is awaited comes within a second or two

_SAID = Voice(language="en-us", speaker=AGENT_VOICE.speaker)  # what the carrier's <Say> sounds like
_AGENT = choose_session_voice({"audio": {"output": {"voice": "marin", "speed": 1.0}, "input": {"transcription": None}}})

# For calls whose words are the carrier's: no stream is bent by it.
FAST = pytest.mark.parametrize("carrier_config", [8.0], indirect=True, ids=["fast"])

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(question: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Ask the database in a thread, and leave no connection behind."""

    @functools.wraps(question)
    async def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        def answer() -> T:
            try:
                return question(*args, **kwargs)
            finally:
                connections.close_all()

        return await asyncio.to_thread(answer)

    return ask


@dataclass(frozen=True)
class Line:
    """One number of one tenant that is answered."""

    tenant: Tenant
    route: Route
    e164: str
    account_sid: str


@dataclass(frozen=True)
class Record:
    """All that the product wrote about one call."""

    call: Call
    legs: list[Leg]
    events: list[CallEvent]
    turns: list[Turn]
    tool_runs: list[ToolRun]
    usage: list[UsageRecord]
    ledger: list[LedgerEntry]
    recordings: list[Recording]
    flight: list[FlightChunk]
    after: list[AfterStep]

    def of(self, kind: EventKind) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.kind == kind]

    def causes(self, kind: EventKind) -> list[str]:
        return [data["cause"] for data in self.of(kind) if data.get("cause")]

    @property
    def open(self) -> list[object]:
        """What has not come to an end; the writer may be up to 250 ms behind (product 5.4.2)."""
        return [
            *(turn for turn in self.turns if turn.status == TurnStatus.OPEN),
            *(run for run in self.tool_runs if run.status == ToolStatus.STARTED),
            *(leg for leg in self.legs if leg.ended_at is None),
        ]

    @property
    def sessions_ended(self) -> bool:
        """Whether every session that was let in has written its last word."""
        keys = [(event.key, event.kind) for event in self.events]
        began = sum(key.startswith("x:stream:") for key, _kind in keys)
        return began <= sum(key.startswith("s:") and kind == EventKind.ENDED for key, kind in keys)

    @property
    def said(self) -> list[tuple[str, str]]:
        """(role, what was heard of it), in order."""
        return [(str(turn.role), turn.heard or turn.generated) for turn in self.turns]


@dataclass
class Stage:
    carrier: TwilioDouble
    model: OpenAIDouble
    tools: ToolServer
    address: str = ""
    lines: list[Line] = field(default_factory=list)

    # --- what exists ----------------------------------------------------------------------------------------------------

    async def open_line(
        self,
        *,
        agents: Sequence[dict[str, Any]] = (),
        ladder: Sequence[str] = ("streams", "voicemail"),
        person_e164: str = "",
        state: str = Tenant.State.ACTIVE,
        **spec: Any,
    ) -> Line:
        """A tenant with a number; `spec` is of the agent who answers, `agents` of those it may hand off to."""
        line = await _open_line(agents, ladder, person_e164, state, {"greeting": GREETING, **spec})
        if line.account_sid not in self.carrier.exchange.accounts:
            self.carrier.add_account(sid=line.account_sid, auth_token=AUTH_TOKEN)
        self.carrier.add_number(
            line.e164,
            sid=line.route.number.carrier_sid,
            account=line.account_sid,
            voice_url=addresses.voice_url(line.route.public_id),
            voice_fallback_url=addresses.fallback_url(line.route.public_id),
            status_callback=addresses.number_status_url(line.route.public_id),
        )
        self.lines.append(line)
        return line

    def play(self, script: dict[str, Any]) -> None:
        """What the model says from here on."""
        self.model.script = Script.read(script)

    # --- what happens ---------------------------------------------------------------------------------------------------

    async def say(self, call: CarrierCall, text: str) -> None:
        """The caller says it, now; returns when it was said."""
        clip = await render(text, voice=CALLER_VOICE)
        self.model.register_clip(clip, text)
        await call.leg.speak(clip)

    async def leave_message(self, call: CarrierCall) -> Record:
        """The caller waits for the voicemail's beep, speaks and is silent; the record once all is over."""
        await call.wait_for("recording-started", PATIENCE_S)
        await self.say(call, "Please call me back.")
        await call.leg.press("#")
        return await self.ended(call)

    async def ring(self, line: Line, *steps: Step, patience_s: float = 60.0) -> CarrierCall:
        caller = Caller(steps, patience_s=patience_s)
        await caller.prepare()
        for text, clip in caller.clips():
            self.model.register_clip(clip, text)
        return await self.carrier.ring(to=line.e164, caller=caller)

    async def ended(self, call: CarrierCall) -> Record:
        """The call's record once it is closed, and its writers have written."""
        async with asyncio.timeout(PATIENCE_S):
            await call.ended()
        return await self.until(
            call, lambda record: record.call.state == CallState.ENDED and not record.open and record.sessions_ended
        )

    async def worked(self, call: CarrierCall) -> Record:
        """The record after its end, and after a worker did what was due."""
        async with asyncio.timeout(PATIENCE_S):
            await call.ended()
        await self.until(call, lambda record: record.call.state == CallState.ENDED)
        await run_steps(call.sid)
        return await self.until(call, lambda record: not record.open)

    async def until(self, call: CarrierCall, condition: Callable[[Record], bool]) -> Record:
        """The record once it is as wanted. Rows tell nobody, so they are looked at now and then."""
        record: Record | None = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    record = await read_record(call.sid)
                    if record is not None and condition(record):
                        return record
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"the record never became as wanted: {describe(record)}") from None

    async def until_heard(self, call: CarrierCall, text: str) -> None:
        """Returns when the caller heard the sentence to its end, whoever said it."""
        clips = self.clips(text)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not heard(call, *clips):  # noqa: ASYNC110 # the ear tells nobody of words
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"the caller never heard {text!r}; the log: {describe_log(call)}") from None

    def was_heard(self, call: CarrierCall, text: str) -> bool:
        return heard(call, *self.clips(text))

    def clips(self, text: str) -> list[bytes]:
        """The sentence as the model and as the carrier speak it."""
        return [self.model.synthesiser.speak(text, voice=voice) for voice in (_AGENT, _SAID)]

    async def session(self, index: int = 0) -> RealtimeSession:
        return await self.model.wait_for_session(index, PATIENCE_S)


def heard(call: CarrierCall, *clips: bytes) -> bool:
    """Whether one of the clips was really played to the caller, from its first sample to its last."""
    line = b"".join(audio for _, audio in call.leg.heard)
    return any(clip in line for clip in clips)


def longest_silence_ms(call: CarrierCall, *, since_ms: float = 0.0, until_ms: float | None = None) -> float:
    """The longest time between two sounds in the caller's ear, in call time, from `since_ms` after the first sound."""
    stretches = [(start / 8, (start + len(audio)) / 8) for start, audio in call.leg.heard]
    silence, last = 0.0, stretches[0][0] if stretches else 0.0
    for start, end in stretches:
        if start >= stretches[0][0] + since_ms and (until_ms is None or start <= stretches[0][0] + until_ms):
            silence = max(silence, start - last)
        last = max(last, end)
    return silence


def said_by_carrier(call: CarrierCall) -> list[str]:
    return [str(entry.detail["text"]) for entry in call.entries("say")]


def describe_log(call: CarrierCall) -> list[LogEntry]:
    return [entry for entry in call.log if entry.kind not in ("step",)]


def describe(record: Record | None) -> str:
    if record is None:
        return "no call"
    call = record.call
    events = "\n".join(f"  {event.at_ms:>6} {event.key:<24} {event.kind} {event.data}" for event in record.events)
    turns = "\n".join(
        f"  {turn.sequence} {turn.role} {turn.status} {turn.heard!r} of {turn.generated!r}" for turn in record.turns
    )
    return f"{call.state} {call.end_reason} {call.outcome} {call.fault}\n{events}\n{turns}"


def conversation(*lines: str) -> list[Step]:
    """A caller who says each line after the agent fell silent."""
    steps: list[Step] = []
    for line in lines:
        steps += [WaitForAgent(), Say(line)]
    return steps


def clip_ms(clip: bytes) -> float:
    return measure_ms(clip)


@in_thread
def _open_line(
    agents: Sequence[dict[str, Any]], ladder: Sequence[str], person_e164: str, state: str, spec: dict[str, Any]
) -> Line:
    tenant = make_tenant()
    account = make_account(tenant)
    for other in agents:
        make_agent(tenant, **other)
    first = make_agent(tenant, **{"name": "Reception", **spec})
    route = make_route(
        tenant,
        number=make_number(tenant),
        agent=first,
        ladder=ladder,
        **({"person_e164": person_e164, "person_name": "Front desk"} if person_e164 else {}),
    )
    if state != Tenant.State.ACTIVE:
        Tenant.objects.filter(pk=tenant.pk).update(state=state)
    return Line(tenant, route, route.number.e164, account.account_sid)


@in_thread
def read_record(call_sid: str) -> Record | None:
    """None while there is no call, or no database."""
    try:
        with every_tenant(reason="a test looks at what was written"):
            call = Call.objects.filter(carrier_sid=call_sid).first()
            if call is None:
                return None
            return Record(
                call,
                list(Leg.objects.filter(call=call).order_by("started_at")),
                list(CallEvent.objects.filter(call=call).order_by("at", "id")),
                list(Turn.objects.filter(call=call).order_by("sequence")),
                list(ToolRun.objects.filter(call=call)),
                list(UsageRecord.objects.filter(call=call).order_by("sequence")),
                list(LedgerEntry.objects.filter(call=call)),
                list(Recording.objects.filter(call=call)),
                list(FlightChunk.objects.filter(call=call)),
                list(AfterStep.objects.filter(call=call)),
            )
    except OperationalError:
        return None


@in_thread
def run_steps(call_sid: str) -> None:
    """What a Celery worker does, here and now, until nothing is left but what waits for the carrier."""
    with every_tenant(reason="a test plays the worker"):
        call = Call.objects.select_related("tenant").get(carrier_sid=call_sid)
        due = list(AfterStep.objects.filter(call=call, state=AfterStep.State.DUE))
    with tenant_scope(call.tenant):
        for step in due:
            AfterStep.objects.filter(pk=step.pk).update(due_at=timezone.now(), claimed_until=None)
            steps.run_step(str(step.pk))


@in_thread
def count_calls() -> int:
    with every_tenant(reason="a test counts what was written"):
        return Call.objects.count()


@in_thread
def read_operator_events() -> list[OperatorEvent]:
    return list(OperatorEvent.objects.order_by("at"))


def assert_whole(record: Record) -> None:
    """What holds for every call that is over, whatever happened: closed once, nothing open, nothing doubled."""
    call = record.call
    assert call.state == CallState.ENDED
    assert call.end_reason
    assert call.outcome
    assert call.ended_at is not None
    assert [event.key for event in record.events].count("x:ended") == 1, describe(record)
    assert record.open == []
    items = [turn.item_id for turn in record.turns]
    assert len(items) == len(set(items))
    sources = [usage.source_id for usage in record.usage]
    assert len(sources) == len(set(sources))
    keys = [entry.source_key for entry in record.ledger]
    assert len(keys) == len(set(keys))
