"""The addresses of the carrier's sockets. Who asks is checked by the consumer, before the socket is accepted."""

from __future__ import annotations

from django.urls import URLPattern, re_path

from calls.transports.house import current_house
from calls.transports.media import MediaStreams

# The process's name is a preference for a balancer; any process may serve any stream (product 5.1.1).
websocket_urlpatterns: list[URLPattern] = [
    re_path(r"^media/[a-z0-9]{1,32}/(?P<ref>[0-9a-f]{32})/$", MediaStreams.as_asgi(current_house)),  # type: ignore[arg-type] # an ASGI application stands where Django expects a view
]
