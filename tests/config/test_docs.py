"""Pages that are made from code say what the code says, and every variable is listed."""

import re

from django.conf import settings

from config.management.commands.render_vocabulary import render

READ = re.compile(r'env\.[a-z_]+\(\s*"([A-Z][A-Z_0-9]+)"')
NOT_FOR_PEOPLE = {"SWITCHBOARD_ENGINES_THROWAWAY", "SWITCHBOARD_REDIS_DB"}  # set by the tests for themselves


def test_the_vocabulary_page_is_made_from_the_code():
    assert (settings.BASE_DIR / "docs" / "vocabulary.md").read_text() == render()


def test_the_example_file_lists_every_variable_that_is_read_and_no_other():
    sources = [
        settings.BASE_DIR / "platform/config/settings.py",
        *(settings.BASE_DIR / "platform/config/engines").glob("*.py"),
    ]
    read = {name for source in sources for name in READ.findall(source.read_text())} - NOT_FOR_PEOPLE
    listed = set(re.findall(r"^([A-Z][A-Z_0-9]+)=", (settings.BASE_DIR / ".env.example").read_text(), re.MULTILINE))

    assert listed == read
