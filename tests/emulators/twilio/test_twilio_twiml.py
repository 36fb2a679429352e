"""TwiML is read strictly: what the schema does not know is told, not run (twilio.md §0.3, §3.6, §3.7)."""

from __future__ import annotations

import pytest

from emulators.twilio.twiml import Node, parse_document
from emulators.twilio.values import TwilioFault


def read(body: str) -> tuple[Node, list[str]]:
    warnings: list[str] = []
    return parse_document(body, warn=warnings.append), warnings


def test_agent_document_with_fallback_is_read_without_a_warning() -> None:
    root, warnings = read(
        """<?xml version="1.0" encoding="UTF-8"?><Response><Connect action="/agent/ended" method="POST">
        <Stream name="agent" statusCallback="https://voice.example.com/twilio/stream-status"
                url="wss://voice.example.com/ms/TENANT/CALLTOKEN"><Parameter name="agent_id" value="42"/></Stream>
        </Connect><Redirect method="POST">/twilio/after-agent</Redirect></Response>"""
    )
    assert warnings == []
    connect, redirect = root.children
    assert connect.children[0].children[0] == Node("Parameter", {"name": "agent_id", "value": "42"}, (), "")
    assert redirect.text == "/twilio/after-agent"


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ("<Sai>Hello</Sai>", "Response: <Sai> is not allowed here or not known to this double"),
        ('<Say voise="x">Hello</Say>', "Say: unknown attribute 'voise'"),
        ('<Connect><Stream url="wss://a/b" trak="x"/></Connect>', "Connect/Stream: unknown attribute 'trak'"),
        (
            '<Connect><Stream url="wss://a/b" track="inbound"/></Connect>',
            "Connect/Stream: attribute track='inbound' is not allowed",
        ),
        (
            '<Connect><Stream url="wss://a/b" statusCallback="/relative"/></Connect>',
            "Connect/Stream: attribute statusCallback='/relative' is not allowed",
        ),
        (
            '<Start><Recording recordingStatusCallback="/relative"/></Start>',
            "Start/Recording: attribute recordingStatusCallback='/relative' is not allowed",
        ),
        ('<Gather timeout="soon"/>', "Gather: attribute timeout='soon' is not allowed"),
        (
            "<Gather><Dial>+15005550006</Dial></Gather>",
            "Gather: <Dial> is not allowed here or not known to this double",
        ),
        ('<Dial record="both">+1</Dial>', "Dial: attribute record='both' is not allowed"),
        ('<Dial timeout="1">+1</Dial>', "Dial: attribute timeout='1' is not allowed"),
        ("<Hangup>now</Hangup>", "Hangup: text 'now' is not allowed here"),
        ("<Stop><Stream/></Stop>", "Stop/Stream: attribute 'name' is missing"),
        ('<Connect><Stream url="wss://a/b"><Parameter name="a"/></Stream></Connect>', "'value' is missing"),
    ],
)
def test_a_typo_is_named(body: str, warning: str) -> None:
    _, warnings = read(f"<Response>{body}</Response>")
    assert len(warnings) == 1
    assert warning in warnings[0]


@pytest.mark.parametrize("body", ["", "no xml", "<Response>", "<Answer/>", "<!DOCTYPE a><Response/>"])
def test_what_is_no_document_is_a_parse_failure(body: str) -> None:
    with pytest.raises(TwilioFault) as failure:
        read(body)
    assert failure.value.code == 12100
