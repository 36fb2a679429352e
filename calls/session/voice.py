"""The agent's voice: audio and words on their way to the ear, what was heard of them, and the cut; it never decides when to speak."""

from __future__ import annotations

from calls.session import commands as do
from calls.session import events as ev
from calls.session.context import Context
from calls.session.events import MULAW_BYTES_PER_MS
from calls.session.playback import Part, Playback
from calls.session.remote_playback import RemotePlayback, estimate_ms
from calls.session.responses import Response, Sequencer
from calls.session.turns import Turns


class Voice:
    """Joins the playback ledger, the responses and the turns."""

    def __init__(self, ctx: Context, *, playback: Playback, sequencer: Sequencer, turns: Turns) -> None:
        self.ctx = ctx
        self.playback = playback
        self.sequencer = sequencer
        self.turns = turns
        self.heard_responses: list[str] = []  # responses with a part that was just heard to its end; read by `settle`
        self.played_local: list[str] = []
        self.sounded = False  # the agent was heard from in this session
        self._known: set[str] = set()  # items of the present model session; older ones cannot be truncated

    @property
    def quiet(self) -> bool:
        """Nobody speaks, nothing is being generated or owed."""
        ctx = self.ctx
        return (
            ctx.stream_up and ctx.model_ready and not ctx.caller_speaking and self.playback.idle and self.sequencer.idle
        )

    def forget_session(self) -> None:
        """The model session is gone; its items with it."""
        self._known.clear()

    def begin_item(self, event: ev.AgentItemAdded) -> None:
        response = self._response(event.response_id)
        if response is None:
            return
        if event.item_id not in response.items:
            response.items.append(event.item_id)
        self.turns.agent_began(
            event.item_id, response_id=event.response_id, previous_item_id=event.previous_item_id, phase=event.phase
        )

    def sound(self, event: ev.ModelAudio) -> Response | None:
        """Audio arrived. Returns its response when it was taken; late audio of a cut response is dropped."""
        response = self._response(event.response_id)
        if response is None:
            return None
        response.audio_bytes += event.size
        if response.cut or not response.active:
            response.late.add((event.item_id, event.content_index))
            return None
        part = self.playback.receive(
            response_id=event.response_id, item_id=event.item_id, content_index=event.content_index, size=event.size
        )
        if part is None:
            self.ctx.note_peer("model", "audio after its end", item_id=event.item_id)
            return None
        if event.item_id not in response.sounding:
            self.sounded = True
            response.sounding.add(event.item_id)
            self._known.add(event.item_id)
            if event.item_id not in response.items:
                response.items.append(event.item_id)
        self.turns.agent_sounded(part)
        return response

    def end_sound(self, event: ev.ModelAudioDone) -> None:
        if part := self.playback.close_part(event.item_id, event.content_index):
            self._heard(part)

    def write(self, event: ev.AgentText) -> Response | None:
        """Words arrived. Returns their response when they were taken: words after a cut were never spoken."""
        response = self._response(event.response_id)
        if response is None or response.cut or not response.active:
            return None
        self.turns.agent_wrote(
            event.item_id, event.content_index, event.text, response_id=event.response_id, final=event.final
        )
        if self.ctx.is_sip and not event.final:
            self._sound_remotely(event, response)
        return response

    def _sound_remotely(self, event: ev.AgentText, response: Response) -> None:
        """Words of a response that the model itself plays: their sound is taken to be as long as they take to say."""
        size = estimate_ms(event.text) * MULAW_BYTES_PER_MS
        part = self.playback.receive(
            response_id=event.response_id, item_id=event.item_id, content_index=event.content_index, size=size
        )
        if part is None:
            return
        response.audio_bytes += size
        response.sounding.add(event.item_id)
        self.sounded = True
        if event.item_id not in response.items:
            response.items.append(event.item_id)
        self.turns.agent_sounded(part)

    def measure(self, response: Response, *, spoken_ms: int) -> None:
        """The bill says how long the response is; what was estimated from its words is put right."""
        if not isinstance(self.playback, RemotePlayback) or spoken_ms <= 0:
            return
        self.playback.measure(response.response_id, spoken_ms=spoken_ms)
        self.turns.agent_measured(response.items, spoken_ms=spoken_ms)

    def playout_started(self, response_id: str) -> None:
        if isinstance(self.playback, RemotePlayback) and self._response(response_id):
            self.playback.started(response_id)

    def playout_stopped(self, response_id: str) -> None:
        if isinstance(self.playback, RemotePlayback) and self._response(response_id):
            for part in self.playback.stopped(response_id):
                self._heard(part)
            self.heard_responses.append(response_id)
            self.ctx.unsettled = True

    def playout_cleared(self, response_id: str) -> None:
        """Cut by the server; when it did so because the caller spoke, the cut was made already."""
        response = self._response(response_id)
        if not isinstance(self.playback, RemotePlayback) or response is None:
            return
        for part in self.playback.cleared(response_id):
            response.cut = response.cut or part.cut
            self.turns.agent_heard(part)
            self.playback.forget(part)
        self.ctx.unsettled = True

    def mark(self, name: str) -> None:
        for part in self.playback.mark(name):
            self._heard(part)
        if self.playback.idle:
            self.ctx.unsettled = True

    def marks_overdue(self) -> None:
        for part in self.playback.marks_overdue():
            self._heard(part)

    def end_response(self, response: Response) -> None:
        """No more of it will come: its parts are complete, what was never heard of a cut one leaves the conversation."""
        for part in self.playback.close_response(response.response_id):
            self._heard(part)
        if response.audio_bytes and not response.cut:
            self.heard_responses.append(
                response.response_id
            )  # its parts may all have been heard before its end was told
        for item_id, content_index in sorted(response.late):
            self.ctx.emit(do.DropAudio(item_id=item_id, content_index=content_index))
        for item_id in response.items:
            if item_id not in response.sounding:
                self.turns.agent_silent(item_id)
                if response.cut and not self.ctx.is_sip:  # truncating what has no audio is an error (§4.5)
                    self._delete(item_id)

    def cut(self, *, cancel: bool) -> list[Part]:
        """Stops what the caller hears, makes the model's memory equal to what was heard, and returns the parts cut."""
        speaking = self.playback.interruptible
        parts = self.playback.cut() if speaking else []
        self.sequencer.interrupt(cancel=cancel)
        if speaking and cancel and self.ctx.is_sip:
            self.ctx.emit(do.ClearPlayback())  # after the cancel (openai-realtime.md §4.1)
        heard_items = {part.item_id for part in parts if part.heard} | self._heard_before(parts)
        deleted: set[str] = set()
        for part in parts:
            if part.cut and part.item_id in self._known and self.ctx.model_ready:
                if part.item_id in heard_items:
                    self._truncate(part)
                elif part.item_id not in deleted:
                    deleted.add(part.item_id)
                    self._delete(part.item_id)
            if not part.cut:
                self.heard_responses.append(part.response_id)
            else:
                self.sequencer.responses[part.response_id].cut = True
            self.turns.agent_heard(part)
            self.playback.forget(part)
        if speaking:
            self.ctx.unsettled = True
        return parts

    def stop(self) -> None:
        """The line is gone: what was heard until now stands."""
        for part in self.playback.stop():
            if not part.local:
                self.turns.agent_heard(part)
            self.playback.forget(part)

    def _truncate(self, part: Part) -> None:
        self.ctx.emit(
            do.TruncateItem(
                event_id=self.ctx.next_id(),
                item_id=part.item_id,
                content_index=part.content_index,
                audio_end_ms=part.heard_ms,
            )
        )

    def _delete(self, item_id: str) -> None:
        if self.ctx.model_ready:
            self.ctx.emit(do.DeleteItem(event_id=self.ctx.next_id(), item_id=item_id))

    def _heard_before(self, parts: list[Part]) -> set[str]:
        """Items of which an earlier part was heard, so that they must stay in the conversation."""
        return {p.item_id for p in parts if (turn := self.turns.find(p.item_id)) and turn.heard_ms > 0}

    def _heard(self, part: Part) -> None:
        if part.local:
            self.played_local.append(part.item_id)
        else:
            self.turns.agent_heard(part)
            self.heard_responses.append(part.response_id)
        self.playback.forget(part)
        self.ctx.unsettled = True

    def _response(self, response_id: str) -> Response | None:
        response = self.sequencer.responses.get(response_id)
        if self.ctx.is_sip and response_id not in self.sequencer.jobs and (response is None or response.billed):
            return self.sequencer.adopt(response_id)
        if response is None and response_id not in self.sequencer.jobs:
            self.ctx.note_peer("model", "unknown response", response_id=response_id)
        return response
