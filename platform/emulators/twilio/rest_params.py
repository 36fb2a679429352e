"""REST parameters: which exist, what they may hold, and the code of a wrong one (twilio.md §4, §5.2). Tables only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from multidict import MultiMapping

from emulators.twilio.schema import Check, is_absolute_url
from emulators.twilio.values import TwilioFault
from emulators.twilio.webhooks import check_url, split_overrides

MAX_TWIML_CHARACTERS = 4000  # §4.1, 32018


@dataclass(frozen=True, slots=True)
class Param:
    check: Check
    code: int = 20001  # "invalid parameter"; the code of §4.8 where there is one
    repeated: bool = False


def _is_webhook(value: str) -> bool:
    try:
        check_url(split_overrides(value)[0])
    except TwilioFault:
        return False
    return True


def _whole(low: int, high: int) -> Check:
    return lambda value: value.isascii() and value.isdigit() and low <= int(value) <= high


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _matches(expression: str) -> Check:
    compiled = re.compile(expression)
    return lambda value: compiled.fullmatch(value) is not None


def _text(value: str) -> bool:
    return True


_METHOD = Param(_one_of("GET", "POST"), 21209)
_URL = Param(_is_webhook, 21205)
_BOOLEAN = Param(_one_of("true", "false", "True", "False"))
_TEXT = Param(_text)
_RECORDING = {
    "RecordingChannels": Param(_one_of("mono", "dual")),
    "RecordingTrack": Param(_one_of("both", "inbound", "outbound")),
    "RecordingStatusCallback": _URL,
    "RecordingStatusCallbackMethod": _METHOD,
    "RecordingStatusCallbackEvent": Param(_one_of("in-progress", "completed", "absent"), repeated=True),
    "RecordingConfigurationId": _TEXT,
    "Trim": Param(_one_of("trim-silence", "do-not-trim")),
}

CREATE_CALL: Mapping[str, Param] = {  # §4.1, codes §4.8
    "To": Param(_matches(r"\+[1-9]\d{1,14}|sip:.+|client:.+"), 21211),
    "From": Param(_matches(r"\+[1-9]\d{1,14}|sip:.+|client:.+"), 21212),
    "Url": _URL,
    "Method": _METHOD,
    "Twiml": _TEXT,
    "ApplicationSid": Param(_matches(r"AP[0-9a-f]{32}"), 21218),
    "FallbackUrl": _URL,
    "FallbackMethod": _METHOD,
    "StatusCallback": _URL,
    "StatusCallbackMethod": _METHOD,
    "StatusCallbackEvent": Param(_one_of("initiated", "ringing", "answered", "completed"), repeated=True),
    "Timeout": Param(_whole(1, 600), 21208),
    "TimeLimit": Param(_whole(1, 86_400)),
    "SendDigits": Param(_matches(r"[0-9A-D#*wW]{1,32}"), 21206),
    "Record": _BOOLEAN,
    **_RECORDING,
    "MachineDetection": Param(_one_of("Enable", "DetectMessageEnd"), 21263),
    "MachineDetectionTimeout": Param(_whole(3, 59), 21263),
    "MachineDetectionSpeechThreshold": Param(_whole(1000, 6000), 21263),
    "MachineDetectionSpeechEndThreshold": Param(_whole(500, 5000), 21263),
    "MachineDetectionSilenceTimeout": Param(_whole(2000, 10_000), 21263),
    "AsyncAmd": Param(_one_of("true", "false"), 21263),
    "AsyncAmdStatusCallback": _URL,
    "AsyncAmdStatusCallbackMethod": _METHOD,
    "SipAuthUsername": _TEXT,
    "SipAuthPassword": _TEXT,
    "CallerId": _TEXT,
    "CallReason": _TEXT,
    "CallToken": _TEXT,
    "Byoc": _TEXT,
    "ClientNotificationUrl": _URL,
    "Passports": _TEXT,
}

UPDATE_CALL: Mapping[str, Param] = {  # §4.3
    "Url": _URL,
    "Method": _METHOD,
    "Twiml": _TEXT,
    "Status": Param(_one_of("canceled", "completed")),
    "FallbackUrl": _URL,
    "FallbackMethod": _METHOD,
    "StatusCallback": _URL,
    "StatusCallbackMethod": _METHOD,
    "TimeLimit": Param(_whole(1, 86_400)),
}

LIST_CALLS: Mapping[str, Param] = {  # §4.2
    "To": _TEXT,
    "From": _TEXT,
    "ParentCallSid": _TEXT,
    "Status": Param(
        _one_of("queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled")
    ),
    **{f"{side}Time{sign}": _TEXT for side in ("Start", "End") for sign in ("", "<", ">")},
}

CREATE_RECORDING: Mapping[str, Param] = _RECORDING  # §4.5
UPDATE_RECORDING: Mapping[str, Param] = {
    "Status": Param(_one_of("paused", "in-progress", "stopped")),
    "PauseBehavior": Param(_one_of("skip", "silence")),
}
LIST_RECORDINGS: Mapping[str, Param] = {
    "CallSid": _TEXT,
    "ConferenceSid": _TEXT,
    "IncludeSoftDeleted": _BOOLEAN,
    **{f"DateCreated{sign}": _TEXT for sign in ("", "<", ">")},
}

CREATE_STREAM: Mapping[str, Param] = {  # §4.4
    "Url": Param(_matches(r"wss?://.+"), 31922),
    "Name": _TEXT,
    "Track": Param(_one_of("inbound_track", "outbound_track", "both_tracks")),
    "StatusCallback": Param(is_absolute_url, 21205),
    "StatusCallbackMethod": _METHOD,
    **{f"Parameter{index}.{part}": _TEXT for index in range(1, 100) for part in ("Name", "Value")},
}
UPDATE_STREAM: Mapping[str, Param] = {"Status": Param(_one_of("stopped"))}

_VOICE_URL = Param(lambda value: not value or _is_webhook(value), 21402)
UPDATE_NUMBER: Mapping[str, Param] = {  # §5.2
    "AccountSid": Param(_matches(r"AC[0-9a-f]{32}")),
    "FriendlyName": Param(lambda value: len(value) <= 64),
    "VoiceUrl": _VOICE_URL,
    "VoiceMethod": Param(_one_of("GET", "POST"), 21403),
    "VoiceFallbackUrl": _VOICE_URL,
    "VoiceFallbackMethod": Param(_one_of("GET", "POST"), 21403),
    "VoiceApplicationSid": Param(_matches(r"(AP[0-9a-f]{32})?")),
    "VoiceCallerIdLookup": _BOOLEAN,
    "VoiceReceiveMode": Param(_one_of("voice", "fax")),
    "TrunkSid": Param(_matches(r"(TK[0-9a-f]{32})?")),
    "StatusCallback": _VOICE_URL,
    "StatusCallbackMethod": Param(_one_of("GET", "POST"), 21403),
    "SmsUrl": _VOICE_URL,
    "SmsMethod": Param(_one_of("GET", "POST"), 21403),
    "SmsFallbackUrl": _VOICE_URL,
    "SmsFallbackMethod": Param(_one_of("GET", "POST"), 21403),
    "SmsApplicationSid": _TEXT,
    "ApiVersion": _TEXT,
    "AddressSid": _TEXT,
    "BundleSid": _TEXT,
    "IdentitySid": _TEXT,
    "EmergencyStatus": Param(_one_of("Active", "Inactive")),
    "EmergencyAddressSid": _TEXT,
}
BUY_NUMBER: Mapping[str, Param] = {
    **{name: param for name, param in UPDATE_NUMBER.items() if name != "AccountSid"},
    "PhoneNumber": Param(_matches(r"\+[1-9]\d{6,14}"), 21421),
    "AreaCode": Param(_matches(r"\d{3}"), 21451),
}
SEARCH_NUMBERS: Mapping[str, Param] = {  # §5.1
    "AreaCode": Param(_matches(r"\d{3}"), 21451),
    "Contains": Param(_matches(r"[0-9A-Za-z*%+$]{2,16}"), 21421),
    **dict.fromkeys(("InRegion", "InLocality", "InPostalCode", "InRateCenter", "InLata"), _TEXT),
    **dict.fromkeys(("NearNumber", "NearLatLong"), _TEXT),
    "Distance": Param(_whole(0, 500)),
    **dict.fromkeys(("VoiceEnabled", "SmsEnabled", "MmsEnabled", "FaxEnabled", "Beta"), _BOOLEAN),
    **{f"Exclude{who}AddressRequired": _BOOLEAN for who in ("All", "Local", "Foreign")},
}
LIST_NUMBERS: Mapping[str, Param] = {
    "PhoneNumber": _TEXT,
    "FriendlyName": _TEXT,
    "Origin": _TEXT,
    "Beta": _BOOLEAN,
}
UPDATE_ACCOUNT: Mapping[str, Param] = {
    "FriendlyName": _TEXT,
    "Status": Param(_one_of("active", "suspended", "closed")),
}
CREATE_ACCOUNT: Mapping[str, Param] = {"FriendlyName": Param(lambda value: len(value) <= 64)}
LIST_ACCOUNTS: Mapping[str, Param] = {"FriendlyName": _TEXT, "Status": _TEXT}
_CATEGORY = Param(
    _one_of("totalprice", "calls", "calls-inbound", "calls-outbound", "sms", "recordings", "phonenumbers")
)
LIST_TRIGGERS: Mapping[str, Param] = {"UsageCategory": _CATEGORY, "Recurring": _TEXT, "TriggerBy": _TEXT}
CREATE_TRIGGER: Mapping[str, Param] = {  # §6.3
    "CallbackUrl": _URL,
    "CallbackMethod": _METHOD,
    "TriggerValue": Param(_matches(r"\+?\d+(\.\d+)?")),
    "UsageCategory": _CATEGORY,
    "FriendlyName": Param(lambda value: len(value) <= 64),
    "Recurring": Param(_one_of("daily", "monthly", "yearly", "alltime")),
    "TriggerBy": Param(_one_of("count", "usage", "price")),
}
_COUNTRY = Param(_matches(r"[A-Z]{2}"))
LIST_ADDRESSES: Mapping[str, Param] = {"IsoCountry": _COUNTRY, "CustomerName": _TEXT, "FriendlyName": _TEXT}
CREATE_ADDRESS: Mapping[str, Param] = {
    **dict.fromkeys(("CustomerName", "Street", "StreetSecondary", "City", "Region", "PostalCode"), _TEXT),
    "IsoCountry": _COUNTRY,
    "FriendlyName": Param(lambda value: len(value) <= 64),
    "EmergencyEnabled": _BOOLEAN,
    "AutoCorrectAddress": _BOOLEAN,
}
_REGULATED = Param(_one_of("local", "mobile", "national", "toll-free"))
_END_USER = Param(_one_of("business", "individual"))
LIST_REGULATIONS: Mapping[str, Param] = {  # §5.5
    "IsoCountry": _COUNTRY,
    "NumberType": _REGULATED,
    "EndUserType": _END_USER,
    "IncludeConstraints": _BOOLEAN,
}
LIST_BUNDLES: Mapping[str, Param] = {"IsoCountry": _COUNTRY, "NumberType": _REGULATED, "Status": _TEXT}
LIST_DIALED_COUNTRIES: Mapping[str, Param] = {
    "IsoCode": _COUNTRY,
    "Continent": _TEXT,
    "CountryCode": _TEXT,
    **{f"{risk}Enabled": _BOOLEAN for risk in ("LowRiskNumbers", "HighRiskSpecialNumbers", "HighRiskTollfraudNumbers")},
}
UPDATE_DIALED_COUNTRIES: Mapping[str, Param] = {"UpdateRequest": _TEXT}
UPDATE_DIALING_SETTINGS: Mapping[str, Param] = {"DialingPermissionsInheritance": _BOOLEAN}
_PAGING: Mapping[str, Param] = {
    "PageSize": Param(_whole(1, 1000)),
    "Page": Param(_whole(0, 1_000_000)),
    "PageToken": _TEXT,
}


def check_params(given: MultiMapping[str], table: Mapping[str, Param], *, paged: bool = False) -> dict[str, str]:
    """The parameters as text, repeated ones joined by a blank. Raises TwilioFault with the parameter's code."""
    known = {**table, **_PAGING} if paged else table
    checked: dict[str, str] = {}
    for name in dict.fromkeys(given):
        param = known.get(name)
        if param is None:
            raise TwilioFault(20001, f"unknown parameter {name!r}")
        values = given.getall(name)
        if len(values) > 1 and not param.repeated:
            raise TwilioFault(20001, f"parameter {name!r} was given {len(values)} times")
        for value in values:
            if not param.check(value):
                raise TwilioFault(param.code, f"invalid value for {name}: {value[:200]!r}")
        checked[name] = " ".join(values)
    return checked
