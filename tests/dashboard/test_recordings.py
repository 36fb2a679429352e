"""Recordings on the call page and through their door: ranges for players, 404 for what is not stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from calls.models import Recording
from dashboard.streams import ByteRange, RangeNotSatisfiable, parse_range
from tenants.scope import tenant_scope
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import make_ended_call, make_recording
from tests.factories import make_sid


@pytest.fixture
def recording(cast: Cast) -> Recording:
    call = make_ended_call(cast.tenant, outcome="voicemail", end_reason="voicemail_left")
    with tenant_scope(cast.tenant):
        return make_recording(call, kind="voicemail", seconds=1.0, channels=1)


def address(recording: Recording) -> str:
    return f"/o/acme/calls/{recording.call_id}/recordings/{recording.pk}.wav"


def sound_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_whole_recording_is_played_and_offers_ranges(alice: Client, recording: Recording) -> None:
    response = alice.get(address(recording))
    assert (response.status_code, response["Content-Type"], response["Accept-Ranges"]) == (200, "audio/wav", "bytes")
    sound = sound_of(response)
    assert sound[:4] == b"RIFF"
    assert len(sound) == int(response["Content-Length"]) == recording.file.size
    assert "private" in response["Cache-Control"]


@pytest.mark.parametrize(
    ("header", "first", "last"), [("bytes=0-1", 0, 1), ("bytes=100-", 100, 16_043), ("bytes=-44", 16_000, 16_043)]
)
def test_player_seeks_by_ranges(alice: Client, recording: Recording, header: str, first: int, last: int) -> None:
    whole = sound_of(alice.get(address(recording)))
    response = alice.get(address(recording), headers={"Range": header})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
    assert sound_of(response) == whole[first : last + 1]


def test_range_beyond_the_end_is_refused(alice: Client, recording: Recording) -> None:
    response = alice.get(address(recording), headers={"Range": "bytes=99999-"})
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{recording.file.size}")


def test_range_of_another_version_of_the_sound_is_answered_with_the_whole(alice: Client, recording: Recording) -> None:
    response = alice.get(address(recording), headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert response.status_code == 200
    assert len(sound_of(response)) == recording.file.size


def test_recording_that_is_not_stored_or_whose_sound_is_gone_does_not_exist(
    alice: Client, cast: Cast, recording: Recording
) -> None:
    with tenant_scope(cast.tenant):
        running = Recording.objects.create(call=recording.call, carrier_sid=make_sid("RE"))
    assert alice.get(address(running)).status_code == 404
    Path(recording.file.path).unlink()
    assert alice.get(address(recording)).status_code == 404


def test_recording_is_found_only_below_its_own_call(alice: Client, cast: Cast, recording: Recording) -> None:
    other = make_ended_call(cast.tenant)
    assert alice.get(f"/o/acme/calls/{other.pk}/recordings/{recording.pk}.wav").status_code == 404


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "Recording now"),
        ("fetching", "preparing the recording"),
        ("absent", "nothing was recorded"),
        ("failed", "could not be fetched"),
    ],
)
def test_page_says_why_there_is_no_sound_yet(alice: Client, cast: Cast, state: str, words: str) -> None:
    call = make_ended_call(cast.tenant)
    with tenant_scope(cast.tenant):
        Recording.objects.create(call=call, carrier_sid=make_sid("RE"), state=state)
    html = alice.get(f"/o/acme/calls/{call.pk}/").content.decode()
    assert words in html
    assert "<audio" not in html


def test_voicemail_is_labelled_and_playable_on_the_call_page(alice: Client, recording: Recording) -> None:
    html = alice.get(f"/o/acme/calls/{recording.call_id}/").content.decode()
    assert f'src="{address(recording)}"' in html
    assert 'data-kind="voicemail"' in html


@pytest.mark.parametrize("header", ["", "bytes=", "bytes=-", "items=0-1", "bytes=5-2", "bytes=0-1,4-5", "nonsense"])
def test_header_that_asks_for_no_single_range_gets_the_whole(header: str) -> None:
    assert parse_range(header, size=10) is None


def test_range_is_clamped_to_the_file() -> None:
    assert parse_range("bytes=3-99", size=10) == ByteRange(3, 9)
    assert parse_range("bytes=-99", size=10) == ByteRange(0, 9)
    for header in ("bytes=10-", "bytes=-0"):
        with pytest.raises(RangeNotSatisfiable):
            parse_range(header, size=10)
