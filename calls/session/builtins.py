"""What the built-in tools do inside a call (their words and schemas for the model are agents.builtins); runs nothing outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agents import builtins as names
from calls.session import commands as do
from calls.session.context import Context
from calls.session.digits import Digits
from calls.session.leaving import Exit, Leaving
from calls.session.responses import Response, Sequencer
from calls.session.tools import ToolRun, Tools
from calls.vocabulary import EndReason, EventKind

HAND_OFF_MS = 5_000.0  # `session.updated` answers within a round trip; past this the agents stay as they are

GOODBYE = "Say a short, friendly goodbye to the caller in the language of the conversation. Say nothing else."
CONNECTING = (
    "Tell the caller in one short sentence, in the language of the conversation, that you are connecting them now."
)


@dataclass(slots=True, frozen=True)
class PendingHandOff:
    run: ToolRun
    agent: str
    event_id: str


class Builtins:
    """Registers the behaviours of the built-in tools with `tools`."""

    def __init__(self, ctx: Context, *, tools: Tools, sequencer: Sequencer, leaving: Leaving, digits: Digits) -> None:
        self.ctx = ctx
        self.tools = tools
        self.sequencer = sequencer
        self.leaving = leaving
        self.hand_off: PendingHandOff | None = None
        self._last_words: dict[str, str] = {}  # response that asked to leave -> what to say if it said nothing itself
        tools.behaviours = {
            names.END_CALL: self._end_call,
            names.TRANSFER_TO_PERSON: self._transfer,
            names.HAND_OFF: self._hand_off,
            names.SEND_DIGITS: digits.send,
            names.COLLECT_DIGITS: digits.collect,
            names.WAIT: self._wait,
            names.TAKE_MESSAGE: self._take_message,
        }

    def _end_call(self, run: ToolRun, arguments: dict[str, Any]) -> None:
        detail = str(arguments.get("reason", ""))[:200]
        self.leaving.request(Exit("hang_up", reason=EndReason.AGENT_ENDED, detail=detail, revocable=True))
        self._last_words[run.response_id] = GOODBYE
        self.tools.answer(run, '{"status": "the line closes after your last words"}', respond=False)

    def _transfer(self, run: ToolRun, arguments: dict[str, Any]) -> None:
        wanted = str(arguments.get("contact", ""))
        contact = next((c for c in self.ctx.spec.contacts if c.name.casefold() == wanted.casefold()), None)
        if contact is None:
            listed = ", ".join(c.name for c in self.ctx.spec.contacts)
            self.tools.refuse(run, f"There is no contact {wanted!r}. Contacts: {listed}.")
            return
        detail = json.dumps({k: v for k, v in arguments.items() if k != "contact"}, ensure_ascii=False)
        self.leaving.request(Exit("transfer", contact=contact.name, detail=detail))
        self.ctx.record(EventKind.TRANSFER, contact=contact.name, state="requested")
        self._last_words[run.response_id] = CONNECTING
        self.tools.answer(run, '{"status": "the caller is connected after your last words"}', respond=False)

    def response_ended(self, response: Response) -> None:
        """The response that asked to leave is complete: if it said nothing, the last words are still to come."""
        words = self._last_words.pop(response.response_id, "")
        if words and self.leaving.pending and not response.audio_bytes:
            self.leaving.say_last(words)

    def _hand_off(self, run: ToolRun, arguments: dict[str, Any]) -> None:
        wanted = str(arguments.get("agent", ""))
        target = next((h.agent for h in self.ctx.spec.hand_offs if h.agent.casefold() == wanted.casefold()), None)
        if target is None or target not in self.ctx.plan.agents:
            listed = ", ".join(h.agent for h in self.ctx.spec.hand_offs)
            self.tools.refuse(run, f"There is no agent {wanted!r}. Agents: {listed}.")
        elif self.hand_off:
            self.tools.refuse(run, "A hand-off is already under way.")
        else:
            self.hand_off = PendingHandOff(run, target, self.ctx.next_id())
            self.ctx.emit(do.UseAgent(event_id=self.hand_off.event_id, agent=target))
            self.ctx.set_timer("hand_off", at_ms=self.ctx.now + HAND_OFF_MS)

    def hand_off_done(self) -> None:
        """The other agent's instructions and tools are in force."""
        if self.hand_off is None:
            return
        pending, self.hand_off = self.hand_off, None
        self.ctx.cancel_timer("hand_off")
        before, self.ctx.agent = self.ctx.agent, pending.agent
        reason = json.loads(pending.run.arguments).get("reason", "")
        self.ctx.record(EventKind.HAND_OFF, source=before, target=pending.agent, reason=reason)
        self.tools.answer(
            pending.run, json.dumps({"status": f"You are {pending.agent} now. Go on with the conversation."})
        )

    def hand_off_again(self) -> None:
        """The control socket was lost while one was under way: the update is sent again, it changes nothing twice."""
        if self.hand_off is not None:
            self.ctx.emit(do.UseAgent(event_id=self.hand_off.event_id, agent=self.hand_off.agent))

    def hand_off_refused(self, event_id: str) -> bool:
        """An error came back under an event id. Returns True when it was the hand-off's: the agent stays."""
        if self.hand_off is None or event_id != self.hand_off.event_id:
            return False
        self.hand_off_overdue()
        return True

    def hand_off_overdue(self) -> None:
        """The update was refused or never confirmed."""
        if self.hand_off is None:
            return
        pending, self.hand_off = self.hand_off, None
        self.ctx.cancel_timer("hand_off")
        self.tools.refuse(pending.run, "The hand-off did not work. Go on yourself.")

    def _wait(self, run: ToolRun, _arguments: dict[str, Any]) -> None:
        self.tools.answer(run, '{"status": "listening"}', respond=False)

    def _take_message(self, run: ToolRun, arguments: dict[str, Any]) -> None:
        text = arguments.get("text")
        if not isinstance(text, str) or not text.strip():
            self.tools.refuse(run, "text must hold the message.")
            return
        self.ctx.record(EventKind.MESSAGE_TAKEN, **{"call_id": run.call_id, "message": arguments})
        self.tools.answer(run, '{"status": "noted"}')
