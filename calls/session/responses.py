"""The one place that asks the model to speak: never two active conversation responses, wants coalesced, refusals matched by event id.

The vendor refuses a second `response.create` while one is active, and voice detection makes responses of its own
(openai-realtime.md §4.6, §6.3), so a want waits here until the conversation is free.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from calls.session import commands as do
from calls.session import events as ev
from calls.session.context import Context

ACTIVE_RESPONSE = "conversation_already_has_active_response"
# Lines that make no sense once the caller has spoken: his words come first now.
STALE = frozenset({"greeting", "silence", "filler", "apology", "continue", "neutral"})
REFLECTION_MS = 250.0  # what was sent less than this before a commit may not be in the response that the commit made


@dataclass(slots=True, eq=False)
class Want:
    """Speech we owe. A plain want (no instructions) is served by any response that starts after it."""

    instructions: str = ""
    purpose: str = ""  # greeting, disclosure, silence, goodbye, apology, filler, answer …
    tools_allowed: bool = True
    since: float = 0.0
    event_id: str = ""
    retried: bool = False


@dataclass(slots=True, eq=False)
class Response:
    """One response of the conversation, from `response.created` to `response.done` and on until its audio was heard."""

    response_id: str
    want: Want | None = None
    active: bool = True
    cut: bool = False  # what still arrives of it is dropped
    cancel_sent: bool = False
    audio_bytes: int = 0
    over: bool = False  # `response.done` came
    billed: bool = False  # its usage was estimated when the control socket was lost; its end must not be billed again
    tool_calls: int = 0
    items: list[str] = field(default_factory=list)
    sounding: set[str] = field(default_factory=set)  # items that have audio
    late: set[tuple[str, int]] = field(default_factory=set)  # parts whose audio came after the cut

    @property
    def purpose(self) -> str:
        return self.want.purpose if self.want else ""


class Sequencer:
    """Holds the wants and the one response that may be active."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.responses: dict[str, Response] = {}
        self.jobs: set[str] = set()  # ids of out-of-band responses
        self.active: Response | None = None
        self.outstanding: Want | None = None
        self.expected = False  # voice detection is about to create one
        self.held_until = float("-inf")  # a rate limit asks us to wait
        self.wants: list[Want] = []
        self._cancel_pending = False

    @property
    def idle(self) -> bool:
        """Nothing is being generated, and nothing is owed."""
        return not (self.active or self.outstanding or self.expected or self.wants)

    def want(self, instructions: str = "", *, purpose: str = "", tools_allowed: bool = True) -> None:
        """Owe speech. Plain wants are coalesced into one; said lines are kept in order."""
        plain = next((want for want in self.wants if not want.instructions), None)
        if plain and not instructions:
            plain.since = self.ctx.now
        else:
            self.wants.append(Want(instructions, purpose, tools_allowed, since=self.ctx.now))
        self.ctx.unsettled = True

    def drop(self, *purposes: str) -> None:
        """Take back wants that have become pointless."""
        self.wants = [want for want in self.wants if want.purpose not in purposes]

    def advance(self) -> Want | None:
        """Sends the next want if the conversation is free; returns it."""
        ctx = self.ctx
        if not self.wants or self.active or self.outstanding or self.expected or ctx.caller_speaking:
            return None
        if not ctx.model_ready or ctx.now < self.held_until:
            return None
        want = self.wants.pop(0)
        want.event_id = ctx.next_id()
        self.outstanding = want
        self._cancel_pending = False
        ctx.emit(
            do.CreateResponse(event_id=want.event_id, instructions=want.instructions, tools_allowed=want.tools_allowed)
        )
        return want

    def hold(self, until: float) -> None:
        self.held_until = until

    # --- the caller's turns ----------------------------------------------------------------------------------------

    def caller_committed(self) -> None:
        """The caller finished a turn; voice detection answers it, unless it may not or a response is in its way."""
        if not self.ctx.connected.realtime.turn_detection.create_response:
            self.want(purpose="answer")
        elif self.active and not self.active.cut:
            self.want(purpose="answer")  # the server's own create is refused while one is active (§4.6)
        else:
            self.expected = True
            fresh = self.ctx.now - REFLECTION_MS
            self.wants = [
                want for want in self.wants if want.purpose not in STALE and (want.instructions or want.since > fresh)
            ]

    def answer_later(self) -> None:
        """Voice detection could not answer the caller's turn because a response was active."""
        self.expected = False
        self.want(purpose="answer")

    # --- the model's word ------------------------------------------------------------------------------------------

    def started(self, response_id: str) -> Response:
        """A conversation response began. With a create under way it is taken for ours until an error says otherwise."""
        response = Response(response_id, want=self.outstanding)
        self.responses[response_id] = response
        self.active = response
        self.outstanding = None
        self.expected = False
        if self._cancel_pending:
            self._cancel_pending = False
            self.cancel(response)
            response.cut = True
        return response

    def adopt(self, response_id: str) -> Response:
        """A response that began, or went on, while no control socket was attached (SIP)."""
        response = self.responses.get(response_id)
        if response is None:
            response = self.responses[response_id] = Response(response_id)
        if self.active is None and not response.over:
            response.active, self.active = True, response
            self.expected = False
        return response

    def ended(self, response_id: str) -> Response | None:
        response = self.responses.get(response_id)
        if response is None or not response.active:
            return None
        response.active, response.over = False, True
        if self.active is response:
            self.active = None
        self.ctx.unsettled = True
        return response

    def interrupt(self, *, cancel: bool) -> None:
        """The caller (or a guardrail) cut in: what is being generated is not wanted any more."""
        if self.outstanding:
            self._cancel_pending = True  # cancelling before response.created is a no-op and it would still come (§6.3)
        if self.active:
            self.active.cut = True
            if cancel:
                self.cancel(self.active)

    def cancel(self, response: Response) -> None:
        if response.active and not response.cancel_sent:
            response.cancel_sent = True
            self.ctx.emit(do.CancelResponse(event_id=self.ctx.next_id(), response_id=response.response_id))

    def refused(self, error: ev.ModelErrored) -> bool:
        """An error about a create of ours. Returns True when it was one; a refused want is sent again once."""
        want = self.outstanding
        if want is not None and want.event_id == error.event_id:
            self.outstanding = None
            self._cancel_pending = False
            if error.code == ACTIVE_RESPONSE:
                self.expected = self.active is None  # one runs that we have not been told of yet
        elif self.active and self.active.want and self.active.want.event_id == error.event_id:
            want = self.active.want
            self.active.want = None  # the response was made by voice detection
        else:
            return False
        if error.code == ACTIVE_RESPONSE and not want.retried:
            want.retried = True
            self.wants.insert(0, want)
        self.ctx.unsettled = True
        return True

    def give_up(self) -> Want | None:
        """The watchdog's retry: whatever was awaited will not come. Returns what had been asked for."""
        lost = self.outstanding
        self.outstanding = None
        self.expected = False
        self._cancel_pending = False
        if self.active:
            lost = self.active.want
            self.active.cut = True
            self.cancel(self.active)
        return lost

    def lost(self) -> list[Response]:
        """The model session is gone: returns the responses whose end, and whose bill, will never be told."""
        open_responses = [response for response in self.responses.values() if response.active]
        for response in open_responses:
            response.active, response.billed = False, True
            self.ctx.record_usage(
                "response",
                response.response_id,
                status="lost",
                usage=None,
                estimated_audio_ms=response.audio_bytes // ev.MULAW_BYTES_PER_MS,
            )
        self.active = self.outstanding = None
        self.expected = self._cancel_pending = False
        return open_responses
