"""The embedded Redis: says how it is run and whether it answers; it keeps nothing on disk and starts no server itself."""

import contextlib
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from config.engines.accounts import Owner, make_private_dir
from config.engines.places import Places

_ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Redis:
    places: Places
    owner: Owner
    program: Path

    name = "redis"
    process_name = "redis-server"
    stop_signal = signal.SIGTERM
    hard_stop_signal = signal.SIGKILL  # it has nothing to save

    @property
    def data(self) -> Path:
        return self.places.redis_data

    @property
    def log(self) -> Path:
        return self.places.logs / "redis.log"

    @property
    def command(self) -> list[str]:
        return [str(self.program), str(self.data / "redis.conf")]

    def prepare(self) -> None:
        make_private_dir(self.data, owner=self.owner)
        settings = {
            "port": "0",
            "unixsocket": _quote(self.places.redis_socket),
            "unixsocketperm": "700",
            "dir": _quote(self.data),
            "save": '""',  # Redis may come back empty: rows are the truth (architecture, decisions 5 and 8)
            "appendonly": "no",
            "maxmemory-policy": "noeviction",  # an evicted key would be a lost task
            "databases": "64",  # one for each parallel test worker
            "daemonize": "no",
        }
        lines = ["# Written anew at every start by config.engines.redis: changes made here are lost."]
        lines += [f"{name} {value}" for name, value in settings.items()]
        path = self.data / "redis.conf"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        self.owner.take(path)
        self.places.redis_socket.unlink(missing_ok=True)

    def is_answering(self) -> bool:
        return can_ping(self.places.redis_socket)


def can_ping(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(os.fspath(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def _quote(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
