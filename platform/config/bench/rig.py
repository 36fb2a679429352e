"""What the bench runs against: the product's media process and the bare relay, each on a core of its own; measures them from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from django.conf import settings

from config import provision
from config.processes import ProcessGroup, Program, Running, python, when_answering, when_saying
from emulators.load.carrier import Line, LoadCall
from emulators.load.model import ModelCrowd

ACCOUNT = {"account_sid": "ACbe000000000000000000000000000001", "auth_token": "bench-auth-token"}
NUMBER = "+15550000000"
PRODUCT_CORE = 0
API_KEY = "sk-bench"


def make_office(tool_url: str) -> dict[str, Any]:
    """One tenant, one agent with one tool, one number."""
    lookup = {
        "name": "lookup_order",
        "kind": "http",
        "method": "POST",
        "url": tool_url,
        "description": "Look up an order",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        "timeout_s": 5,
        "idempotent": True,
    }
    agent = {
        "name": "Reception",
        "instructions": "You answer the phone of a dental practice.",
        "greeting": "Good morning.",
        "realtime": {"model": "gpt-realtime-2.1", "voice": "marin"},
        "tools": ["lookup_order"],
        "publish": True,
    }
    number = {
        "e164": NUMBER,
        "sid": "PN00000000000000000000000000000001",
        "agent": "Reception",
        "path": "streams",
        "ladder": ["streams", "voicemail"],
    }
    tenant = {
        "slug": "bench",
        "name": "Bench",
        "timezone": "UTC",
        "twilio": ACCOUNT,
        "tools": [lookup],
        "agents": [agent],
        "numbers": [number],
    }
    return {"tenants": [tenant]}


@dataclass
class Rig:
    """The parts that every measurement uses. `line` is the number to ring."""

    group: ProcessGroup
    crowd: ModelCrowd
    tool_url: str
    client: httpx.AsyncClient
    line: Line = Line(NUMBER, "", ACCOUNT["account_sid"], ACCOUNT["auth_token"])
    tool_calls: int = 0
    _started: int = 0

    def start_product(self, *, base_url: str = "", standby: int = 0) -> tuple[Running, str]:
        """A media process on the product's core, and its address."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        public = base_url or address
        self._started += 1
        program = Program(
            name=f"media-{self._started}",
            command=python(
                str(settings.BASE_DIR / "manage.py"), "run_media", "--host", "127.0.0.1", "--port", str(port)
            ),
            environment={
                "PUBLIC_BASE_URL": public,
                "MEDIA_BASE_URL": public,
                "OPENAI_BASE_URL": self.crowd.api_base_url,
                "OPENAI_API_KEY": API_KEY,
                "TWILIO_API_BASE_URL": self.tool_url.rpartition("/")[0],
                "TOOL_EGRESS_ALLOW": self.tool_url.split("/")[2],
                "MODEL_STANDBY": str(standby),
                "LOG_LEVEL": "WARNING",
                "DEBUG": "false",
            },
            is_ready=when_answering(f"{address}/readyz"),
            stop_seconds=30.0,
        )
        settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = public
        (number,) = provision.apply(make_office(self.tool_url))
        self.line = Line(NUMBER, number.voice_url, ACCOUNT["account_sid"], ACCOUNT["auth_token"])
        (running,) = self.group.start(program)
        pin(running.pid, PRODUCT_CORE)
        return running, address

    def stop(self, running: Running, *, number: signal.Signals = signal.SIGTERM, timeout_s: float = 20.0) -> None:
        """End one process and wait for it."""
        self.group.release(running)
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, number)
        deadline = time.monotonic() + timeout_s
        while running.exit_status is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if running.exit_status is None:
            os.kill(running.pid, signal.SIGKILL)

    def start_relay(self) -> tuple[Running, str]:
        self._started += 1
        url = self.crowd.api_base_url.replace("http", "ws") + "/realtime"
        program = Program(
            name=f"relay-{self._started}",
            command=python("-m", "emulators.load.relay", url),
            is_ready=when_saying("ws://"),
        )
        (running,) = self.group.start(program)
        pin(running.pid, PRODUCT_CORE)
        return running, running.read_output().strip()

    def count_tool_call(self) -> None:
        self.tool_calls += 1

    async def ring(self, *, delay_s: float = 0.0, pause_s: float = 0.0) -> LoadCall:
        """A call through webhook and stream. `pause_s` passes between the document and the stream."""
        call = LoadCall(self.line, delay_s=delay_s)
        document = await call.ask(self.client, self.line.voice_url)
        if pause_s:
            await asyncio.sleep(pause_s)
        await call.connect(document)
        return call


def pin(pid: int, core: int) -> None:
    """All threads of the process on one core, so that the load beside it does not count."""
    if (os.cpu_count() or 1) < 2:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {core})


def measure_cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def measure_rss_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1024 / 1024


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Backends:
    """A balancer in a few lines: each connection goes to the next backend that takes it."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._turn = 0

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self.addresses)):
            self._turn += 1
            host = self.addresses[self._turn % len(self.addresses)].removeprefix("http://")
            name, _, port = host.partition(":")
            try:
                there_reader, there_writer = await asyncio.open_connection(name, int(port))
            except OSError:
                continue
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
            return
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@contextlib.asynccontextmanager
async def serve_tool(count: Callable[[], None]) -> AsyncIterator[str]:
    """A tool server that always finds the order, in-process: the product's HTTP is what is measured, not this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length")
                    ),
                    0,
                )
                await reader.readexactly(length)
                count()
                body = b'{"status":"shipped"}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/orders"
    finally:
        server.close()


def chunked(count: int, size: int) -> Iterator[int]:
    """Sizes of the batches that make up `count`."""
    for start in range(0, count, size):
        yield min(size, count - start)
