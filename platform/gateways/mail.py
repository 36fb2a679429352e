"""The one place that hands a letter to the mail server named by EMAIL_URL; knows no tenants and no rows."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage

from gateways.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Letter:
    """One e-mail to one person. `key` becomes its Message-ID: a letter that is sent twice can be told by it."""

    key: str
    to: str
    subject: str
    text: str


def is_connected() -> bool:
    """Whether a mail server is configured at all."""
    return bool(settings.EMAIL_URL)


def send(letter: Letter) -> None:
    """Hand the letter over. Raises GatewayError: `permanent` when the server refused this letter for good (RFC 5321 §4.2.1, 5yz)."""
    if not is_connected():
        raise GatewayError("no mail server is configured: set EMAIL_URL", permanent=False, code="unset")
    sender = settings.DEFAULT_FROM_EMAIL
    domain = sender.rpartition("@")[2].rstrip("> ")
    message = EmailMessage(
        letter.subject, letter.text, sender, [letter.to], headers={"Message-ID": f"<{letter.key}@{domain}>"}
    )
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as refused:
        code = max(answer[0] for answer in refused.recipients.values())
        raise GatewayError("the mail server refused the recipient", permanent=code >= 500, code=str(code)) from refused
    except smtplib.SMTPResponseException as answered:
        # A refused log-in is ours to mend, not the letter's fault: it stays in the outbox.
        is_final = answered.smtp_code >= 500 and not isinstance(answered, smtplib.SMTPAuthenticationError)
        raise GatewayError(
            "the mail server refused the letter", permanent=is_final, code=str(answered.smtp_code)
        ) from answered
    except (smtplib.SMTPException, OSError) as error:
        raise GatewayError(f"the mail server cannot be reached ({type(error).__name__})", permanent=False) from error
