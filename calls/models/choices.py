"""Turns the vocabulary's closed lists into field choices and database constraints, so that the two cannot drift apart."""

from __future__ import annotations

from typing import Any

from django.db import models

from calls.vocabulary import Term


def term_field(terms: type[Term], **options: Any) -> models.CharField[str, str]:
    """A CharField that holds one of `terms`. Pair it with `known(...)` in Meta.constraints."""
    return models.CharField(max_length=32, choices=terms.choices(), **options)


def arrangement_field() -> models.CharField[str, str]:
    """How a SIP number is set up at the carrier: `dial` by our document, or `trunk` past it; empty on other paths."""
    return models.CharField(
        max_length=8, choices=[("dial", "dial"), ("trunk", "trunk")], blank=True, default="", db_default=""
    )


def known_arrangement(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=models.Q(arrangement__in=["", "dial", "trunk"]), name=name)


def known(field: str, terms: type[Term], *, name: str, blank: bool = False) -> models.CheckConstraint:
    """The database refuses a word outside the list."""
    values = [term.value for term in terms] + ([""] if blank else [])
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": values}), name=name)
