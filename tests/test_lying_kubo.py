"""A Kubo node that lies or limps, against everything that a pod asks of its store: whatever it
answers is what was asked for, or one of Fitchain's own errors."""

from __future__ import annotations

import io
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.store import unixfs
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.values.errors import StoreUnusable
from tests.fake_kubo import Answer, said, serving
from tests.liars import Interrogation, Liar
from tests.node_proxy import Reply

LONG_ANSWERS, NIGHTLY_ANSWERS = 2_000, 50_000
PEER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
CONTENT = b"hello" * 500_000
BLOCKS: dict[Cid, bytes] = {}
FILE = unixfs.add_file(unixfs.chunks(io.BytesIO(CONTENT)), BLOCKS.__setitem__)
FOLDER = unixfs.add_folder([("a", FILE)], BLOCKS.__setitem__).cid
HELLO = unixfs.add_file(unixfs.chunks(io.BytesIO(b"hello")), BLOCKS.__setitem__)
SMALL, SMALL_FOLDER = HELLO.cid, unixfs.add_folder([("a", HELLO)], BLOCKS.__setitem__).cid
HONEST: dict[str, dict[str, Any]] = {
    "version": {"Version": "0.43.0"},
    "id": {"ID": PEER, "Addresses": [f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}"]},
    "swarm_peers": {"Peers": [{"Peer": PEER}]},
    "swarm_connect": {"Strings": ["connect success"]},
    "repo_stat": {"RepoSize": 5, "StorageMax": 9, "NumObjects": 2},
    "repo_gc": {},
    "files_ls": {"Entries": [{"Name": str(FOLDER)}]},
    "files_stat": {"Hash": str(FOLDER)},
    "files_cp": {},
    "files_rm": {},
    "pin_ls": {"Keys": {str(FOLDER): {"Type": "recursive"}}},
    "pin_add": {"Pins": [str(FOLDER)]},
    "pin_rm": {"Pins": [str(FOLDER)]},
    "refs": {"Ref": str(FILE.cid)},
    "refs_local": {"Ref": str(SMALL)},
    "block_stat": {"Key": str(FILE.cid), "Size": 4},
    "block_put": {"Key": str(SMALL_FOLDER), "Size": 5},
    "add": {"Hash": str(SMALL), "Name": "content", "Size": "5"},
    "dag_import": {},
}


def always(answer: Answer) -> Callable[[dict[str, list[str]]], Answer]:
    return lambda query: answer


def block(query: dict[str, list[str]]) -> Answer:
    return 200, BLOCKS[Cid.parse(query["arg"][0])]


def content(query: dict[str, list[str]]) -> Answer:
    start, length = (int(query[name][0]) for name in ("offset", "length"))
    return 200, CONTENT[start : start + length]


@contextmanager
def lying(
    folder: Path, seed: int, share: float = 0.35, changed: dict[str, Answer] | None = None
) -> Iterator[Interrogation]:
    """A liar that plays a Kubo node, and who asks it."""
    liar = Liar(seed, share)
    honest = {name: always(said(**value)) for name, value in HONEST.items()}
    with serving(**honest, block_get=block, cat=content) as fake:
        fake.reply = liar.reply
        fake.answers |= {name: always(answer) for name, answer in (changed or {}).items()}
        store = IpfsStore(fake.address, folder / "home", stall_timeout_s=0.05)
        try:
            yield Interrogation(liar, acts(store, folder))
        finally:
            store.close()


def acts(store: IpfsStore, folder: Path) -> Sequence[tuple[str, Any]]:
    """All that pods ask of a store."""
    endpoint = f"/p2p/{PEER}\n/ip4/8.8.8.8/tcp/4001".encode()

    def fetch() -> None:
        store.fetch(FOLDER, folder / "out")
        shutil.rmtree(folder / "out")

    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "a").write_bytes(b"hello")
    return [
        ("add", lambda: store.add(b"hello")),
        ("add folder", lambda: store.add_folder(folder / "in")),
        ("add blocks", lambda: store.add_blocks(FOLDER, list(BLOCKS.items()))),
        ("fetch", fetch),
        ("cat", lambda: store.cat(SMALL)),
        ("entries", lambda: store.entries(FOLDER)),
        ("blocks", lambda: list(store.blocks(FOLDER))),
        ("pin", lambda: store.pin(FOLDER)),
        ("unpin", lambda: store.unpin(FOLDER)),
        ("pins", store.list_pins),
        ("status", store.status),
        ("garbage", store.garbage),
        ("gc", store.gc),
        ("endpoint", store.endpoint),
        ("has", lambda: store.has(FOLDER)),
        ("peer", lambda: store.add_peer(endpoint)),
    ]


def interrogate(folder: Path, seed: int, answers: int) -> Interrogation:
    with lying(folder, seed) as questions:
        questions.until(answers)
    assert questions.faults == {}, f"seed {seed}"
    return questions


OTHERWISE: list[tuple[str, Any]] = [
    ("pin_ls", {"Keys": []}),
    ("pin_ls", {"Keys": {"no cid": {}}}),
    ("files_stat", {"Hash": None}),
    ("files_stat", {}),
    ("files_ls", {"Entries": "0x"}),
    ("files_ls", {"Entries": [None]}),
    ("files_ls", {"Entries": [{"Name": "no cid"}]}),
    ("files_ls", {"Entries": [{"Name": 7}]}),
    ("repo_stat", {"RepoSize": "5"}),
    ("repo_stat", {"RepoSize": -1}),
    ("repo_stat", {"RepoSize": 2**70}),
    ("repo_stat", {"RepoSize": True}),
    ("refs", {"Ref": ""}),
    ("refs_local", {"Err": "lost"}),
    ("block_stat", {"Size": 1e300}),
    ("block_put", {"Key": str(FOLDER)}),
    ("block_put", {}),
    ("add", {"Hash": 7}),
    ("add", {"Hash": str(FOLDER)}),
    ("id", {"ID": ["x"]}),
    ("id", {"ID": "nobody", "Addresses": ["/ip4/8.8.8.8/tcp/4001"]}),
    ("id", {"ID": PEER, "Addresses": [7]}),
    ("swarm_peers", {"Peers": {"a": 1}}),
    ("swarm_peers", {"Peers": [{"Peer": None}]}),
]


@pytest.mark.parametrize(("command", "answer"), OTHERWISE)
def test_what_was_not_asked_for_is_a_store_out_of_order(tmp_path: Path, command: str, answer: Any) -> None:
    refused = list[str]()
    with lying(tmp_path, 0, share=0, changed={command: said(**answer)}) as questions:
        for name, act in questions.acts:
            try:
                act()
            except StoreUnusable:
                refused.append(name)
    assert refused


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "sends whoever asks on to another place"),
        ((429, {}, b""), "asks to wait"),
        ((200, {}, b"[" * 100_000), "no JSON"),
        ((500, {}, b"[" * 100_000), "status 500"),
        ((500, {}, b'{"Message": {"a": 1}}'), "status 500"),
        ((500, {}, b'{"Message": "' + b"x" * 100_000), "status 500"),
        ((500, {}, b""), "status 500"),
    ],
)
def test_what_no_node_says_is_a_line(tmp_path: Path, reply: Reply, told: str) -> None:
    with serving() as fake:
        fake.reply = lambda status, body: reply
        store = IpfsStore(fake.address, tmp_path / "home", stall_timeout_s=0.05)
        with pytest.raises(StoreUnusable, match=told):
            store.status()
        store.close()


def test_an_honest_node_is_understood(tmp_path: Path) -> None:
    with lying(tmp_path, 0, share=0) as questions:
        for _, act in questions.acts:
            act()


@pytest.mark.long
def test_whatever_a_node_answers_is_an_error_of_ours(tmp_path: Path) -> None:
    outcomes = interrogate(tmp_path, 11, LONG_ANSWERS).outcomes
    assert outcomes["done"] > 100 and outcomes["StoreUnusable"] > 100


@pytest.mark.nightly
def test_whatever_a_node_answers_in_a_night_is_an_error_of_ours(tmp_path: Path) -> None:
    interrogate(tmp_path, secrets.randbits(32), NIGHTLY_ANSWERS)
