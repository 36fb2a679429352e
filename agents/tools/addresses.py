"""Which network addresses a tool may reach: only public unicast ones. Judges one address; resolves and connects nothing.

The lists are IANA's special-purpose registries (RFC 6890 and its updates) written out, because `ipaddress.is_global` changed its mind
between Python releases and knows nothing of addresses embedded in others.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# First match names the reason, so the narrow entry stands before the wide one.
_REFUSED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.100.100.200/32", "a metadata service"),  # Alibaba Cloud; inside the carrier-grade NAT block
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a metadata service"),  # Azure's host agent, although it looks public
        ("169.254.169.254/32", "a metadata service"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.192/32", "a metadata service"),  # Oracle Cloud
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_REFUSED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fd00:ec2::/32", "a metadata service"),  # AWS
        ("fd20:ce::254/128", "a metadata service"),  # Google Cloud
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
        ("64:ff9b:1::/48", "a local translation prefix"),  # RFC 8215
        ("2001::/32", "a Teredo tunnel"),  # RFC 4380: carries two IPv4 addresses; retired
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel"),  # RFC 7526: retired; carries an IPv4 address
        ("3fff::/20", "for documentation"),
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # all that IANA has given out; the rest is reserved
_TRANSLATED_V6 = IPv6Network("64:ff9b::/96")  # RFC 6052: how an IPv6-only network reaches IPv4 through DNS64
_ISATAP_MARKS = (0x00005EFE, 0x02005EFE)  # RFC 5214: interface identifier that carries an IPv4 address


def find_address_fault(address: str) -> str | None:
    """Why this address may not be reached, as words for "the address is …"; None when it is public. Text that is no address is a fault."""
    if "%" in address:  # a zone id is only meaningful for link-local addresses
        return "link-local"
    try:
        parsed = ip_address(address)
    except ValueError:
        return "not an address"
    return _find_v4_fault(parsed) if isinstance(parsed, IPv4Address) else _find_v6_fault(parsed)


def _find_v4_fault(address: IPv4Address) -> str | None:
    return next((reason for network, reason in _REFUSED_V4 if address in network), None)


def _find_v6_fault(address: IPv6Address) -> str | None:
    if address.ipv4_mapped is not None:
        return _find_v4_fault(address.ipv4_mapped)
    if address in _TRANSLATED_V6:
        return _find_v4_fault(IPv4Address(int(address) & 0xFFFFFFFF))
    for network, reason in _REFUSED_V6:
        if address in network:
            return reason
    if address not in _GLOBAL_UNICAST_V6:
        return "reserved"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP_MARKS:
        return _find_v4_fault(IPv4Address(int(address) & 0xFFFFFFFF))
    return None
