"""What the carrier's voice says when no agent can; each short, polite and translatable. Chosen by the services, spoken as `<Say>`."""

from __future__ import annotations

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from calls.services.answers import Line

# The carrier wants a region with the language. Where one language has many, the most spoken stands for it.
_REGIONS = {
    "ar": "ar-AE", "ca": "ca-ES", "cs": "cs-CZ", "da": "da-DK", "de": "de-DE", "el": "el-GR", "en": "en-US", "es": "es-ES",
    "fi": "fi-FI", "fr": "fr-FR", "he": "he-IL", "hi": "hi-IN", "hu": "hu-HU", "id": "id-ID", "it": "it-IT", "ja": "ja-JP",
    "ko": "ko-KR", "nb": "nb-NO", "nl": "nl-NL", "no": "nb-NO", "pl": "pl-PL", "pt": "pt-PT", "ro": "ro-RO", "ru": "ru-RU",
    "sk": "sk-SK", "sv": "sv-SE", "th": "th-TH", "tr": "tr-TR", "uk": "uk-UA", "vi": "vi-VN", "zh": "zh-CN",
}  # fmt: skip


def find_language(tag: str) -> str:
    """The carrier's tag for one of ours; empty when it has no voice for it that we know of."""
    language, _sep, region = tag.replace("_", "-").partition("-")
    if len(region) == 2 and region.isalpha() and language.lower() in _REGIONS:
        return f"{language.lower()}-{region.upper()}"
    return _REGIONS.get(language.lower(), "")


def make_line(text: str, *, language: str) -> tuple[Line, ...]:
    """Words of an agent or a tenant, in that agent's language; nothing for empty words."""
    return (Line(text=text.strip(), language=find_language(language)),) if text.strip() else ()


def _ours(text: str) -> Line:
    """In the language that gettext translates into just now."""
    return Line(text=text, language=find_language(get_language() or "en"))


def unknown_number() -> Line:
    return _ours(_("This number is not in service. Please check the number and try again. Goodbye."))


def not_taking_calls() -> Line:
    return _ours(_("This number cannot take calls at the moment. Please try again later. Goodbye."))


def cannot_help() -> Line:
    return _ours(_("We are sorry, nobody can take your call right now. Please try again later. Goodbye."))


def voicemail_greeting() -> Line:
    return _ours(_("Nobody can come to the phone right now. Please leave a message after the tone, then hang up."))


def voicemail_thanks() -> Line:
    return _ours(_("Thank you, your message was recorded. Goodbye."))


def voicemail_empty() -> Line:
    return _ours(_("No message was recorded. Goodbye."))


def connecting() -> Line:
    return _ours(_("One moment please, I will connect you."))


def moment_please() -> Line:
    """Before a new attempt of the agent, so that the caller never meets silence."""
    return _ours(_("One moment please."))
