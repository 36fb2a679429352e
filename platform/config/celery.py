"""The Celery application: tasks carry their tenant in the headers (tenants/task.py); engines are attached before the broker is."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import beat_init, celeryd_init

from config.engines.attach import attach_engines

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("switchboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
@beat_init.connect
def _attach(**_signal: object) -> None:
    """Not at import: whoever only sends tasks has come through a door of its own."""
    attach_engines()
