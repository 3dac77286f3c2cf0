"""What goes wrong between a pod and its node, played by a small server: no node, another server, a
liar, a full disk."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.settings import load
from fitchain.pod.ports.store import open_store, unixfs
from fitchain.pod.ports.store.base import DAG_PB, Cid
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.ports.store.unixfs import FILE, Link, Node
from fitchain.pod.values.errors import InputRefused, NotFound, StoreUnreachable, StoreUnusable
from tests.fake_kubo import Fake, said, serving, told

MIB = 1 << 20
DATA = b"sealed bytes"
CID = unixfs.leaf(DATA, lambda cid, block: None).cid


def store_at(address: str, tmp_path: Path, **options: Any) -> IpfsStore:
    return IpfsStore(address, tmp_path / "home", **({"stall_timeout_s": 0.5} | options))


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as taken:  # bound but not listening: nobody else gets it, and connections are refused
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def attempts(store: IpfsStore, tmp_path: Path) -> list[Callable[[], object]]:
    return [
        lambda: store.add(DATA),
        lambda: store.cat(CID),
        lambda: store.fetch(CID, tmp_path / "out"),
        lambda: store.has(CID),
        lambda: store.pin(CID),
        store.list_pins,
        store.garbage,
        store.endpoint,
        store.status,
    ]


def test_an_absent_node_is_unreachable_and_the_address_is_named(tmp_path: Path, unused_port: int) -> None:
    told: list[str] = []
    store = store_at(f"ipfs:/ip4/127.0.0.1/tcp/{unused_port}", tmp_path, log=told.append, stall_timeout_s=0.2)
    for attempt in attempts(store, tmp_path):
        with pytest.raises(StoreUnreachable, match=rf"no IPFS node answers at .*{unused_port}.*refused") as caught:
            attempt()
        assert "ipfs daemon" in caught.value.hint
    assert told[0].startswith("waiting for up to 0 s: no IPFS node answers")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"404 page not found"),
        (200, b"<html>hello</html>"),
        (200, b'"just text"'),
        (200, b"[1]"),
        (200, b""),
        (200, b"{}"),
        (200, b'{"Version": 3}'),
        (302, b""),
        (500, b"oh"),
    ],
)
def test_a_server_that_is_no_kubo_is_told_from_one(tmp_path: Path, answer: tuple[int, bytes]) -> None:
    with serving(version=lambda query: answer, anything=lambda query: answer) as fake:
        store = store_at(fake.address, tmp_path)
        for attempt in (lambda: store.add(DATA), lambda: store.fetch(CID, tmp_path / "out"), store.status):
            with pytest.raises(StoreUnusable, match="no Kubo RPC"):
                attempt()


def test_a_port_that_speaks_no_http_is_no_kubo(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    connection.recv(1000)

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(StoreUnusable, match=r"no Kubo RPC: it gave no HTTP|broke off"):
            store_at(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path).add(DATA)
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_authorization_says_what_to_set(tmp_path: Path, status: int) -> None:
    with serving(version=lambda query: (status, b"")) as fake:
        with pytest.raises(StoreUnusable, match=f"status {status}") as caught:
            store_at(fake.address, tmp_path).add(DATA)
        assert "store_authorization" in caught.value.hint


@pytest.mark.parametrize(
    ("authorization", "header"),
    [("bearer:token", "Bearer token"), ("basic:user:pass:word", "Basic dXNlcjpwYXNzOndvcmQ=")],
)
def test_the_authorization_goes_with_every_request(tmp_path: Path, authorization: str, header: str) -> None:
    with serving(block_get=lambda query: (200, DATA)) as fake:
        assert store_at(fake.address, tmp_path, authorization=authorization).cat(CID) == DATA
        assert {headers.get("Authorization") for _, _, headers in fake.asked} == {header}


def test_an_authorization_never_shows(tmp_path: Path) -> None:
    settings = load(
        home=tmp_path, environ={"FITCHAIN_STORE_AUTHORIZATION": "bearer:secret"}, store="http://127.0.0.1:1"
    )
    assert settings.store_authorization == "bearer:secret" and "secret" not in repr(settings)
    assert "secret" not in repr(vars(open_store(settings)))


@pytest.mark.parametrize("authorization", ["secret", "bearer:", "basic:secret", "bearer:secret\n"])
def test_a_malformed_authorization_is_refused_and_not_shown(tmp_path: Path, authorization: str) -> None:
    with pytest.raises(InputRefused, match="neither bearer") as caught:
        store_at("http://127.0.0.1:1", tmp_path, authorization=authorization)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "ipfs:",
        "ipfs:/ip4/1.2.3/tcp/5001",
        "ipfs:/ip4/127.0.0.1",
        "ipfs:/ip4/127.0.0.1/udp/1",
        "ipfs:/unix/run/x",
        "http://",
        "http://host:port",
        "http://host/ipfs",
    ],
)
def test_a_malformed_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(InputRefused, match="no address of a Kubo RPC"):
        store_at(address, tmp_path)


def test_a_password_in_the_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="more than a host and a port") as caught:
        store_at("http://user:secret@127.0.0.1:5001", tmp_path)
    assert "secret" not in caught.value.message + caught.value.hint


# --- a node that lies -------------------------------------------------------------------------


def test_other_bytes_are_refuted_and_the_node_is_named(tmp_path: Path) -> None:
    with serving(block_get=lambda query: (200, b"other bytes")) as fake:
        store = store_at(fake.address, tmp_path)
        with pytest.raises(StoreUnusable, match=f"{fake.address} gives other bytes for the block {CID}"):
            store.cat(CID)
        with pytest.raises(StoreUnusable, match=str(CID)):
            store.fetch(CID, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def file_of(*chunks: bytes) -> tuple[Cid, dict[str, bytes]]:
    """A file's root, and its blocks by their CIDs."""
    blocks: dict[str, bytes] = {}
    link = unixfs.join_leaves(
        [unixfs.leaf(chunk, lambda cid, block: blocks.update({str(cid): block})) for chunk in chunks],
        lambda cid, block: blocks.update({str(cid): block}),
    )
    return link.cid, blocks


def test_other_bytes_in_a_stream_are_refuted(tmp_path: Path) -> None:
    cid, blocks = file_of(b"a" * 10, b"b" * 10)
    blocks = {name: block.replace(b"b" * 10, b"c" * 10) for name, block in blocks.items()}
    answers = {
        "block_get": lambda query: (200, blocks[query["arg"][0]]),
        "cat": lambda query: (200, b"a" * 10 + b"c" * 10),
    }
    with (
        serving(**answers) as fake,
        pytest.raises(StoreUnusable, match=str(unixfs.leaf(b"b" * 10, lambda c, b: None).cid)),
    ):
        store_at(fake.address, tmp_path).fetch(cid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stream", [b"", b"a" * 10, b"a" * 15, b"x" * 20, b"a" * 10 + b"b" * 10 + b"more"])
def test_a_stream_that_is_wrong_does_not_matter_where_the_blocks_are_right(tmp_path: Path, stream: bytes) -> None:
    cid, blocks = file_of(b"a" * 10, b"b" * 10)
    answers = {"block_get": lambda query: (200, blocks[query["arg"][0]]), "cat": lambda query: (200, stream)}
    with serving(**answers) as fake:
        assert store_at(fake.address, tmp_path).cat(cid) == b"a" * 10 + b"b" * 10


def test_a_block_without_end_is_cut_off(tmp_path: Path) -> None:
    with serving(block_get=lambda query: (200, bytes(3 * MIB))) as fake, pytest.raises(StoreUnusable, match="goes on"):
        store_at(fake.address, tmp_path).cat(CID)


def test_a_node_that_files_under_another_cid_is_refuted(tmp_path: Path) -> None:
    other = lambda query: said(Name="x", Hash="QmOther", Size="1")  # noqa: E731
    with serving(add=other) as fake, pytest.raises(StoreUnusable, match=f"files the bytes of {CID} under QmOther"):
        store_at(fake.address, tmp_path).add(DATA)


@pytest.mark.parametrize("size", [1 << 40, 1 << 62])
def test_a_huge_declared_size_is_refused_before_a_byte_is_asked_for(tmp_path: Path, size: int) -> None:
    block = Node(FILE, (Link(CID, 1, size), Link(CID, 1, 1))).encode()
    cid = Cid.of(DAG_PB, hashlib.sha256(block).digest())
    with serving(block_get=lambda query: (200, block)) as fake:
        with pytest.raises(InputRefused, match=r"limit|chunk of more than"):
            store_at(fake.address, tmp_path).fetch(cid, tmp_path / "out")
        assert [command for command, _, _ in fake.asked if command != "version"] == ["block/get"]


def test_a_size_that_is_not_so_is_the_objects_fault(tmp_path: Path) -> None:
    block = Node(FILE, (Link(CID, 1, len(DATA) + 1), Link(CID, 1, len(DATA)))).encode()
    cid = Cid.of(DAG_PB, hashlib.sha256(block).digest())
    blocks = {str(cid): block, str(CID): DATA}
    answers = {"block_get": lambda query: (200, blocks[query["arg"][0]]), "cat": lambda query: (200, DATA * 2)}
    with serving(**answers) as fake, pytest.raises(InputRefused, match="its node says"):
        store_at(fake.address, tmp_path).cat(cid)


@pytest.mark.parametrize(
    "text",
    [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",  # version 0
        "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",  # dag-cbor
        "bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs",
    ],
)
def test_a_cid_of_another_codec_hash_or_version_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        Cid.parse(text)


# --- a node that cannot -----------------------------------------------------------------------


@pytest.mark.parametrize("message", ["write /data/blocks: no space left on device", "maximum storage limit exceeded"])
def test_a_full_repository_says_how_to_make_room(tmp_path: Path, message: str) -> None:
    with serving(add=lambda query: told(message)) as fake:
        with pytest.raises(StoreUnusable, match=r"repository of the IPFS node .* is full") as caught:
            store_at(fake.address, tmp_path).add(DATA)
        assert "store gc" in caught.value.hint


def test_an_object_that_nobody_has_is_given_up_with_the_peers_asked(tmp_path: Path) -> None:
    absent = lambda query: told("block was not found locally (offline): ipld: could not find node")  # noqa: E731
    peers = lambda query: said(Peers=[{"Peer": "12D3KooWpeer"}])  # noqa: E731
    with serving(block_get=absent, swarm_peers=peers) as fake:
        with pytest.raises(NotFound, match=rf"nobody gives the object {CID}: .*12D3KooWpeer.* for 0 s") as caught:
            store_at(fake.address, tmp_path).cat(CID)
        assert "author" in caught.value.hint


@pytest.fixture
def empty_node() -> Iterator[Fake]:
    with serving(
        block_get=lambda query: told("ipld: could not find x"), swarm_peers=lambda query: said(Peers=None)
    ) as fake:
        yield fake


def test_a_gateway_gives_what_no_peer_has(tmp_path: Path, empty_node: Fake) -> None:
    with serving(**{f"_ipfs_{CID}": lambda query: (200, DATA)}) as gateway:
        assert store_at(empty_node.address, tmp_path, gateways=[gateway.address]).cat(CID) == DATA
        (path, query, headers), *_ = gateway.asked
        assert (path, query, headers["Accept"]) == (f"/ipfs/{CID}", {"format": ["raw"]}, "application/vnd.ipld.raw")


@pytest.mark.parametrize("answer", [(200, b"other"), (200, bytes(3 * MIB)), (404, b""), (500, b"")])
def test_a_gateway_is_believed_as_little_and_the_next_is_asked(
    tmp_path: Path, empty_node: Fake, answer: tuple[int, bytes]
) -> None:
    heard: list[str] = []
    with serving(anything=lambda query: answer) as bad, serving(anything=lambda query: (200, DATA)) as good:
        gateways = [bad.address, good.address]
        assert store_at(empty_node.address, tmp_path, gateways=gateways, log=heard.append).cat(CID) == DATA
        assert bad.address in heard[0]
