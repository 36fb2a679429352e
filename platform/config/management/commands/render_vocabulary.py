"""`manage.py render_vocabulary`: docs/vocabulary.md from calls/vocabulary.py; `--check` only says whether it is up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from calls import vocabulary


def render() -> str:
    """The whole page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Vocabulary"
    yield ""
    yield "The closed lists that code, screens and records share. Made from `calls/vocabulary.py` by `make vocabulary`."
    for terms in vocabulary.Term.__subclasses__():
        yield ""
        yield f"## {terms.__name__}"
        yield ""
        if terms.__doc__ and terms.__doc__ != vocabulary.Term.__doc__:
            yield terms.__doc__.strip()
            yield ""
        yield "| Value | Label | Meaning |"
        yield "|---|---|---|"
        for term in terms:
            yield f"| `{term.value}` | {term.label} | {term.meaning} |"
    yield ""
    yield "## Metrics"
    yield ""
    yield "| Name | Unit | Formula |"
    yield "|---|---|---|"
    for metric in vocabulary.METRICS:
        yield f"| `{metric.name}` | {metric.unit} | {metric.formula} |"


class Command(BaseCommand):
    help = "Write docs/vocabulary.md from the closed lists in the code."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        page = settings.BASE_DIR / "docs" / "vocabulary.md"
        text = render()
        if options["check"]:
            if not page.is_file() or page.read_text() != text:
                raise CommandError("docs/vocabulary.md is out of date: run make vocabulary")
            return
        page.write_text(text)
