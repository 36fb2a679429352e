"""One account at Twilio through its SDK: our hosts and limits, every failure a GatewayError. It knows no resource."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.response import Response
from twilio.rest import Client

from gateways.errors import GatewayError
from gateways.twilio_http import CarrierHosts, RoutedHttpClient

# Same values, same refusal: 4xx but for those that speak of time and load (twilio.md §0.2: 20429; 408 §4.5; 409 conflict).
RETRYABLE_STATUSES = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """Whoever speaks as one account inherits from this. Every request has a time limit; POSTs are never repeated (§0.2)."""

    account_sid: str
    auth_token: str = field(repr=False)
    hosts: CarrierHosts = field(default_factory=CarrierHosts)
    timeout_s: float = 10.0
    _client: Client = field(init=False, repr=False, compare=False)
    _http: RoutedHttpClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        http = RoutedHttpClient(self.hosts, timeout_s=self.timeout_s)
        # An environment of its own: a stray TWILIO_REGION or TWILIO_EDGE would move requests to another host (§0.3, 401).
        client = Client(self.account_sid, self.auth_token, http_client=http, environment={"": ""})
        object.__setattr__(self, "_http", http)
        object.__setattr__(self, "_client", client)

    @contextmanager
    def _speaking(self, action: str) -> Iterator[None]:
        """Turn whatever the SDK, the HTTP library or a stranger's answer raises into GatewayError, the token masked."""
        try:
            yield
        except GatewayError:
            raise
        except TwilioRestException as error:
            status = int(error.status or 0)
            # Without a code in the body the SDK repeats the HTTP status there (§0.3); that is no code of Twilio's.
            code = str(error.code) if error.code and error.code != status else ""
            raise self._refused(action, status=status, code=code, message=str(error.msg)) from None
        except requests.RequestException as error:
            raise GatewayError(self._masked(f"{action}: {type(error).__name__}: {error}"), permanent=False) from None
        except TwilioException as error:
            # A list that is refused comes as the bare exception with the response beside the text.
            response = error.args[1] if len(error.args) > 1 else None
            if not isinstance(response, Response) or response.status_code < 400:
                raise GatewayError(self._masked(f"{action}: unreadable answer: {error}"), permanent=False) from None
            code, message = _read_refusal(response.text)
            raise self._refused(action, status=response.status_code, code=code, message=message) from None
        except (ValueError, TypeError, KeyError) as error:
            # Not JSON, or JSON of another shape: a proxy's page, an outage. It may pass.
            raise GatewayError(self._masked(f"{action}: unreadable answer: {error}"), permanent=False) from None

    def _refused(self, action: str, *, status: int, code: str, message: str) -> GatewayError:
        text = f"{action}: HTTP {status}{f' ({code})' if code else ''}: {message}"
        permanent = 400 <= status < 500 and status not in RETRYABLE_STATUSES
        return GatewayError(self._masked(text), permanent=permanent, code=code, status=status)

    def _masked(self, text: str) -> str:
        return text.replace(self.auth_token, "***")[:500] if self.auth_token else text[:500]


def text_reader(row: object) -> Callable[[str], str]:
    """Fields of an SDK row as text; null is empty (§0.2: almost every number is a string)."""

    def read(name: str) -> str:
        value = getattr(row, name, None)
        return "" if value is None else str(value)

    return read


def _read_refusal(body: str) -> tuple[str, str]:
    """Code and message of an error body (§0.2); a stranger's page has neither."""
    try:
        given = json.loads(body)
    except ValueError:
        return "", "no error body"
    if not isinstance(given, dict):
        return "", "no error body"
    return str(given.get("code") or ""), str(given.get("message") or "")


def read_decimal(text: str) -> Decimal | None:
    """Nothing is None. Raises ValueError for what is no number, which `_speaking` turns into an unreadable answer."""
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        raise ValueError(f"price {text!r}") from None
