"""Many calls at once, interrupted at any moment from every side: each ends once, in order, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from aiohttp import web

from emulators.callers import Caller, HangUp, PlayRaw, Press, Silence, Step
from emulators.twilio.call import Call, End, Source
from emulators.twilio.double import TwilioDouble
from emulators.twilio.recording import RecordingOrder, begin_recording
from emulators.twilio.values import TERMINAL, Status
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import NUMBER, Hit, Peer, Product

VOICE = bytes([0x10, 0x90] * 2000)
PERSON = "+15005550200"
CALLS = 30


def write_documents(product: Product, chance: random.Random) -> None:
    stream = f'<Connect><Stream url="{product.ws_url}/media" statusCallback="{product.base_url}/stream"/></Connect>'
    verbs = [
        stream,
        stream.replace("<Connect>", '<Connect action="/ended">'),
        "<Say>Hello</Say>",
        '<Gather numDigits="1" timeout="1" action="/menu"><Say>Press a key</Say></Gather>',
        '<Record timeout="1" action="/recorded" recordingStatusCallback="/rec"/>',
        f'<Dial action="/dialled" record="record-from-answer-dual" timeout="5">{PERSON}</Dial>',
        f'<Start><Stream track="both_tracks" url="{product.ws_url}/listen"/></Start><Pause length="1"/>',
        '<Start><Recording/></Start><Pause length="1"/>',
    ]

    def write(hit: Hit) -> web.Response:
        body = "".join(chance.choices(verbs, k=2)) + chance.choice(["", "<Redirect>/voice</Redirect>"])
        return web.Response(text=f"<Response>{body}</Response>", content_type="text/xml")

    product.answer("/voice", write)
    for path in ("/ended", "/menu", "/recorded", "/dialled", "/other"):
        product.answer(path, "<Say>Bye</Say>")


def write_script(chance: random.Random) -> Caller:
    steps: list[Step] = []
    for _ in range(chance.randint(0, 4)):
        steps.append(chance.choice([Silence(chance.random()), PlayRaw(VOICE), Press("1"), Press("*")]))
    return Caller([*steps, Silence(chance.random() * 3), HangUp()], patience_s=chance.choice([0.2, 30.0]))


async def meddle(call: Call, chance: random.Random, product: Product) -> None:
    for _ in range(chance.randint(0, 3)):
        await call.exchange.clock.sleep(chance.random() * 2)
        match chance.randint(0, 5):
            case 0:
                call.hang_up(by="test")
            case 1:
                call.end_with(End(Status.COMPLETED if call.live else Status.CANCELED, "api"))
            case 2 if call.live:
                call.run_document(Source(url=f"{product.base_url}/other"))
            case 3 if call.live:
                begin_recording(call, RecordingOrder("StartCallRecordingAPI", channels=2))
            case 4 if call.streams:
                call.streams[-1].cut()
            case 5:
                call.limit_to(chance.random())


def check_call(call: Call) -> None:
    assert call.status in TERMINAL
    assert len(call.entries("ended")) == 1
    assert len(call.entries("answered")) <= 1
    assert call.log[-1].at_s >= call.log[0].at_s
    assert (call.duration_s is not None) == call.answered.is_set()
    assert call.digit_listeners == []
    assert call.leg.listeners == []
    assert call.leg.watchers == []
    assert not any(stream.running for stream in call.streams)
    assert all(recording.status in {"completed", "absent"} for recording in call.recordings)
    started, stopped = call.entries("stream-started"), call.entries("stream-stopped")
    assert len(started) == len(stopped)
    pieces = call.leg.heard
    assert all(begin + len(audio) <= start for (begin, audio), (start, _) in itertools.pairwise(pieces))


@pytest.mark.parametrize("seed", range(3))
async def test_calls_end_once_and_leave_nothing_behind(product: Product, make_double: MakeDouble, seed: int) -> None:
    double: TwilioDouble = await make_double()
    chance = random.Random(seed)
    double.exchange.numbers[NUMBER].status_callback = f"{product.base_url}/status"
    double.add_person(PERSON, rings_s=0.5, caller=Caller([PlayRaw(VOICE), Silence(1), HangUp()]))
    write_documents(product, chance)

    async def talk(peer: Peer) -> None:
        await peer.start()
        for number in range(chance.randint(0, 5)):
            await peer.media(VOICE)
            await peer.mark(f"g0:{number}")
            if chance.random() < 0.2:
                await peer.clear()
        if chance.random() < 0.5:
            await peer.collect()

    async def listen(peer: Peer) -> None:
        await peer.collect()

    product.socket("/media", talk)
    product.socket("/listen", listen)
    calls = [await double.ring(to=NUMBER, caller=write_script(chance)) for _ in range(CALLS)]
    async with asyncio.timeout(40):
        await asyncio.gather(*(meddle(call, chance, product) for call in calls))
        await asyncio.gather(*(call.ended() for call in list(double.calls.values())))
        await double.settled()
    for call in double.calls.values():
        check_call(call)
    assert double.exchange.failures == []
    assert len(product.hits_of("/status")) == CALLS
    assert {alert.code for alert in double.alerts} <= {31900, 31920, 31921, 31924}  # cut networks, too many forks
