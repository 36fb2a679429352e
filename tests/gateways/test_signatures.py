"""Signatures against the vectors of twilio.md §1.3 and §3.4."""

from __future__ import annotations

import pytest

from gateways.signatures import check_signature, make_signature

TOKEN = "0123456789abcdef0123456789abcdef"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
OTHER = {**FORM, "Caller": "+14158675310", "From": "+14158675310"}
LOCAL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VOICE_FORM = {
    "CallSid": "CA" + "0" * 32,
    "CallStatus": "ringing",
    "From": "+15005550006",
    "To": "+15005550001",
}
VECTORS = [
    ("12345", LOCAL, FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ("12345", LOCAL, OTHER, "GvWf1cFY/Q7PnoempGyD5oXAezc="),
    ("12345", "https://example.com/myapp.php?foo=1&bar=2", OTHER, "L/OH5YylLD5NRKLltdqwSvS0BnU="),
    (TOKEN, "https://voice.example.com/twilio/voice/t1", VOICE_FORM, "0Zy1j7/oh9VsfzspDqhg5xHGd24="),
    (TOKEN, "wss://voice.example.com/ms/t1/abc", {}, "W6bNJD+UjIYPEgD+RILZWmjkKU8="),
]


@pytest.mark.parametrize(("token", "url", "form", "signature"), VECTORS)
def test_known_vectors_hold_and_any_change_breaks_them(
    token: str, url: str, form: dict[str, str], signature: str
) -> None:
    assert make_signature(url, form, token) == signature
    assert check_signature(url, form, signature, [token])
    assert not check_signature(url + "x", form, signature, [token])
    assert not check_signature(url, {**form, "Extra": ""}, signature, [token])
    assert not check_signature(url, form, signature, ["another"])
    assert not check_signature(url, form, signature[:-2] + "A=", [token])


def test_either_token_of_a_rotation_is_accepted() -> None:
    signature = make_signature(LOCAL, FORM, "old")
    assert check_signature(LOCAL, FORM, signature, ["new", "old"])
    assert not check_signature(LOCAL, FORM, signature, ["new"])


@pytest.mark.parametrize("signature", ["", "é" * 28, "A" * 10_000])
def test_what_cannot_be_a_signature_is_none(signature: str) -> None:
    assert not check_signature(LOCAL, FORM, signature, ["12345"])


def test_no_token_signs_nothing() -> None:
    assert not check_signature(LOCAL, FORM, make_signature(LOCAL, FORM, ""), ["", ""])
    assert not check_signature(LOCAL, FORM, make_signature(LOCAL, FORM, "12345"), [])


def test_repeated_names_count_with_each_value() -> None:
    form = {"Event": ["b", "a"]}
    signature = make_signature(LOCAL, form, "12345")
    assert check_signature(LOCAL, {"Event": ["a", "b"]}, signature, ["12345"])
    assert not check_signature(LOCAL, {"Event": ["a"]}, signature, ["12345"])
