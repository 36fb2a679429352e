"""Writes the words of a call's search row: what was said, who called, notes and tags; safe to repeat whenever one of them has changed."""

from __future__ import annotations

from django.contrib.postgres.search import SearchVector
from django.db.models import Func, TextField, Value

from calls.models import Call, CallNote, CallSearch, Turn
from calls.readouts.hits import fold

MOST_LETTERS = 400_000  # PostgreSQL takes a tsvector of 1 MB at most; four hours of talk are about 200,000 letters


def index_words(call: Call) -> None:
    """Make the words anew from the records of the tenant in scope. Whoever comes last sees everything that was written before."""
    parts = [call.from_number, *call.tags]
    parts += CallNote.objects.filter(call=call, removed_at=None).values_list("text", flat=True)
    for generated, heard in Turn.objects.filter(call=call).order_by("sequence").values_list("generated", "heard"):
        parts.append(generated)
        if heard not in generated:
            parts.append(heard)
    text = fold("\n".join(parts))[:MOST_LETTERS]
    # Places of words are of no use here: nothing ranks, and a row stays small enough to lie beside its neighbours.
    words = Func(SearchVector(Value(text, output_field=TextField()), config="simple"), function="strip")
    CallSearch.objects.filter(call=call).update(words=words)
