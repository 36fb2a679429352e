"""Media Streams as the carrier plays them: literal messages, wire timing, playout truth (twilio.md §1)."""

from __future__ import annotations

import asyncio
import base64

import pytest

from emulators.callers import Caller, HangUp, PlayRaw, Press, Silence, WaitHeard
from emulators.twilio.call import Source
from emulators.twilio.double import TwilioDouble
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import ACCOUNT, NUMBER, Peer, Product

VOICE = bytes([0x10, 0x90] * 4000)  # one second of a loud 4 kHz square wave


def codes(double: TwilioDouble) -> list[int]:
    return [alert.code for alert in double.alerts]


def connect(product: Product, rest: str = "", **attributes: str) -> str:
    extra = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<Connect><Stream url="{product.ws_url}/media/t1/abc"{extra}/></Connect>{rest}'


async def test_stream_opens_with_connected_and_start_in_their_literal_shape(
    product: Product, double: TwilioDouble
) -> None:
    async def talk(peer: Peer) -> None:
        while peer.received.count({}) == 0 and len(peer.received) < 5:
            await peer.next()

    product.socket("/media/t1/abc", talk)
    product.answer(
        "/voice",
        f'<Connect><Stream url="{product.ws_url}/media/t1/abc"><Parameter name="ticket" value="t-1"/></Stream></Connect>',
    )
    call = await double.ring(to=NUMBER)
    await call.ended()
    peer = product.peers[0]
    sid = call.streams[0].sid
    assert peer.signed
    assert peer.received[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert peer.received[1] == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": sid,
        "start": {
            "accountSid": ACCOUNT,
            "callSid": call.sid,
            "streamSid": sid,
            "tracks": ["inbound"],
            "customParameters": {"ticket": "t-1"},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
    assert peer.received[2] == {
        "event": "media",
        "sequenceNumber": "2",
        "streamSid": sid,
        "media": {
            "track": "inbound",
            "chunk": "1",
            "timestamp": "20",
            "payload": base64.b64encode(b"\xff" * 160).decode(),
        },
    }
    assert peer.received[4]["media"]["timestamp"] == "60"
    assert double.alerts == []


async def test_caller_is_heard_frame_by_frame_and_a_key_arrives_as_dtmf(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.collect()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER, caller=Caller([Silence(2), PlayRaw(VOICE), Press("5"), Silence(0.2), HangUp()]))
    await call.ended()
    await double.settled()
    received = product.peers[0].received
    audio = b"".join(
        base64.b64decode(message["media"]["payload"]) for message in received if message["event"] == "media"
    )
    assert VOICE in audio
    (digit,) = [message for message in received if message["event"] == "dtmf"]
    assert digit["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert received[-1]["event"] == "stop"
    assert received[-1]["stop"] == {"accountSid": ACCOUNT, "callSid": call.sid}
    numbers = [int(message["sequenceNumber"]) for message in received[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert call.status == "completed"
    assert call.ended_by == "caller"
    assert double.alerts == []


async def test_mark_returns_when_the_audio_before_it_was_played(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        await peer.mark("at once")
        await peer.until("mark")
        await peer.media(VOICE[:1600])
        await peer.mark("later")
        await peer.until("mark")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    at_once, later = call.leg.playout.marks
    (piece,) = call.leg.playout.history
    assert at_once.due == at_once.arrived
    assert later.returned is not None
    assert later.due == piece.start + 1600
    assert 0 <= later.returned - later.due < 800  # a tenth of a second of call time is 10 ms of wall clock
    assert double.alerts == []


async def test_clear_returns_all_marks_at_once_and_tells_what_was_played(
    product: Product, double: TwilioDouble
) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        for name in ("g0:1", "g0:2", "g0:3"):
            await peer.media(VOICE)
            await peer.mark(name)
        await peer.until("mark")
        await peer.clear()
        await peer.until("mark")
        await peer.until("mark")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    (clear,) = call.leg.playout.clears
    assert clear.pending == ("g0:2", "g0:3")
    assert clear.received == 24_000
    assert 8000 <= clear.played < 16_000
    assert clear.piece is call.leg.playout.history[1]
    assert clear.played == 8000 + clear.piece_played
    assert len(call.leg.heard_audio()) == clear.played
    assert double.alerts == []


async def test_caller_waits_for_what_it_really_hears(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        await peer.media(VOICE * 2)
        await peer.collect()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER, caller=Caller([WaitHeard(500), HangUp()]))
    heard = await call.wait_for("heard")
    await call.ended()
    assert heard.detail["at_ms"] == call.leg.ear.first_voice_ms
    # The ear works in windows of 20 ms: the first voice may have begun anywhere in its window.
    assert 480 <= len(call.leg.heard_audio()) / 8 < 2000


async def test_next_verb_runs_when_the_server_closes_the_socket(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product, '<Redirect method="POST">/resume</Redirect>'))
    product.answer("/resume", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    resumed = product.hits_of("/resume")[0]
    assert resumed.params["CallSid"] == call.sid
    assert resumed.params["CallStatus"] == "in-progress"
    assert double.alerts == []


async def test_action_of_connect_wins_over_the_verbs_after_it(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()

    product.socket("/media/t1/abc", talk)
    stream = f'<Stream url="{product.ws_url}/media/t1/abc"/>'
    product.answer("/voice", f'<Connect action="/ended">{stream}</Connect><Redirect>/never</Redirect>')
    product.answer("/ended", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.hits_of("/ended")[0].params["StreamSid"] == call.streams[0].sid
    assert product.hits_of("/never") == []


async def test_dead_process_is_31921_and_the_next_verb_runs(product: Product, double: TwilioDouble) -> None:
    async def die(peer: Peer) -> None:
        await peer.start()
        transport = peer.transport
        assert transport is not None
        transport.abort()

    product.socket("/media/t1/abc", die)
    product.answer("/voice", connect(product, "<Redirect>/resume</Redirect>"))
    product.answer("/resume", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31921]
    assert len(product.hits_of("/resume")) == 1


async def test_refused_handshake_is_31920_and_told_to_the_stream_callback(
    product: Product, double: TwilioDouble
) -> None:
    callback = f"{product.base_url}/stream-status"
    product.answer("/voice", connect(product, "<Redirect>/resume</Redirect>", statusCallback=callback, name="agent"))
    product.answer("/resume", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    (hit,) = product.hits_of("/stream-status")
    assert hit.signed
    assert hit.params["StreamEvent"] == "stream-error"
    assert "403" in hit.params["StreamError"]
    assert hit.params["StreamName"] == "agent"
    assert codes(double) == [31920]
    assert len(product.hits_of("/resume")) == 1


async def test_stream_callback_tells_start_and_stop(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product, statusCallback=f"{product.base_url}/stream-status"))
    call = await double.ring(to=NUMBER)
    await call.ended()
    hits = product.hits_of("/stream-status")
    assert [hit.params["StreamEvent"] for hit in hits] == ["stream-started", "stream-stopped"]
    assert {hit.params["StreamName"] for hit in hits} == {call.streams[0].sid}  # §1.2: the SID when unset


async def test_nobody_listening_is_31902(product: Product, double: TwilioDouble, free_port: int) -> None:
    product.answer("/voice", f'<Connect><Stream url="ws://127.0.0.1:{free_port}/a"/></Connect>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31902]


async def test_server_that_never_answers_the_handshake_is_31901(product: Product, make_double: MakeDouble) -> None:
    double = await make_double(stream_connect_limit_s=0.1)
    product.delay_socket("/media/t1/abc", 1.0)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31901]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ws://voice.example.com/media", 31922),
        ("https://voice.example.com/media", 31922),
        ("wss:///media", 31923),
    ],
)
async def test_stream_url_must_be_a_secure_socket(product: Product, double: TwilioDouble, url: str, code: int) -> None:
    product.answer("/voice", f'<Connect><Stream url="{url}"/></Connect>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [code]


async def test_query_string_is_dropped_before_the_handshake(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", f'<Connect><Stream url="{product.ws_url}/media/t1/abc?token=secret"/></Connect>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.peers[0].url.endswith("/media/t1/abc")
    assert product.peers[0].signed


async def test_relative_stream_url_resolves_against_the_document(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()

    product.socket("/media/a%20b/", talk)
    product.answer("/voice", '<Connect><Stream url="/media/a%20b/"/></Connect>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert double.alerts == []
    assert product.peers[0].signed


async def test_outbound_track_on_connect_is_31941(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", connect(product, track="both_tracks"))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31941]


async def test_parameter_of_500_characters_is_refused(product: Product, double: TwilioDouble) -> None:
    stream = f'<Stream url="{product.ws_url}/m"><Parameter name="ticket" value="{"x" * 494}"/></Stream>'
    product.answer("/voice", f"<Connect>{stream}</Connect>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [12200]
    assert product.peers == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("not json", 31950),
        ('{"event":"dtmf","streamSid":"SID"}', 31950),
        ('{"event":"media","streamSid":"MZother","media":{"payload":"/w=="}}', 31950),
        ('{"event":"media","media":{"payload":"/w=="}}', 31950),
        ('{"event":"media","streamSid":"SID","media":{"payload":"*"}}', 31950),
        ('{"event":"media","streamSid":"SID","media":{}}', 31950),
        ('{"event":"mark","streamSid":"SID"}', 31950),
        ('{"event":"mark","streamSid":"SID","mark":{"name":""}}', 31950),
        ('{"event":"media","streamSid":"SID","media":{"payload":"/w==","track":"outbound"}}', 31951),
        ('{"event":"clear","streamSid":"SID","sequenceNumber":"4"}', 31951),
    ],
)
async def test_message_that_is_not_allowed_is_reported_once(
    product: Product, double: TwilioDouble, message: str, code: int
) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        for _ in range(3):
            await peer.ws.send_str(message.replace("SID", peer.sid))
        await peer.mark("end")
        await peer.until("mark")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [code]
    breaches = call.streams[0].breaches
    assert (breaches.malformed, breaches.invalid) == ((3, 0) if code == 31950 else (0, 3))


async def test_binary_frame_is_malformed(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        await peer.ws.send_bytes(b"\xff" * 160)
        await peer.mark("end")
        await peer.until("mark")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31950]


async def test_audio_sent_too_far_ahead_is_discarded_and_reported_once(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        for _ in range(40):
            await peer.media(VOICE)
        await peer.clear()
        await peer.mark("end")
        await peer.until("mark")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31931]
    assert 30 <= len(call.leg.playout.history) <= 34  # 30 s of buffer, and what was played meanwhile
    assert call.streams[0].breaches.discarded == 40 - len(call.leg.playout.history)


async def test_network_delay_holds_both_directions(product: Product, make_double: MakeDouble) -> None:
    double = await make_double(network_delay_ms=400, speed=4.0)
    sent_at: list[int] = []

    async def talk(peer: Peer) -> None:
        await peer.start()
        sent_at.append(double.exchange.clock.samples())
        await peer.mark("there and back")
        await peer.until("mark")
        sent_at.append(double.exchange.clock.samples())

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert sent_at[0] - call.streams[0].started_at >= 400 * 8
    assert sent_at[1] - sent_at[0] >= 800 * 8
    assert call.leg.playout.marks[0].arrived - sent_at[0] >= 400 * 8


async def test_gap_in_the_carriers_audio_is_a_gap_in_the_timestamps(product: Product, double: TwilioDouble) -> None:
    double.faults.gaps_ms = [(100, 200)]

    async def talk(peer: Peer) -> None:
        while not any(m["event"] == "media" and int(m["media"]["timestamp"]) > 240 for m in peer.received):
            await peer.next()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    media = [message["media"] for message in product.peers[0].received if message["event"] == "media"]
    assert [item["timestamp"] for item in media][:7] == ["20", "40", "60", "80", "200", "220", "240"]
    assert [item["chunk"] for item in media][:7] == ["1", "2", "3", "4", "5", "6", "7"]


async def test_lost_frames_are_missing_from_the_timestamps_and_the_same_in_each_run(
    product: Product, make_double: MakeDouble
) -> None:
    async def talk(peer: Peer) -> None:
        while len(peer.received) < 40:
            await peer.next()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    for _ in range(2):
        double = await make_double()
        double.faults.frame_loss = 0.5
        call = await double.ring(to=NUMBER)
        await call.ended()
    first, second = (
        [message["media"]["timestamp"] for message in peer.received if message["event"] == "media"][:30]
        for peer in product.peers
    )
    assert first == second
    assert 700 <= int(first[-1]) <= 2000  # 30 frames of 20 ms, about every other one lost


async def test_jitter_delays_frames_and_keeps_their_order(product: Product, double: TwilioDouble) -> None:
    double.faults.jitter_ms = 100

    async def talk(peer: Peer) -> None:
        while len(peer.received) < 40:
            await peer.next()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    numbers = [int(message["sequenceNumber"]) for message in product.peers[0].received[1:]]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_both_tracks_of_a_forked_stream_while_the_document_goes_on(
    product: Product, double: TwilioDouble
) -> None:
    async def listen(peer: Peer) -> None:
        await peer.collect()

    product.socket("/monitor", listen)
    product.answer(
        "/voice",
        f'<Start><Stream name="monitor" track="both_tracks" url="{product.ws_url}/monitor"/></Start>'
        '<Pause length="1"/><Say>Hello there</Say><Stop><Stream name="monitor"/></Stop><Hangup/>',
    )
    call = await double.ring(to=NUMBER)
    await call.ended()
    await double.settled()
    received = product.peers[0].received
    assert received[1]["start"]["tracks"] == ["inbound", "outbound"]
    spoken = b"".join(
        base64.b64decode(m["media"]["payload"])
        for m in received
        if m["event"] == "media" and m["media"]["track"] == "outbound"
    )
    (say,) = call.leg.playout.history
    assert say.audio[:1600] in spoken
    assert received[-1]["event"] == "stop"
    assert double.alerts == []


async def test_fifth_forked_track_is_refused(product: Product, double: TwilioDouble) -> None:
    async def listen(peer: Peer) -> None:
        await peer.collect()

    product.socket("/monitor", listen)
    stream = f'<Start><Stream track="both_tracks" url="{product.ws_url}/monitor"/></Start>'
    product.answer("/voice", stream * 3 + "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31900]


async def test_update_during_a_stream_tears_it_down_and_runs_the_new_document(
    product: Product, double: TwilioDouble
) -> None:
    async def talk(peer: Peer) -> None:
        await peer.start()
        await peer.media(VOICE * 10)
        await peer.collect()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product, "<Redirect>/resume</Redirect>"))
    product.answer("/transfer", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.wait_for("heard")
    call.run_document(Source(url=f"{product.base_url}/transfer"))
    await call.ended()
    await double.settled()
    assert product.peers[0].received[-1]["event"] == "stop"
    assert len(product.hits_of("/transfer")) == 1
    assert product.hits_of("/resume") == []
    assert len(call.leg.heard_audio()) < len(VOICE) * 10
    assert double.alerts == []


async def test_time_limit_ends_the_call_with_a_proper_stop(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.collect()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.wait_for("stream-started")
    call.limit_to(1.0)
    await call.ended()
    await double.settled()
    assert (call.status, call.ended_by) == ("completed", "time-limit")
    assert product.peers[0].received[-1]["event"] == "stop"


async def test_slow_reader_loses_frames_and_31930_is_reported(product: Product, make_double: MakeDouble) -> None:
    double = await make_double(speed=400.0)
    done = asyncio.Event()

    async def sleep(peer: Peer) -> None:
        await peer.start()
        peer.transport.pause_reading()
        await done.wait()
        peer.transport.resume_reading()

    product.socket("/media/t1/abc", sleep)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.wait_for("alert")
    done.set()
    call.hang_up(by="caller")
    await call.ended()
    assert codes(double) == [31930]
    assert call.streams[0].breaches.dropped_frames > 0


async def test_start_can_be_withheld(product: Product, double: TwilioDouble) -> None:
    double.faults.withhold_start = True

    async def talk(peer: Peer) -> None:
        await peer.until("media")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert [message["event"] for message in product.peers[0].received] == ["connected", "media"]


async def test_media_can_come_before_start(product: Product, double: TwilioDouble) -> None:
    double.faults.media_before_start = True

    async def talk(peer: Peer) -> None:
        await peer.until("start")

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert [message["event"] for message in product.peers[0].received] == ["connected", "media", "start"]


async def test_cut_network_is_31921_and_the_next_verb_runs(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.collect()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product, "<Redirect>/resume</Redirect>"))
    product.answer("/resume", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.wait_for("stream-started")
    call.streams[0].cut()
    await call.ended()
    assert codes(double) == [31921]
    assert len(product.hits_of("/resume")) == 1
    assert "stop" not in [message["event"] for message in product.peers[0].received]


async def test_frozen_stream_keeps_its_socket_and_sends_nothing(product: Product, double: TwilioDouble) -> None:
    async def talk(peer: Peer) -> None:
        await peer.collect()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.wait_for("stream-started")
    stream = call.streams[0]
    stream.freeze()
    sent = stream.frames_sent
    stream.send_raw('{"event":"sneeze"}')
    await double.exchange.clock.sleep(1.0)
    assert stream.frames_sent == sent
    assert stream.running
    call.hang_up(by="caller")
    await double.settled()
    assert {"event": "sneeze"} in product.peers[0].received


@pytest.mark.parametrize("signatures", ["forged", "missing"])
async def test_signature_can_be_wrong_or_absent(product: Product, double: TwilioDouble, signatures: str) -> None:
    double.faults.signatures = signatures

    async def talk(peer: Peer) -> None:
        await peer.start()

    product.socket("/media/t1/abc", talk)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert not product.hits[0].signed
    assert not product.peers[0].signed
    assert ("X-Twilio-Signature" in product.hits[0].headers) is (signatures == "forged")


async def test_webhook_can_arrive_twice_with_one_idempotency_token(product: Product, double: TwilioDouble) -> None:
    double.faults.webhook_copies = 2
    product.answer("/voice", "<Say>First</Say>", "<Say>Second</Say>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    first, second = product.hits
    assert first.headers["I-Twilio-Idempotency-Token"] == second.headers["I-Twilio-Idempotency-Token"]
    assert [entry.detail["text"] for entry in call.entries("say")] == ["First"]


async def test_oversized_message_is_31924_and_the_next_verb_runs(product: Product, double: TwilioDouble) -> None:
    async def shout(peer: Peer) -> None:
        await peer.start()
        await peer.ws.send_str("x" * (1 << 21))
        await peer.collect()

    product.socket("/media/t1/abc", shout)
    product.answer("/voice", connect(product, "<Redirect>/resume</Redirect>"))
    product.answer("/resume", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [31924]
    assert len(product.hits_of("/resume")) == 1
