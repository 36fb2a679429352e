"""Pages that are made from code say what the code says."""

from django.conf import settings

from config.management.commands.render_vocabulary import render


def test_the_vocabulary_page_is_made_from_the_code():
    assert (settings.BASE_DIR / "docs" / "vocabulary.md").read_text() == render()
