"""The models and voices the double knows, with the limits that the reference states for them."""

from __future__ import annotations

from dataclasses import dataclass

from emulators.openai.wire import JsonObject, RequestError
from emulators.speech import Voice


@dataclass(frozen=True, slots=True)
class RealtimeModel:
    id: str
    created: int
    context_tokens: int
    output_tokens_max: int
    reasons: bool = False
    shutdown_date: str | None = None

    def describe(self) -> JsonObject:
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": "system",
            "shutdown_date": self.shutdown_date,
        }


_RETIRES = "2027-01-20"  # openai-realtime.md §3.8

# openai-realtime.md §3.8. The retired previews are not offered: "legacy/beta; do not use".
MODELS = {
    model.id: model
    for model in (
        RealtimeModel("gpt-realtime-2.1", 1783555200, 128_000, 32_000, reasons=True),
        RealtimeModel("gpt-realtime-2.1-mini", 1783555200, 128_000, 32_000, reasons=True),
        RealtimeModel("gpt-realtime-2", 1778112000, 128_000, 32_000, reasons=True),
        RealtimeModel("gpt-realtime-1.5", 1770000000, 32_768, 4096),
        RealtimeModel("gpt-realtime", 1756339200, 32_768, 4096, shutdown_date=_RETIRES),
        RealtimeModel("gpt-realtime-2025-08-28", 1756339200, 32_768, 4096, shutdown_date=_RETIRES),
        RealtimeModel("gpt-realtime-mini", 1759708800, 32_768, 4096, shutdown_date=_RETIRES),
        RealtimeModel("gpt-realtime-mini-2025-10-06", 1759708800, 32_768, 4096, shutdown_date=_RETIRES),
        RealtimeModel("gpt-realtime-mini-2025-12-15", 1765756800, 32_768, 4096, shutdown_date=_RETIRES),
    )
}


def access_model(model_id: str) -> RealtimeModel:
    """Raises RequestError as the service does for a model that does not exist (§4.8 `model_not_found`)."""
    model = MODELS.get(model_id)
    if model is None:
        raise RequestError(
            f"The model '{model_id}' does not exist or you do not have access to it.",
            code="model_not_found",
            param="model",
            status=404,
        )
    return model


# openai-realtime.md §3.8; each vendor voice is one speaker of the synthesiser, so that two agents can be told apart.
_SPEAKERS = {
    "alloy": "f1",
    "ash": "m1",
    "ballad": "m2",
    "coral": "f2",
    "echo": "m4",
    "sage": "f4",
    "shimmer": "f5",
    "verse": "m6",
    "marin": "f3",
    "cedar": "m7",
}
VOICES = tuple(_SPEAKERS)
_CUSTOM_SPEAKER = "m8"  # {"id": "voice_…"}: made from samples that a double does not have

# ISO-639-1 to the synthesiser's name where they differ or where one of several has to be chosen.
_LANGUAGES = {"en": "en-us", "nl": "nl", "de": "de", "fr": "fr", "es": "es", "it": "it", "pt": "pt", "pl": "pl"}
_WORDS_PER_MINUTE = 170


def choose_session_voice(settings: JsonObject) -> Voice:
    """A speaker for the session's voice; `speed` is post-processing at the vendor (§3.2), here the speaker's pace."""
    output = settings["audio"]["output"]
    name, speed = output["voice"], output["speed"]
    language = (settings["audio"]["input"]["transcription"] or {}).get("language")
    speaker = _SPEAKERS.get(name, _CUSTOM_SPEAKER) if isinstance(name, str) else _CUSTOM_SPEAKER
    return Voice(
        language=_LANGUAGES.get(language or "en", "en-us"),
        speaker=speaker,
        words_per_minute=round(_WORDS_PER_MINUTE * speed),
    )
