"""The screens in a real browser: what a member does, what appears by itself, and what accessibility checkers say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from playwright.sync_api import BrowserContext, Page, expect

from calls.models import Call, Turn
from calls.services.announce import announce_call, herald
from tenants.models import User
from tenants.scope import tenant_scope
from tests.browser.conftest import Complaints
from tests.browser.server import LiveServer
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import (
    PASSWORD,
    TURNS,
    make_ended_call,
    make_recording,
    make_told_call,
    write_turns,
)
from tests.factories import make_call


def enter(context: BrowserContext, server: LiveServer, user: User) -> None:
    """Logged in without the form, which has a test of its own."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": django_settings.SESSION_COOKIE_NAME, "value": cookie, "url": server.url}])


def announce(call: Call) -> None:
    announce_call(call)
    herald.wait_until_sent()


def test_member_logs_in_finds_a_call_and_reads_it(page: Page, cast: Cast) -> None:
    make_told_call(cast.tenant, from_number="+31201234567")
    page.goto("/")
    page.get_by_label("E-mail address").fill("alice@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    page.get_by_role("link", name="+31 20 123 4567").click()
    expect(page.get_by_role("heading", name="+31 20 123 4567")).to_be_visible()
    expect(page.locator("#turn-1")).to_contain_text("I would like to move my appointment")
    unheard = page.locator(".turn .unheard").first
    expect(unheard).to_contain_text("whichever suits you better")
    expect(unheard).to_have_css("text-decoration-style", "dotted")
    expect(page.locator(".unheard-label").first).to_have_text("not heard")
    run = page.locator(".run", has_text="find_appointment")
    run.locator("summary").click()
    expect(run.get_by_text('"time": "09:30"')).to_be_visible()


def test_filter_narrows_the_list_and_stays_in_the_address(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    make_ended_call(cast.tenant, from_number="+31201111111")
    make_ended_call(cast.tenant, from_number="+31202222222", outcome="voicemail")
    enter(context, server, cast.alice)
    page.goto("/o/acme/calls/")
    page.locator("#id_outcome").select_option("voicemail")
    expect(page.get_by_role("status").filter(has_text="1 call")).to_be_visible()
    expect(page).to_have_url(f"{server.url}/o/acme/calls/?outcome=voicemail")
    page.reload()
    expect(page.locator("[data-row]")).to_have_count(1)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator("[data-row]")).to_have_count(2)
    page.get_by_label("Search").fill("1111")
    expect(page.locator("[data-row]")).to_have_text(["+31 20 111 1111"])


def test_new_call_appears_in_the_list_by_itself(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    enter(context, server, cast.alice)
    page.goto("/o/acme/calls/")
    expect(page.get_by_text("No calls yet")).to_be_visible()
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    call = make_call(cast.tenant, from_number="+31201234567")
    announce(call)
    expect(page.get_by_role("link", name="+31 20 123 4567")).to_be_visible()
    expect(page.locator("tr.is-live")).to_have_count(1)


def test_transcript_grows_while_the_call_goes_on(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    call = make_call(cast.tenant)
    enter(context, server, cast.alice)
    page.goto(f"/o/acme/calls/{call.pk}/")
    expect(page.get_by_text("Nothing was said yet")).to_be_visible()
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    with tenant_scope(cast.tenant):
        write_turns(call, TURNS[:2])
    announce(call)
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator("[data-announcer]")).to_contain_text("Caller: Hi, I would like to move my appointment.")
    first = page.locator("#turn-0")
    first.evaluate("element => { element.dataset.seen = 'yes' }")
    with tenant_scope(cast.tenant):
        Turn.objects.filter(call=call, sequence=1).update(heard="I would like something else.")
        Turn.objects.create(
            call=call,
            sequence=2,
            role="agent",
            status="open",
            item_id="item_3",
            previous_item_id="item_2",
            generated="Of course",
        )
    announce(call)
    expect(page.locator("#turn-1")).to_contain_text("I would like something else.")
    expect(page.locator("#turn-2 .coming")).to_have_text("Of course")
    # What did not change was not touched: focus and selection stay.
    expect(first).to_have_attribute("data-seen", "yes")


def test_paused_page_stands_still_and_catches_up(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    call = make_call(cast.tenant)
    enter(context, server, cast.alice)
    page.goto(f"/o/acme/calls/{call.pk}/")
    switch = page.locator("[data-live-switch]")
    expect(switch).to_contain_text("Live")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false")
    with tenant_scope(cast.tenant):
        write_turns(call, TURNS[:1])
    announce(call)
    page.wait_for_function("new Promise(done => setTimeout(() => done(true), 600))")
    expect(page.locator(".turn")).to_have_count(0)
    switch.click()
    expect(page.locator(".turn")).to_have_count(1)


def test_recording_plays_from_a_clicked_turn(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    call = make_told_call(cast.tenant)
    enter(context, server, cast.alice)
    page.goto(f"/o/acme/calls/{call.pk}/")
    page.wait_for_function("document.querySelector('audio').readyState >= 1")
    page.locator("#turn-5 .turn-clock").click()
    assert page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(19.1, abs=1.0)
    expect(page.locator("#turn-5")).to_have_class("turn turn-agent is-now")
    page.wait_for_function(
        "document.querySelector('[data-wave] > div').shadowRoot.querySelectorAll('canvas').length >= 2"
    )


def test_keys_search_move_and_explain_themselves_and_can_be_switched_off(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    older = make_ended_call(cast.tenant, from_number="+31201111111")
    make_ended_call(cast.tenant, from_number="+31202222222")
    enter(context, server, cast.alice)
    page.goto("/o/acme/calls/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="+31 20 111 1111")).to_be_focused()
    page.keyboard.press("k")
    expect(page.get_by_role("link", name="+31 20 222 2222")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.get_by_role("heading", name="Calls").click()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    for line in ("Search", "Next row, previous row", "This help"):
        expect(dialog.get_by_text(line)).to_be_visible()
    dialog.get_by_text("Use single-key shortcuts").click()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("[data-row]:focus")).to_have_count(0)
    page.goto(f"/o/acme/calls/{older.pk}/")
    page.get_by_title("Keyboard shortcuts (?)").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_text("Next row")).to_be_hidden()


def test_colours_follow_the_system_until_somebody_chooses(
    page: Page, context: BrowserContext, server: LiveServer, cast: Cast
) -> None:
    enter(context, server, cast.alice)
    page.emulate_media(color_scheme="dark")
    page.goto("/o/acme/calls/")
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(html).to_have_attribute("data-bs-theme", "light")
    toggle = page.locator("[data-theme-toggle]")
    toggle.click()
    toggle.click()
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", "dark")


def test_list_can_be_read_and_filtered_without_scripts(context: BrowserContext, server: LiveServer, cast: Cast) -> None:
    make_ended_call(cast.tenant, from_number="+31201111111")
    make_ended_call(cast.tenant, from_number="+31202222222", outcome="voicemail")
    assert context.browser is not None
    plain = context.browser.new_context(base_url=server.url, java_script_enabled=False)
    enter(plain, server, cast.alice)
    page = plain.new_page()
    page.goto("/o/acme/calls/")
    page.locator("#id_outcome").select_option("voicemail")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("[data-row]")).to_have_count(1)
    plain.close()


def test_policy_violation_would_be_noticed(page: Page, cast: Cast, complaints: Complaints) -> None:
    """The guard of all other tests: inline code is refused by the browser, and the refusal reaches us."""
    page.goto("/login/")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.x = 1'}))"
    )
    assert page.evaluate("window.x") is None
    assert any("Content Security Policy" in complaint for complaint in complaints)
    complaints.clear()


AXE = Path(django_settings.BASE_DIR) / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def find_barriers(page: Page, complaints: Complaints) -> list[dict[str, Any]]:
    """What axe calls serious or critical. It is injected past the policy, as an extension would be, and tries inline styles itself."""
    assert complaints == []
    page.evaluate(AXE.read_text())
    result = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    complaints.clear()
    return [
        {
            "rule": found["id"],
            "where": [node["html"][:160] for node in found["nodes"][:3]],
            "why": found["nodes"][0]["failureSummary"],
        }
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_axe_finds_nothing_serious(
    page: Page,
    context: BrowserContext,
    server: LiveServer,
    cast: Cast,
    complaints: Complaints,
    theme: str,
    width: int,
) -> None:
    told = make_told_call(cast.tenant)
    live = make_call(cast.tenant)
    voicemail = make_ended_call(
        cast.tenant, outcome="voicemail", fault="model", flags=["voicemail", "failed_over", "recovered"]
    )
    make_ended_call(
        cast.tenant, outcome="failed", fault="carrier", flags=["guardrail", "usage_lost"], end_reason="carrier_failed"
    )
    with tenant_scope(cast.tenant):
        write_turns(live, TURNS[:4])
        make_recording(voicemail, kind="voicemail", seconds=1.0, channels=1)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    page.goto("/login/")
    assert find_barriers(page, complaints) == []
    enter(context, server, cast.alice)
    for path in ("calls/", "calls/?q=0000", f"calls/{told.pk}/", f"calls/{live.pk}/", f"calls/{voicemail.pk}/"):
        page.goto(f"/o/acme/{path}")
        for summary in page.locator(".run summary").all():
            summary.click()
        barriers = find_barriers(page, complaints)
        assert barriers == [], json.dumps([path, barriers], indent=1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
    page.goto("/o/")
    assert find_barriers(page, complaints) == []
