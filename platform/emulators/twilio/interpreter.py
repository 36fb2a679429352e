"""Runs TwiML documents on a call: fetch, check, one verb after the other (twilio.md §3.2, §3.7). It serves no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from emulators.callers import render
from emulators.speech import AGENT_VOICE, SpeechError, Voice
from emulators.twilio.call import Call, End, Interrupted, Source
from emulators.twilio.twiml import Node, parse_document
from emulators.twilio.values import Status, TwilioFault
from emulators.twilio.webhooks import Reply, resolve_url

MAX_DOCUMENTS = 200  # a guard of the double's own: documents that redirect to each other without a pause
_TWIML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})  # §3.2
_LANGUAGES = {"en-gb": "en-gb-x-rp", "en-au": "en-gb-x-rp", "es-mx": "es-419", "zh-cn": "cmn", "cmn-cn": "cmn"}
_QUICK_S = 0.05  # a document that took less than this is counted towards MAX_DOCUMENTS


@dataclass(frozen=True, slots=True)
class Document:
    root: Node
    url: str | None  # None when the TwiML came by REST: relative URLs do not work then (§3.2)


class Goodbye(Exception):
    """A verb ended the call."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.end = end


Verb = Callable[[Call, Document, Node], Awaitable[Source | None]]


async def run_documents(call: Call, source: Source) -> None:
    """Returns when the TwiML is through, which hangs the call up. Raises Interrupted when a verb ended it otherwise."""
    following: Source | None = source
    quick = 0
    while following is not None:
        current = following
        began = call.exchange.clock.seconds()
        try:
            document = await load_document(call, current)
            following = await run_document(call, document)
        except TwilioFault as fault:
            following = await _recover(call, current, fault)
        except Goodbye as goodbye:
            raise Interrupted(goodbye.end) from None
        quick = quick + 1 if call.exchange.clock.seconds() - began < _QUICK_S else 0
        if quick > MAX_DOCUMENTS:
            call.exchange.alert(11215, "the documents redirect to each other without end", call=call)
            return
    if not call.entries("dialled"):  # with answerOnBridge nobody answered: the caller never got through
        call.answer()  # §3.2: <Response/> answers, then hangs up


async def _recover(call: Call, failed: Source, fault: TwilioFault) -> Source | None:
    """§3.3: the fallback URL is asked when fetching or executing fails; without one the caller hears an apology."""
    call.exchange.alert(fault.code, fault.message, call=call, resource=failed.url)
    fallback, call.fallback = call.fallback, None  # once: a fallback that fails has no fallback
    if fallback is not None:
        call.note("fallback", code=fault.code)
        return Source(
            url=fallback.url,
            method=fallback.method,
            params=(("ErrorCode", str(fault.code)), ("ErrorUrl", failed.url or "")),
        )
    call.answer()
    await call.leg.play(await render(call.exchange.config.apology, voice=AGENT_VOICE), source="apology")
    return None


async def load_document(call: Call, source: Source) -> Document:
    if source.twiml is not None:
        return Document(_check(call, source.twiml), None)
    reply = await fetch(call, source.url or "", method=source.method, params=dict(source.params))
    return Document(_read_reply(call, reply), reply.url)


async def fetch(call: Call, url: str, *, method: str, params: dict[str, str]) -> Reply:
    return await call.exchange.fetch(
        url,
        method=method,
        params=call.document_params | params,
        account=call.account,
        cookies=call.cookies,
        note=call.note,
        copies=call.exchange.faults.webhook_copies,
    )


def _read_reply(call: Call, reply: Reply) -> Node:
    """§3.2: what the content type makes of the body."""
    if reply.content_type.startswith("audio/"):
        return Node("Response", {}, (Node("Play", {}, (), reply.url),), "")
    if not reply.body.strip():
        raise TwilioFault(11770, f"{reply.url}: empty body; return <Response/>")
    if reply.content_type == "text/plain":
        return Node("Response", {}, (Node("Say", {}, (), reply.body.decode(errors="replace")),), "")
    if reply.content_type not in _TWIML_TYPES:
        raise TwilioFault(12300, f"{reply.url}: content type {reply.content_type!r} is not allowed")
    return _check(call, reply.body)


def _check(call: Call, body: bytes | str) -> Node:
    warnings: list[str] = []
    root = parse_document(body, warn=warnings.append)
    call.note("twiml", verbs=[verb.name for verb in root.children])
    if warnings and call.exchange.config.strict:
        raise TwilioFault(12200, f"schema validation: {'; '.join(warnings)}")
    for warning in warnings:
        call.exchange.alert(12200, warning, call=call)
    return root


async def run_document(call: Call, document: Document) -> Source | None:
    from emulators.twilio.verbs import VERBS  # the verbs stand on this module

    for index, node in enumerate(document.root.children):
        call.note("verb", name=node.name)
        if node.name == "Reject" and index == 0 and not call.answered.is_set():
            raise Goodbye(End(reject_status(call, node), "twiml"))
        following = await VERBS[node.name](call, document, node)
        if following is not None:
            return following
    return None


def reject_status(call: Call, node: Node) -> Status:
    busy = node.get("reason", "rejected") == "busy"
    return Status.BUSY if busy else Status(call.exchange.config.rejected_status)


async def ask_action(
    call: Call, document: Document, node: Node, params: dict[str, str], *, default: str | None = None
) -> Source | None:
    """§3.2: when the action returns TwiML, the verbs after this one are unreachable."""
    action = node.get("action") or default
    if not action:
        return None
    url = resolve_url(document.url, action)
    return Source(url=url, method=node.get("method", "POST"), params=tuple(params.items()))


def bid_farewell(
    call: Call, document: Document, node: Node, params: dict[str, str], *, default: str | None = None
) -> None:
    """The caller hung up while the verb ran: its action is asked once more, whatever it returns is not run."""
    action = node.get("action") or default
    if not action or not call.exchange.config.actions_after_hangup:
        return
    url, method = resolve_url(document.url, action), node.get("method", "POST")

    async def farewell() -> None:
        try:
            await fetch(call, url, method=method, params=params)
        except TwilioFault as fault:
            call.exchange.alert(fault.code, fault.message, call=call, resource=url)

    call.farewells.append(farewell)


def resolve_callback(document: Document, node: Node) -> dict[str, str]:
    """The node's attributes with an absolute recordingStatusCallback."""
    attributes = dict(node.attributes)
    if callback := attributes.get("recordingStatusCallback"):
        attributes["recordingStatusCallback"] = resolve_url(document.url, callback)
    return attributes


async def speak(node: Node) -> bytes:
    """`language` decides; names of vendor voices all sound like our one synthesiser (deviation). Raises TwilioFault."""
    language = node.get("language", "en-US")
    for tag in (_LANGUAGES.get(language.lower()), language.lower(), language.lower().partition("-")[0]):
        if tag is None:
            continue
        try:
            return await render(node.text, voice=Voice(language=tag, speaker=AGENT_VOICE.speaker))
        except SpeechError as error:
            if not error.permanent:
                raise
    raise TwilioFault(13512, f"<Say> knows no language {language!r}")
