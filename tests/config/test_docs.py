"""Pages that are made from code say what the code says, and every page that is named is there."""

import re
import subprocess

from django.conf import settings

from config.management.commands.render_vocabulary import render

NAMED = re.compile(r"docs/[\w./-]+\.(?:md|png)")
LINK = re.compile(r"\]\(([\w./-]+)(?:#[\w-]+)?\)")


def test_the_vocabulary_page_is_made_from_the_code():
    assert (settings.BASE_DIR / "docs" / "vocabulary.md").read_text() == render()


def test_every_page_that_code_and_pages_name_is_there():
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.py", "*.toml", "*.yml", "Makefile"],  # noqa: S607 # a checkout has git
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    missing = set()
    for name in listed:
        path = settings.BASE_DIR / name
        text = path.read_text()
        targets = [settings.BASE_DIR / found for found in NAMED.findall(text)]
        if path.suffix == ".md":
            targets += [path.parent / found for found in LINK.findall(text)]
        missing |= {f"{name}: {target.relative_to(settings.BASE_DIR)}" for target in targets if not target.exists()}
    assert missing == set()
