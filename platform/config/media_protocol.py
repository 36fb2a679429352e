"""uvicorn's WebSocket protocol with one extension: an application may have its open socket framed by compiled code; serves nothing itself.

The handshake, refusals and every socket that does not ask stay uvicorn's own. After `scope["extensions"]["switchboard.frames"](listener)`
the TCP transport belongs to picows, and ASGI's receive and send are done with (docs/decisions/016-compiled-media-socket.md).
"""

from __future__ import annotations

import logging
from typing import Any

from picows import WSAutoPingStrategy, WSCloseCode, WSListener
from picows.picows import WSProtocol  # type: ignore[attr-defined] # compiled; its stub lists the public names alone
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from calls.transports.media import COMPILED_FRAMES

READ_BUFFER_BYTES = 4096  # ten media frames; it grows where a peer sends more
# picows answers a handshake of its own making. The real one was checked by uvicorn; only its key matters for the answer.
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: media\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)

log = logging.getLogger("picows.server")


class _Frames(WSProtocol):  # type: ignore[misc] # as above
    """picows' protocol that tells uvicorn's when the connection is gone. Its constructor takes positions, not names."""

    def __init__(self, owner: MediaSocketProtocol, listener: WSListener) -> None:
        super().__init__(
            None,  # host and path are a client's matter
            None,
            False,  # the server's side
            lambda request: listener,
            log,
            True,  # a listener that raises loses its socket
            None,  # no time limit for a handshake: it is here
            False,  # no pings of ours: 50 frames a second keep a stream busy, and the bridge notices a dead one
            0,
            0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,  # the peer's pings are answered
            owner.config.ws_max_size,
            None,
            READ_BUFFER_BYTES,
        )
        self.owner = owner

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.owner.connection_lost(exc)


class MediaSocketProtocol(WebSocketsSansIOProtocol):
    """Give it to `uvicorn.Config(ws=…)`."""

    _frames: _Frames | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = {**(self.scope["extensions"] or {}), COMPILED_FRAMES: self.take_over}
            self.scope["extensions"] = extensions

    def take_over(self, listener: WSListener) -> None:
        """Answer the handshake, and frame from now on. Raises ClientDisconnected when the peer has gone, or spoke before our answer."""
        if self.disconnected or self.handshake_complete or self.transport.is_closing() or not self.queue.empty():
            raise ClientDisconnected
        self.transport.pause_reading()  # uvloop decides how to read when reading starts
        self.handshake_complete = True
        frames = self._frames = _Frames(self, listener)
        frames.connection_made(self.transport)
        self.transport.set_protocol(frames)
        hello = HANDSHAKE % self.request.headers["Sec-WebSocket-Key"].encode()
        frames.get_buffer(len(hello))[: len(hello)] = hello
        frames.buffer_updated(len(hello))
        self.transport.resume_reading()

    def shutdown(self) -> None:
        if self._frames is None:
            super().shutdown()
        else:
            self._frames.transport.send_close(WSCloseCode.SERVICE_RESTART)
            self._frames.transport.disconnect()
