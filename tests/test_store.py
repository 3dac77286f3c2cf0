"""The store: Kubo's CIDs, whole objects or none, every byte checked, and hostile blocks."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitchain.pod.ports.settings import load
from fitchain.pod.ports.store import Cid, Store, open_store, unixfs
from fitchain.pod.ports.store.base import DAG_PB, RAW
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.ports.store.unixfs import FILE, FOLDER, Link, Node
from fitchain.pod.values.errors import DigestMismatch, InputRefused, NotFound, StoreUnusable
from tests.speeds import examples
from tests.store_contents import BYTES, KUBO, KUBO_FOLDER, MIB, Cycle, cycle


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", tmp_path / "home")


def block_path(store: LocalStore, cid: Cid) -> Path:
    return store.folder / "blocks" / str(cid)[-2:] / str(cid)


def plant(store: LocalStore, codec: int, block: bytes) -> Cid:
    """Put any block into the store, as a stranger could."""
    cid = Cid.of(codec, hashlib.sha256(block).digest())
    block_path(store, cid).parent.mkdir(parents=True, exist_ok=True)
    block_path(store, cid).write_bytes(block)
    return cid


# --- the same CIDs as Kubo 0.43 under the profile unixfs-v1-2025 ------------------------------


@pytest.mark.parametrize(
    ("length", "cid"),
    [pytest.param(*one, marks=pytest.mark.nightly if one[0] > 1 << 30 else ()) for one in KUBO.items()],
)
def test_a_files_cid_is_kubos(length: int, cid: str) -> None:
    assert str(unixfs.add_file(unixfs.chunks(cycle(length)), lambda cid, block: None).cid) == cid


def test_a_folders_cid_is_kubos(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("hello\n")
    (tmp_path / "in" / "sub" / "b.bin").write_bytes((BYTES * 8000)[:2_000_000])
    cid = store.add_folder(tmp_path / "in")
    assert str(cid) == KUBO_FOLDER
    assert sorted(store.entries(cid)) == ["a.txt", "sub"]
    store.fetch(cid, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "b.bin").read_bytes() == (tmp_path / "in" / "sub" / "b.bin").read_bytes()
    assert (tmp_path / "out" / "a.txt").read_text() == "hello\n"


def test_a_large_file_is_added_and_fetched_in_bounded_memory(store: LocalStore, tmp_path: Path) -> None:
    tracemalloc.start()
    cid = store.add(cycle(24 * MIB))
    store.fetch(cid, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MIB
    assert (tmp_path / "out").read_bytes() == (BYTES * 100_265)[: 24 * MIB]


@settings(max_examples=examples(25))
@given(st.integers(0, 3 * MIB), st.sampled_from([1, 1000, 65_536, MIB, 5 * MIB]))
def test_a_stream_that_returns_less_has_the_same_cid(length: int, at_most: int) -> None:
    class Slow(Cycle):
        def read(self, count: int = -1) -> bytes:
            return super().read(min(count, at_most))

    if length // at_most > 5000:
        length = 5000
    slow = unixfs.add_file(unixfs.chunks(cast(BinaryIO, Slow(length))), lambda cid, block: None)
    assert slow == unixfs.add_file(unixfs.chunks(cycle(length)), lambda cid, block: None)
    assert slow.size_bytes == length


# --- adding and fetching ----------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, MIB, MIB + 1])
def test_what_was_added_comes_back(store: LocalStore, tmp_path: Path, length: int) -> None:
    data = Cycle(length).read(MIB) + bytes(max(0, length - MIB))
    (tmp_path / "in").write_bytes(data)
    cid = store.add(tmp_path / "in")
    assert cid == store.add(data) == store.add(io.BytesIO(data))
    store.fetch(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == store.cat(cid) == data


def test_adding_twice_changes_nothing(store: LocalStore) -> None:
    cid = store.add(b"x" * 100)
    before = block_path(store, cid).stat().st_mtime_ns
    store.add(b"x" * 100)
    assert block_path(store, cid).stat().st_mtime_ns == before


def test_an_interrupted_adding_leaves_no_object(store: LocalStore, tmp_path: Path) -> None:
    class Torn(Cycle):
        def read(self, count: int = -1) -> bytes:
            if self.at >= 2 * MIB:
                raise OSError(5, "the cable was pulled")
            return super().read(count)

    whole = unixfs.add_file(unixfs.chunks(cycle(3 * MIB)), lambda cid, block: None).cid
    with pytest.raises(StoreUnusable, match="the cable was pulled"):
        store.add(cast(BinaryIO, Torn(3 * MIB)))
    assert not store.has(whole) and store.list_pins() == []
    assert store.gc() == 2 * MIB


KILLED = """
import os, signal, sys
from pathlib import Path
from fitchain.pod.ports.store.local import LocalStore

class Killer:
    pieces = [bytes(1 << 20), bytes([1]) * (1 << 20)]
    def read(self, count):
        return self.pieces.pop() if self.pieces else os.kill(os.getpid(), signal.SIGKILL)

LocalStore(Path(sys.argv[1]), Path(sys.argv[1])).add(Killer())
"""


def test_a_killed_adding_leaves_no_object_and_can_be_repeated(store: LocalStore) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store.folder)], env={**os.environ, "PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL
    assert store.list_pins() == [] and len(list(store.folder.glob("blocks/*/*"))) == 2
    data = bytes([1]) * MIB + bytes(MIB)
    assert store.cat(store.add(data)) == data


def test_a_missing_object_is_not_found(store: LocalStore, tmp_path: Path) -> None:
    cid = Cid.parse(KUBO[1])
    for attempt in (lambda: store.cat(cid), lambda: store.fetch(cid, tmp_path / "out"), lambda: store.pin(cid)):
        with pytest.raises(NotFound, match=str(cid)) as caught:
            attempt()
        assert "FITCHAIN_STORE" in caught.value.hint
    assert not store.has(cid)


def test_a_missing_inner_block_is_named_and_leaves_no_target(store: LocalStore, tmp_path: Path) -> None:
    cid, leaf = store.add(cycle(2 * MIB)), Cid.parse(KUBO[MIB])
    block_path(store, leaf).unlink()
    with pytest.raises(NotFound, match=str(leaf)):
        store.fetch(cid, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("length", [100, MIB + 100])
def test_an_altered_byte_is_refuted_and_adding_again_mends_it(store: LocalStore, tmp_path: Path, length: int) -> None:
    cid = store.add(cycle(length))
    victim = block_path(store, cid)
    block = bytearray(victim.read_bytes())
    block[50] ^= 1
    victim.write_bytes(block)
    with pytest.raises(DigestMismatch, match=f"block {cid} is altered"):
        store.fetch(cid, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    store.add(cycle(length))
    store.fetch(cid, tmp_path / "out")


def test_a_truncated_leaf_is_refuted_by_name(store: LocalStore) -> None:
    cid, leaf = store.add(cycle(2 * MIB)), Cid.parse(KUBO[MIB])
    block_path(store, leaf).write_bytes(b"")
    with pytest.raises(DigestMismatch, match=str(leaf)):
        store.cat(cid)


def test_a_missing_source_is_not_found(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        store.add(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="nowhere"):
        store.add_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("limit", [0, 99, MIB])
def test_an_object_beyond_the_limit_is_refused(store: LocalStore, tmp_path: Path, limit: int) -> None:
    cid = store.add(cycle(max(100, limit + 1)))
    with pytest.raises(InputRefused, match="limit"):
        store.fetch(cid, tmp_path / "out", limit_bytes=limit)
    with pytest.raises(InputRefused, match="limit"):
        store.cat(cid, limit)


def test_a_folders_files_share_one_limit(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / name).write_bytes(bytes(60))
    with pytest.raises(InputRefused, match="limit"):
        store.fetch(store.add_folder(tmp_path / "in"), tmp_path / "out", limit_bytes=100)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_and_a_folder_no_file(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folder, file = store.add_folder(tmp_path / "in"), store.add(b"x")
    assert store.entries(folder) == {}
    with pytest.raises(InputRefused, match="is a file"):
        store.entries(file)
    with pytest.raises(InputRefused, match="is a folder"):
        store.cat(folder)


def test_a_folder_is_not_fetched_over_another(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputRefused, match="exists already"):
        store.fetch(store.add_folder(tmp_path / "in"), tmp_path / "in")


def test_a_link_in_a_folder_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(InputRefused, match="neither a file nor a folder"):
        store.add_folder(tmp_path / "in")


def test_a_store_that_is_a_file_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("x")
    with pytest.raises(StoreUnusable):
        LocalStore(tmp_path / "store", tmp_path).add(b"x")


# --- pins and garbage -------------------------------------------------------------------------


def test_what_any_pod_pinned_survives_the_garbage(tmp_path: Path) -> None:
    owner, scientist = (LocalStore(tmp_path / "store", tmp_path / pod) for pod in ("owner", "scientist"))
    cid, other = owner.add(cycle(MIB + 5)), owner.add(b"gone")
    scientist.pin(cid)
    owner.unpin(cid)
    owner.unpin(other)
    assert (owner.list_pins(), scientist.list_pins()) == ([], [cid])
    assert owner.gc() == 4
    assert owner.cat(cid) == (BYTES * 5000)[: MIB + 5] and not owner.has(other)
    scientist.unpin(cid)
    owner.gc()
    assert not owner.has(cid)


def test_unpinning_what_is_not_pinned_is_harmless(store: LocalStore) -> None:
    store.unpin(Cid.parse(KUBO[1]))
    assert store.list_pins() == []


def test_garbage_is_collected_around_a_damaged_object(store: LocalStore) -> None:
    damaged, whole = store.add(cycle(2 * MIB)), store.add(b"whole")
    block_path(store, damaged).write_bytes(b"damaged")
    store.gc()
    assert store.cat(whole) == b"whole" and store.has(damaged)


ADDER = """
import sys
from pathlib import Path
from fitchain.pod.ports.store.local import LocalStore
store = LocalStore(Path(sys.argv[1]), Path(sys.argv[2]))
for n in range(30):
    store.add(bytes([n]) * 3000)
    if n % 10 == 9:
        store.gc()
"""


def test_several_processes_share_a_store(tmp_path: Path) -> None:
    start = [sys.executable, "-c", ADDER, str(tmp_path / "store")]
    running = [
        subprocess.Popen([*start, str(tmp_path / f"home{n}")], env={**os.environ, "PYTHONPATH": "."}) for n in range(3)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    store = LocalStore(tmp_path / "store", tmp_path / "home1")
    assert sorted(store.cat(cid)[0] for cid in store.list_pins()) == list(range(30))
    assert not list((tmp_path / "store" / "parts").iterdir())


def test_open_store_follows_the_settings(tmp_path: Path) -> None:
    store: Store = open_store(load(home=tmp_path / "home", store=tmp_path / "store", environ={}))
    assert store.cat(store.add(b"x")) == b"x"
    assert (tmp_path / "store" / "blocks").is_dir()


# --- hostile blocks ---------------------------------------------------------------------------


def folder_block(*names: str, cid: Cid | None = None) -> bytes:
    link = cid or Cid.parse(KUBO[1])
    return Node(FOLDER, tuple(Link(link, 1, 0, name) for name in names)).encode()


@pytest.mark.parametrize("name", ["", ".", "..", "../evil", "/etc/passwd", "a/b", "nul\0", "x" * 256])
def test_an_unsafe_name_never_reaches_the_disk(store: LocalStore, tmp_path: Path, name: str) -> None:
    store.add(cycle(1))
    cid = plant(store, DAG_PB, folder_block(name))
    with pytest.raises(InputRefused, match="unsafe name"):
        store.fetch(cid, tmp_path / "out")
    with pytest.raises(InputRefused, match="unsafe name"):
        store.entries(cid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize("names", [("a", "a"), ("b", "a")])
def test_entries_that_stand_twice_or_out_of_order_are_refused(store: LocalStore, names: tuple[str, ...]) -> None:
    with pytest.raises(InputRefused, match="not in order, or one stands twice"):
        store.entries(plant(store, DAG_PB, folder_block(*names)))


GOOD = Node(FILE, (Link(Cid.parse(KUBO[1]), 1, 1), Link(Cid.parse(KUBO[1]), 1, 1)))
FORGERIES: list[Callable[[bytes], bytes]] = [
    lambda block: block + b"\x0a\x02\x08\x01",  # the data twice
    lambda block: block + b"\x18\x00",  # an unknown field
    lambda block: block[:-1],
    lambda block: block.replace(b"\x18\x02", b"\x18\x03"),  # another file size
    lambda block: block.replace(b"\x08\x02", b"\x08\x05"),  # a sharded folder
    lambda block: block.replace(b"\x20\x01\x20\x01", b"\x20\x01"),
    lambda block: b"\xff" * 50,
    lambda block: b"",
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_node_in_another_form_is_refused(store: LocalStore, forge: Callable[[bytes], bytes]) -> None:
    store.add(cycle(1))
    assert store.cat(plant(store, DAG_PB, GOOD.encode())) == b"\0\0"
    with pytest.raises(InputRefused):
        store.cat(plant(store, DAG_PB, forge(GOOD.encode())))


@settings(max_examples=examples(300))
@given(
    st.binary(max_size=120)
    | st.builds(
        lambda b, i, x: b[: i % len(b)] + bytes([x]) + b[i % len(b) + 1 :],
        st.just(GOOD.encode()),
        st.integers(0, 200),
        st.integers(0, 255),
    )
)
def test_any_block_decodes_to_what_encodes_to_it_or_is_refused(block: bytes) -> None:
    with contextlib.suppress(InputRefused):
        assert Node.decode(block).encode() == block


@pytest.mark.parametrize("size", [2, MIB, 1 << 62])
def test_a_size_that_is_not_so_is_refused(store: LocalStore, size: int) -> None:
    store.add(cycle(1))
    cid = plant(store, DAG_PB, Node(FILE, (Link(Cid.parse(KUBO[1]), 1, size),)).encode())
    with pytest.raises(InputRefused, match=r"has 1 bytes and its node says|limit"):
        store.cat(cid)


def test_an_empty_part_is_refused(store: LocalStore) -> None:
    store.add(b"")
    with pytest.raises(InputRefused, match="part is empty"):
        store.cat(plant(store, DAG_PB, Node(FILE, (Link(Cid.parse(KUBO[0]), 0, 0),) * 2).encode()))


def nest(store: LocalStore, levels: int, width: int, wrap: Callable[[Link, int], Node], link: Link) -> Link:
    for _ in range(levels):
        node = wrap(link, width)
        link = Link(plant(store, DAG_PB, node.encode()), 1, node.size_bytes, "a")
    return link


def test_a_file_that_nests_too_deep_is_refused(store: LocalStore) -> None:
    store.add(cycle(1))
    link = nest(
        store, 40, 1, lambda link, n: Node(FILE, (Link(link.cid, 1, link.size_bytes),)), Link(Cid.parse(KUBO[1]), 1, 1)
    )
    with pytest.raises(InputRefused, match="levels deep"):
        store.cat(link.cid)


def test_a_small_bomb_of_a_huge_file_is_refused_at_once(store: LocalStore) -> None:
    store.add(cycle(1))
    wrap: Any = lambda link, n: Node(FILE, (Link(link.cid, 1, link.size_bytes),) * n)  # noqa: E731
    with pytest.raises(InputRefused, match="limit"):
        store.cat(nest(store, 6, 100, wrap, Link(Cid.parse(KUBO[1]), 1, 1)).cid)


def test_folders_that_nest_too_deep_are_refused_and_removed(store: LocalStore, tmp_path: Path) -> None:
    store.add(cycle(1))
    wrap: Any = lambda link, n: Node(FOLDER, (Link(link.cid, 1, 0, "a"),))  # noqa: E731
    with pytest.raises(InputRefused, match="levels deep"):
        store.fetch(nest(store, 40, 1, wrap, Link(Cid.parse(KUBO[1]), 1)).cid, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_blocks_are_counted() -> None:
    budget = unixfs.Budget(100, blocks_left=2)
    budget.block()
    budget.block()
    with pytest.raises(InputRefused, match="blocks"):
        budget.block()


# --- content identifiers ----------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.sampled_from([RAW, DAG_PB]))
def test_a_cid_reads_back_from_both_forms(digest: bytes, codec: int) -> None:
    cid = Cid.of(codec, digest)
    assert Cid.parse(str(cid)) == Cid.decode(bytes(cid)) == cid
    assert (cid.codec, cid.sha256) == (codec, digest)


BAD_CIDS = [
    "",
    "bafk",
    "hello",
    KUBO[1] + "a",
    KUBO[1][:-1],
    KUBO[1].upper(),
    " " + KUBO[1],
    "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",  # version 0
    "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm",  # dag-cbor
    "../../etc/passwd",
]


@pytest.mark.parametrize("text", BAD_CIDS)
def test_any_other_text_is_no_cid(text: str) -> None:
    with pytest.raises(InputRefused):
        Cid.parse(text)


@given(st.binary(max_size=60))
def test_any_other_bytes_are_no_cid(data: bytes) -> None:
    with pytest.raises(InputRefused):
        Cid.decode(data)
