"""Documents as the carrier reads them, literally: a typo in an attribute is silent there (twilio.md §0.3)."""

from __future__ import annotations

import pytest

from gateways.twiml import Document, TwimlError

HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def test_a_stream_with_its_ticket_and_what_comes_after() -> None:
    document = Document().connect_stream(
        "wss://media.example.com/media/p1/c1/",
        name="agent-1",
        status_callback="https://voice.example.com/hooks/twilio/stream/c1/#rc=2",
        parameters={"ticket": "a.b:c"},
    )
    assert document.redirect("https://voice.example.com/hooks/twilio/resume/c1/#rc=2").render() == (
        f'{HEAD}<Response><Connect><Stream name="agent-1"'
        ' statusCallback="https://voice.example.com/hooks/twilio/stream/c1/#rc=2" statusCallbackMethod="POST"'
        ' url="wss://media.example.com/media/p1/c1/"><Parameter name="ticket" value="a.b:c" /></Stream></Connect>'
        '<Redirect method="POST">https://voice.example.com/hooks/twilio/resume/c1/#rc=2</Redirect></Response>'
    )


def test_a_dial_with_limits_and_callbacks() -> None:
    document = Document().dial_number(
        "+15550001111",
        action="https://x.example/dial/",
        time_limit_s=3600,
        timeout_s=20,
        caller_id="+15550000000",
        status_callback="https://x.example/leg/",
    )
    assert document.render() == (
        f'{HEAD}<Response><Dial action="https://x.example/dial/" callerId="+15550000000" method="POST" timeLimit="3600"'
        ' timeout="20"><Number statusCallback="https://x.example/leg/"'
        ' statusCallbackEvent="initiated ringing answered completed" statusCallbackMethod="POST">+15550001111</Number>'
        "</Dial></Response>"
    )


def test_a_dial_without_the_optional_parts() -> None:
    document = Document().dial_number("+15550001111", action="https://x.example/", time_limit_s=60, timeout_s=20)
    assert document.render() == (
        f'{HEAD}<Response><Dial action="https://x.example/" method="POST" timeLimit="60" timeout="20">'
        "<Number>+15550001111</Number></Dial></Response>"
    )


def test_a_voicemail() -> None:
    document = (
        Document()
        .say("Please leave a message.", language="en-GB")
        .record(
            action="https://x.example/vm/",
            recording_status_callback="https://x.example/rec/",
            max_length_s=120,
            silence_s=5,
        )
        .hangup()
    )
    assert document.render() == (
        f'{HEAD}<Response><Say language="en-GB">Please leave a message.</Say>'
        '<Record action="https://x.example/vm/" maxLength="120" method="POST" playBeep="true"'
        ' recordingStatusCallback="https://x.example/rec/" recordingStatusCallbackEvent="completed absent"'
        ' recordingStatusCallbackMethod="POST" timeout="5" trim="trim-silence" /><Hangup /></Response>'
    )


def test_words_are_text_and_never_markup() -> None:
    assert Document().say("</Say><Dial>+1900</Dial> & so").render() == (
        f"{HEAD}<Response><Say>&lt;/Say&gt;&lt;Dial&gt;+1900&lt;/Dial&gt; &amp; so</Say></Response>"
    )


def test_small_verbs() -> None:
    assert Document().pause(2).render() == f'{HEAD}<Response><Pause length="2" /></Response>'
    assert Document().reject("busy").render() == f'{HEAD}<Response><Reject reason="busy" /></Response>'
    assert Document().say("  ").render() == f"{HEAD}<Response />"


@pytest.mark.parametrize(
    "url", ["https://x.example/media/", "wss://x.example/media/?ticket=1", "wss://x.example/media/#rc=2", ""]
)
def test_a_stream_address_that_the_carrier_would_misread_is_refused(url: str) -> None:
    with pytest.raises(TwimlError):
        Document().connect_stream(url, name="agent", status_callback="")


def test_a_parameter_that_the_carrier_would_drop_is_refused() -> None:
    with pytest.raises(TwimlError):
        Document().connect_stream("wss://x.example/", name="a", status_callback="", parameters={"ticket": "x" * 494})
    Document().connect_stream("wss://x.example/", name="a", status_callback="", parameters={"ticket": "x" * 493})


def test_a_document_beyond_the_carriers_size_is_refused() -> None:
    with pytest.raises(TwimlError):
        Document().say("x" * 64_001).render()


def test_a_reason_that_reject_does_not_know_is_refused() -> None:
    with pytest.raises(TwimlError):
        Document().reject("rude")


def test_an_attribute_we_do_not_emit_is_an_error_here() -> None:
    with pytest.raises(TypeError):
        Document().redirect("https://x.example/", metod="POST")  # type: ignore[call-arg]  # the typo under test
