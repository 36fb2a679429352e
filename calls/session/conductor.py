"""Joins the parts of a session: what each event means to which part, and what follows from the state it leaves; it does no I/O."""

from __future__ import annotations

from typing import Any

from calls.session import events as ev
from calls.session.builtins import Builtins
from calls.session.context import Context, Phase
from calls.session.digits import Digits
from calls.session.ending import Ending
from calls.session.failures import Failures
from calls.session.greeting import Greeting
from calls.session.guardrails import Guardrails
from calls.session.leaving import Exit, Leaving
from calls.session.playback import Playback
from calls.session.recovery import Recovery
from calls.session.remote_playback import MS_PER_TOKEN, RemotePlayback
from calls.session.responses import Sequencer
from calls.session.silence import Duration, Silence
from calls.session.tools import Tools
from calls.session.turns import Turns
from calls.session.voice import Voice
from calls.session.watchdog import Watchdog
from calls.vocabulary import Cause, EndReason, EventKind, Fault

SPOKE_UP = (
    "The caller spoke before the call ended. Go on with the conversation; end the call again when it is finished."
)
GOODBYE = (
    "Say in one short, polite sentence, in the language of the conversation, that the call ends now, and say goodbye."
)


class Conductor:
    """All parts of one session, and one method per kind of event."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.playback = RemotePlayback(ctx) if ctx.is_sip else Playback(ctx)
        self.turns = Turns(ctx)
        self.sequencer = Sequencer(ctx)
        self.voice = Voice(ctx, playback=self.playback, sequencer=self.sequencer, turns=self.turns)
        self.leaving = Leaving(ctx, voice=self.voice, sequencer=self.sequencer)
        self.watchdog = Watchdog(ctx, sequencer=self.sequencer, leaving=self.leaving)
        self.tools = Tools(ctx, self.sequencer, self.watchdog)
        self.digits = Digits(ctx, sequencer=self.sequencer, tools=self.tools)
        self.builtins = Builtins(
            ctx, tools=self.tools, sequencer=self.sequencer, leaving=self.leaving, digits=self.digits
        )
        self.failures = Failures(ctx, sequencer=self.sequencer, leaving=self.leaving)
        self.guardrails = Guardrails(ctx, sequencer=self.sequencer, voice=self.voice)
        self.greeting = Greeting(ctx, sequencer=self.sequencer)
        self.silence = Silence(ctx, sequencer=self.sequencer, leaving=self.leaving)
        self.duration = Duration(ctx, leaving=self.leaving)
        self.recovery = Recovery(
            ctx,
            voice=self.voice,
            sequencer=self.sequencer,
            tools=self.tools,
            builtins=self.builtins,
            guardrails=self.guardrails,
            greeting=self.greeting,
            watchdog=self.watchdog,
            leaving=self.leaving,
        )
        self.ending = Ending(
            ctx,
            voice=self.voice,
            sequencer=self.sequencer,
            guardrails=self.guardrails,
            digits=self.digits,
            tools=self.tools,
            leaving=self.leaving,
        )

    # --- the carrier -----------------------------------------------------------------------------------------------

    def on_stream_started(self, event: ev.StreamStarted) -> None:
        self.ctx.phase = Phase.LIVE
        self.ctx.stream_up = True
        self.ctx.record(EventKind.STREAM_STARTED, stream_sid=event.stream_sid)
        self.playback.probe()
        self.duration.start()
        self.leaving.stream_came()

    def on_caller_audio(self, event: ev.CallerAudio) -> None:
        self.ctx.caller_audio_ms += event.ms

    def on_mark(self, event: ev.MarkReturned) -> None:
        self.voice.mark(event.name)

    def on_digit(self, event: ev.DigitPressed) -> None:
        self.silence.caller_active()
        self.digits.pressed(event.digit)

    def on_hang_up(self, _event: ev.CallerHungUp) -> None:
        self.ending.part(EndReason.CALLER_HUNG_UP, Fault.NONE)

    def on_stream_lost(self, event: ev.StreamLost) -> None:
        self.ctx.record(EventKind.PEER_ERROR, peer="carrier", problem="socket closed without a stop", code=event.code)
        self.ending.part(Cause.STREAM_LOST, Fault.CARRIER)

    def on_closed(self, _event: ev.CallerHungUp | ev.StreamLost) -> None:
        """The socket of a call that was leaving: this is not the caller's end but ours (product 6.3)."""
        self.ending.close()

    # --- the model's ear -------------------------------------------------------------------------------------------

    def on_speech_started(self, event: ev.SpeechStarted) -> None:
        ctx = self.ctx
        if ctx.connected.barge_in:
            playing = self.playback.interruptible
            generating = self.sequencer.active is not None
            parts = self.voice.cut(cancel=not ctx.connected.realtime.turn_detection.interrupt_response)
            if playing:
                heard = [{"item_id": p.item_id, "part": p.content_index, "heard_ms": p.heard_ms} for p in parts]
                ctx.record(EventKind.BARGE_IN, generating=generating, cut=heard)
        ctx.caller_speaking = True
        self.sequencer.drop("silence", "filler", "continue", "neutral")
        self.watchdog.rest()
        self.silence.caller_active()
        self.turns.caller_began(event.item_id)
        if self.leaving.revoke():
            ctx.note(SPOKE_UP)

    def on_speech_stopped(self, event: ev.SpeechStopped) -> None:
        self.ctx.caller_speaking = False
        self.turns.caller_stopped(event.item_id)
        self.watchdog.owe()

    def on_committed(self, event: ev.CallerTurnCommitted) -> None:
        self.ctx.caller_speaking = False
        self.ctx.caller_turns += 1
        self.turns.caller_committed(event.item_id, event.previous_item_id)
        self.sequencer.caller_committed()
        self.watchdog.owe()

    def on_transcript(self, event: ev.CallerTranscript) -> None:
        self.turns.caller_said(event.item_id, event.text, final=event.final)
        if event.final:
            self.ctx.record_usage("transcription", event.item_id, status="completed", usage=event.usage)
            self.ending.stop_lingering()

    def on_transcript_failed(self, event: ev.CallerTranscriptFailed) -> None:
        self.ctx.note_peer("model", "transcription failed", item_id=event.item_id, detail=event.detail[:200])
        self.turns.caller_unclear(event.item_id)
        self.ending.stop_lingering()

    # --- the model's voice -----------------------------------------------------------------------------------------

    def on_response_started(self, event: ev.ResponseStarted) -> None:
        if event.job:
            self.sequencer.jobs.add(event.response_id)
            self.guardrails.job_started(event.response_id, event.job)
            return
        if event.response_id in self.sequencer.responses or self.sequencer.active:
            self.ctx.note_peer("model", "second active response", response_id=event.response_id)
        self.sequencer.started(event.response_id)

    def on_audio(self, event: ev.ModelAudio) -> None:
        response = self.voice.sound(event)
        if response is not None:
            if self.watchdog.armed:
                self.watchdog.pay()
            if response.audio_bytes == event.size:
                self.recovery.sound()
                self.ctx.unsettled = True

    def on_text(self, event: ev.AgentText) -> None:
        response = self.voice.write(event)
        if response is None:
            return
        if self.ctx.is_sip and self.watchdog.armed:  # the sound takes another way; the words prove it
            self.watchdog.pay()
            self.recovery.sound()
            self.ctx.unsettled = True
        self.guardrails.watch(event)

    def on_playout_started(self, event: ev.PlayoutStarted) -> None:
        self.voice.playout_started(event.response_id)

    def on_playout_stopped(self, event: ev.PlayoutStopped) -> None:
        self.voice.playout_stopped(event.response_id)

    def on_playout_cleared(self, event: ev.PlayoutCleared) -> None:
        self.voice.playout_cleared(event.response_id)

    def on_item_truncated(self, event: ev.ItemTruncated) -> None:
        self.turns.agent_truncated(event.item_id, event.content_index, event.audio_end_ms)

    def on_tail(self, event: ev.ConversationTail) -> None:
        """A function call that nobody heard of, because nobody was attached: it is run now."""
        if event.call_id:
            self.tools.called_unheard(event)

    def on_tool_called(self, event: ev.ToolCalled) -> None:
        response = self.sequencer.responses.get(event.response_id)
        if response is None and self.ctx.is_sip:
            response = self.sequencer.adopt(event.response_id)
        if response is None:
            self.ctx.note_peer("model", "unknown response", response_id=event.response_id)
        else:
            self.tools.called(event, response)

    def on_response_ended(self, event: ev.ResponseEnded) -> None:
        if event.job:
            self.guardrails.job_ended(event)
            return
        if self.ctx.is_sip:
            self.sequencer.adopt(event.response_id)
        response = self.sequencer.ended(event.response_id)
        if response is None:
            self.ctx.note_peer("model", "unknown response", response_id=event.response_id)
            return
        if not response.billed:
            self.ctx.record_usage("response", event.response_id, status=event.status, usage=event.usage)
        if self.ctx.is_sip and event.usage:
            self.voice.measure(response, spoken_ms=_spoken_ms(event.usage))
        self.voice.end_response(response)
        self.turns.flush()
        if response.audio_bytes:
            self.watchdog.rest()
        self.guardrails.response_ended(response)
        self.tools.response_ended(response)
        self.builtins.response_ended(response)
        self.failures.response_ended(response, event)

    def on_error(self, event: ev.ModelErrored) -> None:
        if self.sequencer.refused(event):
            self.ctx.note_peer("model", event.code, message=event.message[:200], param=event.param)
        elif not self.builtins.hand_off_refused(event.event_id):
            self.failures.errored(event)

    def on_model_updated(self, _event: ev.ModelUpdated) -> None:
        self.builtins.hand_off_done()

    # --- ourselves -------------------------------------------------------------------------------------------------

    def on_local_audio(self, event: ev.LocalAudioReady) -> None:
        self.playback.receive_local(item_id=event.item_id, size=event.size)

    def on_recording_started(self, event: ev.RecordingStarted) -> None:
        self.ctx.record(EventKind.RECORDING, state="started", recording_sid=event.recording_sid)

    def on_recording_failed(self, event: ev.RecordingFailed) -> None:
        self.ctx.record(EventKind.RECORDING, state="failed", detail=event.detail[:200])

    def on_note(self, event: ev.NoteAdded) -> None:
        self.ctx.note(event.text)

    def on_move_requested(self, _event: ev.MoveRequested) -> None:
        self.recovery.move()

    def on_end_requested(self, event: ev.EndRequested) -> None:
        if self.ctx.phase is Phase.WAITING:
            self.ending.finish(event.reason, Fault.NONE)
        else:
            self.leaving.request(
                Exit("hang_up", reason=event.reason, goodbye=self.ctx.spec.goodbye), last_words=GOODBYE
            )

    def on_late_response_ended(self, event: ev.ResponseEnded) -> None:
        """After the exit only its bill matters."""
        if event.job:
            self.guardrails.job_ended(event)
        elif self.sequencer.ended(event.response_id):
            self.ctx.record_usage("response", event.response_id, status=event.status, usage=event.usage)
        self.ending.stop_lingering()

    def note_early(self, event: ev.Event) -> None:
        """A peer spoke before there was anything to speak about."""
        self.ctx.note_peer("peer", "too early", event=type(event).__name__)

    def ignore(self, _event: ev.Event) -> None:
        """The exit was taken; nothing of this changes it."""

    # --- what follows ----------------------------------------------------------------------------------------------

    def settle_soon(self) -> None:
        self.ctx.unsettled = True

    def settle(self) -> None:
        """Looks at the state as it now is and does what is due, so that no step hangs on the order of events."""
        ctx = self.ctx
        if self.leaving.left is None:
            self._note_heard()
            self.tools.settle()
            self.digits.settle()
            self.greeting.settle(quiet=self._quiet)
            self.recovery.settle(quiet=self._quiet)
            self.watchdog.asked(self.sequencer.advance())
            self.leaving.settle()
        if self.leaving.left is not None:
            self.ctx.phase = Phase.CLOSING
            return
        if self._stalled:
            self.watchdog.owe()
        self.silence.settle(waiting_for_caller=self._quiet)
        self._show()
        ctx.unsettled = False

    @property
    def _stalled(self) -> bool:
        """We owe speech, the caller hears nothing, and neither he nor a tool is what we wait for."""
        waiting = self.ctx.caller_speaking or self.tools.running or not self.ctx.model_ready
        return not waiting and self.playback.idle and not self.sequencer.idle

    @property
    def _quiet(self) -> bool:
        """It is the caller's turn, and nothing is on its way: not a word, not a tool, not a key, not the end."""
        busy = self.tools.running or self.digits.collection or self.leaving.pending or self.watchdog.armed
        return not busy and self.voice.quiet

    def _note_heard(self) -> None:
        """Responses that were heard to their end, and tones that were played."""
        for response_id in dict.fromkeys(self.voice.heard_responses):
            response = self.sequencer.responses[response_id]
            rest = any(part.response_id == response_id for part in self.playback.parts.values())
            if not (response.active or response.cut or rest):
                self.greeting.heard(response)
                self.leaving.heard(response.purpose)
        self.voice.heard_responses.clear()
        for item_id in self.voice.played_local:
            self.digits.played(item_id)
        self.voice.played_local.clear()

    def _show(self) -> None:
        ctx = self.ctx
        if not ctx.model_ready:
            ctx.set_state("connecting")
        elif not self.playback.idle:
            ctx.set_state("speaking")
        elif self.tools.running:
            ctx.set_state("tool")
        elif not self.sequencer.idle:
            ctx.set_state("thinking")
        else:
            ctx.set_state("listening")


def _spoken_ms(usage: dict[str, Any]) -> int:
    """How long the response sounds, by what is billed for it (openai-realtime.md §5.2)."""
    details = usage.get("output_token_details") or {}
    return int(details.get("audio_tokens") or 0) * MS_PER_TOKEN
