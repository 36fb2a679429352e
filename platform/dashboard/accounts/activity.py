"""When each session was last seen, for the list of sessions: noted at most once a minute, so that a page costs no write."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from allauth.usersessions.models import UserSession
from django.http import HttpRequest
from django.http.response import HttpResponseBase

NOTED_FOR_S = 60.0
MAX_REMEMBERED = 10_000  # sessions per process; the longest unseen is forgotten first, and then noted once more


class ActivityMiddleware:
    """Takes the place of allauth's own, which reads and writes three rows for every request."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._noted: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        key = request.session.session_key
        if key and self._is_due(key) and request.user.is_authenticated:
            UserSession.objects.create_from_request(request)
        return self.get_response(request)

    def _is_due(self, key: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._noted.get(key, -NOTED_FOR_S) < NOTED_FOR_S:
                return False
            self._noted[key] = now
            self._noted.move_to_end(key)
            if len(self._noted) > MAX_REMEMBERED:
                self._noted.popitem(last=False)
            return True
