"""Letters as they wait in the outbox, and counters of attempts that start at nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.core.cache import cache

from tenants.models import OutgoingLetter

Letterbox = Callable[[str], OutgoingLetter]


@pytest.fixture(autouse=True)
def _no_attempts_yet(redis_url: str) -> None:
    cache.clear()


@pytest.fixture
def newest_letter(db: None) -> Letterbox:
    def newest(to: str) -> OutgoingLetter:
        return OutgoingLetter.objects.filter(to=to).latest("created_at")

    return newest


def link_in(letter: OutgoingLetter) -> str:
    """The path of the one link in a letter."""
    (found,) = re.findall(r"https?://[^/\s]+(/\S*)", letter.text)
    return str(found)
