"""Finds JSON Schemas that a tool may not have: broken, fetched from elsewhere, or costly enough to hold up every call of the process.

A tenant writes the schema and the model the arguments; both are checked on the loop that carries audio. So references stay inside the
schema and never come back to themselves (a schema that doubles forty times over would run for days), patterns are those that cannot hang,
and the number of checks is bounded by what is read here, before any argument is seen.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agents.patterns import find_pattern_fault

MAX_SCHEMA_CHARS = 20_000
MAX_CHECKS = 200  # subschemas with references written out; a form of fifty fields needs about sixty
_NAMED = frozenset(("properties", "patternProperties", "dependentSchemas"))  # name → schema
_SCHEMAS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))  # lists of schemas
_SCHEMA = frozenset(
    ("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties",
     "contentSchema")
)  # fmt: skip
_REFUSED = frozenset(
    ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary")
)


class _FaultError(Exception):
    pass


def find_schema_fault(schema: dict[str, Any]) -> str | None:
    """Why these parameters may not be used, as an English sentence without a full stop; None when they may."""
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
            return f"the schema is longer than {MAX_SCHEMA_CHARS} characters; ask for fewer things at once"
        Draft202012Validator.check_schema(schema)
        checks = _Counter(schema).count(schema)
    except _FaultError as fault:
        return str(fault)
    except SchemaError as error:
        return f"not a JSON Schema: {error.message[:200]}"
    except (TypeError, ValueError, RecursionError) as error:
        return f"not a JSON Schema: {error}"
    if checks > MAX_CHECKS:
        return f"the schema needs {min(checks, 10**9)} checks with its references written out; {MAX_CHECKS} are allowed"
    return None


class _Counter:
    """Counts the checks of a schema; what is referred to is counted wherever it is referred to."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def count(self, schema: object) -> int:
        if not isinstance(schema, dict):
            return 1  # true, false
        total = 1
        for key, value in schema.items():
            if key == "$ref":
                total += self._count_reference(value)
            elif key == "pattern":
                _check_pattern(value)
            elif key in _NAMED:
                if key == "patternProperties":
                    for pattern in value:
                        _check_pattern(pattern)
                total += sum(self.count(entry) for entry in value.values())
            elif key in _SCHEMAS:
                total += sum(self.count(entry) for entry in value)
            elif key in _SCHEMA:
                total += self.count(value)
            elif key in _REFUSED:
                raise _FaultError(f"{key} is not supported; refer to #/$defs")
        return total

    def _count_reference(self, reference: str) -> int:
        if not reference.startswith("#/"):
            raise _FaultError(f"the reference {reference[:100]} is never followed; write it out, or refer to #/$defs")
        if reference in self._open:
            raise _FaultError(
                f"the reference {reference[:100]} leads back to itself; write out as many levels as are needed"
            )
        if reference not in self._known:
            self._open.add(reference)
            self._known[reference] = self.count(self._find(reference))
            self._open.remove(reference)
        return self._known[reference]

    def _find(self, reference: str) -> object:
        found: Any = self._root
        for step in reference[2:].split("/"):
            name = unquote(step).replace("~1", "/").replace("~0", "~")  # RFC 6901 §6
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise _FaultError(f"the reference {reference[:100]} leads nowhere")
        return found


def _check_pattern(pattern: str) -> None:
    if fault := find_pattern_fault(pattern):
        raise _FaultError(f"the pattern {pattern[:40]}: {fault}")
