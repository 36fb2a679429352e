"""The addresses of the carrier's sockets. Who asks is checked by the consumer, before the socket is accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from django.urls import URLPattern, re_path

from calls.transports.asgi_socket import Receive, Send
from calls.transports.house import current_house
from calls.transports.media import BrowserStreams, MediaStreams
from calls.transports.process import current_process

Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


def outside_media(application: Application) -> Any:
    """The application, but not in a media process: its database work would share one thread with the calls' (decision 4).

    An ASGI application stands where Django's `re_path` expects a view, hence the type.
    """

    async def refuse_or_serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if current_process().kind == "media":
            await send({"type": "websocket.close"})
        else:
            await application(scope, receive, send)

    return refuse_or_serve


# The process's name is a preference for a balancer; any process may serve any stream (product 5.1.1).
websocket_urlpatterns: list[URLPattern] = [
    # Before the carrier's: no process is called "browser" (processes.current_name).
    re_path(r"^media/browser/(?P<ref>[0-9a-f]{32})/$", BrowserStreams.as_asgi(current_house)),  # type: ignore[arg-type] # likewise
    re_path(r"^media/[a-z0-9]{1,32}/(?P<ref>[0-9a-f]{32})/$", MediaStreams.as_asgi(current_house)),  # type: ignore[arg-type] # an ASGI application stands where Django expects a view
]
