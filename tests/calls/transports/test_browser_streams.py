"""A page speaks the carrier's part of Media Streams to the consumer that serves callers; nobody but that page may."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from calls.models import AfterStep, Call, LedgerEntry, Leg, Turn
from calls.services import trials
from calls.services.trials import StartedTrial, start_trial
from emulators.openai.double import OpenAIDouble
from tenants.models import User
from tenants.scope import every_tenant, tenant_scope
from tests.calls.transports.rows import in_thread
from tests.factories import make_agent, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "https://desk.example"
QUIET = base64.b64encode(b"\xff" * 160).decode()


@in_thread
def begin(**spec: Any) -> StartedTrial:
    tenant = make_tenant()
    agent = make_agent(tenant, publish=False, greeting="Good morning.", **spec)
    with tenant_scope(tenant):
        from agents.spec import parse_agent

        user = User.objects.create_user(f"{tenant.slug}@example.com", "x")
        return start_trial(agent, parse_agent(agent.draft), by=user, origin=PAGE, draft_revision=agent.revision)


@in_thread
def read(call: Call) -> tuple[Call, list[Turn], set[str], int]:
    with every_tenant(reason="a test looks at what was written"):
        steps = set(AfterStep.objects.filter(call=call).values_list("step", flat=True))
        turns = list(Turn.objects.filter(call=call))
        return Call.objects.get(pk=call.pk), turns, steps, LedgerEntry.objects.filter(call=call).count()


class Page:
    """What static/js/talk.js does, without a microphone: plays at once, answers every mark."""

    def __init__(self, socket: ClientConnection, trial: StartedTrial) -> None:
        self.socket, self.trial, self.heard, self.sequence = socket, trial, 0, 0

    async def send(self, event: str, **fields: Any) -> None:
        self.sequence += 1
        frame = {"event": event, "sequenceNumber": str(self.sequence), **fields, "streamSid": self.trial.stream_sid}
        await self.socket.send(json.dumps(frame))

    async def start(self, **changes: Any) -> None:
        await self.socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        body = {
            "accountSid": "browser",
            "callSid": self.trial.call.carrier_sid,
            "streamSid": self.trial.stream_sid,
            "tracks": ["inbound"],
            "customParameters": {"ticket": self.trial.ticket},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            **changes,
        }
        await self.send("start", start=body)

    async def listen(self) -> None:
        """Until our side closes."""
        speak = asyncio.create_task(self.speak())
        try:
            async for text in self.socket:
                frame = json.loads(text)
                if frame["event"] == "media":
                    self.heard += len(base64.b64decode(frame["media"]["payload"]))
                elif frame["event"] == "mark":
                    await self.send("mark", mark=frame["mark"])
        except ConnectionClosed:
            pass
        finally:
            speak.cancel()

    async def speak(self) -> None:
        chunk = 0
        while True:
            chunk += 1
            media = {"track": "inbound", "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": QUIET}
            await self.send("media", media=media)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_page(trial: StartedTrial, *, origin: str | None = PAGE) -> AsyncIterator[Page]:
    headers = {"Origin": origin} if origin else {}
    async with connect(trial.socket_url, additional_headers=headers, proxy=None) as socket:
        yield Page(socket, trial)


async def wait_for_turn(call: Call) -> None:
    async with asyncio.timeout(20):
        while not any(turn.heard for turn in (await read(call))[1]):  # noqa: ASYNC110 # rows tell nobody
            await asyncio.sleep(0.1)


async def wait_for_end(call: Call) -> Call:
    async with asyncio.timeout(20):
        while (found := (await read(call))[0]).state != "ended":  # noqa: ASYNC110 # rows tell nobody
            await asyncio.sleep(0.1)
        return found


async def test_a_member_hears_the_draft_and_the_call_is_on_record(served: str, model: OpenAIDouble) -> None:
    trial = await begin(recording=True, disclosure="This call is recorded.")
    async with open_page(trial) as page:
        await page.start()
        listening = asyncio.create_task(page.listen())
        await wait_for_turn(trial.call)
        await page.send("stop", stop={"accountSid": "browser", "callSid": trial.call.carrier_sid})
        async with asyncio.timeout(20):
            await listening
    assert page.heard > 1600
    call = await wait_for_end(trial.call)
    _, turns, steps, _ = await read(call)
    assert turns[0].generated == "This call is recorded. Good morning."
    assert (call.direction, call.end_reason, call.fault) == ("test", "caller_hung_up", "none")
    assert steps == {"totals"}  # no carrier's minutes, no carrier's limit


async def test_only_the_page_that_began_it_may_open_the_socket(served: str, model: OpenAIDouble) -> None:
    trial = await begin()
    for origin in ("https://evil.example", PAGE + ":8443", None):
        with pytest.raises(InvalidStatus) as refused:
            async with open_page(trial, origin=origin):
                pass
        assert refused.value.response.status_code == 403
    other = await begin()
    async with open_page(trial) as page:
        await page.start(customParameters={"ticket": other.ticket}, callSid=other.call.carrier_sid)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(page.socket.recv(), 20)
        assert page.socket.close_code == 1008
    async with open_page(trial) as page:
        await page.start(customParameters={"ticket": trial.ticket[:-1] + "x"})
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(page.socket.recv(), 20)
    async with open_page(trial) as page:
        await page.start()
        assert json.loads(await asyncio.wait_for(page.socket.recv(), 20))["event"] in ("media", "mark")
        with pytest.raises(InvalidStatus):  # answered: nobody else comes in
            async with open_page(trial):
                pass
    assert (await wait_for_end(trial.call)).direction == "test"


@in_thread
def reap(trial: StartedTrial, **changes: Any) -> str:
    with tenant_scope(trial.call.tenant):
        Call.objects.filter(pk=trial.call.pk).update(**changes)
        call = Call.objects.select_related("lease__process").get(pk=trial.call.pk)
        assert trials.reap_trial(call)
        assert not Leg.objects.filter(call=call).exists()
        return str(Call.objects.get(pk=call.pk).end_reason)


async def test_what_nobody_rang_or_lost_its_process_is_closed_without_a_carrier(db: None) -> None:
    assert await reap(await begin()) == "never_started"
    assert await reap(await begin(), state="live") == "reaped"


@in_thread
def refuse_too_many() -> tuple[str, str]:
    tenant = make_tenant()
    agent = make_agent(tenant)
    with tenant_scope(tenant):
        user = User.objects.create_user("ann@example.com", "x")
        spec = agent.published.to_spec() if agent.published else None
        assert spec is not None
        words = []
        started = [start_trial(agent, spec, by=user, origin=PAGE) for _ in range(trials.MAX_LIVE)]
        with pytest.raises(trials.TrialRefused) as refused:
            start_trial(agent, spec, by=user, origin=PAGE)
        words.append(str(refused.value))
        for _ in range(trials.MAX_STARTS - trials.MAX_LIVE):
            trials.reap_trial(started.pop().call)
            started.append(start_trial(agent, spec, by=user, origin=PAGE))
        trials.reap_trial(started.pop().call)
        with pytest.raises(trials.TrialRefused) as refused:
            start_trial(agent, spec, by=user, origin=PAGE)
        words.append(str(refused.value))
        return words[0], words[1]


async def test_test_calls_are_few_at_once_and_few_in_a_row(db: None) -> None:
    at_once, in_a_row = await refuse_too_many()
    assert "3 test calls are running" in at_once
    assert "20 test calls within ten minutes" in in_a_row
