"""Checks JSON against the vendor's published types, refusing every field they do not name.

It knows shapes only; rules between fields are in `session_config` and `conversation`.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from emulators.openai.wire import JsonObject, RequestError

_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a decimal",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_DISCRIMINATORS = ("type", "role")


def check_shape(value: object, annotation: Any, *, path: str) -> None:
    """Raises RequestError (§4.8: unknown_parameter, missing_required_parameter, invalid_type, invalid_value)."""
    origin = get_origin(annotation)
    if origin is Annotated:
        check_shape(value, get_args(annotation)[0], path=path)
    elif origin is Union or origin is types.UnionType:
        _check_union(value, get_args(annotation), path=path)
    elif origin is Literal:
        _check_literal(value, get_args(annotation), path=path)
    elif origin is list:
        _check_type(value, list, path=path)
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            check_shape(entry, get_args(annotation)[0], path=f"{path}[{index}]")
    elif origin is dict:
        _check_type(value, dict, path=path)
        for key, entry in (value if isinstance(value, dict) else {}).items():
            check_shape(entry, get_args(annotation)[1], path=f"{path}.{key}")
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        _check_type(value, dict, path=path)
        if isinstance(value, dict):
            _check_model(value, annotation, path=path)
    elif annotation not in (object, Any):
        _check_type(value, annotation, path=path)


def refuse_value(path: str, value: object, *, supported: Sequence[object] = ()) -> RequestError:
    """The error for a value that is of the right type and still not allowed."""
    message = f"Invalid value: '{value}'."
    if supported:
        message += f" Supported values are: {_enumerate(supported)}."
    return RequestError(message, code="invalid_value", param=path)


def _check_model(value: JsonObject, model: type[BaseModel], *, path: str) -> None:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in fields:
            raise RequestError(f"Unknown parameter: '{prefix}{key}'.", code="unknown_parameter", param=f"{prefix}{key}")
    for key, field in fields.items():
        if key in value:
            check_shape(value[key], field.annotation, path=f"{prefix}{key}")
        elif field.is_required():
            raise _missing(f"{prefix}{key}")


def _check_union(value: object, options: Sequence[Any], *, path: str) -> None:
    if value is None and type(None) in options:
        return
    flat = _flatten(options)
    models = [option for option in flat if isinstance(option, type) and issubclass(option, BaseModel)]
    if isinstance(value, dict) and models:
        _check_model_union(value, models, path=path)
        return
    others = [option for option in flat if option not in models and option is not type(None)]
    refusals: list[RequestError] = []
    for option in others:
        try:
            check_shape(value, option, path=path)
        except RequestError as refusal:
            refusals.append(refusal)
        else:
            return
    # A refusal inside the value, or of its very word, says more than "none of these types".
    wanted = next((one for one in refusals if one.param != path or one.code == "invalid_value"), None)
    if wanted is not None:
        raise wanted
    raise _wrong_type(
        path, value, [*(option for option in others if isinstance(option, type)), *([dict] if models else [])]
    )


def _check_model_union(value: JsonObject, models: Sequence[type[BaseModel]], *, path: str) -> None:
    candidates = list(models)
    for key in _DISCRIMINATORS:
        named = [model for model in candidates if key in model.model_fields]
        if len(candidates) < 2 or not named:
            continue
        if key not in value:
            raise _missing(f"{path}.{key}")
        _check_type(value[key], str, path=f"{path}.{key}")
        words = {word for model in named for word in _literal_words(model.model_fields[key].annotation)}
        if value[key] not in words:
            raise refuse_value(f"{path}.{key}", value[key], supported=sorted(words))
        candidates = [m for m in named if value[key] in _literal_words(m.model_fields[key].annotation)]
    refusals: list[RequestError] = []
    for model in candidates:
        try:
            _check_model(value, model, path=path)
        except RequestError as refusal:
            refusals.append(refusal)
        else:
            return
    raise refusals[0]


def _flatten(options: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for option in options:
        inner = get_args(option)[0] if get_origin(option) is Annotated else option
        if get_origin(inner) in (Union, types.UnionType):
            flat += _flatten(get_args(inner))
        else:
            flat.append(inner)
    return flat


def _literal_words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for option in get_args(annotation) for word in _literal_words(option)]


def _check_literal(value: object, words: Sequence[object], *, path: str) -> None:
    if value in words and type(value) in {type(word) for word in words}:
        return
    if type(value) in {type(word) for word in words}:
        raise refuse_value(path, value, supported=words)
    raise _wrong_type(path, value, list({type(word) for word in words}))


def _check_type(value: object, wanted: type, *, path: str) -> None:
    fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and wanted is not bool):
        raise _wrong_type(path, value, [wanted])


def _missing(path: str) -> RequestError:
    return RequestError(f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path)


def _wrong_type(path: str, value: object, wanted: Sequence[type]) -> RequestError:
    names = " or ".join(dict.fromkeys(_NAMES.get(kind, kind.__name__) for kind in wanted))
    seen = _NAMES.get(type(value), type(value).__name__)
    return RequestError(
        f"Invalid type for '{path}': expected {names}, but got {seen} instead.", code="invalid_type", param=path
    )


def _enumerate(words: Sequence[object]) -> str:
    quoted = [f"'{word}'" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
