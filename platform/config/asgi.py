"""The one ASGI application: HTTP through Django, dashboard sockets as stock consumers, media sockets with their own loop (decision 3)."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application  # noqa: E402 # settings first

from config.engines.attach import attach_engines  # noqa: E402 # settings first

attach_engines()
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 # rows are importable only now
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import re_path  # noqa: E402

from calls.transports.routes import outside_media, websocket_urlpatterns  # noqa: E402
from dashboard import live  # noqa: E402

# Sockets of browsers carry a session and must come from our own pages; sockets of carriers carry a signature instead.
dashboard_sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(live.routes)))

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([*websocket_urlpatterns, re_path(r"", outside_media(dashboard_sockets))]),
    }
)
