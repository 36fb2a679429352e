"""Calls that begin at the carrier: a person rings a number of ours, or REST rings a person (twilio.md §4.1, §4.8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from emulators.callers import Caller
from emulators.twilio.call import Call, End, Interrupted, Source, StatusCallback
from emulators.twilio.dial import ring_person
from emulators.twilio.exchange import Exchange
from emulators.twilio.interpreter import run_documents
from emulators.twilio.recording import RecordingOrder, begin_recording
from emulators.twilio.values import Account, Status, TwilioFault


@dataclass(frozen=True, slots=True)
class Detection:
    """Answering machine detection, §4.1."""

    wait_for_end: bool = False
    in_background: bool = False
    callback: str = ""
    callback_method: str = "POST"


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A checked request to call somebody."""

    to: str
    from_: str
    source: Source
    fallback: Source | None = None
    status_callback: StatusCallback | None = None
    ring_s: float = 60
    limit_s: float | None = None
    send_digits: str = ""
    recording: RecordingOrder | None = None
    detection: Detection | None = None


def receive_call(exchange: Exchange, *, to: str, from_: str, caller: Caller, account: str | None = None) -> Call:
    """Somebody rings one of our numbers. Raises ValueError when nobody has that number."""
    number = exchange.numbers.get(to)
    if number is None or (account is not None and number.account_sid != account):
        raise ValueError(f"nobody has the number {to}")
    owner = exchange.accounts[number.account_sid]
    call = Call(exchange, account=owner, direction="inbound", from_=from_, to=to, number=number, caller=caller)
    call.status_callback = StatusCallback(number.status_callback, number.status_callback_method)  # once, at the end
    if number.voice_fallback_url:
        call.fallback = Source(url=number.voice_fallback_url, method=number.voice_fallback_method)
    call.begin(lambda: _answer_by_document(call))
    return call


async def _answer_by_document(call: Call) -> None:
    exchange, number = call.exchange, call.number
    if not call.account.active:
        exchange.alert(10003, "incoming call rejected: the account is suspended", call=call)  # §6.1
        raise Interrupted(End(Status.FAILED, "carrier"))
    earlier = list(exchange.calls.values())
    earlier = [other for other in earlier[: earlier.index(call)] if other.account is call.account and not other.over]
    if exchange.config.concurrent_calls is not None and len(earlier) >= exchange.config.concurrent_calls:
        exchange.alert(10004, "call concurrency limit exceeded", call=call)  # §4.8
        raise Interrupted(End(Status.FAILED, "carrier"))
    if number is None or not number.voice_url:
        raise Interrupted(End(Status.FAILED, "carrier"))  # §5.2: fails at once without diagnostics
    await call.caller.prepare()
    await run_documents(call, Source(url=number.voice_url, method=number.voice_method))


def place_call(exchange: Exchange, order: CallOrder, *, account: Account) -> Call:
    call = Call(
        exchange,
        account=account,
        direction="outbound-api",
        from_=order.from_,
        to=order.to,
        person=exchange.find_person(order.to),
    )
    call.status_callback = order.status_callback or StatusCallback()
    call.fallback = order.fallback
    call.begin(lambda: _ring_and_run(call, order))
    return call


async def _ring_and_run(call: Call, order: CallOrder) -> None:
    await _queue(call)
    try:
        async with asyncio.timeout(order.ring_s / call.exchange.clock.speed):
            await ring_person(call)
    except TimeoutError:
        raise Interrupted(End(Status.NO_ANSWER, "carrier")) from None
    if order.limit_s is not None:
        call.limit_to(order.limit_s)
    if order.recording is not None:
        begin_recording(call, order.recording)
    if order.send_digits:
        from emulators.twilio.verbs import play_digits  # the verbs stand on the interpreter

        await play_digits(call, order.send_digits)
    params: tuple[tuple[str, str], ...] = ()
    if order.detection is not None and order.detection.in_background:
        call.exchange.spawn(_detect_in_background(call, order.detection))
    elif order.detection is not None:
        params = tuple((await _detect(call, order.detection)).items())
    source = order.source
    await run_documents(call, Source(source.url, source.method, source.twiml, params))


async def _queue(call: Call) -> None:
    """§4.8: calls per second, per account; the surplus waits as `queued`."""
    clock, account = call.exchange.clock, call.account
    now = clock.seconds()
    slot = max(now, account.next_dial_s)
    account.next_dial_s = slot + 1 / call.exchange.config.calls_per_second
    await clock.sleep(slot - now)
    call.queue_ms = round((slot - now) * 1000)


async def _detect(call: Call, detection: Detection) -> dict[str, str]:
    seconds = call.exchange.config.machine_detection_s
    await call.exchange.clock.sleep(seconds)
    verdict = call.person.answered_by if call.person else "unknown"
    if verdict == "machine_start" and detection.wait_for_end:
        verdict = "machine_end_beep"  # §4.1: machine_end_* only with DetectMessageEnd
    call.answered_by = verdict
    return {"AnsweredBy": verdict, "MachineDetectionDuration": str(round(seconds * 1000))}


async def _detect_in_background(call: Call, detection: Detection) -> None:
    verdict = await _detect(call, detection)
    if call.over:
        return
    params = {"CallSid": call.sid, "AccountSid": call.account.sid} | verdict
    call.exchange.notify(call, detection.callback, method=detection.callback_method, params=params, event="amd")


def check_can_dial(exchange: Exchange, account: Account) -> None:
    """Raises TwilioFault 10001."""
    if not account.active:
        raise TwilioFault(10001, "account is not active")
