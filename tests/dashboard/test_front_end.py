"""The files behind the pages: icons, static names, and what a deployment without npm packages is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.http import HttpRequest
from django.test import Client
from django.views.defaults import server_error
from pytest_django.fixtures import Settings

from dashboard.checks import check_front_end
from dashboard.icons import IconError, read_icon
from dashboard.templatetags.switchboard import icon
from dashboard.timeline import ICONS

TEMPLATES = Path(django_settings.BASE_DIR) / "templates"
SOURCES = {path: path.read_text() for path in TEMPLATES.rglob("*.html")}


def test_every_icon_that_a_template_or_event_names_exists() -> None:
    named = {name for text in SOURCES.values() for name in re.findall(r'{% icon "([\w-]+)"', text)}
    assert len(named) > 10
    for name in named | set(ICONS.values()):
        assert "<path" in read_icon(name)


def test_icon_is_decoration_unless_it_is_named() -> None:
    assert 'aria-hidden="true"' in icon("phone")
    named = icon("phone", label='In"bound')
    assert 'role="img" aria-label="In&quot;bound"' in named
    assert "aria-hidden" not in named


@pytest.mark.parametrize("name", ["no-such-icon", "../outline/phone", "Phone"])
def test_icon_that_does_not_exist_is_an_error_with_its_mend(name: str) -> None:
    with pytest.raises(IconError, match="icon"):
        read_icon(name)


def test_missing_packages_are_a_warning_that_names_the_mend(settings: Settings, tmp_path: Path) -> None:
    assert check_front_end(None) == []
    settings.PACKAGE_FILES = {"tabler/css/tabler.min.css": tmp_path / "tabler.min.css"}
    (found,) = check_front_end(None)
    assert "tabler.min.css" in found.msg
    assert "make install" in str(found.hint)
    assert not found.is_serious()


def test_collected_files_carry_hashes_and_hold_what_the_templates_ask_for(settings: Settings, tmp_path: Path) -> None:
    asked = {name for text in SOURCES.values() for name in re.findall(r'{% static "([^"]+)"', text)}
    settings.STATIC_ROOT = str(tmp_path)
    call_command("collectstatic", interactive=False, verbosity=0)
    for name in asked:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", staticfiles_storage.stored_name(name))
    assert not list(tmp_path.rglob("*.map"))


@pytest.mark.parametrize("path", sorted(SOURCES), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_template_has_no_inline_code_and_no_unescaped_text(path: Path) -> None:
    text = SOURCES[path]
    assert not re.search(r"\sstyle=|\son\w+=|\|safe\b|autoescape off|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style", text)


@pytest.mark.django_db
def test_error_page_needs_nothing_that_may_be_broken() -> None:
    html = server_error(HttpRequest()).content.decode()
    assert "fault is in our log" in html


@pytest.mark.django_db
def test_refused_form_is_explained(cast: object) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/login/", {"login": "alice@example.com", "password": "x"})
    assert response.status_code == 403
    assert "send it once more" in response.content.decode()
