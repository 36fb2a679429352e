"""Preflight of the `realtime` block: what the speech model would refuse or quietly ignore (openai-realtime.md §3); asks nobody."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import date

from django.utils.translation import gettext as _

from agents.findings import Findings, error, warning
from agents.lifetimes import (
    CONTEXTS,
    MODEL_SHUTDOWNS,
    NOT_FOR_CONVERSATIONS,
    TRANSCRIBER_SHUTDOWNS,
    WARN_DAYS,
    Shutdown,
)
from agents.spec import MODELS, TRANSCRIBERS, VOICES, Realtime, Transcription, TurnDetection

SPEED_RANGE = (0.25, 1.5)  # §3.2
OUTPUT_TOKENS_RANGE = (1, 4096)  # §3.2: larger only as "inf"
SMALL_OUTPUT = 300  # tokens; §3.2: reasoning counts, a small cap can end a turn without speech
MAX_PADDING_MS = 5_000
SILENCE_RANGE_MS = (0, 10_000)  # ours: the vendor publishes none
NATURAL_SILENCE_MS = (200, 3_000)  # below, every breath ends a turn; above, the caller thinks the line is dead
SMALL_CONTEXT = 1_000  # tokens; less than two minutes of talk
_LANGUAGE = re.compile(r"[a-z]{2}")  # §3.6: ISO-639-1


def check_realtime(realtime: Realtime, *, languages: tuple[str, ...], path: str, today: date) -> Findings:
    """Findings of the whole block."""
    yield from _check_model(realtime, today)
    if realtime.voice not in VOICES and not realtime.voice.startswith("voice_"):
        yield error(
            "realtime.voice",
            _("The model has no voice %(voice)s.") % {"voice": realtime.voice},
            _suggest(realtime.voice, VOICES),
        )
    yield from _check_range("realtime.speed", realtime.speed, *SPEED_RANGE)
    yield from _check_output_tokens(realtime)
    yield from _check_turns(realtime.turn_detection, path)
    yield from _check_transcription(realtime.transcription, languages, today)
    yield from _check_truncation(realtime)


def _check_model(realtime: Realtime, today: date) -> Findings:
    field = "realtime.model"
    shutdown = MODEL_SHUTDOWNS.get(realtime.model)
    if shutdown is not None:
        yield from _check_shutdown(field, realtime.model, shutdown, today)
    elif realtime.model not in MODELS:
        yield error(
            field,
            _("%(model)s is not a model for phone calls here.") % {"model": realtime.model},
            _suggest(realtime.model, MODELS),
        )
    if MODELS.get(realtime.model, True):
        return
    if realtime.effort != "low":
        yield error(
            "realtime.effort",
            _("%(model)s does not think, so it refuses an effort.") % {"model": realtime.model},
            _("Leave the effort at low, or choose gpt-realtime-2.1."),
        )
    if not realtime.parallel_tool_calls:
        yield error(
            "realtime.parallel_tool_calls",
            _("%(model)s cannot be told to call one tool at a time.") % {"model": realtime.model},
            _("Leave it on, or choose gpt-realtime-2.1."),
        )


def _check_shutdown(field: str, name: str, shutdown: Shutdown, today: date) -> Findings:
    values = {"name": name, "on": shutdown.on.isoformat(), "instead": shutdown.instead}
    if today >= shutdown.on:
        yield error(field, _("%(name)s was switched off on %(on)s.") % values, _("Use %(instead)s.") % values)
    elif (shutdown.on - today).days <= WARN_DAYS:
        yield warning(field, _("%(name)s is switched off on %(on)s.") % values, _("Try %(instead)s now.") % values)


def _check_output_tokens(realtime: Realtime) -> Findings:
    field, tokens = "realtime.max_output_tokens", realtime.max_output_tokens
    if tokens == "inf":
        return
    low, high = OUTPUT_TOKENS_RANGE
    if not low <= tokens <= high:
        yield error(
            field,
            _("The model takes %(low)d to %(high)d tokens.") % {"low": low, "high": high},
            _("Write inf for more."),
        )
    elif MODELS.get(realtime.model, True) and tokens < SMALL_OUTPUT:
        yield warning(
            field,
            _("Thinking counts towards this limit: a turn can end before the agent has spoken."),
            _("Use inf, or at least %(tokens)d.") % {"tokens": SMALL_OUTPUT},
        )


def _check_turns(turn: TurnDetection, path: str) -> Findings:
    field = "realtime.turn_detection"
    plain = TurnDetection()
    if turn.kind == "semantic_vad":
        for name in ("threshold", "prefix_padding_ms", "silence_duration_ms"):
            if getattr(turn, name) != getattr(plain, name):
                yield error(
                    f"{field}.{name}",
                    _("Semantic turn detection does not know %(name)s.") % {"name": name},
                    _("Leave it out, or use kind server_vad; here eagerness decides."),
                )
    elif turn.eagerness != plain.eagerness:
        yield error(
            f"{field}.eagerness",
            _("Only semantic turn detection knows eagerness."),
            _("Leave it out, or use kind semantic_vad; here silence_duration_ms decides."),
        )
    yield from _check_range(f"{field}.threshold", turn.threshold, 0, 1)
    yield from _check_range(f"{field}.prefix_padding_ms", turn.prefix_padding_ms, 0, MAX_PADDING_MS)
    low, high = SILENCE_RANGE_MS
    if not low <= turn.silence_duration_ms <= high:
        yield from _check_range(f"{field}.silence_duration_ms", turn.silence_duration_ms, low, high)
    elif not NATURAL_SILENCE_MS[0] <= turn.silence_duration_ms <= NATURAL_SILENCE_MS[1]:
        yield warning(
            f"{field}.silence_duration_ms",
            _("The agent will answer in the middle of sentences, or long after them."),
            _("Use 400 to 700."),
        )
    if turn.create_response and not turn.interrupt_response:
        yield warning(  # §3.4, combinations
            f"{field}.interrupt_response",
            _("What a caller says while the agent speaks may never be answered."),
            _("Let callers interrupt."),
        )
    tuned = any(
        getattr(turn, name) != getattr(plain, name)
        for name in ("threshold", "prefix_padding_ms", "silence_duration_ms")
    )
    if path == "sip" and turn.kind == "server_vad" and tuned:
        yield error(  # §1.4: accept refuses all three
            field,
            _("On SIP the model refuses tuned server turn detection."),
            _("Use kind semantic_vad, or leave the three values out."),
        )


def _check_transcription(transcription: Transcription, languages: tuple[str, ...], today: date) -> Findings:
    field, model = "realtime.transcription.model", transcription.model
    if model in NOT_FOR_CONVERSATIONS:
        yield error(
            field, _("%(model)s works without an agent only.") % {"model": model}, _("Use gpt-4o-mini-transcribe.")
        )
    elif model not in TRANSCRIBERS:
        yield error(field, _("There is no transcriber %(model)s.") % {"model": model}, _suggest(model, TRANSCRIBERS))
    elif model == "gpt-transcribe":  # §3.6, unverified
        yield warning(
            field,
            _("The vendor does not say that gpt-transcribe works in a conversation."),
            _("Ring the number and look at the transcript before publishing."),
        )
    shutdown = TRANSCRIBER_SHUTDOWNS.get(model)
    if shutdown is not None:
        yield from _check_shutdown(field, model, shutdown, today)
    if transcription.prompt and model == "gpt-transcribe":
        yield error("realtime.transcription.prompt", _("gpt-transcribe takes no prompt."), _("Leave it out."))
    language = transcription.language
    if language and _LANGUAGE.fullmatch(language) is None:
        yield error(
            "realtime.transcription.language",
            _("%(language)s is not a two-letter language code.") % {"language": language},
            _("Write nl, en, de and so on; leave it empty to detect the language."),
        )
    elif language and any(spoken.partition("-")[0].lower() != language for spoken in languages):
        yield warning(
            "realtime.transcription.language",
            _("Callers may speak another of the agent's languages; their words would be written as %(language)s.")
            % {"language": language},
            _("Leave it empty to detect the language."),
        )


def _check_truncation(realtime: Realtime) -> Findings:
    truncation = realtime.truncation
    yield from _check_range("realtime.truncation.retention_ratio", truncation.retention_ratio, 0, 1)
    window, output = CONTEXTS.get(realtime.model, CONTEXTS["gpt-realtime-2.1"])
    field = "realtime.truncation.post_instructions"
    yield from _check_range(field, truncation.post_instructions, 1, window - output)  # §3.5
    if 1 <= truncation.post_instructions < SMALL_CONTEXT:
        yield warning(field, _("The agent forgets what was said a minute ago."), _("Use 8000 to 20000."))


def _check_range(field: str, value: float, low: float, high: float) -> Findings:
    if not low <= value <= high:  # also true for NaN
        values = {"value": f"{value:g}", "low": f"{low:g}", "high": f"{high:g}"}
        yield error(field, _("%(value)s is outside %(low)s to %(high)s.") % values, _("Stay between the two."))


def _suggest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if near:
        return _("Did you mean %(name)s?") % {"name": near[0]}
    return _("Use one of %(names)s.") % {"names": ", ".join(names)}
