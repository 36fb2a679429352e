"""The house keeps its shape: source roots, names, no openai-agents, no hosts in lock files (decision 1)."""

import json
import platform
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
TOP_LEVEL = {
    "manage.py", "pyproject.toml", "README.md", "Makefile", "docker-compose.yml", "Dockerfile", "package.json", "package-lock.json",
    "platform", "tenants", "agents", "calls", "templates", "static", "docs", "tests", "locale",
    "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "constraints.txt",
}  # fmt: skip
MADE_HERE = {"__pycache__", "node_modules", "staticfiles", "htmlcov", "build", "dist"}


def test_platform_is_a_source_root_and_never_a_package():
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.python_version()


def test_agents_is_our_room_and_not_the_sdk_of_that_name():
    import agents

    assert Path(agents.__file__).is_relative_to(ROOT)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_openai_agents_is_never_a_dependency(name):
    assert not re.search(r"openai[-_]agents", (ROOT / name).read_text())


def test_lock_files_name_no_hosts():
    assert not re.search(r"https?://|file:", (ROOT / "constraints.txt").read_text())
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"].values()

    assert packages
    assert not any("resolved" in package for package in packages)


def test_the_top_level_holds_what_the_house_says():
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - MADE_HERE

    assert found <= TOP_LEVEL


def test_no_migration_creates_an_extension():
    texts = [
        path.read_text() for app in ("tenants", "agents", "calls") for path in (ROOT / app / "migrations").glob("*.py")
    ]

    assert texts
    assert not any(re.search(r"CREATE EXTENSION|CreateExtension|\w+Extension\(", text) for text in texts)
