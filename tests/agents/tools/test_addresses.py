"""The classes of addresses: only public unicast ones may be reached, however they are written or wrapped."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.tools.addresses import find_address_fault

CLOSED_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip

closed_v4 = st.sampled_from(CLOSED_V4).flatmap(
    lambda network: st.integers(0, IPv4Network(network).num_addresses - 1).map(
        lambda offset: IPv4Address(int(IPv4Network(network).network_address) + offset)
    )
)
any_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
any_v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
wrappers = st.sampled_from(["::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001:0::/32", "2600:1f18::5efe:0:0/96"])


def wrap(address: IPv4Address, prefix: str) -> IPv6Address:
    """The IPv6 address that carries this IPv4 address under the given scheme."""
    base, value = int(IPv6Address(prefix.partition("/")[0])), int(address)
    if prefix.startswith("2002"):
        return IPv6Address(base | value << 80)
    if prefix.startswith("2001:0"):
        return IPv6Address(base | (value ^ 0xFFFFFFFF))  # Teredo stores the client's address inverted
    return IPv6Address(base | value)


@given(closed_v4)
def test_no_closed_ipv4_block_can_be_reached(address: IPv4Address) -> None:
    assert find_address_fault(str(address)) is not None


@given(closed_v4, wrappers)
def test_no_closed_ipv4_address_can_be_reached_inside_an_ipv6_address(address: IPv4Address, prefix: str) -> None:
    assert find_address_fault(str(wrap(address, prefix))) is not None


@given(any_v4)
def test_whatever_python_calls_private_is_closed_to_tools(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert find_address_fault(str(address)) is not None


@given(any_v4)
def test_mapped_and_translated_addresses_are_judged_by_what_they_carry(address: IPv4Address) -> None:
    plain = find_address_fault(str(address))
    assert find_address_fault(str(wrap(address, "::ffff:0:0/96"))) == plain
    assert find_address_fault(str(wrap(address, "64:ff9b::/96"))) == plain


@given(any_v6)
def test_ipv6_outside_global_unicast_is_closed(address: IPv6Address) -> None:
    reachable = find_address_fault(str(address)) is None
    if reachable:
        carries_v4 = address.ipv4_mapped is not None or int(address) >> 32 == int(IPv6Address("64:ff9b::")) >> 32
        assert carries_v4 or int(address) >> 125 == 1


@given(st.text(max_size=40))
def test_any_text_gets_a_verdict(text: str) -> None:
    fault = find_address_fault(text)
    if fault is None:
        assert ip_address(text)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("8.8.8.8", None),
        ("2606:4700:4700::1111", None),
        ("64:ff9b::808:808", None),
        ("::ffff:8.8.8.8", None),
        ("169.254.169.254", "a metadata service"),
        ("::ffff:169.254.169.254", "a metadata service"),
        ("fd00:ec2::254", "a metadata service"),
        ("fd20:ce::254", "a metadata service"),
        ("168.63.129.16", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("192.0.0.192", "a metadata service"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("0.0.0.1", "unspecified"),
        ("10.1.2.3", "private"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("239.1.1.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("192.88.99.1", "a 6to4 relay"),
        ("2002:7f00:1::", "a 6to4 tunnel"),
        ("2001::1", "a Teredo tunnel"),
        ("2001:db8::1", "for documentation"),
        ("3fff::1", "for documentation"),
        ("64:ff9b:1::7f00:1", "a local translation prefix"),
        ("::7f00:1", "reserved"),
        ("5f00::1", "reserved"),
        ("2600:1f18::5efe:7f00:1", "loopback"),
        ("2600:1f18::5efe:808:808", None),
        ("localhost", "not an address"),
        ("0177.0.0.1", "not an address"),
        ("", "not an address"),
    ],
)
def test_each_class_of_address_has_its_reason(address: str, fault: str | None) -> None:
    assert find_address_fault(address) == fault
