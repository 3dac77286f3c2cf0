"""Where a pod's node can be reached: the endpoint in the registry, which is a stranger's text until
it is parsed.

An endpoint is UTF-8: a peer id and the addresses of its node as multiaddrs, one a line, at most 512
bytes:

    /p2p/12D3KooW...
    /ip4/203.0.113.7/tcp/4001

Only literal IP addresses are dialled (a name could lead anywhere), and only public ones, but for
the devnet, where it is the other way about: there the pods are on one machine.

Source: https://github.com/multiformats/multiaddr
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import multiaddr
import multiaddr.exceptions

from fitchain.pod.values import limits
from fitchain.pod.values.errors import InputRefused

ENDPOINT_BYTES, MOST_ADDRESSES = limits.ENDPOINT_BYTES, limits.MOST_ADDRESSES
_TRANSPORTS = frozenset({"tcp", "udp", "quic-v1", "ws", "wss", "tls", "http"})


@dataclass(frozen=True)
class Endpoint:
    """Where a node can be reached.

    Args:
        peer: its peer id.
        addresses: multiaddrs without the peer id, each an IP address and a transport.
    """

    peer: str
    addresses: tuple[str, ...]

    @classmethod
    def parse(cls, data: bytes) -> Endpoint | None:
        """Read a registry entry's endpoint; None for an empty one, which says that the pod has no
        node of its own.

        Raises:
            InputRefused: it is too long, or not in this form.
        """
        if not data:
            return None
        if len(data) > ENDPOINT_BYTES:
            raise InputRefused(f"the endpoint has {len(data)} bytes and may have {ENDPOINT_BYTES}")
        try:
            first, *rest = data.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise InputRefused("the endpoint is no text") from None
        (peer,) = _parts(first, ("p2p",))
        if len(rest) > MOST_ADDRESSES:
            raise InputRefused(f"the endpoint has {len(rest)} addresses and may have {MOST_ADDRESSES}")
        for address in rest:
            _host(address)
        return cls(peer, tuple(rest))

    def encode(self) -> bytes:
        """The bytes for the registry: as many addresses as there is room for."""
        lines = [f"/p2p/{self.peer}"]
        for address in self.addresses[:MOST_ADDRESSES]:
            if len("\n".join([*lines, address])) <= ENDPOINT_BYTES:
                lines.append(address)
        return "\n".join(lines).encode()

    @classmethod
    def of(cls, peer: str, addresses: Sequence[str], private: bool) -> Endpoint:
        """The endpoint of one's own node: of what it says about itself, the addresses that others
        may dial."""
        named = (address.partition("/p2p/")[0] for address in addresses if "/p2p-circuit" not in address)
        return cls(peer, tuple(sorted(address for address in named if _may_dial(address, private))))

    def dialled(self, private: bool) -> list[str]:
        """The addresses to dial, each with the peer id.

        Args:
            private: whether private ranges are dialled, and this machine itself; so on the devnet.
        """
        return [f"{address}/p2p/{self.peer}" for address in self.addresses if _may_dial(address, private)]


def _may_dial(address: str, private: bool) -> bool:
    try:
        host = _host(address)
    except InputRefused:
        return False
    inner = getattr(host, "ipv4_mapped", None) or getattr(host, "sixtofour", None) or host
    if inner.is_multicast or inner.is_unspecified or (inner.is_reserved and not inner.is_loopback):
        return False
    return private or (host.is_global and inner.is_global)


def _host(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IP address of a multiaddr that consists of one, a port and transports.

    Raises:
        InputRefused: it is another multiaddr, or none.
    """
    kind = address.split("/")[1] if address.count("/") > 1 else ""
    if kind not in ("ip4", "ip6"):
        raise InputRefused(f"the address {address!r:.100} does not begin with an IP address")
    names = tuple(address.split("/")[1::2])
    if len(address) > 128 or ("tcp" not in names and "udp" not in names):
        raise InputRefused(f"the address {address!r:.100} has no port")
    parsed = _multiaddr(address)
    wrong = [protocol.name for protocol, _ in list(parsed.items())[1:] if protocol.name not in _TRANSPORTS]
    if wrong:
        raise InputRefused(f"the address {address!r:.100} goes by {wrong[0]}, which is not dialled")
    return ipaddress.ip_address(str(next(iter(parsed.items()))[1]))


def _parts(text: str, wanted: tuple[str, ...]) -> list[str]:
    """The values of a multiaddr of these protocols and no other."""
    protocols = list(_multiaddr(text).items())
    if tuple(protocol.name for protocol, _ in protocols) != wanted:
        raise InputRefused(f"{text!r:.100} is not /{'/'.join(wanted)}")
    return [str(value) for _, value in protocols]


def _multiaddr(text: str) -> multiaddr.Multiaddr:
    try:
        parsed = multiaddr.Multiaddr(text)
        list(parsed.items())
        same = str(parsed) == text
    # The library lets through whatever its codecs meet, TypeError and IndexError too.
    except Exception as error:  # noqa: BLE001
        raise InputRefused(f"{text!r:.100} is no multiaddr: {error!s:.100}") from None
    if not same:
        raise InputRefused(f"{text!r:.100} is not the usual form of the multiaddr {parsed}")
    return parsed
