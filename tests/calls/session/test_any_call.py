"""Any call at all: a strict model and a carrier with delays, races in every order, and what must hold throughout."""

from __future__ import annotations

from collections import Counter, deque

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agents.spec import AgentSpec, Contact, Guardrail, HandOff, HttpCall, Realtime, ToolPolicy, ToolSpec, TurnDetection
from calls.session import commands as do
from calls.session import events as ev
from calls.session.flight import FlightWriter, read_flight, replay
from calls.session.machine import CallSession
from calls.session.plan import Limits
from tests.calls.session.script import RECEPTION, Call

BUILTINS = ("end_call", "transfer_to_person", "hand_off", "send_digits", "collect_digits", "wait", "take_message")
TOOLS = (
    ToolSpec(name="lookup", http=HttpCall(url="https://tools.example/"), timeout_s=3, filler="One moment."),
    ToolSpec(name="book", http=HttpCall(url="https://tools.example/"), policy=ToolPolicy.CONFIRM),
    *(ToolSpec(name=name, kind="builtin") for name in BUILTINS),
)
ARGUMENTS = {
    "transfer_to_person": '{"contact": "Mary"}',
    "hand_off": '{"agent": "Billing"}',
    "send_digits": '{"digits": "12"}',
    "collect_digits": '{"max_digits": 2, "secret": true}',
    "take_message": '{"text": "Call me"}',
}
AGENT: AgentSpec = msgspec.structs.replace(
    RECEPTION,
    tools=TOOLS,
    contacts=(Contact(name="Mary", e164="+15550000001"),),
    hand_offs=(HandOff(agent="Billing"),),
    guardrails=(Guardrail(name="word", pattern="forbidden"), Guardrail(name="judge", kind="judge", question="?")),
    recording=True,
    disclosure="This call is recorded.",
)
BILLING = AgentSpec(name="Billing", instructions="", tools=TOOLS[:1], hand_offs=(HandOff(agent="Reception"),))
NOISE: list[ev.Event] = [
    ev.MarkReturned(name="g1.1:3"),
    ev.MarkReturned(name="?"),
    ev.CallerAudio(ms=900),
    ev.NoteAdded(text="n"),
]
ENDS: list[ev.Event] = [
    ev.MoveRequested(),
    ev.EndRequested(reason="supervisor_ended"),
    ev.CallerHungUp(),
    ev.StreamLost(),
]
ENDINGS = ["completed", "completed", "max_output_tokens", "content_filter", "server_error", "rate_limit_exceeded"]
WORDS = st.sampled_from(["Certainly. ", "Your order left this morning. ", "Well, that is forbidden. "])


class Server:
    """One model session that keeps the vendor's rules and remembers what it was told (openai-realtime.md §4)."""

    def __init__(self, number: int, *, detection: TurnDetection) -> None:
        self.number = number
        self.detection = detection
        self.out: deque[ev.Event] = deque()
        self.active = ""
        self.item = ""
        self.generated: dict[str, int] = {}  # item -> bytes of audio
        self.deleted: set[str] = set()
        self.calls: set[str] = set()
        self.answered: set[str] = set()
        self.speaking = ""
        self.count = 0
        self.yes = False

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.number}_{self.count}"

    def start(self) -> None:
        self.active = self.new("resp")
        self.item = ""
        self.out.append(ev.ResponseStarted(response_id=self.active))

    def end(self, status: str, **fields: str) -> None:
        response_id, self.active = self.active, ""
        self.out.append(ev.ResponseEnded(response_id=response_id, status=status, usage={}, **fields))

    def take(self, command: do.Command) -> None:
        match command:
            case do.CreateResponse(event_id, job=""):
                if self.active:
                    code = "conversation_already_has_active_response"
                    self.out.append(ev.ModelErrored(code=code, message="", event_id=event_id))
                else:
                    self.start()
            case do.CreateResponse(job=job):
                response_id = self.new("job")
                self.out.append(ev.ResponseStarted(response_id=response_id, job=job))
                text = "yes" if self.yes else "no"
                self.out.append(
                    ev.ResponseEnded(response_id=response_id, status="completed", job=job, text=text, usage={})
                )
            case do.CancelResponse(_, response_id):
                if self.active == response_id:
                    self.end("cancelled", reason="client_cancelled")
                else:
                    self.out.append(ev.ModelErrored(code="response_cancel_not_active", message=""))
            case do.TruncateItem(_, item_id, _, audio_end_ms):
                assert item_id not in self.deleted
                assert 0 <= audio_end_ms * 8 <= self.generated[item_id]
            case do.DeleteItem(_, item_id):
                assert item_id not in self.deleted
                self.deleted.add(item_id)
            case do.AddToolOutput(_, call_id):
                assert call_id in self.calls
                assert call_id not in self.answered
                self.answered.add(call_id)
            case do.AddToolExchange(_, call_id):
                assert call_id not in self.calls
                self.calls.add(call_id)
                self.answered.add(call_id)
            case do.UseAgent():
                self.out.append(ev.ModelUpdated())
            case _:
                pass


class AnyCall(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agent = AGENT
        self.server: Server | None = None
        self.opening = False
        self.wire: deque[do.Command] = deque()  # on its way to the server
        self.seen = 0
        self.known_active: set[str] = set()
        self.outstanding: set[str] = set()
        self.calls: list[str] = []
        self.tools: list[str] = []
        self.count = 0

    @initialize(
        linger_ms=st.sampled_from([0, 1500]),
        delay_ms=st.sampled_from([0.0, 40.0, 80.0]),
        create=st.booleans(),
        interrupt=st.booleans(),
        barge_in=st.booleans(),
    )
    def begin(self, linger_ms: int, delay_ms: float, create: bool, interrupt: bool, barge_in: bool) -> None:
        self.detection = TurnDetection(create_response=create, interrupt_response=interrupt and barge_in)
        realtime = Realtime(turn_detection=self.detection)
        agent = msgspec.structs.replace(AGENT, realtime=realtime, barge_in=barge_in)
        billing = msgspec.structs.replace(BILLING, realtime=realtime, barge_in=barge_in)
        self.call = Call(agent=agent, others=(billing,), delay_ms=delay_ms, limits=Limits(linger_ms=linger_ms))
        self.server = Server(self.count, detection=self.detection)
        self.feed(ev.StreamStarted(stream_sid="MZ1"))
        self.feed(ev.ModelReady(session_id="s", model="m"))
        self.exchange()

    # --- the world between -----------------------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        match event:
            case ev.ResponseStarted(response_id, job=""):
                self.known_active.add(response_id)
                self.outstanding.clear()
            case ev.ResponseEnded(response_id):
                self.known_active.discard(response_id)
            case ev.ModelErrored(event_id=event_id):
                self.outstanding.discard(event_id)
            case ev.ToolCalled(call_id=call_id, complete=True):
                if self.live:
                    self.calls.append(call_id)
            case _:
                pass
        self.call.feed(event)
        self.look()

    def look(self) -> None:
        """Reads the commands that came since, those of timers included."""
        for _, command in self.call.done[self.seen :]:
            self.seen += 1
            match command:
                case do.CreateResponse(event_id, job=""):
                    assert not self.known_active
                    assert not self.outstanding
                    self.outstanding.add(event_id)
                    self.wire.append(command)
                case do.RecordEvent(kind="watchdog"):
                    self.outstanding.clear()  # given up as lost
                case do.RunTool(call_id):
                    self.tools.append(call_id)
                case do.ConnectModel():
                    self.opening = True
                case (
                    do.CreateResponse()
                    | do.CancelResponse()
                    | do.TruncateItem()
                    | do.DeleteItem()
                    | do.AddToolOutput()
                    | do.AddToolExchange()
                    | do.UseAgent()
                ):
                    self.wire.append(command)
                case _:
                    pass

    @property
    def live(self) -> bool:
        return self.call.session.phase == "live"

    @property
    def has_server(self) -> bool:
        return self.server is not None

    @property
    def generating(self) -> bool:
        return self.server is not None and bool(self.server.active)

    # --- time and the wires ----------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([20, 130, 700, 2500]), arrives=st.booleans())
    def wait(self, ms: int, arrives: bool) -> None:
        if arrives:
            self.exchange()
        self.call.run(ms)
        self.look()

    @precondition(lambda self: not self.generating)
    @rule(ms=st.sampled_from([3_500, 9_000]))
    def wait_long(self, ms: int) -> None:
        self.exchange()
        self.call.run(ms)
        self.look()

    @precondition(lambda self: self.generating)
    @rule(
        words=st.lists(WORDS, min_size=1, max_size=3),
        tool=st.sampled_from(["", "", *(tool.name for tool in TOOLS)]),
        heard_ms=st.sampled_from([0, 500, 4000]),
    )
    def reply(self, words: list[str], tool: str, heard_ms: int) -> None:
        """A whole response arrives, and some of it is heard."""
        for count, text in enumerate(words):
            self.generate(size=6000, words=text, fresh=count == 1)
        if tool:
            self.call_tool(name=tool, complete=True)
        self.finish_response("completed")
        self.exchange()
        self.call.run(heard_ms)
        self.look()

    @precondition(lambda self: self.has_server and not self.server.speaking)
    @rule(text=st.sampled_from(["", "Hello?"]), ms=st.sampled_from([50, 600]))
    def caller_says(self, text: str, ms: int) -> None:
        self.caller_begins()
        self.exchange()
        self.call.run(ms)
        self.look()
        self.caller_stops(text=text)
        self.exchange()

    @precondition(lambda self: self.has_server and self.wire)
    @rule()
    def server_takes(self) -> None:
        self.server.take(self.wire.popleft())

    @precondition(lambda self: self.has_server and self.server.out)
    @rule()
    def we_take(self) -> None:
        self.feed(self.server.out.popleft())

    @rule()
    def exchange(self) -> None:
        """Everything that is on its way arrives."""
        while self.server and (self.wire or self.server.out):
            if self.wire:
                self.server.take(self.wire.popleft())
            else:
                self.feed(self.server.out.popleft())

    # --- the model -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.generating)
    @rule(size=st.sampled_from([160, 1600, 16_000]), words=WORDS, fresh=st.booleans())
    def generate(self, size: int, words: str, fresh: bool) -> None:
        server = self.server
        if fresh or not server.item:
            server.item = server.new("item")
            server.generated[server.item] = 0
            server.out.append(ev.AgentItemAdded(response_id=server.active, item_id=server.item))
        server.generated[server.item] += size
        key = {"response_id": server.active, "item_id": server.item, "content_index": 0}
        server.out.append(ev.AgentText(**key, text=words))
        server.out.append(ev.ModelAudio(**key, size=size))

    @precondition(lambda self: self.generating)
    @rule(name=st.sampled_from([*(tool.name for tool in TOOLS), "unheard_of"]), complete=st.booleans())
    def call_tool(self, name: str, complete: bool) -> None:
        server = self.server
        call_id = server.new("call")
        if complete:
            server.calls.add(call_id)
        server.out.append(
            ev.ToolCalled(
                response_id=server.active,
                item_id=server.new("item"),
                call_id=call_id,
                name=name,
                arguments=ARGUMENTS.get(name, "{}"),
                complete=complete,
            )
        )

    @precondition(lambda self: self.generating)
    @rule(how=st.sampled_from(ENDINGS))
    def finish_response(self, how: str) -> None:
        server = self.server
        if server.item:
            key = {"response_id": server.active, "item_id": server.item, "content_index": 0}
            server.out.append(ev.ModelAudioDone(**key))
        if how == "completed":
            server.end("completed")
        elif how in ("max_output_tokens", "content_filter"):
            server.end("incomplete", reason=how)
        else:
            server.end("failed", error_code=how)

    @precondition(lambda self: self.has_server and not self.server.speaking)
    @rule()
    def caller_begins(self) -> None:
        server = self.server
        server.speaking = server.new("user")
        server.out.append(ev.SpeechStarted(item_id=server.speaking, audio_start_ms=0))
        if server.active and self.detection.interrupt_response:
            server.end("cancelled", reason="turn_detected")

    @precondition(lambda self: self.has_server and self.server.speaking)
    @rule(text=st.sampled_from(["", "Hello?"]))
    def caller_stops(self, text: str) -> None:
        server = self.server
        item_id, server.speaking = server.speaking, ""
        server.out.append(ev.SpeechStopped(item_id=item_id, audio_end_ms=0))
        server.out.append(ev.CallerTurnCommitted(item_id=item_id))
        server.out.append(ev.CallerTranscript(item_id=item_id, text=text, final=True, usage={}))
        if self.detection.create_response and not server.active:
            server.start()

    @precondition(lambda self: self.has_server)
    @rule(yes=st.booleans())
    def change_the_judges_mind(self, yes: bool) -> None:
        self.server.yes = yes

    @precondition(lambda self: self.has_server and self.count % 8 == 0)
    @rule(cause=st.sampled_from(["model_lost", "model_lost", "model_unreachable"]))
    def lose_the_model(self, cause: str) -> None:
        self.lose()
        self.feed(ev.ModelLost(cause=cause, code=1011))

    def lose(self) -> None:
        self.server = None
        self.wire.clear()
        self.known_active.clear()
        self.outstanding.clear()

    @precondition(lambda self: self.opening)
    @rule(works=st.sampled_from([True, True, False]))
    def open_the_model(self, works: bool) -> None:
        self.opening = False
        if works:
            self.lose()
            self.server = Server(self.count, detection=self.detection)
            self.feed(ev.ModelReady(session_id="s", model="m"))
        else:
            self.feed(ev.ModelLost(cause="model_unreachable"))

    # --- everyone else ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.tools)
    @rule(status=st.sampled_from(["succeeded", "failed"]), again=st.booleans())
    def finish_tool(self, status: str, again: bool) -> None:
        call_id = self.tools[0] if again else self.tools.pop(0)
        if self.call.session.phase != "waiting":
            self.feed(ev.ToolFinished(call_id=call_id, output="{}", status=status))

    @rule(key=st.sampled_from("15#x"))
    def press(self, key: str) -> None:
        self.feed(ev.DigitPressed(digit=self.call.session.mask_digit(key)))

    @rule(
        event=st.sampled_from(
            [ev.MarkReturned(name="g1.1:3"), ev.MarkReturned(name="?"), ev.CallerAudio(ms=900), ev.NoteAdded(text="n")]
        )
    )
    def whatever(self, event: ev.Event) -> None:
        self.feed(event)

    @precondition(lambda self: self.count > 40 and self.count % 4 == 0)
    @rule(event=st.sampled_from(ENDS))
    def end(self, event: ev.Event) -> None:
        self.feed(event)

    # --- what holds ------------------------------------------------------------------------------------------------

    @invariant()
    def the_record_is_sound(self) -> None:
        self.count += 1
        if self.count % 10 == 0:
            self.check_records()

    def check_records(self) -> None:
        call = self.call
        revisions: dict[int, int] = {}
        for turn in call.all(do.RecordTurn):
            assert turn.revision == revisions.get(turn.sequence, 0) + 1
            assert 0 <= turn.heard_ms <= turn.generated_ms or turn.role == "caller"
            revisions[turn.sequence] = turn.revision
        assert sorted(revisions) == list(range(len(revisions)))
        for kind in (do.RecordEvent, do.RecordUsage):
            assert [c.sequence for c in call.all(kind)] == list(range(len(call.all(kind))))
        billed = Counter(usage.source_id for usage in call.all(do.RecordUsage))
        assert not billed or max(billed.values()) == 1
        assert len(call.all(do.Leave)) <= 1
        assert len(call.all(do.Finish)) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "call"):
            return
        self.exchange()
        self.call.run(30_000)
        self.look()
        answers: dict[str, list[str]] = {}
        for run in self.call.all(do.RecordToolRun):
            answers.setdefault(run.call_id, []).append(run.status)
        self.feed(ev.CallerHungUp())
        self.exchange()
        self.call.run(6000)
        assert self.call.session.phase == "ended"
        finals: dict[str, list[str]] = {}
        for run in self.call.all(do.RecordToolRun):
            finals.setdefault(run.call_id, []).append(run.status)
        assert sorted(finals) == sorted(self.calls)
        for states in finals.values():
            assert states[0] == "started"
            assert len(states) == 2
            assert states[1] != "started"
        started = [e.response_id for _, e in self.call.fed if isinstance(e, ev.ResponseStarted)]
        self.check_records()
        assert isinstance(self.call.done[-1][1], do.Finish)
        for event in (ev.CallerHungUp(), ev.ModelUpdated(), ev.TimerFired(name="cap"), ev.MarkReturned(name="g1.1:1")):
            assert self.call.feed(event) == []
        assert started or not self.call.all(do.Play)
        self.check_replay()

    def check_replay(self) -> None:
        """The recording of this very call, through bytes, leads to the very same commands."""
        writer = FlightWriter(self.call.plan)
        data = writer.open()
        session = CallSession(self.call.plan)
        for at_ms, event in self.call.fed:
            data += writer.add(event, at_ms=at_ms, commands=session.handle(event, at_ms))
        flight = read_flight(data + writer.flush())
        replayed = []
        for step in replay(flight):
            assert step.same
            replayed += step.commands
        assert replayed == [command for _, command in self.call.done]


TestAnyCall = AnyCall.TestCase
TestAnyCall.settings = settings(
    max_examples=60,
    stateful_step_count=70,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
