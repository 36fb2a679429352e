"""The double's tables against what the vendor's own package publishes: no parameter and no attribute is missing or invented."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping

import pytest
from twilio.rest.api.v2010.account.call import CallContext, CallList
from twilio.rest.api.v2010.account.call.recording import RecordingContext, RecordingList
from twilio.rest.api.v2010.account.call.stream import StreamList
from twilio.rest.api.v2010.account.incoming_phone_number import IncomingPhoneNumberContext
from twilio.twiml.voice_response import Connect, Dial, Gather, Start, Stop, Stream, VoiceResponse

from emulators.twilio import rest_params
from emulators.twilio.rest_params import Param
from emulators.twilio.schema import SHAPES

_NOT_ATTRIBUTES = {"message", "phone_number", "sip_url", "number"}  # the element's text
_TEXT_OF = {"Play": "url", "Redirect": "url", "Gather/Play": "url"}


def parameters_of(method: Callable[..., object]) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name not in {"self", "kwargs"}]


def to_pascal(name: str) -> str:
    if match := re.fullmatch(r"parameter(\d+)_(name|value)", name):
        return f"Parameter{match[1]}.{match[2].title()}"
    return "".join(part.title() for part in name.split("_"))


def to_camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


@pytest.mark.parametrize(
    ("method", "table"),
    [
        (CallList.create, rest_params.CREATE_CALL),
        (CallContext.update, rest_params.UPDATE_CALL),
        (RecordingList.create, rest_params.CREATE_RECORDING),
        (RecordingContext.update, rest_params.UPDATE_RECORDING),
        (StreamList.create, rest_params.CREATE_STREAM),
        (IncomingPhoneNumberContext.update, rest_params.UPDATE_NUMBER),
    ],
    ids=["create call", "update call", "create recording", "update recording", "create stream", "update number"],
)
def test_rest_parameters_are_those_of_the_vendor(method: Callable[..., object], table: Mapping[str, Param]) -> None:
    assert set(table) == {to_pascal(name) for name in parameters_of(method)}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("Say", VoiceResponse.say),
        ("Play", VoiceResponse.play),
        ("Pause", VoiceResponse.pause),
        ("Gather", VoiceResponse.gather),
        ("Gather/Say", Gather.say),
        ("Gather/Play", Gather.play),
        ("Gather/Pause", Gather.pause),
        ("Record", VoiceResponse.record),
        ("Redirect", VoiceResponse.redirect),
        ("Reject", VoiceResponse.reject),
        ("Dial", VoiceResponse.dial),
        ("Dial/Number", Dial.number),
        ("Dial/Sip", Dial.sip),
        ("Connect", VoiceResponse.connect),
        ("Connect/Stream/Parameter", Stream.parameter),
        ("Start", VoiceResponse.start),
        ("Start/Recording", Start.recording),
    ],
)
def test_twiml_attributes_are_those_of_the_vendor(path: str, method: Callable[..., object]) -> None:
    published = {to_camel(name) for name in parameters_of(method)} - {to_camel(name) for name in _NOT_ATTRIBUTES}
    published.discard(_TEXT_OF.get(path, ""))
    assert set(SHAPES[path].attributes) == published


@pytest.mark.parametrize(("path", "method"), [("Connect/Stream", Connect.stream), ("Start/Stream", Start.stream)])
def test_stream_takes_all_attributes_but_the_undocumented_ones(path: str, method: Callable[..., object]) -> None:
    published = {to_camel(name) for name in parameters_of(method)}
    assert set(SHAPES[path].attributes) == published - {"audioFormat", "sampleRate"}  # §1.2: do not depend on them


def test_stop_needs_nothing_but_the_name() -> None:
    assert set(SHAPES["Stop/Stream"].attributes) <= {to_camel(name) for name in parameters_of(Stop.stream)}


def test_every_noun_of_every_verb_has_a_shape() -> None:
    for path, shape in SHAPES.items():
        for child in shape.children:
            assert (child if path == "Response" else f"{path}/{child}") in SHAPES
