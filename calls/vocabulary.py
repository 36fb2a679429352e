"""The closed lists every part speaks in: states, outcomes, end reasons, faults, ladder steps, flags, event kinds, metrics.

Rendered into docs/vocabulary.md (a test holds the two together). Pure: importable from the session, the rows and the screens.
A member's docstring-like `meaning` is what the screens show on hover; texts are marked for gettext, translated where shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self


def gettext_noop(text: str) -> str:
    """Marks a text for translation without importing Django here."""
    return text


class Term(StrEnum):
    """A word with a label for screens and a meaning for people."""

    label: str
    meaning: str

    def __new__(cls, value: str, label: str, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.meaning = meaning
        return member

    @classmethod
    def of(cls, value: str) -> Self:
        """The member with that value. Raises KeyError; `cls(value)` means the same, and the type checker cannot read it."""
        return {member.value: member for member in cls}[value]

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        """(value, label) pairs in the shape Django fields take."""
        return [(member.value, member.label) for member in cls]


_ = gettext_noop


class Path(Term):
    """How the voice travels (product §5)."""

    STREAMS = "streams", _("Streams"), _("Twilio Media Streams to the Realtime socket; audio passes through us.")
    SIP = "sip", _("SIP"), _("The carrier speaks to the model's SIP endpoint; we hold the control channel.")
    RELAY = "relay", _("Relay"), _("Twilio ConversationRelay: the carrier hears and speaks, we exchange text.")


class Direction(Term):
    INBOUND = "inbound", _("Inbound"), _("The caller rang us.")
    OUTBOUND = "outbound", _("Outbound"), _("We rang the caller.")
    TEST = "test", _("Test"), _("A member talked to the agent in the browser; counted in costs, in no statistics.")


class CallState(Term):
    """Where a call is in its life; terminal: ended."""

    RINGING = "ringing", _("Ringing"), _("The carrier asked us what to do; nothing was heard yet.")
    LIVE = "live", _("Live"), _("A voice path is up.")
    MOVING = "moving", _("Moving"), _("Between two steps: a transfer, a recovery or the next rung is pending.")
    ENDED = "ended", _("Ended"), _("The carrier reported a terminal state, or the reaper closed it.")


class Step(Term):
    """A rung of a number's ladder (product 6.2)."""

    STREAMS = "streams", _("Agent by streams"), _("The agent answers over Media Streams.")
    SIP = "sip", _("Agent by SIP"), _("The agent answers over SIP.")
    RELAY = "relay", _("Agent by relay"), _("The agent answers over ConversationRelay.")
    PERSON = "person", _("Person"), _("A person is dialled.")
    VOICEMAIL = "voicemail", _("Voicemail"), _("The caller leaves a message.")
    GOODBYE = "goodbye", _("Goodbye"), _("A polite sentence, then hang-up.")


class Outcome(Term):
    """What the call led to, as one word for lists and charts."""

    RESOLVED = "resolved", _("Resolved"), _("The agent finished the conversation and said goodbye.")
    TRANSFERRED = "transferred", _("Transferred"), _("A person took the call.")
    MESSAGE_TAKEN = "message_taken", _("Message taken"), _("The agent noted a message for a person.")
    VOICEMAIL = "voicemail", _("Voicemail"), _("The caller left a voicemail.")
    CALLER_LEFT = "caller_left", _("Caller left"), _("The caller hung up before the agent had finished.")
    NO_ANSWER = "no_answer", _("Not answered"), _("Nobody and nothing answered the caller.")
    REFUSED = "refused", _("Refused"), _("Admission did not let the call in.")
    FAILED = "failed", _("Failed"), _("A fault ended the call and no rung was left.")


class EndReason(Term):
    """Why the call ended: exactly one per call."""

    CALLER_HUNG_UP = "caller_hung_up", _("Caller hung up"), _("The caller ended the call.")
    AGENT_ENDED = "agent_ended", _("Agent ended"), _("The agent used its end-call tool after the goodbye.")
    TRANSFERRED = "transferred", _("Transferred"), _("The call moved to a person and ended there.")
    VOICEMAIL_LEFT = "voicemail_left", _("Voicemail left"), _("The caller recorded a message.")
    VOICEMAIL_EMPTY = "voicemail_empty", _("Voicemail empty"), _("The caller reached voicemail and said nothing.")
    SILENCE = "silence", _("Silence"), _("The silence ladder ran out.")
    MAX_DURATION = "max_duration", _("Duration cap"), _("The longest allowed duration was reached.")
    SUPERVISOR_ENDED = "supervisor_ended", _("Ended by supervisor"), _("A member ended the call from the dashboard.")
    UNKNOWN_NUMBER = "unknown_number", _("Unknown number"), _("The dialled number belongs to nobody here.")
    TENANT_SUSPENDED = "tenant_suspended", _("Tenant suspended"), _("The tenant may not take calls now.")
    NO_AGENT = "no_agent", _("No agent"), _("The number has no published agent.")
    LADDER_EXHAUSTED = "ladder_exhausted", _("Ladder exhausted"), _("Every rung failed.")
    CARRIER_FAILED = "carrier_failed", _("Carrier failed"), _("The carrier reported failed, busy or no-answer.")
    NEVER_STARTED = "never_started", _("Never started"), _("The stream never arrived and the caller is gone.")
    MISSED = "missed", _("Missed"), _("A call on a trunk that never reached us; found in the carrier's list.")
    REAPED = "reaped", _("Reaped"), _("No terminal state arrived; the carrier's list or the clock closed it.")


class Fault(Term):
    """Whose fault a failure was; `none` when nothing failed."""

    NONE = "none", _("None"), _("Nothing failed.")
    CALLER = "caller", _("Caller"), _("The caller's side.")
    US = "us", _("Us"), _("This deployment: process, database, bug.")
    MODEL = "model", _("Model"), _("The model vendor.")
    CARRIER = "carrier", _("Carrier"), _("The telephone carrier.")
    TOOL = "tool", _("Tool"), _("A tool's server.")
    PERSON = "person", _("Person"), _("A person did not pick up.")


class Cause(Term):
    """What made a call move a rung or recover; recorded with the fault."""

    MODEL_REFUSED = "model_refused", _("Model refused"), _("The model refused the key, the model name or the session.")
    MODEL_UNREACHABLE = (
        "model_unreachable",
        _("Model unreachable"),
        _("The model's socket could not be opened in time."),
    )
    MODEL_LOST = "model_lost", _("Model lost"), _("The model's socket closed during the call.")
    MODEL_QUOTA = "model_quota", _("Model quota"), _("The model vendor's quota or rate limit was reached.")
    MODEL_SILENT = "model_silent", _("Model silent"), _("A turn produced no audio within the watchdog's limit.")
    MODEL_FAILED = "model_failed", _("Model failed"), _("A response failed for another reason.")
    PROCESS_LOST = "process_lost", _("Process lost"), _("The media process died or was cut off.")
    DEPLOY = "deploy", _("Deploy"), _("The media process was asked to stop and moved its calls.")
    STREAM_LOST = "stream_lost", _("Stream lost"), _("The carrier's socket closed without a stop.")
    STREAM_MISSING = "stream_missing", _("Stream missing"), _("The carrier's stream never arrived.")
    PERSON_NO_ANSWER = "person_no_answer", _("No answer"), _("The dialled person did not pick up.")
    PERSON_BUSY = "person_busy", _("Busy"), _("The dialled person was busy.")
    PERSON_FAILED = "person_failed", _("Dial failed"), _("The carrier could not dial the person.")
    NOT_SET_UP = "not_set_up", _("Not set up"), _("This installation lacks a setting that the path needs.")
    SESSION_LIMIT = (
        "session_limit",
        _("Session limit"),
        _("The model's 60 minutes were nearly over; a fresh session went on."),
    )
    INVITE_MISSING = "invite_missing", _("Invitation missing"), _("The model's vendor never told us of the SIP call.")
    SIP_FAILED = (
        "sip_failed",
        _("SIP failed"),
        _("The carrier could not reach the model's SIP endpoint, or it refused."),
    )
    NO_AGENT = "no_agent", _("No agent"), _("The number has no published agent.")
    NO_CONTACT = "no_contact", _("No such contact"), _("The person to transfer to is not among the agent's contacts.")
    INTERNAL = "internal", _("Internal error"), _("A fault of ours; the log has the cause.")


class Flag(Term):
    """Small marks on a call that lists filter by."""

    TRANSFERRED = "transferred", _("Transferred"), _("The call was moved to a person.")
    VOICEMAIL = "voicemail", _("Voicemail"), _("A voicemail was left.")
    RECOVERED = "recovered", _("Recovered"), _("The call outlived a lost process or model socket.")
    FAILED_OVER = "failed_over", _("Failed over"), _("The call moved down its ladder.")
    GUARDRAIL = "guardrail", _("Guardrail"), _("A guardrail tripped.")
    HANDED_OFF = "handed_off", _("Handed off"), _("One agent handed the conversation to another.")
    USAGE_LOST = "usage_lost", _("Usage lost"), _("A response was cut before its usage arrived; the cost is estimated.")
    TOOL_FAILED = "tool_failed", _("Tool failed"), _("At least one tool run failed.")
    AUDIO_DROPPED = (
        "audio_dropped",
        _("Audio dropped"),
        _("Audio of the caller or the agent was dropped because a queue was full."),
    )


class TurnRole(Term):
    CALLER = "caller", _("Caller"), _("What the caller said.")
    AGENT = "agent", _("Agent"), _("What the agent said.")


class TurnStatus(Term):
    """How a turn ended."""

    OPEN = "open", _("Open"), _("Still growing.")
    COMPLETE = "complete", _("Complete"), _("All of it was heard.")
    INTERRUPTED = "interrupted", _("Interrupted"), _("The caller barged in; only `heard` was heard.")
    UNHEARD = "unheard", _("Not heard"), _("Nothing of it was heard.")
    FAILED = "failed", _("Failed"), _("The transcription failed, or the response did.")


class ToolStatus(Term):
    STARTED = "started", _("Started"), _("The intent is on record; the request may have left.")
    SUCCEEDED = "succeeded", _("Succeeded"), _("The tool answered.")
    FAILED = "failed", _("Failed"), _("The tool answered with an error, or not as agreed.")
    REFUSED = "refused", _("Refused"), _("Not run: unknown, invalid arguments, or fenced off.")
    TIMED_OUT = "timed_out", _("Timed out"), _("No answer in time.")
    UNKNOWN = "unknown", _("Unknown"), _("Started, and nobody knows how it ended; not run again.")


class EventKind(Term):
    """What may stand on a call's time line."""

    RECEIVED = "received", _("Received"), _("The carrier's first request arrived.")
    STEP = "step", _("Ladder step"), _("The call moved to a rung; with cause and fault.")
    STREAM_STARTED = "stream_started", _("Stream started"), _("The carrier's stream arrived.")
    MODEL_READY = "model_ready", _("Model ready"), _("The model session was configured.")
    MODEL_LOST = "model_lost", _("Model lost"), _("The model session was lost.")
    BARGE_IN = "barge_in", _("Barge-in"), _("The caller spoke over the agent; playback was cut.")
    DIGIT = "digit", _("Digit"), _("The caller pressed a key.")
    DIGITS_COLLECTED = (
        "digits_collected",
        _("Digits collected"),
        _("A tool collected keys; secret ones are never stored."),
    )
    DIGITS_SENT = "digits_sent", _("Digits sent"), _("Tones were sent to the line.")
    HAND_OFF = "hand_off", _("Hand-off"), _("One agent handed over to another.")
    GUARDRAIL = "guardrail", _("Guardrail"), _("A guardrail tripped and the agent was corrected.")
    SILENCE_PROMPT = "silence_prompt", _("Silence prompt"), _("The silence ladder spoke.")
    DISCLOSURE_HEARD = "disclosure_heard", _("Disclosure heard"), _("The recording disclosure was played to its end.")
    RECORDING = "recording", _("Recording"), _("Recording started, paused, stopped, arrived or failed.")
    MESSAGE_TAKEN = "message_taken", _("Message taken"), _("The agent noted a message.")
    TRANSFER = "transfer", _("Transfer"), _("A person was dialled, and how that ended.")
    VOICEMAIL = "voicemail", _("Voicemail"), _("Voicemail was offered or left.")
    RECOVERY = "recovery", _("Recovery"), _("Another process or session took the call over.")
    WATCHDOG = "watchdog", _("Watchdog"), _("A turn brought no audio in time.")
    WRAP_UP = "wrap_up", _("Wrap-up"), _("The agent was told to finish.")
    PEER_ERROR = (
        "peer_error",
        _("Peer error"),
        _("The carrier or the model sent something wrong; noted and passed over."),
    )
    AUDIO_DROPPED = "audio_dropped", _("Audio dropped"), _("Audio was dropped, with the count and the direction.")
    LEG = "leg", _("Leg"), _("The carrier reported a leg's state.")
    SUPERVISOR = "supervisor", _("Supervisor"), _("A member listened, left the agent a note, moved or ended the call.")
    SIP = "sip", _("SIP"), _("The model's end of a SIP call: invited, accepted, attached, refused or lost.")
    ENDED = "ended", _("Ended"), _("The call ended.")


class OrderKind(Term):
    """What a member may ask of a live call (product 5.4.4, 6.8)."""

    NOTE = (
        "note",
        _("Note to the agent"),
        _("The agent reads it as a remark from the house; the caller does not hear it."),
    )
    TRANSFER = "transfer", _("Transfer"), _("The caller is told and connected to one of the agent's contacts.")
    END = "end", _("End the call"), _("The agent says goodbye, then the line closes.")


class OrderState(Term):
    """How far an order has come. Only the call itself says done."""

    ASKED = "asked", _("Sent"), _("The process that holds the call has not taken it yet.")
    TAKEN = "taken", _("Under way"), _("The call has it; the agent is finishing its words.")
    DONE = "done", _("Done"), _("The call confirmed it.")
    REFUSED = "refused", _("Not possible"), _("The call could not do it; the reason says why.")
    EXPIRED = "expired", _("Too late"), _("Nobody took it in time, or the call was over first.")


class HookEvent(Term):
    """What tenants' own systems may be told (product 8.4)."""

    CALL_ENDED = (
        "call.ended",
        _("Call ended"),
        _("The call is over and its transcript, outcome and estimated cost stand."),
    )
    RECORDING_STORED = "recording.stored", _("Recording stored"), _("A recording was fetched and can be played.")
    TEST = "webhook.test", _("Test"), _("Sent by hand, to see that the address answers.")


class DeliveryState(Term):
    """How far a webhook's delivery has come."""

    DUE = "due", _("Waiting"), _("It will be sent, or sent again.")
    DELIVERED = "delivered", _("Delivered"), _("The address answered with a success.")
    FAILED = "failed", _("Failed"), _("Given up after 72 hours, or refused for good; it can be sent again by hand.")


class LegKind(Term):
    CALLER = "caller", _("Caller"), _("The caller's own leg.")
    STREAM = "stream", _("Stream"), _("A media stream between the carrier and us.")
    SIP = "sip", _("SIP"), _("A SIP leg between the carrier and the model.")
    PERSON = "person", _("Person"), _("A dialled person.")
    RECORDING = "recording", _("Recording"), _("A recording of the call.")


class LedgerState(Term):
    """Decision 7: entries are one of these two; billed is derived."""

    ESTIMATE = "estimate", _("Estimate"), _("Priced by us from usage and the rate card.")
    ADJUSTMENT = "adjustment", _("Adjustment"), _("The difference to what the vendor billed, with its cause.")


class Layer(Term):
    """Who is paid: the layers of a call's cost."""

    MODEL = "model", _("Model"), _("The speech model's tokens.")
    TRANSCRIPTION = "transcription", _("Transcription"), _("Transcribing what the caller said.")
    CARRIER = "carrier", _("Carrier"), _("Minutes of telephone legs.")
    STREAM = "stream", _("Stream"), _("Minutes of media stream.")
    RECORDING = "recording", _("Recording"), _("Recording minutes and storage.")
    MESSAGING = "messaging", _("Messaging"), _("Text messages.")
    NUMBER = "number", _("Number"), _("Rental of numbers.")
    INSIGHT = "insight", _("Insight"), _("Models that work on the call afterwards, and judges during it.")


class Metric(NamedTuple):
    """A figure with its one definition."""

    name: str
    unit: str
    formula: str


METRICS: tuple[Metric, ...] = (
    Metric("turn_latency_ms", "ms", "end of caller speech to first agent audio played; per turn; lists show the p95"),
    Metric("model_latency_ms", "ms", "end of caller speech to first audio received from the model; per turn"),
    Metric("playout_latency_ms", "ms", "first audio received to first audio played, by marks; per turn"),
    Metric("greeting_latency_ms", "ms", "carrier's start message to first audio sent to the carrier; per call"),
    Metric("clear_latency_ms", "ms", "speech started at our socket to clear written to the carrier; per barge-in"),
    Metric(
        "heard_ms",
        "ms",
        "audio of one item part that the caller heard: marks plus the clock between them, at most what was received",
    ),
    Metric("duration_s", "s", "the caller leg's answered time as the carrier reports it; ours until it does"),
    Metric("answer_rate", "share", "calls in which an agent, a person or voicemail was heard / calls received"),
    Metric("success_rate", "share", "calls with outcome resolved, transferred or message_taken / calls answered"),
    Metric("cost", "currency", "sum of the call's ledger entries in one currency"),
    Metric("barge_ins", "count", "times the caller's speech cut the agent's playback"),
    Metric("early_audio_ms", "ms", "caller audio that waited for the model session at the start; per call"),
)
