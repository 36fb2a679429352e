"""A real Chromium against the real application. Without a Chromium these tests are skipped and say so; CI demands one.

pytest-playwright's own fixtures live as long as the session, and with them an event loop that forbids every asyncio test after them; these
live as long as a module.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from channels.routing import ProtocolTypeRouter
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pytest_django.fixtures import Settings

from tests.browser.server import LiveServer
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import make_member
from tests.factories import make_tenant

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


expect.set_options(
    timeout=20_000
)  # two cores shared with the rest of the suite; what appears at all appears in one second


def find_chromium() -> str | None:
    """SWITCHBOARD_CHROMIUM, or the first Chromium on the path."""
    names = (os.environ.get("SWITCHBOARD_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        reason = "no Chromium found: install one or set SWITCHBOARD_CHROMIUM to its path"
        if os.environ.get("SWITCHBOARD_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{reason} (SWITCHBOARD_REQUIRE_BROWSER=1 demands it)")
        pytest.skip(reason)
    if not (Path(django_settings.BASE_DIR) / "node_modules" / "axe-core").is_dir():
        pytest.fail("the front end's packages are missing: run `make install`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def server(
    transactional_db: None, redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveServer]:
    # Playwright's loop runs in this thread, though no test touches rows from inside it.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    settings.WHITENOISE_USE_FINDERS = True
    from config.asgi import dashboard_sockets  # noqa: PLC0415 # importing it sets Django up

    application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": dashboard_sockets})
    with LiveServer(application) as running:
        yield running


@pytest.fixture
def cast(server: LiveServer, settings: Settings) -> Cast:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    tenant = make_tenant("acme", name="Acme Dental", timezone="Europe/Amsterdam")
    other = make_tenant("rival", name="Rival Salon", timezone="Asia/Tokyo")
    return Cast(tenant, make_member(tenant, "alice@example.com"), make_member(other, "charlie@example.com"))


@pytest.fixture(autouse=True)
def private_storage(settings: Settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "storage")
    return tmp_path / "storage"


class Complaints(list[str]):
    """What the browser complained about: errors on the console (policy violations are among them) and uncaught exceptions."""

    def watch(self, page: Page) -> None:
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.append(f"uncaught: {error}"))

    def _note(self, message: ConsoleMessage) -> None:
        if "WebSocket is closed before the connection is established" in message.text:
            return  # the test left the page while its socket was being opened, as people do
        if message.type in ("error", "warning"):
            self.append(f"{message.type}: {message.text}")


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def context(chromium: Browser, server: LiveServer) -> Iterator[BrowserContext]:
    context = chromium.new_context(base_url=server.url, viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints) -> Iterator[Page]:
    """A page that fails its test when the browser complained about anything."""
    page = context.new_page()
    complaints.watch(page)
    yield page
    page.close()
    assert complaints == []
