"""Without a database nobody can be told from anybody: callers are asked for patience, callbacks to come again, nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from calls.models import Route
from calls.services import addresses
from calls.services.tickets import ClaimedCall
from calls.webhooks.documents import MOST_HOLDS
from tests.carrier import TestCarrier, read_document, verbs

pytestmark = pytest.mark.django_db


@contextmanager
def no_database() -> Iterator[None]:
    def refuse(*_query: Any) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    with connection.execute_wrapper(refuse):
        yield


def redirect_of(response: Any) -> str:
    redirect = read_document(response).find("Redirect")
    assert redirect is not None
    return redirect.text or ""


@pytest.mark.parametrize(
    ("make_url", "again"),
    [
        (addresses.resume_url, addresses.resume_url),
        (addresses.dial_url, addresses.resume_url),  # what the action said is lost; the record decides
    ],
)
def test_a_caller_is_asked_for_patience_and_the_carrier_to_ask_again(
    live: ClaimedCall, carrier: TestCarrier, make_url: Callable[[str], str], again: Callable[[str], str]
) -> None:
    form = carrier.about(live.call)
    with no_database():
        response = carrier.post(make_url(live.ref), form)
    assert verbs(response) == ["Say", "Pause", "Redirect"]
    base, _, fragment = again(live.ref).partition("#")
    assert redirect_of(response) == f"{base}?hold=1#{fragment}"


def test_a_new_call_waits_and_then_is_answered(carrier: TestCarrier, route: Route) -> None:
    form = carrier.call_form(to=route.number.e164)
    url = addresses.voice_url(route.public_id)
    with no_database():
        for holds in range(1, 4):
            response = carrier.post(url, form)
            url = redirect_of(response)
            assert f"?hold={holds}#" in url
    assert verbs(carrier.post(url, form)) == ["Connect", "Redirect"]


def test_patience_ends_with_a_sentence(carrier: TestCarrier, route: Route) -> None:
    url = addresses.voice_url(route.public_id).replace("/#", f"/?hold={MOST_HOLDS}#")
    with no_database():
        assert verbs(carrier.post(url, carrier.call_form(to=route.number.e164))) == ["Say", "Hangup"]


@pytest.mark.parametrize("holds", ["x", "-1", "999", "１"])
def test_a_number_of_holds_that_we_did_not_write_ends_it(carrier: TestCarrier, route: Route, holds: str) -> None:
    url = addresses.voice_url(route.public_id).replace("/#", f"/?hold={holds}#")
    with no_database():
        assert verbs(carrier.post(url, carrier.call_form(to=route.number.e164))) == ["Say", "Hangup"]


def test_after_a_voicemail_the_caller_is_thanked(live: ClaimedCall, carrier: TestCarrier) -> None:
    with no_database():
        assert verbs(carrier.post(addresses.voicemail_url(live.ref), carrier.about(live.call))) == ["Say", "Hangup"]


@pytest.mark.parametrize("make_url", [addresses.stream_status_url, addresses.leg_status_url, addresses.recording_url])
def test_callbacks_are_asked_to_come_again(
    live: ClaimedCall, carrier: TestCarrier, make_url: Callable[[str], str]
) -> None:
    form = carrier.about(live.call, "completed")
    with no_database():
        assert carrier.post(make_url(live.ref), form).status_code == 503
    assert carrier.post(make_url(live.ref), form).status_code == 204
