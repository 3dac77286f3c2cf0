"""Mutated inputs for everything that reads what somebody else made.

A `Parser` knows good inputs, how one becomes a bad one and who reads it. What a reader raises is a
`FitchainError`, whatever it is given; anything else would end whoever read it.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fitchain.cli.commands.trail import describe_stated
from fitchain.pod.compute.checkpoint.files import read_state_file
from fitchain.pod.compute.dataset import Card, ReadingTerms, Table, mock_table, register
from fitchain.pod.compute.dataset.npz_file import check_npz
from fitchain.pod.compute.dataset.preprocessing import parse_inputs, preprocessing_of
from fitchain.pod.compute.environment import environment_class
from fitchain.pod.jobs.exchange import fetch_key, fetch_note, fetch_refusal
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain.base import Deployment
from fitchain.pod.ports.sealed import check_recipient, new_identity, open_sealed, recipient_from_bytes, seal
from fitchain.pod.ports.store import Cid, car, unixfs, unpack
from fitchain.pod.ports.store.endpoints import Endpoint
from fitchain.pod.ports.store.unixfs import FOLDER, Budget, Link, Node
from fitchain.pod.ports.trust import TRUST_FILE, TrustList
from fitchain.pod.proof.audit.diagnosis import read_state_digests
from fitchain.pod.proof.audit.evidence import Evidence, files_of
from fitchain.pod.proof.audit.records import OpenedRecords
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.claims import check_leaves, check_orders
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.trail import VERSION, read_trail, write_trail
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.delta import parse_document
from fitchain.pod.values.digest import ZERO, canonical_json, parse_json, sha256, tree_root
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import OFFER_FILES
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.risk import RiskReport
from fitchain.pod.values.state import model_root, read_safetensors
from tests.risk_reports import made_up_report
from tests.source_text import ROOT

GOLDEN = ROOT / "tests" / "golden" / "v2" / "job"
SECRET, RECIPIENT = new_identity()
JOB = AgreementId(ZERO)
CID = Cid.of(0x55, bytes(32))

NUMBERS: list[Any] = [0, -1, 1, 2**31, 2**32, 2**53, 2**53 + 1, -(2**53), 2**63 - 1, 2**63, 2**64, 2**255, 10**400]
NUMBERS += [-(10**30), 0.0, -0.0, 1e308, -1e308, 5e-324, 1.5, 1e21, True, False, None]
TEXTS: list[Any] = ["", "a", "\x00", "\x1b[31m", "\u202e", "é", "\ud7ff", "\ud800", "A" * 100_000, "0x", "NaN", "inf"]
TEXTS += ["0x" + "0" * 64, "0x" + "g" * 64, "0x" + "0" * 63 + "\uff10", "../../etc/passwd", "\u0661\u0662", str(CID)]
SHAPES: list[Any] = [[], {}, [[]], [[[[[]]]]], {"": {}}, {"a": 1}, [None] * 1000, [1, 2, 3]]
WORDS = (0, 1, 127, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


class Mutator:
    """Makes bad inputs of good ones; one seed always makes the same."""

    def __init__(self, seed: int | str) -> None:
        self.random = Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def data(self, good: bytes) -> bytes:
        """Change some bytes."""
        data = bytearray(good)
        for _ in range(self.random.choice([1, 1, 2, 4, 16])):
            self._change(data)
        return bytes(data)

    def _change(self, data: bytearray) -> None:
        pick = self.random
        at = pick.randrange(len(data) + 1)
        match pick.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << pick.randrange(8)
            case 1 if at < len(data):
                data[at] = pick.choice([0, 255, 127, 128, 10, 34, 92, 123, 91, 45])
            case 2:
                del data[at:]
            case 3:
                del data[at : at + pick.choice([1, 2, 8, 64])]
            case 4:
                data[at:at] = pick.randbytes(pick.choice([1, 4, 32]))
            case 5:
                data[at:at] = data[pick.randrange(len(data) + 1) :][: pick.choice([1, 8, 200])]
            case 6:
                width = pick.choice([2, 4, 8])
                word = pick.choice(WORDS) % 256**width
                data[at : at + width] = word.to_bytes(width, pick.choice(["little", "big"]))
            case 7:
                data += data[at:][:1000]
            case _:
                data[0:0] = pick.choice([b"\xef\xbb\xbf", b" ", b"\n", b"[" * 200, b"{" * 120])

    def json(self, good: bytes) -> bytes:
        """Change what a JSON text says, or its bytes."""
        if self.chance(0.35):
            return self.data(good)
        text = self.text(self.value(json.loads(good)))
        at = text.find(b"{")
        end = text.find(b",", at)
        if self.chance(0.03) and 0 <= at < end:  # a key twice
            return text[: at + 1] + text[at + 1 : end] + b"," + text[at + 1 :]
        return text

    def text(self, value: Any) -> bytes:
        """A value as JSON, mostly canonical."""
        if self.chance(0.75):
            try:
                return canonical_json(value)
            except (FitchainError, RecursionError):
                pass
        indent = self.random.choice([None, 1])
        return json.dumps(value, ensure_ascii=self.chance(0.5), indent=indent).encode(errors="surrogatepass")

    def value(self, value: Any) -> Any:
        """Change a JSON value in some places."""
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            places = list(containers(value))
            if not places:
                return self.anything()
            self._replace(*self.random.choice(places), places)
        return value

    # Many branches: each is a way in which a value can be wrong.
    def _replace(self, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
        pick, old = self.random, holder[key]
        match pick.randrange(9):
            case 0:
                holder[key] = self.anything()
            case 1:
                holder[key] = self.deep(pick.choice([1, 2, 5, 50, 90]))
            case 2:
                del holder[key]
            case 3 if isinstance(holder, dict):
                holder[pick.choice(["", "x", "\x00", f"{key}é", "\ud800", "__proto__", str(key).upper()])] = old
            case 4:
                holder[key] = [old] * pick.choice([2, 3, 100])
            case 5 if isinstance(old, str):
                holder[key] = pick.choice([old[:-1], old + "\n", old.upper(), old[::-1], " " + old, old + "\0"])
            case 5 if isinstance(old, int | float):
                holder[key] = pick.choice(
                    [-old, old + 1, old * 10**6, float(old) if abs(old) < 1e300 else 0.5, str(old)]
                )
            case 6:
                other, place = pick.choice(places)
                holder[key] = json.loads(json.dumps(other[place]))
            case 7 if isinstance(holder, list):
                pick.shuffle(holder)
            case _:
                holder[key] = type(old)() if isinstance(old, list | dict) else None

    def anything(self) -> Any:
        """A value that nobody expects."""
        return json.loads(json.dumps(self.random.choice(self.random.choice([NUMBERS, TEXTS, SHAPES]))))

    def deep(self, levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value] if self.chance(0.5) else {"a": value}
        return value

    def tensors(self, good: bytes) -> bytes:
        """Change a file of tensors in its header, or its bytes."""
        if self.chance(0.5):
            return self.data(good)
        length = int.from_bytes(good[:8], "little")
        header = self.text(self.value(json.loads(good[8 : 8 + length])))
        announced = len(header) if self.chance(0.9) else self.random.choice([0, 2**63, 2**64 - 1, 16 << 20])
        return announced.to_bytes(8, "little") + header + good[8 + length :]

    def archive(self, good: bytes) -> bytes:
        """Change an archive's members, their names, their packing, or its bytes."""
        if self.chance(0.4):
            return self.data(good)
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(made, "w", self._packing()) as target:
            for member in source.infolist():
                data = source.read(member)
                odd = self.random.choice(["../" + member.filename, "x.npy", "\x1b.npy", "d/"])
                name = member.filename if self.chance(0.6) or odd in target.namelist() else odd
                if name not in target.namelist():
                    target.writestr(name, self.data(data) if self.chance(0.6) else data)
            target.comment = self.random.choice([source.comment, b""])
        return made.getvalue()

    def _packing(self) -> int:
        return self.random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])

    def records(self, good: bytes) -> bytes:
        """Change opened records in their schema, or their bytes."""
        length = int.from_bytes(good[32:36], "big")
        if self.chance(0.5):
            return self.data(good)
        schema = self.text(self.value(json.loads(good[36 : 36 + length])))
        return good[:32] + len(schema).to_bytes(4, "big") + schema + good[36 + length :]


def containers(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as the list or object that has it, and its index or key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from containers(value[key])


Mutation = Callable[[Mutator, bytes], bytes]


@dataclass(frozen=True)
class Parser:
    """Something that reads what somebody else made.

    Args:
        read: the bytes, in a folder of its own.
        good: inputs of which bad ones are made, in a folder of its own.
        mutate: makes one.
    """

    read: Callable[[bytes, Path], object]
    good: Callable[[Path], list[bytes]]
    mutate: Mutation = Mutator.json


def golden(*names: str) -> Callable[[Path], list[bytes]]:
    return lambda _: [(GOLDEN / name).read_bytes() for name in names]


def written(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """A reader of a file of that name."""

    def reader(data: bytes, place: Path) -> object:
        (place / name).write_bytes(data)
        return read(place / name)

    return reader


# --- readers ----------------------------------------------------------------------------------


@cache
def recipe() -> Recipe:
    return Recipe.parse((GOLDEN / "recipe.json").read_bytes())


def read_graph(data: bytes, _: Path) -> None:
    graph = Graph.parse(data)
    graph.check(environment_class(recipe().environment.name).admits)
    assert Graph.parse(graph.encode()).digest == graph.digest


def read_recipe(data: bytes, _: Path) -> None:
    parsed = Recipe.parse(data)
    parsed.step_of(parsed.leaf_count - 1)
    parsed.learning_rate(0)


def read_card(data: bytes, _: Path) -> None:
    card = Card.parse(data)
    card.with_mock(CID).encode()
    card.admit(recipe(), 1, "0x" + "00" * 20)


def read_statement(data: bytes, _: Path) -> None:
    statement = Statement.parse(data)
    check_leaves(statement)
    check_orders(statement)


def read_evidence(data: bytes, place: Path) -> None:
    (place / "evidence.json").write_bytes(data)
    evidence = Evidence.read(place, 8)
    for opened in evidence.leaves.values():
        opened.checkpoint.verify()


def lay_evidence_out(place: Path) -> list[bytes]:
    """The golden evidence, whose other files lie beside it."""
    for source in (*(GOLDEN / "evidence").iterdir(), *(GOLDEN / name for name in OFFER_FILES)):
        shutil.copyfile(source, place / source.name)
    for name in files_of(json.loads((GOLDEN / "audit.json").read_bytes())["audited"]):
        if not (place / name).exists():
            shutil.copyfile(GOLDEN / "state-6.safetensors", place / name)
    return [(GOLDEN / "evidence" / "evidence.json").read_bytes()]


def read_records(path: Path) -> None:
    opened = OpenedRecords.read(path)
    indices = [opening.index for opening in opened]
    opened.table(np.array(indices[:1], np.uint64))


def read_table(path: Path, terms: ReadingTerms | None = None) -> None:
    """A table, and mock data of it: whatever its columns are, they end and are finite."""
    table = Table.read(path, terms, limit_bytes=1 << 20)
    for transform in ("none", "standard"):
        card = register(table, bytes(32), "x", transform=transform).card
        mock = mock_table(Card.parse(card.encode()), table, 8, bytes(32))
        assert all(np.isfinite(array).all() for array in mock.arrays.values())


def json_lines(_: Path) -> list[bytes]:
    lines = [{"a": number, "b": number / 7, "c": number > 2, "d": "xyz"[number % 3], "e": None} for number in range(5)]
    return [b"\n".join(canonical_json(line | {"e": "2026-11-27"} if line["c"] else line) for line in lines)]


def read_npz(path: Path) -> None:
    check_npz(path, 1 << 20)
    table = Table.read(path, limit_bytes=1 << 20)
    list(table.records(0, 1))


def read_car(data: bytes, _: Path) -> None:
    list(car.read(io.BytesIO(data))[1])


def cars(_: Path) -> list[bytes]:
    blocks: dict[Cid, bytes] = {}
    link = unixfs.add_folder([("a", unixfs.add_file([b"x", b"y"], blocks.__setitem__))], blocks.__setitem__)
    return [b"".join(car.encode(link.cid, sorted(blocks.items(), key=lambda each: each[0] != link.cid)))]


def read_block(data: bytes, place: Path) -> None:
    node, root = Node.decode(data), Cid.of(0x70, sha256(data).value)

    def get(cid: Cid) -> bytes:
        return data if cid == root else b"x"

    if node.kind == FOLDER:
        shutil.rmtree(place / "out", ignore_errors=True)
        unpack.fetch(root, place / "out", Budget(1 << 20), get)
    else:
        list(unixfs.read_file(root, get, Budget(1 << 20)))
    list(unixfs.walk(root, get, Budget(1 << 20)))
    list(unixfs.reachable(root, get))


def block_nodes(_: Path) -> list[bytes]:
    cid = Cid.of(0x55, sha256(b"x").value)
    return [
        Node(unixfs.FILE, (Link(cid, 1, 1), Link(cid, 1, 1))).encode(),
        Node(FOLDER, (Link(cid, 1, 0, "a"), Link(cid, 1, 0, "b"))).encode(),
    ]


def read_cid(data: bytes, _: Path) -> None:
    if data[:1] == b"b":
        Cid.parse(data.decode(errors="surrogateescape"))
    else:
        Cid.decode(data)


def read_recipient(data: bytes, _: Path) -> None:
    if data[:3] == b"age":
        check_recipient(data.decode(errors="surrogateescape"))
    else:
        recipient_from_bytes(data)


def sealed_files(_: Path) -> list[bytes]:
    age, stanza = b"age-encryption.org/v1\n", b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
    scrypt = age + b"-> scrypt " + b"A" * 22 + b" 62\n" + b"A" * 43 + b"\n--- " + b"A" * 43 + b"\n" + bytes(40)
    armor = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"
    empty = age + stanza + b"-> a\n\n" * 50 + b"--- " + b"A" * 43 + b"\n" + bytes(40)
    return [*[seal(b"a sealed text", [RECIPIENT])] * 3, scrypt, armor, empty]


class Held:
    """A store that holds one object."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def cat(self, cid: Cid, limit_bytes: int) -> bytes:
        return self.data


def read_letter(data: bytes, _: Path) -> None:
    """A note, a key or a refusal; what is none of them is refused by the last."""
    store: Any = Held(seal(data, [RECIPIENT]))
    if b"note" in data:
        tree_root(fetch_note(store, CID, SECRET).leaves)
    elif b"key" in data:
        fetch_key(store, JOB, CID, SECRET)
    else:
        fetch_refusal(store, JOB, CID, SECRET)


def letters(_: Path) -> list[bytes]:
    of = {"agreement": str(JOB)}
    note = {"version": "fitchain/note/v2", "first": 0, "step": 2, "leaves": ["0x" + "11" * 32] * 3}
    key, refusal = {"version": "fitchain/key/v2", "identity": "x"}, {"version": "fitchain/refusal/v2", "reason": "x"}
    return [
        canonical_json(of | body)
        for body in (note | {"metrics": {"loss": 0.5}}, note | {"metrics": None}, key, refusal)
    ]


def read_key_file(data: bytes, place: Path) -> None:
    """A backup or a keystore; nothing is imported twice."""
    shutil.rmtree(place / "home", ignore_errors=True)
    (place / "key.json").write_bytes(data)
    keys.import_key(place / "home", "x", place / "key.json", "x", work=2)


def key_files(place: Path) -> list[bytes]:
    keys.create(place / "made", "x", "x", work=2)
    path = keys.backup(place / "made", "x", place / "backup.json")
    backup = path.read_bytes()
    return [backup, json.dumps(json.loads(backup)["account"]).encode()]


def trail_lines(_: Path) -> list[bytes]:
    header = {"version": VERSION, "agreement": str(JOB), "chain_id": 1, "contract": "0x" + "1" * 40}
    header |= {"account": "0x" + "2" * 40, "role": "owner", "exported": 5, "block": 9}
    removed = {"what": ["states"], "ends": ["audit"], "by_person": True}
    event = {"time": 5, "block": 7, "log_index": 0, "transaction": str(JOB), "contract": "Agreements"}
    left = {"notes": 1, "metrics": ["loss"], "audits": [{"ordinal": 0, "records": 9, "opened": False}]}
    return [
        canonical_json({"kind": kind, **fields})
        for kind, fields in (
            ("header", header),
            ("entry", {"time": 5, "ordinal": 0, "entry": "removed", "body": removed}),
            ("event", event | {"name": "Accepted", "args": {"id": str(JOB), "price": "5"}}),
            ("disclosed", left),
        )
    ]


def read_trail_line(data: bytes, place: Path) -> None:
    """A line of a trail in which each follows on the one before, whatever it says."""
    (place / "x").unlink(missing_ok=True)
    body = parse_json(data)
    if not isinstance(body, dict):
        (place / "x").write_bytes(data)
    else:
        header = [] if body.get("kind") == "header" else [json.loads(trail_lines(place)[0])]
        write_trail(place / "x", [*header, body])
    describe_stated(read_trail(place / "x"))


def leaf_lines(_: Path) -> list[bytes]:
    return (GOLDEN / "leaves.jsonl").read_bytes().splitlines()


def read_leaf_line(data: bytes, _: Path) -> None:
    checkpoint = Checkpoint.from_line(data)
    checkpoint.verify()
    assert Transcript(ZERO, ZERO, (checkpoint.leaf,)).root


def read_tensors(data: bytes, _: Path) -> None:
    tensors, _rest = read_safetensors(data)
    model_root({name: tensor for name, tensor in tensors.items() if tensor.kind != "optimizer"})


def delta_document() -> bytes:
    inventory = [[name, "parameter", "F32", [2, 3], "0x" + "11" * 32] for name in ("bias", "weight")]
    whole = {"version": "fitchain/delta/v2", "inventory": inventory, "shared": {"x": ["buffer", "weight"]}}
    return canonical_json(whole)


def preprocessings(_: Path) -> list[bytes]:
    recipe, card, graph = ((GOLDEN / name).read_bytes() for name in ("recipe.json", "card.json", "graph.json"))
    return [preprocessing_of(Recipe.parse(recipe), Card.parse(card), Graph.parse(graph).inputs)]


def trust_lists(_: Path) -> list[bytes]:
    at = {"chain_id": 1, "registry": "0x" + "00" * 20, "block": 5, "block_hash": "0x" + "11" * 32}
    creator, panel = "0x" + "00" * 20, "0x" + "22" * 32
    panels = [{"panel": panel, "name": "x", "creator": creator, "members": [creator], "at": at}]
    whole = {"version": "fitchain/trust/v2", "panels": panels, "accounts": [{"account": creator, "at": at}]}
    return [canonical_json(whole)]


def deployments(_: Path) -> list[bytes]:
    names = ("FitCoin", "Registry", "Verifiers", "Agreements", "ProofOfTrain", "Audits")
    address = "0x" + "00" * 19 + "01"
    head = {"version": "fitchain/deployment/v2", "chain_id": 1, "block": 1, "number": 0, "directory": address}
    return [canonical_json(head | {"contracts": dict.fromkeys(names, address)})]


def endpoints(_: Path) -> list[bytes]:
    peer = b"/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo\n"
    return [peer + b"/ip4/203.0.113.7/tcp/4001\n/ip6/2001:db8::1/udp/4001/quic-v1"]


def state_digest_lines(_: Path) -> list[bytes]:
    return [canonical_json({"segment": 0, "step": 3, "tensors": {"model/x": "0x" + "11" * 32}}) + b"\n"] * 2


PARSERS: dict[str, Parser] = {
    "graph": Parser(read_graph, golden("graph.json")),
    "recipe": Parser(read_recipe, golden("recipe.json")),
    "card": Parser(read_card, golden("card.json")),
    "certificate": Parser(lambda data, _: unseal(data), golden("certificate.json")),
    "statement": Parser(read_statement, lambda _: [unseal((GOLDEN / "certificate.json").read_bytes())[0]]),
    "tensors": Parser(read_tensors, golden("initial.safetensors", "state-6.safetensors"), Mutator.tensors),
    "delta": Parser(lambda data, _: parse_document(data), lambda _: [delta_document()]),
    "state": Parser(written("x.safetensors", read_state_file), golden("state-6.safetensors"), Mutator.tensors),
    "evidence": Parser(read_evidence, lay_evidence_out),
    "records": Parser(written("records.bin", read_records), golden("evidence/records.bin"), Mutator.records),
    "leaf line": Parser(read_leaf_line, leaf_lines),
    "risk report": Parser(lambda data, _: RiskReport.parse(data), lambda _: [made_up_report().encode()]),
    "preprocessing": Parser(lambda data, _: parse_inputs(data), preprocessings),
    "trail": Parser(read_trail_line, trail_lines),
    "state digests": Parser(written("x", read_state_digests), state_digest_lines),
    "mock data": Parser(written("x.npz", read_npz), golden("mock.npz"), Mutator.archive),
    "table": Parser(
        written("x.csv", lambda path: read_table(path, ReadingTerms(drop=("name",), target="kind"))),
        golden("table.csv"),
        Mutator.data,
    ),
    "JSON lines": Parser(written("x.jsonl", read_table), json_lines, Mutator.data),
    "sealed file": Parser(lambda data, _: open_sealed(data, SECRET), sealed_files, Mutator.data),
    "note, key, refusal": Parser(read_letter, letters),
    "recipient": Parser(read_recipient, lambda _: [RECIPIENT.encode(), bytes(32)], Mutator.data),
    "CAR": Parser(read_car, cars, Mutator.data),
    "block": Parser(read_block, block_nodes, Mutator.data),
    "CID": Parser(read_cid, lambda _: [str(CID).encode(), bytes(CID)], Mutator.data),
    "endpoint": Parser(lambda data, _: Endpoint.parse(data), endpoints, Mutator.data),
    "trust list": Parser(written(TRUST_FILE, lambda path: TrustList.read(path.parent)), trust_lists),
    "deployment": Parser(written("1.json", Deployment.read), deployments),
    "key file": Parser(read_key_file, key_files),
}


def fuzz(parser: Parser, count: int, seed: int | str, place: Path) -> int:
    """Give a parser so many mutated inputs.

    Returns:
        How many it read.

    Raises:
        AssertionError: it raised what is no `FitchainError`; the message has the input.
    """
    mutator, good, read = Mutator(seed), parser.good(place), 0
    for number in range(count):
        data = parser.mutate(mutator, mutator.random.choice(good))
        try:
            parser.read(data, place)
            read += 1
        except FitchainError:
            continue
        except Exception as fault:
            shown = data if len(data) < 4000 else data[:2000] + b"..."
            raise AssertionError(f"input {number} of seed {seed!r} raises {fault!r}: {shown!r}") from fault
    return read
