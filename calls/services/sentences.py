"""What the carrier's voice says when no agent can; each short, polite and translatable. Chosen by the services, spoken as `<Say>`."""

from __future__ import annotations

from django.utils.translation import gettext as _


def unknown_number() -> str:
    return _("This number is not in service. Please check the number and try again. Goodbye.")


def not_taking_calls() -> str:
    return _("This number cannot take calls at the moment. Please try again later. Goodbye.")


def cannot_help() -> str:
    return _("We are sorry, nobody can take your call right now. Please try again later. Goodbye.")


def voicemail_greeting() -> str:
    return _("Nobody can come to the phone right now. Please leave a message after the tone, then hang up.")


def voicemail_thanks() -> str:
    return _("Thank you, your message was recorded. Goodbye.")


def voicemail_empty() -> str:
    return _("No message was recorded. Goodbye.")


def connecting() -> str:
    return _("One moment please, I will connect you.")


def moment_please() -> str:
    """Before a new attempt of the agent, so that the caller never meets silence."""
    return _("One moment please.")
