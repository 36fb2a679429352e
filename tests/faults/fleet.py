"""Media processes as production runs them, which a test may stop or kill, behind the smallest of balancers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from config.deathsignal import end_with_parent
from tests.faults.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
START_S = 40.0  # a loaded machine; a second or two on an idle one


class MediaProcess:
    """One `manage.py run_media` on a port of its own."""

    def __init__(self, port: int, log: Path, process: asyncio.subprocess.Process) -> None:
        self.port = port
        self.log = log
        self.process = process

    def kill(self) -> None:
        """The way machines take processes away: no word, no time."""
        self.process.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def gone(self, timeout_s: float = 30.0) -> int:
        """Its exit status."""
        return await asyncio.wait_for(self.process.wait(), timeout_s)

    async def wait_ready(self) -> None:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(self._is_ready):
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:  # noqa: S310 # our own
                return bool(answer.status == 200)
        except OSError:
            return False


class Balancer:
    """Sends each connection to the first process that takes it. Says nothing when one dies: the connection is simply gone."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.address = ""
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        for port in self.ports:
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            async with asyncio.TaskGroup() as pipes:
                pipes.create_task(_pipe(reader, there[1]))
                pipes.create_task(_pipe(there[0], writer))
            return
        writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


class Fleet:
    """Processes that share stores, secrets and one public address; all of them end with the test."""

    def __init__(self, stage: Stage, balancer: Balancer, data_dir: Path, overrides: dict[str, str]) -> None:
        self.stage = stage
        self.balancer = balancer
        self.processes: list[MediaProcess] = []
        self._data_dir = data_dir
        self._overrides = overrides

    async def start(self, count: int = 1) -> list[MediaProcess]:
        """Ready ones; the first started is the balancer's favourite."""
        started = [await self._start() for _ in range(count)]
        self.processes += started
        for process in started:
            await process.wait_ready()
            self.balancer.ports.append(process.port)
        return started

    async def _start(self) -> MediaProcess:
        port = _find_port()
        log = self._data_dir / f"media-{port}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "manage.py",
                "run_media",
                "--port",
                str(port),
                cwd=ROOT,
                env={**os.environ, **self._environment()},
                stdout=output,
                stderr=output,
                preexec_fn=end_with_parent(signal.SIGKILL),
            )
        return MediaProcess(port, log, process)

    def _environment(self) -> dict[str, str]:
        database = connections["default"].settings_dict
        return {
            "DATABASE_URL": f"postgres:///{database['HOST']}/{database['NAME']}",
            "PGUSER": str(database["USER"]),
            "PGPORT": str(database["PORT"]),
            "DB_POOL_MAX": "6",
            "REDIS_URL": settings.REDIS_URL,
            "SECRET_KEY": settings.SECRET_KEY,
            "ENCRYPTION_KEYS": ",".join(settings.ENCRYPTION_KEYS),
            "SWITCHBOARD_DATA_DIR": str(self._data_dir),
            "PUBLIC_BASE_URL": self.balancer.address,
            "MEDIA_BASE_URL": self.balancer.address,
            "ALLOWED_HOSTS": "127.0.0.1",
            "OPENAI_BASE_URL": self.stage.model.api_base_url,
            "OPENAI_API_KEY": "sk-emulator",
            "TWILIO_API_BASE_URL": self.stage.carrier.base_url,
            "TOOL_EGRESS_ALLOW": ",".join(settings.TOOL_EGRESS_ALLOW),
            "READ_DOT_ENV": "false",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
            **self._overrides,
        }

    async def stop(self) -> None:
        for process in self.processes:
            if process.process.returncode is None:
                process.kill()
                await process.gone()


@contextlib.asynccontextmanager
async def run_fleet(stage: Stage, data_dir: Path, settings: Any, **overrides: str) -> AsyncIterator[Fleet]:
    """`overrides` are environment variables of the processes. The stage's numbers must be opened after this."""
    async with Balancer() as balancer:
        settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = stage.address = balancer.address
        fleet = Fleet(stage, balancer, data_dir, overrides)
        try:
            yield fleet
        finally:
            for call in list(stage.carrier.calls.values()):
                call.hang_up(by="test")
            await fleet.stop()


def _find_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
