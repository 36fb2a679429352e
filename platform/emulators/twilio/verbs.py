"""The verbs that speak, listen for digits and steer (twilio.md §3.7). The bigger ones have modules of their own."""

from __future__ import annotations

import asyncio

from emulators.sound import read_wav
from emulators.twilio.call import Call, End, Source
from emulators.twilio.connect import connect, start, stop
from emulators.twilio.dial import dial
from emulators.twilio.interpreter import (
    Document,
    Goodbye,
    Verb,
    ask_action,
    reject_status,
    speak,
)
from emulators.twilio.leg import PAUSE_S
from emulators.twilio.record import record
from emulators.twilio.tones import make_digit
from emulators.twilio.twiml import Node
from emulators.twilio.values import Status, TwilioFault
from emulators.twilio.webhooks import resolve_url

_RAW_MULAW = frozenset({"audio/basic", "audio/x-mulaw", "audio/mulaw", "audio/pcmu"})
_WAV = frozenset({"audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"})
_ENDLESS = 1000  # loop="0" plays until the call ends


async def say(call: Call, document: Document, node: Node) -> Source | None:
    call.answer()
    spoken = await speak(node)
    call.note("say", text=node.text)
    for _ in range(node.number("loop", 1) or _ENDLESS):
        await call.leg.play(spoken, source="say")
    return None


async def play(call: Call, document: Document, node: Node) -> Source | None:
    call.answer()
    if digits := node.get("digits"):
        await play_digits(call, digits)
        return None
    audio = await _fetch_audio(call, resolve_url(document.url, node.text))
    for _ in range(node.number("loop", 1) or _ENDLESS):
        await call.leg.play(audio, source="play")
    return None


async def play_digits(call: Call, digits: str) -> None:
    call.note("play-digits", digits=digits)
    for digit in digits:
        if digit in "wW":
            await call.exchange.clock.sleep(PAUSE_S if digit == "w" else 2 * PAUSE_S)  # §3.6
        else:
            call.leg.digits_heard += digit
            await call.leg.play(make_digit(digit), source="tone")


async def _fetch_audio(call: Call, url: str) -> bytes:
    reply = await call.exchange.fetch(
        url, method="GET", params={}, account=call.account, cookies=call.cookies, note=call.note
    )
    if reply.content_type in _RAW_MULAW:
        return reply.body
    if reply.content_type in _WAV:
        try:
            return read_wav(reply.body)[0]
        except (ValueError, EOFError) as error:
            raise TwilioFault(12300, f"{url}: {error}") from error
    raise TwilioFault(12300, f"{url}: this double plays no {reply.content_type!r}")


async def pause(call: Call, document: Document, node: Node) -> Source | None:
    await call.exchange.clock.sleep(node.number("length", 1))  # a first <Pause> delays the answer
    call.answer()
    return None


async def redirect(call: Call, document: Document, node: Node) -> Source | None:
    if not node.text:
        raise TwilioFault(13710, "<Redirect> without a URL")
    return Source(url=resolve_url(document.url, node.text), method=node.get("method", "POST"))


async def hang_up(call: Call, document: Document, node: Node) -> Source | None:
    call.answer()
    raise Goodbye(End(Status.COMPLETED, "twiml"))


async def reject(call: Call, document: Document, node: Node) -> Source | None:
    # The first verb of an unanswered call is handled by the interpreter: here it stands somewhere else (§3.7).
    call.exchange.alert(12200, "<Reject> is only allowed as the first verb", call=call)
    raise Goodbye(End(Status.COMPLETED if call.live else reject_status(call, node), "twiml"))


async def gather(call: Call, document: Document, node: Node) -> Source | None:
    """§3.7: no input falls through to the next verb unless `actionOnEmptyResult`."""
    if "speech" in node.get("input", "dtmf").split():
        raise TwilioFault(12200, "this double gathers digits only: it cannot hear")
    call.answer()
    keys: asyncio.Queue[str] = asyncio.Queue()
    call.digit_listeners.append(keys.put_nowait)
    prompt = asyncio.create_task(_prompt(call, document, node))
    try:
        digits = await _collect_digits(call, node, keys, prompt)
    finally:
        call.digit_listeners.remove(keys.put_nowait)
        prompt.cancel()
        await asyncio.wait({prompt})
    call.note("gathered", digits=digits)
    if not digits and not node.flag("actionOnEmptyResult"):
        return None
    return await ask_action(call, document, node, {"Digits": digits}, default=document.url)


async def _prompt(call: Call, document: Document, node: Node) -> None:
    for child in node.children:
        await VERBS[child.name](call, document, child)


async def _collect_digits(call: Call, node: Node, keys: asyncio.Queue[str], prompt: asyncio.Task[None]) -> str:
    wanted = node.number("numDigits", _ENDLESS)
    finish_on_key = node.get("finishOnKey", "#")
    timeout_s = node.number("timeout", 5) / call.exchange.clock.speed
    digits = ""
    key = await _first_key(keys, prompt, timeout_s)
    while key is not None and key != finish_on_key:
        digits += key
        if len(digits) == wanted:
            break
        try:
            async with asyncio.timeout(timeout_s):
                key = await keys.get()
        except TimeoutError:
            key = None
    return digits


async def _first_key(keys: asyncio.Queue[str], prompt: asyncio.Task[None], timeout_s: float) -> str | None:
    """A key interrupts the prompt; without one the caller's time runs from the prompt's end."""
    first = asyncio.ensure_future(keys.get())
    try:
        await asyncio.wait({prompt, first}, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            prompt.cancel()
        else:
            prompt.result()  # what failed in the prompt fails the verb
            await asyncio.wait({first}, timeout=timeout_s)
        return first.result() if first.done() else None
    finally:
        first.cancel()


VERBS: dict[str, Verb] = {
    "Say": say,
    "Play": play,
    "Pause": pause,
    "Gather": gather,
    "Record": record,
    "Redirect": redirect,
    "Hangup": hang_up,
    "Reject": reject,
    "Dial": dial,
    "Connect": connect,
    "Start": start,
    "Stop": stop,
}
