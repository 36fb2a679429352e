"""<Dial>: rings people, lets them hear a whisper, joins the two sides, and tells the action how it went (§3.6, §7.4)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from emulators.twilio.call import Call, End, Interrupted, Source, StatusCallback
from emulators.twilio.interpreter import (
    Document,
    Goodbye,
    ask_action,
    bid_farewell,
    load_document,
    resolve_callback,
    run_document,
)
from emulators.twilio.leg import SILENT_FRAME, Frame, Leg
from emulators.twilio.recording import Recording, begin_recording, read_order
from emulators.twilio.sip_link import SipFailed, SipLink, find_endpoint
from emulators.twilio.twiml import Node
from emulators.twilio.values import Outcome, Status, TwilioFault
from emulators.twilio.webhooks import resolve_url

MAX_NOUNS = 10  # §3.6
_WHISPER_VERBS = frozenset({"Play", "Say", "Gather", "Hangup", "Pause", "Redirect"})  # §3.6, and what steers them
_MAX_SIP_URI, _MAX_SIP_HEADERS = 255, 1024  # §7.4
_SIP_HEADERS = ("x-", "user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id")
_UNREACHED = {
    Outcome.BUSY: (Status.BUSY, 486),
    Outcome.FAILED: (Status.FAILED, 404),
    Outcome.NO_ANSWER: (Status.NO_ANSWER, 480),
}


class Bridge:
    """Carries one side's voice into the other side's ear, frame by frame."""

    def __init__(self, ear: Leg) -> None:
        self._ear = ear

    def hear_frame(self, position: int, frame: Frame) -> None:
        if frame is not SILENT_FRAME:
            self._ear.playout.enqueue(frame.audio, now=position, source="bridge")


@dataclass(slots=True)
class DialLeg:
    """A child call on its way: `ready` when the person took it (and any whisper was heard to its end)."""

    call: Call
    ready: asyncio.Event
    over: asyncio.Event
    link: SipLink | None = None  # the far end is another double
    taken: bool = False  # REST gave the leg a document of its own: it lives on without us


async def dial(call: Call, document: Document, node: Node) -> Source | None:
    nouns = _read_nouns(call, node)
    answer_on_bridge = node.flag("answerOnBridge")
    if not answer_on_bridge:
        call.answer()
    stars = _star_listener(call) if node.flag("hangupOnStar") else None
    recording: Recording | None = None
    children: list[DialLeg] = []
    winner: DialLeg | None = None
    began_s: float | None = None
    try:
        groups = [[noun] for noun in nouns] if node.flag("sequential") else [nouns]
        for group in groups:
            children = [_place(call, document, node, noun) for noun in group]
            winner = await _await_first(call, node, children)
            if winner is not None:
                break
            for child in children:
                await child.call.finished.wait()
        if winner is not None:
            call.answer()
            began_s = call.exchange.clock.seconds()
            recording = _record(call, document, node)
            await _join(call, node, winner, stars)
    except asyncio.CancelledError:
        if call.hung_up:
            bid_farewell(call, document, node, _describe(call, children, winner, began_s, recording))
        raise
    finally:
        if stars is not None:
            call.digit_listeners.remove(stars.take_digit)
        if recording is not None:
            recording.stop()
        for child in children:
            if not child.taken:
                child.call.hang_up(by="parent")
        for child in children:
            if not child.taken:
                await child.call.finished.wait()
    outcome = _describe(call, children, winner, began_s, recording)
    call.note("dialled", **outcome)
    return await ask_action(call, document, node, outcome)


# -- placing -----------------------------------------------------------------------


def _read_nouns(call: Call, node: Node) -> list[Node]:
    nouns = list(node.children)
    if node.text:
        if nouns:
            raise TwilioFault(12200, "<Dial> takes text or nouns, not both")
        nouns = [Node("Number", {}, (), node.text)]
    if not nouns or len(nouns) > MAX_NOUNS:
        raise TwilioFault(12200, f"<Dial> takes 1 to {MAX_NOUNS} nouns, not {len(nouns)}")
    for noun in nouns:
        if noun.name == "Sip":
            _check_sip(noun.text)
        elif not (noun.text.startswith("+") and noun.text[1:].isdigit()):
            raise TwilioFault(13223, f"invalid phone number {noun.text!r}")
    caller_id = node.get("callerId")
    if caller_id and nouns[0].name == "Number" and not owns_caller_id(call, caller_id):
        raise TwilioFault(13214, f"callerId {caller_id!r} is neither owned nor the caller's number")
    return nouns


def owns_caller_id(call: Call, caller_id: str) -> bool:
    number = call.exchange.numbers.get(caller_id)
    return caller_id in {call.from_, call.to} or (number is not None and number.account_sid == call.account.sid)


def _check_sip(uri: str) -> None:
    """§7.4; raises TwilioFault 21227–21229."""
    if not uri.lower().startswith(("sip:", "sips:")) or len(uri) >= _MAX_SIP_URI:
        raise TwilioFault(21227, f"invalid SIP URI {uri[:60]!r}")
    headers = uri.partition("?")[2]
    if len(headers) >= _MAX_SIP_HEADERS:
        raise TwilioFault(21228, "the SIP headers are too long")
    for header in filter(None, headers.split("&")):
        if not header.lower().startswith(_SIP_HEADERS):
            raise TwilioFault(21229, f"SIP header {header.partition('=')[0]!r} is not allowed")


def _place(call: Call, document: Document, node: Node, noun: Node) -> DialLeg:
    exchange = call.exchange
    child = Call(
        exchange,
        account=call.account,
        direction="outbound-dial",
        from_=node.get("callerId") or call.from_,
        to=noun.text,
        parent=call,
        person=exchange.find_person(noun.text),
    )
    child.status_callback = StatusCallback(
        url=resolve_url(document.url, noun.get("statusCallback")) if noun.get("statusCallback") else "",
        method=noun.get("statusCallbackMethod", "POST"),
        events=frozenset(noun.get("statusCallbackEvent", "completed").split()),
    )
    leg = DialLeg(child, asyncio.Event(), asyncio.Event())
    endpoint = find_endpoint(call, noun.text) if noun.name == "Sip" else ""
    if endpoint:
        caller = node.get("callerId") or call.from_
        leg.link = SipLink(child, noun.text, endpoint=endpoint, caller=caller, parent_sid=call.sid)
        leg.link.on_refer = lambda target: _take_refer(call, document, node, target)
    whisper = noun.get("url")
    source = Source(url=resolve_url(document.url, whisper), method=noun.get("method", "POST")) if whisper else None
    call.note("dial", to=noun.text, sid=child.sid)
    child.begin(lambda: _take(leg, digits=noun.get("sendDigits"), whisper=source))
    return leg


async def _take(leg: DialLeg, *, digits: str, whisper: Source | None) -> None:
    """The child's side: rings, is taken or not, hears the whisper, then talks until somebody ends it."""
    from emulators.twilio.verbs import play_digits  # the verbs stand on this module

    try:
        if leg.link is not None:
            await ring_endpoint(leg.call, leg.link)
        else:
            await ring_person(leg.call)
        if digits:
            await play_digits(leg.call, digits)
        if whisper is not None:
            await _whisper(leg.call, whisper)
        leg.ready.set()
        if leg.link is not None:
            await leg.link.over.wait()
            raise Interrupted(End(Status.COMPLETED, "callee"))
        await asyncio.Event().wait()  # ends by an order: somebody hangs up, or REST takes the leg away
    except asyncio.CancelledError:
        leg.taken = not leg.call.hung_up
        raise
    finally:
        if leg.link is not None:
            await leg.link.close()
        leg.over.set()


async def ring_person(call: Call) -> None:
    """Rings the person of this call; returns when it was answered. Raises Interrupted with the outcome otherwise."""
    person = call.person
    if person is None:
        raise RuntimeError("an outbound call without a person")
    call.progress("initiated")
    if person.outcome is not Outcome.FAILED:
        call.ring()
    await person.caller.prepare()
    await call.exchange.clock.sleep(person.rings_s)
    if person.outcome is Outcome.ANSWER:
        call.sip_code = None
        call.answer()
        return
    if person.outcome is Outcome.NO_ANSWER:
        await asyncio.Event().wait()  # until the ring time is over or the other side gives up
    status, code = _UNREACHED[person.outcome]
    call.sip_code = person.sip_code if person.sip_code != 200 else code
    raise Interrupted(End(status, "callee"))


async def ring_endpoint(call: Call, link: SipLink) -> None:
    """Rings a SIP endpoint; returns when it was answered. Raises Interrupted with the outcome otherwise (§7.4)."""
    call.progress("initiated")
    try:
        await link.dial()
    except SipFailed as failed:
        call.sip_code = failed.code
        status = {486: Status.BUSY, 480: Status.NO_ANSWER}.get(failed.code, Status.FAILED)
        raise Interrupted(End(status, "callee")) from None
    call.sip_code = 200
    call.answer()


def _take_refer(call: Call, document: Document, node: Node, target: str) -> None:
    """§7.5: refused unless `referUrl` is set; then its document runs for the other party."""
    call.note("refer", target=target)
    if node.get("referUrl"):
        url = resolve_url(document.url, node.get("referUrl"))
        call.run_document(
            Source(url=url, method=node.get("referMethod", "POST"), params=(("ReferTransferTarget", target),))
        )


async def _whisper(call: Call, source: Source) -> None:
    """§3.6: runs on the callee's leg before the two are joined; <Hangup> in it declines the call."""
    following: Source | None = source
    try:
        while following is not None:
            document = await load_document(call, following)
            for verb in document.root.children:
                if verb.name not in _WHISPER_VERBS:
                    raise TwilioFault(12200, f"<{verb.name}> is not allowed in a whisper")
            following = await run_document(call, document)
    except Goodbye as goodbye:
        raise Interrupted(goodbye.end) from None
    except TwilioFault as fault:
        call.exchange.alert(fault.code, fault.message, call=call, resource=source.url)
        raise Interrupted(End(Status.COMPLETED, "carrier")) from None


# -- talking -----------------------------------------------------------------------


async def _await_first(call: Call, node: Node, children: list[DialLeg]) -> DialLeg | None:
    """§3.6: the first answer wins; None when nobody took the call within the time."""
    limit_s = node.number("timeout", 30) + call.exchange.config.dial_timeout_slack_s
    waits = {asyncio.ensure_future(wait()): child for child in children for wait in (child.ready.wait, child.over.wait)}
    open_waits = set(waits)
    deadline = call.exchange.clock.seconds() + limit_s
    try:
        while open_waits:
            answered = any(child.call.answered.is_set() for child in children)  # a whisper may take its time
            left_s = (deadline - call.exchange.clock.seconds()) / call.exchange.clock.speed
            done, open_waits = await asyncio.wait(
                open_waits, timeout=None if answered else max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED
            )
            for child in children:
                if child.ready.is_set() and not child.over.is_set():
                    _give_up([other for other in children if other is not child], Status.CANCELED)
                    return child
            if all(child.over.is_set() for child in children):
                return None
            if not done and not any(child.call.answered.is_set() for child in children):
                _give_up(children, Status.NO_ANSWER)
                return None
        return None
    finally:
        for wait in waits:
            wait.cancel()


def _give_up(children: list[DialLeg], status: Status) -> None:
    for child in children:
        if not child.over.is_set():
            child.call.end_with(End(Status.COMPLETED if child.call.live else status, "parent"))


async def _join(call: Call, node: Node, winner: DialLeg, stars: _Stars | None) -> None:
    to_callee, to_caller = Bridge(winner.call.leg), Bridge(call.leg)
    call.leg.listeners.append(to_callee)
    winner.call.leg.listeners.append(to_caller)
    call.note("bridged", sid=winner.call.sid)
    if winner.link is not None:
        call.digit_listeners.append(winner.link.press)
    waits = {asyncio.ensure_future(winner.over.wait())}
    if stars is not None:
        waits.add(asyncio.ensure_future(stars.pressed.wait()))
    try:
        limit_s = node.number("timeLimit", 14_400)
        await asyncio.wait(waits, timeout=limit_s / call.exchange.clock.speed, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        if winner.link is not None:
            call.digit_listeners.remove(winner.link.press)
        call.leg.listeners.remove(to_callee)
        winner.call.leg.listeners.remove(to_caller)


class _Stars:
    def __init__(self) -> None:
        self.pressed = asyncio.Event()

    def take_digit(self, digit: str) -> None:
        if digit == "*":
            self.pressed.set()


def _star_listener(call: Call) -> _Stars:
    stars = _Stars()
    call.digit_listeners.append(stars.take_digit)
    return stars


def _record(call: Call, document: Document, node: Node) -> Recording | None:
    """§3.6. From ringing and from answer are the same here: nothing is heard while it rings (deviation)."""
    wanted = node.get("record", "do-not-record")
    if wanted in {"do-not-record", "false"}:
        return None
    channels = "dual" if wanted.endswith("-dual") else "mono"
    return begin_recording(call, read_order(resolve_callback(document, node), channels=channels, source="DialVerb"))


def _describe(
    call: Call, children: list[DialLeg], winner: DialLeg | None, began_s: float | None, recording: Recording | None
) -> dict[str, str]:
    """§3.6: what the action is told."""
    told = winner or (children[-1] if children else None)
    if told is None:
        return {"DialCallStatus": str(Status.CANCELED)}
    status = Status.COMPLETED if winner is not None else told.call.status
    if winner is None and status not in {Status.BUSY, Status.FAILED, Status.NO_ANSWER, Status.CANCELED}:
        # Taken, but the whisper declined; or still ringing when the caller gave up.
        status = Status.NO_ANSWER if told.call.answered.is_set() else Status.CANCELED
    params = {
        "DialCallStatus": str(status),
        "DialCallSid": told.call.sid,
        "DialBridged": str(winner is not None).lower(),
    }
    if winner is not None and began_s is not None:
        params["DialCallDuration"] = str(round(call.exchange.clock.seconds() - began_s))
    if told.call.to.lower().startswith("sip"):
        params["DialSipCallId"] = f"{told.call.sid}@twilio"
        params["DialSipResponseCode"] = str(told.call.sip_code or 200)
    if recording is not None:
        params["RecordingUrl"] = recording.url
        params["RecordingSid"] = recording.sid
    return params
