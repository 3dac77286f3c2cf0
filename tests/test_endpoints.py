"""Endpoints from the registry: a stranger's bytes, parsed, bounded, and dialled only where that is
harmless."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.store.endpoints import ENDPOINT_BYTES, Endpoint
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.values.errors import InputRefused
from tests.fake_kubo import said, serving, told

PEER = "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust"
HEAD = f"/p2p/{PEER}"
PUBLIC = ["/ip4/203.0.113.7/tcp/4001", "/ip4/8.8.8.8/tcp/4001", "/ip6/2606:4700::1/udp/4001/quic-v1"]
PRIVATE = [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/10.1.2.3/tcp/4001",
    "/ip4/192.168.1.1/tcp/80",
    "/ip4/169.254.169.254/tcp/80",
    "/ip4/100.64.0.1/tcp/80",
    "/ip6/::1/tcp/4001",
    "/ip6/fe80::1/tcp/4001",
    "/ip6/fd00::1/tcp/4001",
    "/ip6/::ffff:10.0.0.1/tcp/4001",
    "/ip6/2002:a00:1::1/tcp/4001",
]


def endpoint(*addresses: str) -> bytes:
    return "\n".join([HEAD, *addresses]).encode()


def test_no_endpoint_is_none() -> None:
    assert Endpoint.parse(b"") is None


def test_an_endpoint_is_read_as_it_was_written() -> None:
    made = Endpoint(PEER, tuple(PUBLIC))
    assert Endpoint.parse(made.encode()) == made


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe",
        b"hello",
        b"/p2p/",
        b"/p2p/hello",
        b"/ip4/8.8.8.8/tcp/4001",
        HEAD.encode() + b"/tcp/1",
        endpoint(""),
        endpoint("/ip4/8.8.8.8"),
        endpoint("/ip4/8.8.8.8/tcp/70000"),
        endpoint("/ip4/8.8.8.8/tcp/04001"),
        endpoint("/ip4/8.8.8/tcp/1"),
        endpoint("/dns4/evil.example/tcp/4001"),
        endpoint("/unix/run/docker.sock"),
        endpoint(f"/ip4/8.8.8.8/tcp/4001{HEAD}/p2p-circuit"),
        endpoint("/ip4/8.8.8.8/tcp/4001\r"),
        endpoint("ip4/8.8.8.8/tcp/4001"),
        endpoint(*["/ip4/8.8.8.8/tcp/1"] * 9),
        b"/" * (ENDPOINT_BYTES + 1),
    ],
)
def test_what_is_no_endpoint_is_refused(data: bytes) -> None:
    with pytest.raises(InputRefused):
        Endpoint.parse(data)


@given(st.binary(max_size=600) | st.text(max_size=300).map(lambda text: endpoint(text)))
def test_any_bytes_are_an_endpoint_or_refused(data: bytes) -> None:
    with contextlib.suppress(InputRefused):
        found = Endpoint.parse(data)
        assert found is None or found.encode() == data


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_dialled_on_the_devnet_alone(address: str) -> None:
    found = Endpoint.parse(endpoint(address))
    assert found is not None
    assert (found.dialled(private=False), found.dialled(private=True)) == ([], [address + HEAD])


@pytest.mark.parametrize("address", PUBLIC[1:])
def test_public_addresses_are_dialled(address: str) -> None:
    found = Endpoint.parse(endpoint(address))
    assert found is not None and found.dialled(private=False) == [address + HEAD]


@pytest.mark.parametrize("address", ["/ip4/0.0.0.0/tcp/1", "/ip4/224.0.0.1/tcp/1", "/ip4/255.255.255.255/tcp/1"])
def test_nobodys_address_is_dialled_nowhere(address: str) -> None:
    found = Endpoint.parse(endpoint(address))
    assert found is not None and found.dialled(private=True) == []


def test_what_a_node_says_of_itself_is_published_as_far_as_others_may_dial_it() -> None:
    said = [*PRIVATE, *PUBLIC, "/dns4/x.example/tcp/1", f"/ip4/9.9.9.9/tcp/1{HEAD}/p2p-circuit"]
    made = Endpoint.of(PEER, [address + HEAD for address in said[:-1]] + said[-1:], private=False)
    assert made.addresses == tuple(PUBLIC[1:])


def test_an_endpoint_never_outgrows_the_registry() -> None:
    long = [f"/ip6/2606:4700:4700:4700:4700:4700:4700:{n:04x}/udp/4001/quic-v1" for n in range(0x1000, 0x1020)]
    made = Endpoint.of(PEER, long, private=False).encode()
    assert ENDPOINT_BYTES - 80 < len(made) <= ENDPOINT_BYTES
    parsed = Endpoint.parse(made)
    assert parsed is not None and 4 < len(parsed.addresses) <= 8


@pytest.mark.parametrize("data", [b"\xff", endpoint("/ip4/10.0.0.1/tcp/5001"), endpoint("/dns4/evil/tcp/1"), b""])
def test_a_hostile_endpoint_makes_no_node_dial(tmp_path: Path, data: bytes) -> None:
    with serving(swarm_peers=lambda query: said(Peers=None)) as fake:
        IpfsStore(fake.address, tmp_path, stall_timeout_s=0.5, private=False).add_peer(data)
        assert not [command for command, _, _ in fake.asked if command == "swarm/connect"]


def test_an_address_goes_to_the_node_whole_and_a_refused_one_is_passed_over(tmp_path: Path) -> None:
    with serving(swarm_peers=lambda query: said(Peers=None), swarm_connect=lambda query: told("dial backoff")) as fake:
        IpfsStore(fake.address, tmp_path, stall_timeout_s=0.5).add_peer(endpoint(*PUBLIC))
        tried = [query["arg"] for command, query, _ in fake.asked if command == "swarm/connect"]
        assert tried == [[address + HEAD] for address in PUBLIC[1:]]
