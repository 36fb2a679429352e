"""The yardstick: a bare byte relay between carrier and model that splices and does nothing else (`python -m emulators.load.relay URL`).

What the product costs beyond this is what it does: session, marks, pacing, records, ledger, signatures.
"""

from __future__ import annotations

import asyncio
import sys

import picows
import uvloop

_PAYLOAD = b'"payload":"'
_DELTA = b'"delta":"'
_SID = b'"streamSid":"'
_APPEND = b'{"type":"input_audio_buffer.append","audio":"'


class CarrierSide(picows.WSListener):
    def __init__(self, model_url: str) -> None:
        self._model_url = model_url
        self._model: ModelSide | None = None
        self.media = b""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        _, listener = await picows.ws_connect(lambda: ModelSide(self), self._model_url)
        assert isinstance(listener, ModelSide)  # noqa: S101 # what the factory made
        self._model = listener

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        raw = frame.get_payload_as_bytes()
        start = raw.find(_PAYLOAD)
        if start < 0:
            at = raw.find(_SID)
            if at > 0 and not self.media:
                sid = raw[at + len(_SID) : raw.index(b'"', at + len(_SID))]
                self.media = b'{"event":"media","streamSid":"' + sid + b'","media":{"payload":"'
            return
        start += len(_PAYLOAD)
        if self._model is not None:
            payload = raw[start : raw.index(b'"', start)]
            self._model.transport.send(picows.WSMsgType.TEXT, _APPEND + payload + b'"}')

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._model is not None:
            self._model.transport.disconnect()


class ModelSide(picows.WSListener):
    def __init__(self, carrier: CarrierSide) -> None:
        self._carrier = carrier

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        raw = frame.get_payload_as_bytes()
        start = raw.find(_DELTA)
        if start < 0 or b"output_audio.delta" not in raw[:60]:
            return
        start += len(_DELTA)
        self._carrier.transport.send(
            picows.WSMsgType.TEXT, self._carrier.media + raw[start : raw.index(b'"', start)] + b'"}}'
        )


async def serve(model_url: str) -> None:
    server = await picows.ws_create_server(lambda request: CarrierSide(model_url), "127.0.0.1", 0)
    print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media/", flush=True)  # noqa: T201 # its one output
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
