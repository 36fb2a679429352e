"""Signatures against the literal vectors of twilio.md §1.3 and §3.4, and against the SDK's validator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from emulators.twilio.signing import sign_form, sign_request, sign_url

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
SECOND = "0123456789abcdef0123456789abcdef"


def params(caller: str) -> dict[str, str]:
    return {"CallSid": "CA1234567890ABCDE", "Caller": caller, "Digits": "1234", "From": caller, "To": "+18005551212"}


@pytest.mark.parametrize(
    ("url", "caller", "signature"),
    [
        (URL, "+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL, "+14158675310", "GvWf1cFY/Q7PnoempGyD5oXAezc="),
        ("https://example.com/myapp.php?foo=1&bar=2", "+14158675310", "L/OH5YylLD5NRKLltdqwSvS0BnU="),
    ],
)
def test_form_vectors_of_the_vendor(url: str, caller: str, signature: str) -> None:
    assert sign_form(url, params(caller).items(), token="12345") == signature


def test_second_form_vector() -> None:
    given_params = {
        "CallSid": "CA" + "0" * 32,
        "CallStatus": "ringing",
        "From": "+15005550006",
        "To": "+15005550001",
    }
    signed = sign_request("https://voice.example.com/twilio/voice/t1", given_params, method="POST", token=SECOND)
    assert signed == "0Zy1j7/oh9VsfzspDqhg5xHGd24="


def test_socket_handshake_vector() -> None:
    assert sign_url("wss://voice.example.com/ms/t1/abc", token=SECOND) == "W6bNJD+UjIYPEgD+RILZWmjkKU8="


@given(st.dictionaries(st.text(min_size=1), st.text()), st.sampled_from(["GET", "POST"]))
def test_the_sdk_accepts_what_we_sign(form: dict[str, str], method: str) -> None:
    signature = sign_request("https://voice.example.com/a?b=c", form, method=method, token=SECOND)
    validated = form if method == "POST" else {}
    assert RequestValidator(SECOND).validate("https://voice.example.com/a?b=c", validated, signature)
