"""Celery's doors of this room: each task calls one function. The rows are the truth; a lost task is found again by the sweeper."""

from __future__ import annotations

from celery import shared_task

from tenants import mail


@shared_task
def send_letters() -> None:
    """Send the e-mails that are due."""
    mail.send_due()
