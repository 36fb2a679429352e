"""The TwiML this double knows: verbs, nouns, attributes and the values they take, each with its section. Data only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Check = Callable[[str], bool]


def _whole(low: int, high: int) -> Check:
    return lambda value: value.isascii() and value.isdigit() and low <= int(value) <= high


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _words_of(*values: str) -> Check:
    return lambda value: bool(value.split()) and set(value.split()) <= set(values)


def _pattern(expression: str) -> Check:
    compiled = re.compile(expression)
    return lambda value: compiled.fullmatch(value) is not None


def is_absolute_url(value: str) -> bool:
    parts = urlsplit(value)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _any(value: str) -> bool:
    return True


def _url(value: str) -> bool:
    return bool(value) and not any(character.isspace() for character in value)


_METHOD = _one_of("GET", "POST")
_BOOLEAN = _one_of("true", "false")
_CALL_EVENTS = _words_of("initiated", "ringing", "answered", "completed")  # §3.5
_RECORDING_EVENTS = _words_of("in-progress", "completed", "absent")  # §4.1
_TRIM = _one_of("trim-silence", "do-not-trim")
_DETECTION = {
    "machineDetection": _one_of("Enable", "DetectMessageEnd"),
    "machineDetectionTimeout": _whole(3, 60),
    "machineDetectionSpeechThreshold": _whole(1000, 6000),
    "machineDetectionSpeechEndThreshold": _whole(500, 5000),
    "machineDetectionSilenceTimeout": _whole(2000, 10000),
    "amdStatusCallback": _url,
    "amdStatusCallbackMethod": _METHOD,
}  # §3.6
_RECORDING_CALLBACK = {
    "recordingStatusCallback": _url,
    "recordingStatusCallbackMethod": _METHOD,
    "recordingStatusCallbackEvent": _RECORDING_EVENTS,
}
_LEG = {
    "url": _url,
    "method": _METHOD,
    "statusCallback": _url,
    "statusCallbackMethod": _METHOD,
    "statusCallbackEvent": _CALL_EVENTS,
    **_DETECTION,
}
_STREAM = {
    "name": _any,
    "connectorName": _any,
    "url": _any,  # its own codes: 31922, 31923
    "track": _one_of("inbound_track", "outbound_track", "both_tracks"),
    "statusCallback": is_absolute_url,  # §1.2: absolute
    "statusCallbackMethod": _METHOD,
}


@dataclass(frozen=True, slots=True)
class Shape:
    attributes: dict[str, Check] = field(default_factory=dict)
    children: frozenset[str] = frozenset()
    text: bool = False
    required: frozenset[str] = frozenset()


VERBS = frozenset(  # what this double runs
    {"Say", "Play", "Pause", "Gather", "Record", "Redirect", "Hangup", "Reject", "Dial", "Connect", "Start", "Stop"}
)
_PARAMETER = Shape({"name": _any, "value": _any}, required=frozenset({"name", "value"}))
_SAY = Shape({"voice": _any, "language": _any, "loop": _whole(0, 1000)}, text=True)
_PLAY = Shape({"loop": _whole(0, 1000), "digits": _pattern(r"[0-9A-D#*wW]+")}, text=True)
_PAUSE = Shape({"length": _whole(0, 86400)})

# The noun's own shape depends on the verb around it: "Connect/Stream".
SHAPES: dict[str, Shape] = {
    "Response": Shape(children=VERBS),
    "Say": _SAY,
    "Play": _PLAY,
    "Pause": _PAUSE,
    "Gather": Shape(  # §3.7
        {
            "input": _words_of("dtmf", "speech"),
            "action": _url,
            "method": _METHOD,
            "timeout": _whole(0, 3600),
            "speechTimeout": lambda value: value == "auto" or _whole(0, 3600)(value),
            "maxSpeechTime": _whole(1, 60),
            "numDigits": _whole(1, 100),
            "finishOnKey": _pattern(r"[0-9#*]?"),
            "language": _any,
            "hints": _any,
            "profanityFilter": _BOOLEAN,
            "partialResultCallback": _url,
            "partialResultCallbackMethod": _METHOD,
            "bargeIn": _BOOLEAN,
            "actionOnEmptyResult": _BOOLEAN,
            "speechModel": _any,
            "enhanced": _BOOLEAN,
            "debug": _BOOLEAN,
        },
        children=frozenset({"Say", "Play", "Pause"}),
    ),
    "Gather/Say": _SAY,
    "Gather/Play": _PLAY,
    "Gather/Pause": _PAUSE,
    "Record": Shape(  # §3.7
        {
            "action": _url,
            "method": _METHOD,
            "timeout": _whole(0, 3600),
            "finishOnKey": _pattern(r"[0-9*#]*"),
            "maxLength": _whole(1, 14400),
            "playBeep": _BOOLEAN,
            "trim": _TRIM,
            "transcribe": _BOOLEAN,
            "transcribeCallback": _url,
            "recordingConfigurationId": _any,
            **_RECORDING_CALLBACK,
        }
    ),
    "Redirect": Shape({"method": _METHOD}, text=True),
    "Hangup": Shape(children=frozenset({"Parameter"})),
    "Hangup/Parameter": _PARAMETER,
    "Reject": Shape({"reason": _one_of("rejected", "busy")}, children=frozenset({"Parameter"})),
    "Reject/Parameter": _PARAMETER,
    "Dial": Shape(  # §3.6
        {
            "action": _url,
            "method": _METHOD,
            "timeout": _whole(5, 600),
            "hangupOnStar": _BOOLEAN,
            "timeLimit": _whole(1, 86400),
            "callerId": _any,
            "record": _one_of(
                "do-not-record",
                "true",
                "false",
                "record-from-answer",
                "record-from-ringing",
                "record-from-answer-dual",
                "record-from-ringing-dual",
            ),
            "trim": _TRIM,
            "recordingTrack": _one_of("both", "inbound", "outbound"),
            "recordingConfigurationId": _any,
            "answerOnBridge": _BOOLEAN,
            "ringTone": _any,
            "sequential": _BOOLEAN,
            "referUrl": _url,
            "referMethod": _METHOD,
            "events": _any,
            "passports": _any,
            **_RECORDING_CALLBACK,
        },
        children=frozenset({"Number", "Sip"}),
        text=True,
    ),
    "Dial/Number": Shape(_LEG | {"sendDigits": _pattern(r"[0-9A-D#*wW]+"), "byoc": _any}, text=True),
    "Dial/Sip": Shape(_LEG | {"username": _any, "password": _any}, text=True),
    "Connect": Shape({"action": _url, "method": _METHOD}, children=frozenset({"Stream"})),
    "Connect/Stream": Shape(_STREAM, children=frozenset({"Parameter"})),  # §1.2
    "Connect/Stream/Parameter": _PARAMETER,
    "Start": Shape({"action": _url, "method": _METHOD}, children=frozenset({"Stream", "Recording"})),
    "Start/Stream": Shape(_STREAM, children=frozenset({"Parameter"})),
    "Start/Stream/Parameter": _PARAMETER,
    "Start/Recording": Shape(  # §3.7; callback absolute, §3.2
        {
            "recordingStatusCallback": is_absolute_url,
            "recordingStatusCallbackMethod": _METHOD,
            "recordingStatusCallbackEvent": _RECORDING_EVENTS,
            "trim": _TRIM,
            "track": _one_of("both", "inbound", "outbound"),
            "channels": _one_of("mono", "dual"),
            "recordingConfigurationId": _any,
        }
    ),
    "Stop": Shape(children=frozenset({"Stream"})),
    "Stop/Stream": Shape({"name": _any}, required=frozenset({"name"})),
}
