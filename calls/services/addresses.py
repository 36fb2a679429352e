"""Every address we hand to the carrier, built in one place from the configured public bases; never from a request's headers."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from django.conf import settings

HOOKS = "/hooks/twilio"
_SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def call_ref(call_id: uuid.UUID) -> str:
    """The call's name in addresses: plain lower-case hex."""
    return call_id.hex


def voice_url(public_id: str) -> str:
    return _hook("voice", public_id)


def fallback_url(public_id: str) -> str:
    """Asked when the voice URL failed (twilio.md §3.3)."""
    return _hook("fallback", public_id)


def number_status_url(public_id: str) -> str:
    """The number's own status callback: once, at the end of each call (§3.5)."""
    return _hook("status", public_id)


def resume_url(ref: str) -> str:
    """What runs after `<Connect>`."""
    return _hook("resume", ref)


def stream_status_url(ref: str) -> str:
    return _hook("stream", ref)


def leg_status_url(ref: str) -> str:
    """Status of a dialled person's leg."""
    return _hook("leg", ref)


def dial_url(ref: str) -> str:
    return _hook("dial", ref)


def sip_url(ref: str) -> str:
    """What runs after the SIP leg to the model has ended."""
    return _hook("sip", ref)


def refer_url(ref: str) -> str:
    """Asked when the model's side sends a REFER on a dialled SIP leg: refused there, because we move the call ourselves (§7.5)."""
    return _hook("refer", ref)


def trunk_url(public_id: str) -> str:
    """A trunk's disaster-recovery address: no origination URI took the call (§7.3)."""
    return _hook("trunk", public_id)


def voicemail_url(ref: str) -> str:
    return _hook("voicemail", ref)


def recording_url(ref: str) -> str:
    return _hook("recording", ref)


def media_url(process: str, ref: str) -> str:
    """The stream's socket. No fragment, no query: the carrier drops the one and signs neither (§1.2, §1.3)."""
    base = urlsplit(settings.MEDIA_BASE_URL)
    return f"{_SOCKET_SCHEMES[base.scheme]}://{base.netloc}{base.path}{media_path(process, ref)}"


def media_path(process: str, ref: str) -> str:
    return f"/media/{process}/{ref}/"


def hook_url(path: str) -> str:
    """A path below the hooks, as handed to the carrier."""
    # Connection overrides ride in the fragment, which is neither sent nor signed (§3.3).
    fragment = f"#{settings.WEBHOOK_OVERRIDES}" if settings.WEBHOOK_OVERRIDES else ""
    return f"{settings.PUBLIC_BASE_URL}{HOOKS}{path}{fragment}"


def _hook(kind: str, name: str) -> str:
    return hook_url(f"/{kind}/{name}/")
