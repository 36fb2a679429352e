"""Recordings hold what was said and what was really played, each at its time (twilio.md §4.5, §8.2)."""

from __future__ import annotations

import pytest

from emulators.callers import Caller, HangUp, PlayRaw, Press, Silence, WaitHeard
from emulators.sound import read_wav
from emulators.twilio.call import Call
from emulators.twilio.config import ChannelOrder
from emulators.twilio.double import TwilioDouble
from emulators.twilio.recording import RecordingOrder, begin_recording
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import NUMBER, Peer, Product

VOICE = bytes([0x10, 0x90] * 4000)
AGENT = bytes([0x20, 0xA0] * 8000)  # two seconds


async def talk_over_each_other(product: Product, double: TwilioDouble, order: RecordingOrder) -> Call:
    async def talk(peer: Peer) -> None:
        await peer.start()
        await peer.media(AGENT)
        await peer.until("dtmf")
        await peer.clear()
        await peer.collect()

    product.socket("/media", talk)
    product.answer("/voice", f'<Connect><Stream url="{product.ws_url}/media"/></Connect>')
    call = await double.ring(
        to=NUMBER, caller=Caller([WaitHeard(400), PlayRaw(VOICE), Press("1"), Silence(1), HangUp()])
    )
    await call.wait_for("stream-started")
    begin_recording(call, order)
    await call.ended()
    await double.settled()
    return call


@pytest.mark.parametrize("channel_order", list(ChannelOrder))
async def test_dual_recording_has_each_voice_on_its_channel(
    product: Product, make_double: MakeDouble, channel_order: ChannelOrder
) -> None:
    double = await make_double(channel_order=channel_order)
    call = await talk_over_each_other(product, double, RecordingOrder("StartCallRecordingAPI", channels=2))
    (recording,) = call.recordings
    channels = read_wav(recording.make_media(channels=2))
    caller, agent = channels if channel_order is ChannelOrder.CALLER_FIRST else reversed(channels)
    assert VOICE in caller
    heard = call.leg.heard_audio()
    assert heard in agent
    assert len(heard) < len(AGENT)  # cut by `clear`: what was not played is not on the record
    assert agent.count(AGENT[:2] * 80) * 160 <= len(heard)


async def test_voices_keep_their_distance_in_time(product: Product, double: TwilioDouble) -> None:
    call = await talk_over_each_other(product, double, RecordingOrder("StartCallRecordingAPI", channels=2))
    said, played = call.recordings[0].tracks()
    begun = call.recordings[0].begun
    assert said.index(VOICE) == call.leg.spoken[0][0] - begun
    assert played.index(call.leg.heard_audio()) == call.leg.heard[0][0] - begun


async def test_mono_recording_mixes_both(product: Product, double: TwilioDouble) -> None:
    call = await talk_over_each_other(product, double, RecordingOrder("StartCallRecordingAPI"))
    (mixed,) = read_wav(call.recordings[0].make_media(channels=1))
    said, played = call.recordings[0].tracks()
    start = played.index(call.leg.heard_audio())
    alone = said.index(VOICE) - start
    assert mixed[start : start + alone // 160 * 160 - 160] == played[start : start + alone // 160 * 160 - 160]
    assert len(mixed) == len(said) == len(played)


@pytest.mark.parametrize(("track", "silent"), [("inbound", 1), ("outbound", 0)])
async def test_one_track_alone(product: Product, double: TwilioDouble, track: str, silent: int) -> None:
    call = await talk_over_each_other(product, double, RecordingOrder("StartCallRecordingAPI", track=track))
    tracks = call.recordings[0].tracks()
    assert tracks[silent].strip(b"\xff") == b""
    assert tracks[1 - silent].strip(b"\xff") != b""


@pytest.mark.parametrize("behaviour", ["silence", "skip"])
async def test_pause_is_silence_or_is_left_out(product: Product, double: TwilioDouble, behaviour: str) -> None:
    product.answer("/voice", '<Pause length="60"/>')
    call = await double.ring(to=NUMBER, caller=Caller([PlayRaw(VOICE * 3), HangUp()]))
    call.answer()
    recording = begin_recording(call, RecordingOrder("StartCallRecordingAPI"))
    clock = double.exchange.clock
    await clock.sleep(1.0)
    recording.pause(behaviour)
    await clock.sleep(1.0)
    recording.resume()
    await call.ended()
    await double.settled()
    ((begin, end, _),) = recording.paused
    said, _ = recording.tracks()
    assert recording.ended is not None
    whole = recording.ended - recording.begun
    if behaviour == "skip":
        assert len(said) == whole - (end - begin)
    else:
        assert len(said) == whole
        assert said[begin - recording.begun : end - recording.begun].strip(b"\xff") == b""


async def test_trimmed_recording_begins_with_the_first_voice(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Pause length="60"/>')
    call = await double.ring(to=NUMBER, caller=Caller([Silence(1), PlayRaw(VOICE), Silence(1), HangUp()]))
    call.answer()
    recording = begin_recording(call, RecordingOrder("StartCallRecordingAPI", trim=True))
    await call.ended()
    await double.settled()
    said, _ = recording.tracks()
    assert VOICE[:7000] in said
    assert len(said) <= len(VOICE) + 320
    assert recording.duration_s == 1


async def test_finished_call_can_be_forgotten_with_its_sound(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Pause length="2"/><Pause length="2"/>')
    call = await double.ring(to=NUMBER)
    with pytest.raises(ValueError, match="still"):
        double.forget(call)
    await call.wait_for("answered")
    begin_recording(call, RecordingOrder("StartCallRecordingAPI"))
    await call.ended()
    double.forget(call)
    assert double.calls == {}
    assert double.exchange.recordings == {}
