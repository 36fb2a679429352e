"""Where django-allauth asks this product: who may sign up, how letters leave, how second factors are kept. Decides nothing else."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from dashboard.accounts.invited import invitation_of
from tenants.crypto import decrypt, encrypt
from tenants.mail import queue_mail


class AccountAdapter(DefaultAccountAdapter):
    """Letters go through the outbox: a slow or absent mail server never breaks a page."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Somebody with an invitation may always join; a business of one's own needs SIGN_UP."""
        return settings.SIGN_UP != "off" or invitation_of(request) is not None

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Whoever logs in with an invitation in hand goes to accept it."""
        invitation = invitation_of(request)
        if invitation is not None:
            return reverse("invitation", args=[invitation.token])
        return str(super().get_login_redirect_url(request))

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return self.get_login_redirect_url(request) if request.user.is_authenticated else reverse("home")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        values = {"email": email, **context}
        subject = " ".join(render_to_string(f"{template_prefix}_subject.txt", values).split())
        text = render_to_string(f"{template_prefix}_message.txt", values).strip()
        queue_mail(to=email, subject=subject, text=text)


class SecondFactorAdapter(DefaultMFAAdapter):
    """Seeds and recovery codes are encrypted like every other secret (product 2.6)."""

    def encrypt(self, text: str) -> str:
        return encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text)
