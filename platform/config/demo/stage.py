"""Starts everything the demo needs, side by side: the doubles, the back office, and the product's own processes."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from config.processes import Program, python, when_answering, when_saying

PREFERRED = {"web": 8000, "media": 8001, "openai": 8002, "twilio": 8003, "tools": 8004}
API_KEY = "sk-demo"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Loopback addresses of every part; taken ports are replaced by free ones."""

    web: str
    media: str
    openai: str
    twilio: str
    tools: str

    def port(self, name: str) -> str:
        return str(getattr(self, name)).rpartition(":")[2]

    def environment(self) -> dict[str, str]:
        """What points the product at the doubles: configuration alone (product 1.3)."""
        return {
            "PUBLIC_BASE_URL": self.media,
            "MEDIA_BASE_URL": self.media,
            "DASHBOARD_BASE_URL": self.web,
            "TWILIO_API_BASE_URL": self.twilio,
            "OPENAI_BASE_URL": f"{self.openai}/v1",
            "OPENAI_API_KEY": API_KEY,
            "TOOL_EGRESS_ALLOW": self.tools.removeprefix("http://"),
            "SERVE_UNCOLLECTED_STATIC": "true",
        }


def find_addresses() -> Addresses:
    return Addresses(**{name: f"http://127.0.0.1:{_free_port(port)}" for name, port in PREFERRED.items()})


def doubles(at: Addresses, *, cache: Path) -> list[Program]:
    """The two vendors and the back office. Nothing of the product is imported there."""
    return [
        Program(
            name="openai",
            command=python(
                "-m", "emulators.openai", "--port", at.port("openai"), "--api-key", API_KEY, "--cache", str(cache)
            ),
            is_ready=when_saying("http://"),
        ),
        Program(
            name="twilio",
            command=python("-m", "emulators.twilio", "--port", at.port("twilio"), "--cache", str(cache)),
            is_ready=when_answering(f"{at.twilio}/_double/health"),
        ),
        Program(
            name="tools",
            command=python("-m", "emulators.toolserver", "--port", at.port("tools")),
            is_ready=when_answering(f"{at.tools}/health"),
        ),
    ]


def product(at: Addresses, *, manage: Path) -> list[Program]:
    """Every process of the product (decision 6), as in production but on loopback."""
    environment = at.environment()
    return [
        Program(
            name="media",
            command=python(str(manage), "run_media", "--host", "127.0.0.1", "--port", at.port("media")),
            environment=environment,
            is_ready=when_answering(f"{at.media}/readyz"),
            stop_seconds=20.0,
        ),
        Program(
            name="web",
            command=python("-m", "daphne", "-b", "127.0.0.1", "-p", at.port("web"), "config.asgi:application"),
            environment=environment,
            is_ready=when_answering(f"{at.web}/healthz"),
        ),
        Program(
            name="worker",
            command=python("-m", "celery", "-A", "config", "worker", "--concurrency", "1", "--loglevel", "WARNING"),
            environment=environment,
        ),
        Program(
            name="beat",
            command=python("-m", "celery", "-A", "config", "beat", "--loglevel", "WARNING"),
            environment=environment,
        ),
    ]


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no free port on 127.0.0.1")
