"""The store over IPFS against Kubo's own command: adding and fetching the same 400 MB, sealed
beforehand.

Every round adds and fetches bytes that are new to the node; `ipfs add` and our adding, `ipfs cat`
into a file and our fetching take turns, each flushed to the disk before the clock stops. Memory is
the peak of a process that does nothing else, over what it had before it began. Without Kubo nothing
is measured, and that is said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from fitchain.pod.ports.processes import stop
from fitchain.pod.ports.sealed import new_identity, seal_file
from fitchain.pod.ports.store import Cid, devnet_nodes
from fitchain.pod.ports.store.devnet_nodes import Running
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.ports.store.kubo import kubo
from scripts.bench.figures import Figure, describe_seconds

ROOT = Path(__file__).parents[2]
SIZE_BYTES = 400 << 20
CHUNK_BYTES = 1 << 20
ROUNDS = 3
INTERRUPTED_AT = 0.6

Pair = tuple[Running, Running]


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    ipfs = kubo()
    if ipfs is None:
        print("bench ipfs: there is no Kubo here; `make kubo` builds it", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        key = devnet_nodes.new_swarm_key()
        pair = devnet_nodes.start(ipfs, folder / "1", key), devnet_nodes.start(ipfs, folder / "2", key)
        try:
            devnet_nodes.join(list(pair))
            yield from _compared(ipfs, folder, pair)
            yield from _resumed(folder, pair)
        finally:
            for node in pair:
                stop(node.pid, node.started)


def _compared(ipfs: Path, folder: Path, pair: Pair) -> Iterator[Figure]:
    plain, sealed, out = folder / "plain", folder / "sealed", folder / "out"
    plain.write_bytes(b"")
    os.truncate(plain, SIZE_BYTES)
    sealing_s = _timed(lambda: seal_file(plain, sealed, [new_identity()[1]]))
    environment = devnet_nodes.environment(folder / "1")
    store = IpfsStore(pair[0].store, folder / "home")
    options = ["-Q", "--cid-version=1", "--chunker=size-1048576", "--max-file-links=1024", "--progress=false"]

    def kubo_adds() -> None:
        subprocess.run([ipfs, "add", *options, sealed], env=environment, stdout=subprocess.DEVNULL, check=True)

    def kubo_cats(cid: Cid) -> None:
        with out.open("wb") as file:
            subprocess.run([ipfs, "cat", "--progress=false", str(cid)], env=environment, stdout=file, check=True)
            os.fsync(file.fileno())

    times: dict[str, list[float]] = {"ipfs add": [], "add": [], "ipfs cat": [], "fetch": []}
    for turn in range(ROUNDS):
        adding: list[tuple[str, Callable[[], object]]] = [("ipfs add", kubo_adds), ("add", partial(store.add, sealed))]
        for name, act in adding if turn % 2 else reversed(adding):
            _freshen(sealed)
            times[name].append(_timed(act))
        cid = store.add(sealed)
        fetching = [("ipfs cat", partial(kubo_cats, cid)), ("fetch", partial(store.fetch, cid, out))]
        for name, act in fetching if turn % 2 else reversed(fetching):
            times[name].append(_timed(act))
        for pin in store.list_pins():
            store.unpin(pin)
        store.gc()
    for ours, theirs in (("add", "ipfs add"), ("fetch", "ipfs cat")):
        speed = median(its / mine for mine, its in zip(times[ours], times[theirs], strict=True))
        detail = (
            f"{describe_seconds(median(times[ours]))} against {describe_seconds(median(times[theirs]))} of `{theirs}`"
        )
        yield Figure(f"{ours} 400 MB over IPFS / {theirs}, speed", speed, goal=0.8, at_least=True, detail=detail)
    yield Figure("sealing 400 MB", sealing_s, "s")
    beside_s = _timed(lambda: _beside_a_busy_thread(lambda: seal_file(plain, sealed, [new_identity()[1]])))
    yield Figure("sealing beside a busy Python thread / alone", beside_s / sealing_s, detail=describe_seconds(beside_s))
    cid = store.add(sealed)
    for what, node, home in (("adding", pair[0], "a"), ("fetching from another node", pair[1], "b")):
        done = [
            sys.executable,
            "-m",
            "scripts.bench.bench_ipfs",
            what,
            node.store,
            str(folder / home),
            str(sealed),
            str(cid),
        ]
        printed = subprocess.run(done, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        usage = json.loads(printed)
        detail = describe_seconds(usage["seconds"])
        yield Figure(f"memory of {what} 400 MB, over idle", usage["peak_mb"], "MB", goal=150, detail=detail)
    store.close()


def _beside_a_busy_thread(act: Callable[[], object]) -> None:
    """Do something while another thread of this interpreter computes without a pause."""
    stop = threading.Event()
    busy = threading.Thread(target=lambda: sum(1 for _ in iter(stop.is_set, True)))
    busy.start()
    try:
        act()
    finally:
        stop.set()
        busy.join()


def _resumed(folder: Path, pair: Pair) -> Iterator[Figure]:
    """How much a second fetch gets again after a first one was interrupted."""
    source = folder / "sealed"
    _freshen(source)
    cid = IpfsStore(pair[0].store, folder / "home").add(source)

    class Interrupted(Exception):
        pass

    def interrupt(what: str, count: int) -> None:
        if count >= INTERRUPTED_AT * SIZE_BYTES:
            raise Interrupted

    try:
        IpfsStore(pair[1].store, folder / "home", progress=interrupt).fetch(cid, folder / "out")
    except Interrupted:
        time.sleep(0.5)  # what the node has asked for already comes
    again = IpfsStore(pair[1].store, folder / "home")
    before = _received(again)
    again.fetch(cid, folder / "out")
    share = (_received(again) - before) / SIZE_BYTES
    yield Figure("re-fetched after an interruption at 60 %", share, goal=0.45)


def _received(store: IpfsStore) -> int:
    return store.node.ask_one("bitswap/stat").number("DataReceived")


def _freshen(path: Path) -> None:
    """Make every chunk one that no node has seen."""
    with path.open("r+b") as file:
        for offset in range(0, path.stat().st_size, CHUNK_BYTES):
            file.seek(offset)
            file.write(os.urandom(32))
        os.fsync(file.fileno())


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def alone(what: str, address: str, home: str, source: str, cid: str) -> dict[str, float]:
    """Add or fetch in this process: seconds, and the peak of memory over what there was before, in
    MB."""
    store = IpfsStore(address, Path(home))
    store.status()
    idle_kb = _peak_kb()
    act: Callable[[], object] = (
        (lambda: store.add(Path(source)))
        if what == "adding"
        else lambda: store.fetch(Cid.parse(cid), Path(home).with_suffix(".out"))
    )
    seconds = _timed(act)
    return {"seconds": seconds, "peak_mb": (_peak_kb() - idle_kb) / 1e3}


def _peak_kb() -> int:
    """The most memory that this process itself has had; getrusage would count what it was before it
    became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    print(json.dumps(alone(*sys.argv[1:])))
