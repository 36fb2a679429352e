"""The carrier's socket on compiled framing: one callback a frame, one write a frame, no task between; decides nothing.

The server answers the handshake and hands its transport over (docs/decisions/016-compiled-media-socket.md). picows knows frames, not
messages, so fragments are joined here.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSProtocolError, WSTransport

from calls.transports.ports import HearFrame, HearLoss

TEXT, BINARY, CONTINUATION, CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE
NO_STATUS, ABNORMAL = 1005, 1006  # RFC 6455 §7.4.1
MAX_WAITING_FRAMES = (
    500  # before the bridge stands; then the peer waits: 10 s of audio, twice the time that admission may take
)
CLOSE_TIMEOUT_S = 1.0  # the call is over; a carrier that does not answer our close is cut off


class FrameSocket(WSListener):
    """Implements calls.transports.ports.CarrierSocket. `max_message_bytes` bounds joined fragments; picows bounds the single frame."""

    def __init__(self, *, max_message_bytes: int) -> None:
        self.has_room = True
        self.on_room: Callable[[], None] = _do_nothing
        self._max_message_bytes = max_message_bytes
        self._transport: WSTransport | None = None
        self._on_frame: HearFrame | None = None
        self._on_lost: HearLoss | None = None
        self._arrived: deque[bytes | None] = deque()
        self._is_paused = False
        self._news = asyncio.Event()
        self._lost: int | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._kind = TEXT  # of the message that the parts belong to

    # --- for the consumer and the bridge ----------------------------------------------------------------------------

    async def next_frame(self) -> bytes | None:
        while not self._arrived:
            if self._lost is not None:
                raise ConnectionResetError
            self._news.clear()
            await self._news.wait()
        frame = self._arrived.popleft()
        if self._is_paused and not self._arrived:
            self._pause(False)
        return frame

    def attach(self, on_frame: HearFrame, on_lost: HearLoss) -> None:
        while self._arrived:
            on_frame(self._arrived.popleft())
        if self._lost is not None:
            on_lost(self._lost)
            return
        self._on_frame, self._on_lost = on_frame, on_lost
        if self._is_paused:
            self._pause(False)

    def detach(self) -> None:
        self._on_frame = _ignore_frame
        self._on_lost = None

    def send(self, text: bytes) -> None:
        if self._transport is not None:
            self._transport.send(TEXT, text)

    async def close(self, code: int) -> None:
        transport = self._transport
        if transport is None or self._lost is not None:
            return
        transport.send_close(WSCloseCode(code))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await transport.wait_disconnected()
        except TimeoutError:
            transport.disconnect(graceful=False)

    # --- picows' callbacks ------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == TEXT and frame.fin and not self._parts and not transport.is_close_frame_sent:
            hear = self._on_frame
            if hear is not None:
                hear(frame.get_payload_as_bytes())
            else:
                self._keep(frame.get_payload_as_bytes())
        else:
            self._hear_rest(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._lose(ABNORMAL)

    def pause_writing(self) -> None:
        self.has_room = False

    def resume_writing(self) -> None:
        self.has_room = True
        self.on_room()

    # --- what is rare -----------------------------------------------------------------------------------------------

    def _hear_rest(self, transport: WSTransport, frame: WSFrame) -> None:
        """Whatever is not a whole text message. Raises WSProtocolError, upon which picows closes with its code."""
        kind = frame.msg_type
        if kind == CLOSE:
            payload = frame.get_payload_as_bytes()
            self._lose(struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else NO_STATUS)
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif transport.is_close_frame_sent:
            return  # the peer has not read our close yet
        elif kind == CONTINUATION:
            if not self._parts:
                raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "continuation of nothing")  # RFC 6455 §5.4
            self._gather(frame)
        elif kind in (TEXT, BINARY):
            if self._parts:
                raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "a message within a message")
            self._kind = kind
            self._gather(frame)

    def _gather(self, frame: WSFrame) -> None:
        self._parts.append(frame.get_payload_as_bytes())
        self._parts_bytes += frame.payload_size
        if self._parts_bytes > self._max_message_bytes:
            raise WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, "message too big")
        if not frame.fin:
            return
        message = b"".join(self._parts) if self._kind == TEXT else None
        self._parts.clear()
        self._parts_bytes = 0
        if self._on_frame is not None:
            self._on_frame(message)
        else:
            self._keep(message)

    def _keep(self, frame: bytes | None) -> None:
        self._arrived.append(frame)
        self._news.set()
        if len(self._arrived) >= MAX_WAITING_FRAMES and not self._is_paused:
            self._pause(True)

    def _pause(self, paused: bool) -> None:
        if self._transport is None or self._transport.is_disconnected:
            return
        self._is_paused = paused
        below = self._transport.underlying_transport
        (below.pause_reading if paused else below.resume_reading)()

    def _lose(self, code: int) -> None:
        if self._lost is None:
            self._lost = code
            self._news.set()
            if self._on_lost is not None:
                self._on_lost(code)


def _do_nothing() -> None:
    return


def _ignore_frame(frame: bytes | None) -> None:
    return
