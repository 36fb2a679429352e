"""Schemas of tools: ordinary ones pass; what is broken, fetched, recursive or too costly is named."""

from __future__ import annotations

import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agents.builtins import BUILTINS
from agents.schemas import find_schema_fault


def doubling(levels: int) -> dict[str, Any]:
    """Each definition asks for the next one twice."""
    defs: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(levels)
    }
    return {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "$defs": {**defs, f"d{levels}": {"type": "string"}},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {
            "type": "object",
            "properties": {"a": {"type": "string", "pattern": "^[a-z]+$"}, "pattern": {}, "$ref": {}, "$id": {}},
        },
        {"properties": {"a": {"$ref": "#/$defs/a~1b%20c"}}, "$defs": {"a/b c": {"enum": [{"$ref": "x", "$id": 1}]}}},
        {
            "properties": {
                "a": {"prefixItems": [{"type": "string"}, True]},
                "b": {"$ref": "#/properties/a/prefixItems/0"},
            }
        },
        {"properties": {f"f{n}": {"type": "string", "description": "A field."} for n in range(100)}},
        {"if": {"required": ["a"]}, "then": {"not": {"required": ["b"]}}, "additionalProperties": False},
        {
            "patternProperties": {"^x-": {"items": {"type": "string"}}},
            "$comment": "fine",
            "default": {"$ref": "#/none"},
        },
        doubling(5),
        *(tool.parameters for tool in BUILTINS.values()),
    ],
)
def test_ordinary_schemas_may_be_used(schema: dict[str, Any]) -> None:
    assert find_schema_fault(schema) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nothing"}, "not a JSON Schema"),
        ({"properties": {"a": {"default": {1, 2}}}}, "not a JSON Schema"),
        ({"properties": []}, "not a JSON Schema"),
        ({"description": "x" * 20_001}, "longer than"),
        ({"$ref": "https://example.com/s.json"}, "never followed"),
        ({"$ref": "other.json#/a"}, "never followed"),
        ({"$ref": "#"}, "never followed"),
        ({"$ref": "#anchor"}, "never followed"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"allOf": [True], "$ref": "#/allOf/7"}, "leads nowhere"),
        ({"allOf": [True], "$ref": "#/allOf/x"}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "leads back to itself"),
        (
            {"$defs": {"n": {"properties": {"c": {"items": {"$ref": "#/$defs/n"}}}}}, "$ref": "#/$defs/n"},
            "leads back to itself",
        ),
        ({"$id": "https://example.com/"}, "not supported"),
        ({"properties": {"a": {"$dynamicRef": "#x"}}}, "not supported"),
        ({"properties": {"a": {"pattern": "(a+)+"}}}, "repeat inside a repeat"),
        ({"patternProperties": {"(a|ab)*": {}}}, "begin alike"),
        (doubling(40), "checks"),
        ({"properties": {f"f{n}": {} for n in range(600)}}, "checks"),
    ],
)
def test_schemas_that_cannot_be_used_say_why(schema: dict[str, Any], words: str) -> None:
    started = time.process_time()
    fault = find_schema_fault(schema)
    assert fault is not None
    assert words in fault
    assert time.process_time() - started < 1.0


def test_a_schema_nested_beyond_reason_is_no_schema() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2_500):
        schema = {"not": schema}
    assert find_schema_fault(schema) is not None


def test_the_most_costly_schema_that_passes_is_held_against_the_most_values_in_time() -> None:
    costly = {"properties": {"a": {"items": {"allOf": [{"type": "string"}] * 190}}}}
    assert find_schema_fault(costly) is None
    started = time.process_time()
    assert Draft202012Validator(costly).is_valid({"a": ["x"] * 299})
    assert time.process_time() - started < 5.0
