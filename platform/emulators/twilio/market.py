"""The numbers this double has for sale, by country and kind, with prices and what each country asks. Data and arithmetic, no server.

Which numbers exist follows from the search itself, so that a search repeated finds the same ones until they are bought.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

SAMPLE = 400  # how many numbers of one place are looked through for a pattern


@dataclass(frozen=True, slots=True)
class Place:
    area: str  # digits behind the country code
    locality: str
    region: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of number in one country. Prices are those of twilio.md §10 where it has them, else made up."""

    places: tuple[Place, ...]
    digits: int  # behind the area
    price: str
    capabilities: tuple[str, ...] = ("voice", "sms")
    address_requirements: str = "none"
    needs_bundle: bool = False


@dataclass(frozen=True, slots=True)
class Country:
    name: str
    code: str
    currency: str
    kinds: dict[str, Kind]


@dataclass(frozen=True, slots=True)
class Offer:
    e164: str
    country: str
    kind: str
    place: Place
    about: Kind


_TOLL_FREE = Kind((Place("800", "", ""), Place("888", "", ""), Place("877", "", "")), 7, "2.15")
_US_PLACES = (
    Place("212", "New York", "NY"),
    Place("206", "Seattle", "WA"),
    Place("312", "Chicago", "IL"),
    Place("415", "San Francisco", "CA"),
    Place("512", "Austin", "TX"),
    Place("617", "Boston", "MA"),
    Place("305", "Miami", "FL"),
)
COUNTRIES: dict[str, Country] = {
    "US": Country(
        "United States",
        "1",
        "USD",
        {"local": Kind(_US_PLACES, 7, "1.15", ("voice", "sms", "mms")), "toll_free": _TOLL_FREE},
    ),
    "CA": Country(
        "Canada",
        "1",
        "USD",
        {"local": Kind((Place("416", "Toronto", "ON"), Place("604", "Vancouver", "BC")), 7, "1.15")},
    ),
    "GB": Country(
        "United Kingdom",
        "44",
        "USD",
        {
            "local": Kind((Place("20", "London", ""), Place("161", "Manchester", "")), 8, "1.15", ("voice",), "any"),
            "mobile": Kind((Place("7700", "", ""),), 6, "1.15"),
            "toll_free": Kind((Place("800", "", ""),), 7, "2.15", ("voice",)),
        },
    ),
    "NL": Country(
        "Netherlands",
        "31",
        "USD",
        {
            "local": Kind((Place("20", "Amsterdam", ""), Place("10", "Rotterdam", "")), 7, "1.35", ("voice",), "local"),
            "mobile": Kind((Place("97", "", ""),), 7, "6.00", needs_bundle=True),
        },
    ),
    "DE": Country(
        "Germany",
        "49",
        "USD",
        {
            "local": Kind(
                (Place("30", "Berlin", ""), Place("89", "München", "")),
                8,
                "1.15",
                ("voice",),
                "local",
                needs_bundle=True,
            ),
            "mobile": Kind((Place("1573", "", ""),), 7, "6.50", needs_bundle=True),
        },
    ),
    "AU": Country(
        "Australia",
        "61",
        "USD",
        {
            "local": Kind((Place("2", "Sydney", "NSW"), Place("3", "Melbourne", "VIC")), 8, "3.00", ("voice",), "any"),
            "mobile": Kind((Place("4", "", ""),), 8, "6.50", address_requirements="any"),
        },
    ),
}
_LETTERS = {
    letter: digit
    for digit, letters in zip("23456789", ("abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz"), strict=True)
    for letter in letters
}


def find_offers(
    country: str, kind: str, *, area_code: str = "", contains: str = "", locality: str = ""
) -> Iterator[Offer]:
    """What is on sale there, always in the same order. Empty when the area is unknown."""
    about = COUNTRIES[country].kinds[kind]
    for place in about.places:
        if area_code and place.area != area_code:
            continue
        if locality and locality.lower() not in place.locality.lower():
            continue
        for e164 in _numbers(country, place, about):
            if not contains or _holds(e164, contains):
                yield Offer(e164, country, kind, place, about)


def find_offer(e164: str) -> Offer | None:
    """The offer of exactly this number."""
    for iso, country in COUNTRIES.items():
        if not e164.startswith(f"+{country.code}"):
            continue
        for kind, about in country.kinds.items():
            for place in about.places:
                start = f"+{country.code}{place.area}"
                if e164.startswith(start) and len(e164) == len(start) + about.digits:
                    return Offer(e164, iso, kind, place, about)
    return None


def country_of(e164: str) -> str:
    """The country a number belongs to; "" for one the double does not know. +1 is told apart by the area."""
    offer = find_offer(e164)
    if offer is not None:
        return offer.country
    codes = sorted(((country.code, iso) for iso, country in COUNTRIES.items()), key=lambda pair: -len(pair[0]))
    return next((iso for code, iso in codes if e164.startswith(f"+{code}")), "")


def _numbers(country: str, place: Place, about: Kind) -> Iterator[str]:
    seed = hashlib.sha256(f"{country}{place.area}{about.digits}".encode()).digest()
    dice = random.Random(seed)
    for _ in range(SAMPLE):
        first = str(dice.randint(2, 9))  # no subscriber number begins with 0 or 1 in North America
        rest = "".join(str(dice.randint(0, 9)) for _ in range(about.digits - 1))
        yield f"+{COUNTRIES[country].code}{place.area}{first}{rest}"


def _holds(e164: str, pattern: str) -> bool:
    """§5.1: digits, letters as on a keypad, `*` for any digit."""
    digits = e164.removeprefix("+")
    wanted = "".join(_LETTERS.get(character.lower(), character) for character in pattern if character not in "+%$")
    return any(
        all(want in ("*", have) for want, have in zip(wanted, digits[start:], strict=False))
        for start in range(len(digits) - len(wanted) + 1)
    )
