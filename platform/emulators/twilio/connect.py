"""<Connect>, <Start> and <Stop>: streams and recordings that a document begins and ends (twilio.md §1, §3.7)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from emulators.twilio.call import Call, Source
from emulators.twilio.interpreter import Document, ask_action, bid_farewell
from emulators.twilio.media_stream import MediaStream, StreamOrder
from emulators.twilio.recording import begin_recording, read_order
from emulators.twilio.twiml import Node
from emulators.twilio.values import TwilioFault

MAX_FORKED_TRACKS = 4  # §1.1
_TRACKS = {
    "inbound_track": ("inbound",),
    "outbound_track": ("outbound",),
    "both_tracks": ("inbound", "outbound"),
}


async def connect(call: Call, document: Document, node: Node) -> Source | None:
    """§1.1: blocks until the server closes the socket; then the action, or the next verb."""
    if len(node.children) != 1:
        raise TwilioFault(12200, "<Connect> needs exactly one noun")
    call.answer()
    noun = node.children[0]
    order = read_stream(document, noun, bidirectional=True)
    if noun.get("track", "inbound_track") != "inbound_track":
        call.exchange.alert(31941, f"<Connect> takes the inbound track only, not {noun.get('track')!r}", call=call)
        return None
    stream = MediaStream(call, order)
    call.streams.append(stream)
    try:
        if await stream.open():
            await stream.closed()
    except BaseException:
        if call.hung_up or call.exchange.config.action_after_update:
            bid_farewell(call, document, node, {"StreamSid": stream.sid})
        raise
    finally:
        await stream.stop()
    return await ask_action(call, document, node, {"StreamSid": stream.sid})


async def start(call: Call, document: Document, node: Node) -> Source | None:
    """§1.1: starts and goes on with the next verb at once."""
    call.answer()
    for noun in node.children:
        if noun.name == "Recording":
            begin_recording(
                call,
                read_order(noun.attributes, channels="dual", source="StartCallRecordingTwiML"),  # §3.7: always 2
            )
        else:
            await start_fork(call, read_stream(document, noun, bidirectional=False))
    return None


async def start_fork(call: Call, order: StreamOrder) -> MediaStream | None:
    forked = sum(
        len(stream.order.tracks) for stream in call.streams if not stream.order.bidirectional and stream.running
    )
    if forked + len(order.tracks) > MAX_FORKED_TRACKS:
        call.exchange.alert(31900, f"more than {MAX_FORKED_TRACKS} forked tracks", call=call)
        return None
    stream = MediaStream(call, order)
    call.streams.append(stream)
    if await stream.open():
        call.exchange.spawn(_watch(stream))
    return stream


async def _watch(stream: MediaStream) -> None:
    await stream.closed()
    await stream.stop()


async def stop(call: Call, document: Document, node: Node) -> Source | None:
    for noun in node.children:
        for stream in call.streams:
            if not stream.order.bidirectional and noun.get("name") in {stream.name, stream.sid}:
                await stream.stop()
    return None


def read_stream(document: Document, noun: Node, *, bidirectional: bool) -> StreamOrder:
    if noun.get("connectorName"):
        raise TwilioFault(31940, f"no connector {noun.get('connectorName')!r} is installed")
    if not noun.get("url"):
        raise TwilioFault(31923, "<Stream> without a URL")
    return StreamOrder(
        url=resolve_stream_url(document.url, noun.get("url")),
        name=noun.get("name"),
        tracks=_TRACKS[noun.get("track", "inbound_track")],
        parameters=tuple((child.get("name"), child.get("value")) for child in noun.children),
        status_callback=noun.get("statusCallback"),
        status_callback_method=noun.get("statusCallbackMethod", "POST"),
        bidirectional=bidirectional,
    )


def resolve_stream_url(base: str | None, url: str) -> str:
    """§1.3: relative URLs resolve against the document with scheme wss (ws for the loopback deviation)."""
    if urlsplit(url).scheme:
        return url
    if base is None:
        raise TwilioFault(31923, f"relative URL {url!r} in a document that has no URL of its own")
    scheme, _, rest = urljoin(base, url).partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}"
