"""Media Streams as the carrier plays them: literal messages, wire timing, playout truth (twilio.md §1)."""

from __future__ import annotations

import base64

from emulators.callers import Caller, HangUp, PlayRaw, Press, Silence, WaitHeard
from emulators.twilio.double import TwilioDouble
from tests.emulators.twilio.product import ACCOUNT, NUMBER, Peer, Product

VOICE = bytes([0x10, 0x90] * 4000)  # one second of a loud 4 kHz square wave


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
    call = await double.ring(to=NUMBER, caller=Caller([PlayRaw(VOICE), Press("5"), Silence(0.2), HangUp()]))
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
    assert 500 <= len(call.leg.heard_audio()) / 8 < 900
