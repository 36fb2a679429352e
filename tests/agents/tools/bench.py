"""Real HTTP servers and the runner pointed at them, for the tests of tools."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents.spec import HttpCall, ToolSpec
from agents.tools.client import ToolClient
from agents.tools.fence import EgressFence
from agents.tools.runner import ToolResult, ToolRunner

SECRET = 'sk-live-"q\u00fco/te"-0123456789'
ORDER = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A real HTTP server on a free port that remembers what it was sent."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self._handler = handler
        self._tls = tls
        self.port = 0
        self.called = asyncio.Event()

    async def start(self) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
            self.called.set()
            return await self._handler(request)

        self._runner = web.AppRunner(_app(handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _app(handle: Handler) -> web.Application:
    app = web.Application(client_max_size=10 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", handle)
    return app


class Bench:
    """Servers and clients of one test, closed behind it."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.clients: list[ToolClient] = []
        self.secrets = {"crm": SECRET}

    async def serve(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> Server:
        server = Server(handler, tls=tls)
        await server.start()
        self.servers.append(server)
        return server

    def client(self, *, allow: tuple[str, ...] | None = None, **options: Any) -> ToolClient:
        if allow is None:
            allow = tuple(f"127.0.0.1:{server.port}" for server in self.servers)
        fence = EgressFence(allow=allow, resolve=options.pop("resolve", None))
        client = ToolClient(fence, **options)
        self.clients.append(client)
        return client

    async def run(
        self, tool: ToolSpec, arguments: object = None, *, client: ToolClient | None = None, **options: Any
    ) -> ToolResult:
        runner = ToolRunner(self.secrets.get, client=client or self.client(), **options)
        text = (
            arguments
            if isinstance(arguments, str)
            else json.dumps(arguments if arguments is not None else {"order_id": "A1"})
        )
        return await runner.run(tool, text, call_id="call_1", idempotency_key="key-1")


def make_tool(
    url: str,
    *,
    timeout_s: float = 2.0,
    idempotent: bool = False,
    on_failure: str = "",
    parameters: Any = None,
    **http: Any,
) -> ToolSpec:
    return ToolSpec(
        name="lookup_order",
        parameters=ORDER if parameters is None else parameters,
        http=HttpCall(url=url, **http),
        timeout_s=timeout_s,
        idempotent=idempotent,
        on_failure=on_failure,
    )


def answer_with(value: object, *, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(value, status=status)

    return handle


def text_of(body: str, content_type: str = "text/plain", status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type=content_type, status=status)

    return handle


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


def free_port_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def make_tls(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a fresh certificate for `name`, and a client's context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "tls.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


def gzip_answer(body: bytes, encoding: str = "gzip") -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": encoding, "Content-Type": "application/json"})

    return handle
