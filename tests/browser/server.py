"""The real ASGI application on a free port of this machine, in a thread beside the test, with the test's own database."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import uvicorn

_DEADLINE_S = 20.0


class LiveServer:
    """Use as a context manager; `url` is where it answers."""

    def __init__(self, application: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            application, lifespan="off", log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="live server")

    def __enter__(self) -> LiveServer:
        self._thread.start()
        deadline = time.monotonic() + _DEADLINE_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the live server did not start")
            self._thread.join(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_DEADLINE_S)
        self._socket.close()
