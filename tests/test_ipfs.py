"""The store over real Kubo nodes: their CIDs, two nodes that only bitswap joins, pins,
interruptions, CAR."""

from __future__ import annotations

import io
import os
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from fitchain.pod.ports.store import Cid, car, devnet_nodes
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.ports.store.kubo import kubo
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.errors import InputRefused, NotFound, StoreUnreachable, StoreUnusable, TooSlow
from tests.ipfs_fixtures import Nodes
from tests.speeds import long_unless
from tests.store_contents import BYTES, KUBO, KUBO_FOLDER, MIB, Cycle, cycle

pytestmark = pytest.mark.ipfs


@pytest.fixture
def a(ipfs_pair: Nodes) -> IpfsStore:
    return ipfs_pair.store("a")


@pytest.fixture
def b(ipfs_pair: Nodes, a: IpfsStore) -> IpfsStore:
    store = ipfs_pair.store("b")
    store.add_peer(a.endpoint())
    return store


def ipfs(nodes: Nodes, name: str, *arguments: str, data: bytes = b"") -> bytes:
    """Kubo's own command, against a node."""
    found = kubo()
    assert found
    environment = devnet_nodes.environment(nodes.folder / name)
    return subprocess.run([found, *arguments], env=environment, input=data, capture_output=True, check=True).stdout


def received_bytes(store: IpfsStore) -> int:
    """What a node has received from other nodes."""
    return store.node.ask_one("bitswap/stat").number("DataReceived")


def written_folder(path: Path) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "a.txt").write_text("hello\n")
    (path / "sub" / "b.bin").write_bytes((BYTES * 8000)[:2_000_000])
    return path


# --- the same CIDs ----------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "cid"), [one for one in KUBO.items() if one[0] < 1 << 28])
def test_the_nodes_cid_is_the_golden_one(a: IpfsStore, length: int, cid: str) -> None:
    assert str(a.add(cycle(length))) == cid  # `add` compares with what the node says


@pytest.mark.nightly
def test_the_nodes_cid_of_a_file_with_two_levels_is_the_golden_one(a: IpfsStore) -> None:
    assert str(a.add(cycle(1_074_790_400))) == KUBO[1_074_790_400]


def test_a_folders_cid_is_the_golden_one_and_kubos_own(ipfs_pair: Nodes, a: IpfsStore, tmp_path: Path) -> None:
    folder = written_folder(tmp_path / "in")
    assert str(a.add_folder(folder)) == KUBO_FOLDER
    assert ipfs(ipfs_pair, "a", "add", "-r", "-Q", "-n", str(folder)).decode().strip() == KUBO_FOLDER


# --- two nodes --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, MIB, MIB + 1, 5 * MIB + 77])
def test_what_one_node_has_another_gets(a: IpfsStore, b: IpfsStore, tmp_path: Path, length: int) -> None:
    data = os.urandom(length)
    cid = a.add(data)
    b.fetch(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b.cat(cid) == data


def test_a_folder_goes_from_node_to_node(a: IpfsStore, b: IpfsStore, tmp_path: Path) -> None:
    folder = written_folder(tmp_path / "in")
    (folder / "random").write_bytes(os.urandom(3 * MIB))
    cid = a.add_folder(folder)
    assert sorted(b.entries(cid)) == ["a.txt", "random", "sub"]
    b.fetch(cid, tmp_path / "out")
    for name in ("a.txt", "random", "sub/b.bin"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


def test_an_empty_folder_is_one(a: IpfsStore, b: IpfsStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert b.entries(a.add_folder(tmp_path / "in")) == {}


def test_the_local_store_gives_the_same_cids(a: IpfsStore, tmp_path: Path) -> None:
    local = LocalStore(tmp_path / "store", tmp_path / "home")
    folder = written_folder(tmp_path / "in")
    assert (local.add(b"x"), local.add_folder(folder)) == (a.add(b"x"), a.add_folder(folder))


def test_a_node_that_nobody_told_about_does_not_find_the_object(ipfs_pair: Nodes, a: IpfsStore, tmp_path: Path) -> None:
    alone = ipfs_pair.store("b", stall_timeout_s=1.0)
    for peer in alone.node.peers():
        alone.node.ask("swarm/disconnect", f"/p2p/{peer}")
    cid = a.add(os.urandom(100))
    with pytest.raises(NotFound, match=rf"nobody gives the object {cid}: .*\(none\) for 1 s"):
        alone.fetch(cid, tmp_path / "out")
    alone.add_peer(a.endpoint())
    alone.fetch(cid, tmp_path / "out")


def test_an_object_beyond_the_limit_is_not_fetched(a: IpfsStore, b: IpfsStore, tmp_path: Path) -> None:
    cid = a.add(os.urandom(4 * MIB))
    before = received_bytes(b)
    with pytest.raises(InputRefused, match="limit"):
        b.fetch(cid, tmp_path / "out", limit_bytes=MIB)
    assert received_bytes(b) - before < MIB
    assert not (tmp_path / "out").exists()


def test_what_comes_for_longer_than_it_may_is_given_up(
    a: IpfsStore, b: IpfsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = a.add(os.urandom(MIB + 9))
    with pytest.raises(TooSlow, match="came too slowly: 0 bytes in 0 s"):
        b.fetch(cid, tmp_path / "out", limit_s=0.0)
    monkeypatch.setattr("fitchain.pod.ports.store.ipfs.SMALL_S", 0.0)
    with pytest.raises(InputRefused, match="no more time is given to it"):
        b.cat(cid)
    assert not list(tmp_path.iterdir())


def test_a_large_file_passes_in_bounded_memory(a: IpfsStore, b: IpfsStore, tmp_path: Path) -> None:
    class Random(Cycle):
        def read(self, count: int = -1) -> bytes:
            return os.urandom(len(super().read(count)))

    tracemalloc.start()
    cid = a.add(cast(BinaryIO, Random(64 * MIB)))
    b.fetch(cid, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB
    assert (tmp_path / "out").stat().st_size == 64 * MIB


def test_a_missing_source_is_not_found(a: IpfsStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        a.add(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="nowhere"):
        a.add_folder(tmp_path / "nowhere")


def test_a_link_in_a_folder_is_refused(a: IpfsStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(InputRefused, match="neither a file nor a folder"):
        a.add_folder(tmp_path / "in")


# --- pins -------------------------------------------------------------------------------------


def test_pods_that_share_a_node_keep_their_own_pins(ipfs_pair: Nodes) -> None:
    owner, scientist = ipfs_pair.store("a", "owner"), ipfs_pair.store("a", "scientist")
    data, gone = os.urandom(MIB + 5), os.urandom(10)
    cid, other = owner.add(data), owner.add(gone)
    scientist.pin(cid)
    owner.unpin(cid)
    owner.unpin(other)
    owner.unpin(other)
    assert (owner.list_pins(), scientist.list_pins()) == ([], [cid])
    garbage = owner.garbage()
    assert garbage.size_bytes >= 10
    owner.gc()
    assert owner.garbage().blocks == 0
    assert owner.cat(cid) == data and not owner.has(other)
    scientist.unpin(cid)
    owner.gc()
    assert not owner.has(cid)


def test_pinning_fetches_first(a: IpfsStore, b: IpfsStore) -> None:
    data = os.urandom(2 * MIB)
    cid = a.add(data)
    b.pin(cid)
    assert cid in b.list_pins()
    a.unpin(cid)
    a.gc()
    b.gc()
    assert b.cat(cid) == data and not a.has(cid)


def test_what_a_person_pinned_stays_pinned(ipfs_pair: Nodes, a: IpfsStore) -> None:
    cid = ipfs(ipfs_pair, "a", "add", "-Q", "--cid-version=1", data=b"a person's").decode().strip()
    a.gc()
    assert a.has(Cid.parse(cid))


# --- CAR --------------------------------------------------------------------------------------


def test_car_files_are_kubos_to_the_byte(ipfs_pair: Nodes, a: IpfsStore, tmp_path: Path) -> None:
    cid = a.add_folder(written_folder(tmp_path / "in"))
    car.write(tmp_path / "x.car", cid, a.blocks(cid))
    assert ipfs(ipfs_pair, "a", "dag", "export", "-p=false", str(cid)) == (tmp_path / "x.car").read_bytes()


def test_a_car_moves_an_object_between_stores_of_either_kind(ipfs_pair: Nodes, a: IpfsStore, tmp_path: Path) -> None:
    local = LocalStore(tmp_path / "store", tmp_path / "home")
    data = os.urandom(3 * MIB)
    cid = local.add(data)
    exported = b"".join(car.encode(cid, local.blocks(cid)))
    a.add_blocks(*car.read(io.BytesIO(exported)))
    assert cid in a.list_pins() and a.cat(cid) == data
    other = LocalStore(tmp_path / "other", tmp_path / "home")
    other.add_blocks(*car.read(io.BytesIO(ipfs(ipfs_pair, "a", "dag", "export", "-p=false", str(cid)))))
    assert other.cat(cid) == data and other.list_pins() == [cid]


def test_kubo_imports_our_car(ipfs_pair: Nodes, tmp_path: Path) -> None:
    local = LocalStore(tmp_path / "store", tmp_path / "home")
    data = os.urandom(2 * MIB)
    cid = local.add(data)
    car.write(tmp_path / "x.car", cid, local.blocks(cid))
    assert str(cid) in ipfs(ipfs_pair, "b", "dag", "import", str(tmp_path / "x.car")).decode()
    assert ipfs(ipfs_pair, "b", "cat", "--offline", str(cid)) == data


def test_a_car_that_lacks_a_block_is_not_taken_for_whole(a: IpfsStore, tmp_path: Path) -> None:
    local = LocalStore(tmp_path / "store", tmp_path / "home")
    cid = local.add(os.urandom(3 * MIB))
    *blocks, (lacking, _) = local.blocks(cid)
    with pytest.raises(NotFound, match=str(lacking)):
        a.add_blocks(cid, blocks)
    assert cid not in a.list_pins()


# --- interruptions ----------------------------------------------------------------------------


def later(seconds: float, act: Callable[[], object]) -> threading.Thread:
    """Do something beside the test."""

    def wait() -> None:
        time.sleep(seconds)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


class Tripped(Cycle):
    """A file that lets something happen in its middle."""

    def __init__(self, length: int, at: int, act: Callable[[], object]) -> None:
        super().__init__(length)
        self.trip, self.act, self.start = at, act, 0

    def read(self, count: int = -1) -> bytes:
        if self.at >= self.trip:
            act, self.act = self.act, lambda: None
            act()
        return super().read(count)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, place: int) -> int:
        self.at = place
        return place


def test_a_node_that_stops_in_the_middle_of_an_add_is_waited_for(nodes: Nodes, told: list[str]) -> None:
    nodes.start("a")
    store = nodes.store("a", log=told.append)
    back: list[threading.Thread] = []

    def stop() -> None:
        nodes.kill("a")
        back.append(later(0.5, lambda: nodes.start("a")))

    cid = store.add(cast(BinaryIO, Tripped(6 * MIB, 3 * MIB, stop)))
    back[0].join()
    assert told and "waiting" in told[0]
    assert store.list_pins() == [cid] == [nodes.store("a").add(cycle(6 * MIB))]


def test_a_node_that_stays_away_in_the_middle_of_an_add_is_given_up(nodes: Nodes) -> None:
    nodes.start("a")
    store = nodes.store("a", stall_timeout_s=0.5)
    with pytest.raises(StoreUnreachable, match=nodes.running["a"].store):
        store.add(cast(BinaryIO, Tripped(6 * MIB, 3 * MIB, lambda: nodes.kill("a"))))
    nodes.start("a")
    assert nodes.store("a").list_pins() == []


class Halfway:
    """Progress that lets something happen once some bytes have come."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.at, self.act, self.done = at, act, False

    def __call__(self, what: str, count: int) -> None:
        if count >= self.at and not self.done:
            self.done = True
            self.act()


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is told after every block."""
    monkeypatch.setattr("fitchain.pod.ports.store.download.ProgressThrottle.EVERY_S", 0.0)


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("stopped", long_unless(lambda stopped: stopped == "a", ["a", "b"]))
def test_a_fetch_waits_for_a_node_that_stops_in_its_middle(
    nodes: Nodes, told: list[str], tmp_path: Path, stopped: str
) -> None:
    nodes.start("a")
    nodes.start("b")
    data = os.urandom(24 * MIB)
    a = nodes.store("a")
    cid = a.add(data)
    back: list[threading.Thread] = []

    def stop() -> None:
        nodes.kill(stopped)
        back.append(later(3.0, lambda: nodes.start(stopped)))

    b = nodes.store("b", log=told.append, progress=Halfway(6 * MIB, stop))
    b.add_peer(a.endpoint())
    b.fetch(cid, tmp_path / "out")
    back[0].join()
    assert (tmp_path / "out").read_bytes() == data
    assert any("waiting" in line for line in told)


class Interrupted(Exception):
    pass


@pytest.mark.usefixtures("prompt")
def test_an_interrupted_fetch_goes_on_from_the_blocks_that_are_here(nodes: Nodes, tmp_path: Path) -> None:
    nodes.start("a")
    nodes.start("b")
    size = 40 * MIB
    a = nodes.store("a")
    cid = a.add(os.urandom(size))

    def interrupt() -> None:
        raise Interrupted

    b = nodes.store("b", progress=Halfway(size * 6 // 10, interrupt))
    b.add_peer(a.endpoint())
    with pytest.raises(Interrupted):
        b.fetch(cid, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    time.sleep(0.3)  # what Kubo has asked for already comes
    before = received_bytes(b)
    b.fetch(cid, tmp_path / "out")
    assert received_bytes(b) - before <= 0.45 * size


# --- the node ---------------------------------------------------------------------------------


def test_a_real_node_asks_for_its_authorization(nodes: Nodes) -> None:
    secrets = {"pod": {"AuthSecret": "bearer:token", "AllowedPaths": ["/api/v0"]}}
    nodes.start("a", {"API.Authorizations": secrets}, authorization="bearer:token")
    assert (
        nodes.store("a", authorization="bearer:token").cat(nodes.store("a", authorization="bearer:token").add(b"x"))
        == b"x"
    )
    for wrong in ("", "bearer:another"):
        with pytest.raises(StoreUnusable, match="status 403") as caught:
            nodes.store("a", authorization=wrong).add(b"x")
        assert "store_authorization" in caught.value.hint


def test_the_gateway_of_a_node_is_a_trustless_gateway(nodes: Nodes, tmp_path: Path) -> None:
    """A pod whose node knows nobody gets a whole file from another's gateway, block by block."""
    nodes.start("a", {"Gateway.NoFetch": True})
    nodes.start("b")
    data = os.urandom(2 * MIB + 9)
    cid = nodes.store("a").add(data)
    gateway = (nodes.folder / "a" / "gateway").read_text().strip()
    store = nodes.store("b", gateways=[gateway], stall_timeout_s=2.0)
    store.fetch(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


def test_a_full_disk_is_told(nodes: Nodes) -> None:
    """The real node's own words, where a file may not grow beyond half a block."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    nodes.start("a")
    pid = nodes.running["a"].pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (512 << 10, limits[1]))
    store = nodes.store("a", stall_timeout_s=1.0)
    with pytest.raises(StoreUnusable, match=nodes.running["a"].store):
        store.add(os.urandom(3 * MIB))


def test_status_tells_the_version_and_the_peers(a: IpfsStore, b: IpfsStore, ipfs_pair: Nodes) -> None:
    found = b.status()
    assert found["kind"] == "ipfs" and str(found["version"]).startswith("0.")
    assert found["peers"] == [ipfs_pair.running["a"].peer]
