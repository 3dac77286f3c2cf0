"""Limits: of every kind of foreign input one at its limit is read, and one just beyond it refused
before anything is built of it.

How long that takes is not measured: what is counted is whether a parser, or memory, was asked for
anything. A row of the table without a case here fails.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from fitchain.pod.compute.dataset import Card, Kind, ReadingTerms, Table, Tokenizing
from fitchain.pod.compute.dataset.npz_file import check_npz
from fitchain.pod.compute.dataset.tokenizer import open_tokenizer
from fitchain.pod.jobs.exchange import fetch_folder, fetch_key, fetch_note, fetch_refusal, send_folder, send_refusal
from fitchain.pod.jobs.worker.events import parse_event
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain.base import Deployment
from fitchain.pod.ports.sealed import new_identity, open_files, open_sealed, seal
from fitchain.pod.ports.store import Cid, car, unixfs
from fitchain.pod.ports.store.endpoints import Endpoint
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.ports.trust import TRUST_FILE, TrustList
from fitchain.pod.proof.audit.diagnosis import read_state_digests
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.proof.audit.records import OPENED_TAG, OpenedRecords
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.trail import read_trail
from fitchain.pod.values import limits
from fitchain.pod.values.delta import parse_document
from fitchain.pod.values.digest import ZERO, canonical_json, parse_answer, parse_json, sha256
from fitchain.pod.values.errors import (
    AccessRefused,
    DigestMismatch,
    FitchainError,
    HostUnusable,
    InputRefused,
    NotFound,
    as_told,
)
from fitchain.pod.values.evaluation import ModelEvaluation
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import EVIDENCE
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.limits import KIB, MIB, FolderLimits, JsonLimits
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.fields import refuse_unknown
from fitchain.pod.values.risk import RiskReport
from fitchain.pod.values.state import read_safetensors
from fitchain.pod.values.suggestions import near_names
from tests.source_text import ROOT
from tests.texts import file_of, tokenizer

SECRET, RECIPIENT = new_identity()
CID = Cid.of(0x55, bytes(32))
JOB = AgreementId(ZERO)


class Held:
    """A store that holds one object."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def cat(self, cid: Cid, limit_bytes: int) -> bytes:
        unixfs.Budget(limit_bytes).content(len(self.data))
        return self.data


def held(data: bytes) -> Any:
    return Held(seal(data, [RECIPIENT]))


# --- documents in JSON ------------------------------------------------------------------------

Reader = Callable[[bytes, Path], object]


def from_file(name: str, read: Callable[[Path], object]) -> Reader:
    """A reader of a file of that name."""

    def reader(data: bytes, place: Path) -> object:
        (place / name).write_bytes(data)
        return read(place)

    return reader


def answered(data: bytes) -> None:
    """Read a node's answer as those who ask for it do: whatever it is, it is none that fits."""
    try:
        parse_answer(data)
    except ValueError as error:
        raise InputRefused(str(error)) from None
    raise InputRefused("it is no answer")


DOCUMENTS: dict[str, list[tuple[JsonLimits, Reader]]] = {
    "note": [(limits.NOTE, lambda data, _: fetch_note(held(data), CID, SECRET))],
    "key, refusal": [
        (limits.SHORT, lambda data, _: fetch_key(held(data), JOB, CID, SECRET)),
        (limits.SHORT, lambda data, _: fetch_refusal(held(data), JOB, CID, SECRET)),
    ],
    "recipe": [(limits.RECIPE, lambda data, _: Recipe.parse(data))],
    "graph": [(limits.GRAPH, lambda data, _: Graph.parse(data))],
    "card": [(limits.CARD, lambda data, _: Card.parse(data))],
    "`evidence.json`": [
        (limits.evidence_document(2), from_file(EVIDENCE, lambda place: Evidence.read(place, 2))),
    ],
    "what a delta says of its base": [(limits.DELTA, lambda data, _: parse_document(data))],
    "certificate": [(limits.ENVELOPE, lambda data, _: unseal(data))],
    "its statement": [(limits.STATEMENT, lambda data, _: Statement.parse(data))],
    "line of leaves": [(limits.LEAF_LINE, lambda data, _: Checkpoint.from_line(data))],
    "file of state digests": [
        (limits.STATE_DIGESTS_LINE, from_file("x", lambda place: read_state_digests(place / "x"))),
    ],
    "trail": [(limits.TRAIL_LINE, from_file("x", lambda place: read_trail(place / "x")))],
    "trust list": [(limits.TRUST_LIST, from_file(TRUST_FILE, TrustList.read))],
    "keystore, backup of a key": [
        (limits.KEY_FILE, from_file("x", lambda place: keys.import_key(place, "x", place / "x", "x"))),
    ],
    "event of a worker": [(limits.EVENT, lambda data, _: parse_event(data))],
    "risk report of a worker": [(limits.RISK_REPORT, lambda data, _: RiskReport.parse(data))],
    "evaluation of a worker": [(limits.EVALUATION, lambda data, _: ModelEvaluation.parse(data))],
    "answer of a node": [(limits.ANSWER, lambda data, _: answered(data))],
    "deployment": [(limits.DEPLOYMENT, from_file("x", lambda place: Deployment.read(place / "x")))],
}


def of_bytes(count: int) -> bytes:
    return b'"' + b"a" * (count - 2) + b'"'


def of_items(count: int) -> bytes:
    return b"[" + b"0," * (count - 2) + b"0]"


def of_depth(count: int) -> bytes:
    return b"[" * count + b"]" * count


SIZES: dict[str, tuple[Callable[[JsonLimits], int], Callable[[int], bytes]]] = {
    "bytes": (lambda most: most.text_bytes, of_bytes),
    "items": (lambda most: most.items, of_items),
    "depth": (lambda most: most.depth, of_depth),
}


def documents() -> list[Any]:
    """Each reader with each size; those that take hundreds of megabytes are long."""
    cases = []
    for what, readers in DOCUMENTS.items():
        for number, (most, reader) in enumerate(readers):
            for size, (limit, text) in SIZES.items():
                large = limit(most) > (32 * MIB if size == "bytes" else 1 << 22)
                marks = [pytest.mark.long] if large else []
                cases.append(pytest.param(limit(most), text, reader, marks=marks, id=f"{what} {number} {size}"))
    return cases


@pytest.mark.parametrize(("limit", "text", "reader"), documents())
def test_document_beyond_a_limit_reaches_no_parser(
    limit: int, text: Callable[[int], bytes], reader: Reader, tmp_path: Path
) -> None:
    with patch("fitchain.pod.values.digest.json.loads", wraps=json.loads) as parser:
        with pytest.raises(FitchainError):
            reader(text(limit + 1), tmp_path)
        assert not parser.called, "it was built before it was measured"
        with pytest.raises(FitchainError):  # it is no such document, but what it is was looked at
            reader(text(limit), tmp_path)
        assert parser.called


def test_values_are_counted_whatever_they_stand_in() -> None:
    """Never too few; an empty list counts for two."""
    most = {b'{"a":[1,{"b":2}],"c":"[[[,,,"}': 6, b"[[],[],{}]": 7, b"7": 1, b'["\\"[,"]': 2}
    for text, values in most.items():
        parse_json(text, JsonLimits(KIB, values, 10))
        with pytest.raises(InputRefused, match="values and the limit is"):
            parse_json(text, JsonLimits(KIB, values - 1, 10))


# --- everything else --------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An input at a limit, which is read, and one beyond it.

    Args:
        at: reads it; what is raised is not about the limit, if anything.
        beyond: reads the other.
        words: of what it raises.
        untouched: what must not be asked for anything then.
    """

    at: Callable[[Path], object]
    beyond: Callable[[Path], object]
    words: str
    untouched: str = ""


def header(stanzas: int, body_bytes: int = 0) -> bytes:
    """A sealed file's first bytes: so many stanzas, and as many bytes in one more."""
    line = base64.b64encode(bytes(32)).rstrip(b"=") + b"\n"
    more = (
        b"-> x\n" + (b"A" * 64 + b"\n") * (body_bytes // 65) + b"A" * (body_bytes % 65) + b"\n" if body_bytes else b""
    )
    return b"age-encryption.org/v1\n" + (b"-> X25519 " + line + line) * stanzas + more + b"--- " + line + bytes(64)


def long_header(extra_bytes: int) -> bytes:
    """A header as long as one recipient's may be, and longer."""
    most = limits.HEADER_BYTES_EACH + limits.HEADER_BYTES_BESIDE
    empty = header(1, 1).index(b"--- ") + 48 - 1
    made = header(1, most - empty + extra_bytes)
    assert made.index(b"--- ") + 48 == most + extra_bytes
    return made


def opened(data: bytes, recipients: int) -> object:
    try:
        return open_sealed(data, SECRET, recipients)
    except AccessRefused:
        return None  # it was parsed
    except DigestMismatch as error:
        if "no header for" in error.message:
            raise
        return None  # age's own reader refused it


def folder_of(place: Path, files: dict[str, bytes], most: FolderLimits = limits.OFFER) -> None:
    """Fetch a folder of sealed files, of which two are wanted."""
    plain, store = place / "plain", LocalStore(place / "store", place)
    plain.mkdir(exist_ok=True)
    for name, data in files.items():
        (plain / name).write_bytes(data)
    cid = send_folder(store, plain, sorted(files), [RECIPIENT])
    fetch_folder(store, cid, place / "out", ["a", "b"], SECRET, most)


def nested_folder(place: Path, files: int = 0) -> None:
    """A folder that has a folder where a file should be."""
    store, plain = LocalStore(place / "store", place), place / "plain"
    (plain / "a.age").mkdir(parents=True)
    (plain / "b.age").write_bytes(seal(b"b", [RECIPIENT]))
    for index in range(files):
        (plain / "a.age" / str(index)).touch()
    fetch_folder(store, store.add_folder(plain), place / "out", ["a", "b"], SECRET, limits.OFFER)


def refusal(characters: int) -> object:
    body = {"version": "fitchain/refusal/v2", "agreement": str(JOB), "reason": "x" * characters}
    return fetch_refusal(held(canonical_json(body)), JOB, CID, SECRET)


def records(place: Path, schema: bytes, length: int | None = None, tail: bytes = b"") -> OpenedRecords:
    """A file of opened records of one record at most."""
    head = sha256(OPENED_TAG.encode()).value + (len(schema) if length is None else length).to_bytes(4, "big")
    number = 1 if tail else 0
    (place / "records.bin").write_bytes(head + schema + (9).to_bytes(8, "big") + number.to_bytes(8, "big") + tail)
    return OpenedRecords.read(place / "records.bin")


COLUMN = canonical_json([["x", "bool", [], "boolean", ""]])


def record_with_path(place: Path, nodes: int) -> object:
    record = bytes(8 + 32 + 32) + bytes(33) + bytes([nodes]) + bytes(32 * nodes)
    return list(records(place, COLUMN, tail=record))


def schema_of_length(place: Path, length: int) -> object:
    try:
        return records(place, b"", length)
    except InputRefused as error:
        if "ends" in error.message:  # it asked for as many bytes as there should be
            return None
        raise


def tensors(place: Path, header_bytes: int, size_bytes: int, text: bytes = b"{}") -> object:
    """A file of tensors that has holes in place of whatever is not its header's text."""
    path = place / "x.safetensors"
    with path.open("wb") as file:
        file.write(
            header_bytes.to_bytes(8, "little")
            + text
            + b" " * (header_bytes - len(text) if header_bytes <= 17 * MIB else 0)
        )
        file.truncate(size_bytes)
    return read_safetensors(path)


def many_tensors(place: Path, count: int) -> object:
    names = {f"t{index}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for index in range(count)}
    text = canonical_json(names)
    return tensors(place, len(text), 8 + len(text), text)


def archive(place: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    path = place / "x.npz"
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def array(shape: tuple[int, ...], filling: int = 0) -> bytes:
    """An array of bytes, its header filled up with spaces."""
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head = head.ljust(max(filling, len(head) + 1)) + b"\n"
    return b"\x93NUMPY\x02\x00" + len(head).to_bytes(4, "little") + head + bytes(int(np.prod(shape)))


def swollen_directory(place: Path, size_bytes: int) -> Path:
    """An archive whose directory says that it has so many bytes, and has them."""
    path = place / "x.npz"
    with path.open("wb") as file:
        file.truncate(size_bytes)
        file.seek(size_bytes)
        file.write(b"PK\x05\x06" + bytes(8) + size_bytes.to_bytes(4, "little") + bytes(4) + bytes(2))
    return path


def unpacked(path: Path, limit_bytes: int) -> None:
    try:
        check_npz(path, limit_bytes)
    except InputRefused as error:
        if "no intact NPZ" in error.message:  # its directory was read, and is none
            return
        raise


def files_of(place: Path, count: int) -> None:
    """Fetch folders of empty files, so many in all."""
    blocks: dict[Cid, bytes] = {}
    empty = unixfs.add_file([b""], blocks.__setitem__)
    inner = unixfs.add_folder([(f"{index:x}", empty) for index in range(1000)], blocks.__setitem__)
    whole, rest = divmod(count - 1, 1001)
    names = [(f"d{index}", inner) for index in range(whole)] + [(f"f{index}", empty) for index in range(rest)]
    outer = unixfs.add_folder(names, blocks.__setitem__)
    with patch("os.fsync"):
        store = LocalStore(place / "store", place)
        store.add_blocks(outer.cid, blocks.items())
        store.fetch(outer.cid, place / f"out{count}")


def linked(count: int) -> object:
    """A node of a file with so many links."""
    link = unixfs.Link(CID, 1, 1)
    return unixfs.Node.decode(unixfs.Node(unixfs.FILE, (link,) * count).encode())


def listing(size_bytes: int) -> object:
    """A folder whose list has so many bytes."""

    def block(names: list[str]) -> bytes:
        return unixfs.Node(unixfs.FOLDER, tuple(unixfs.Link(CID, 1, 0, name) for name in names)).encode()

    entry = len(block(["n" * 100])) - len(block([]))
    names = [f"{index:0100}" for index in range((size_bytes - 150) // entry)]
    made = (block([*names, "z" * letters]) for letters in range(90, 255))
    return unixfs.Node.decode(next(each for each in made if len(each) == size_bytes))


def nested(place: Path, levels: int) -> None:
    blocks: dict[Cid, bytes] = {}
    link = unixfs.add_file([b"x"], blocks.__setitem__)
    for _ in range(levels - 1):
        link = unixfs.add_folder([("d", link)], blocks.__setitem__)
    store = LocalStore(place / "store", place)
    store.add_blocks(link.cid, blocks.items())
    store.fetch(link.cid, place / f"out{levels}")


def car_of(sections: list[tuple[int, bytes]]) -> object:
    """Read a CAR whose sections say how long they are."""
    data = b"".join(car._varint(length) + body for length, body in sections)
    try:
        _, blocks = car.read(io.BytesIO(data))
        return list(blocks)
    except InputRefused as error:
        if "is no CAR" in error.message or "cut off" in error.message:
            return None  # it was read as far as it goes
        raise


CAR_HEAD = (58, b"".join(car.encode(CID, []))[1:])


def car_of_blocks(count: int) -> object:
    blocks = [(Cid.of(0x55, sha256(bytes([index])).value), bytes([index])) for index in range(count)]
    with patch("fitchain.pod.ports.store.car.MOST_BLOCKS", 3):
        return list(car.read(io.BytesIO(b"".join(car.encode(blocks[0][0], blocks))))[1])


PEER = "/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"


def endpoint(addresses: int) -> object:
    return Endpoint.parse("\n".join([PEER] + ["/ip4/203.0.113.7/tcp/4001"] * addresses).encode())


def tokenizer_of(size: int = 0, largest: int = 1, text: int = 0) -> object:
    """Open a tokenizer of so many bytes, whose largest token has that number, and encode a text of
    so many bytes."""
    model = tokenizer()["model"] | {"vocab": {"[PAD]": 0, "[UNK]": largest}}
    data = file_of(tokenizer(model=model)).ljust(size)
    with open_tokenizer(data) as opened_tokenizer:
        return opened_tokenizer.encode(["x" * text], 4)


def note_of(folder: Path, size: int) -> object:
    (folder / "t.csv").write_text("note,y\n" + f"{'x ' * (size // 2)},1\nx,0\n" * 9)
    data = file_of(tokenizer("[PAD]", "[UNK]", "x"))
    terms = ReadingTerms(target="y", kinds={"note": Kind.TOKENS}, tokenizing=Tokenizing(data, 4))
    with patch("fitchain.pod.compute.dataset.tokenizer.MOST_TEXT_BYTES", 1000):
        return Table.read(folder / "t.csv", terms)


CASES: dict[str, list[Case]] = {
    "header of a sealed file": [
        Case(
            lambda _: opened(header(3), 2),
            lambda _: opened(header(4), 2),
            "no header for up to 2 recipients",
            "pyrage.decrypt_io",
        ),
        Case(
            lambda _: opened(long_header(0), 1),
            lambda _: opened(long_header(1), 1),
            "takes at most 600 bytes",
            "pyrage.decrypt_io",
        ),
        Case(
            lambda _: open_sealed(seal(b"x", [RECIPIENT] * limits.MOST_RECIPIENTS), SECRET),
            lambda _: seal(b"x", [RECIPIENT] * (limits.MOST_RECIPIENTS + 1)),
            "1 to 64 recipients",
        ),
    ],
    "folder of sealed files": [
        Case(
            lambda place: folder_of(place, {"a": b"", "b": b""}),
            lambda place: folder_of(place, {"a": b"", "b": b"", "c": b""}),
            "others: 'c.age'",
        ),
        Case(
            lambda place: folder_of(place, {"a": b"", "b": b""}),
            lambda place: nested_folder(place, 1),
            "more files and folders than may be written",
            "subprocess.run",
        ),
        Case(
            lambda place: folder_of(place, {"a": bytes(1000), "b": b""}, FolderLimits(2000, None, 1)),
            lambda place: folder_of(place, {"a": bytes(1000), "b": bytes(1000)}, FolderLimits(2000, None, 1)),
            "the limit leaves",
            "subprocess.run",
        ),
        Case(
            lambda place: folder_of(place, {"a": b"", "b": b""}),
            nested_folder,
            "holds a folder a.age",
            "subprocess.run",
        ),
    ],
    "key, refusal": [
        Case(
            lambda _: refusal(limits.MOST_REASON),
            lambda _: refusal(limits.MOST_REASON + 1),
            "4001 characters and the limit is 4000",
        ),
    ],
    "`records.bin`": [
        Case(
            lambda place: schema_of_length(place, limits.RECORDS_SCHEMA.text_bytes),
            lambda place: schema_of_length(place, limits.RECORDS_SCHEMA.text_bytes + 1),
            "and the limit is 16777216",
        ),
        Case(
            lambda place: records(
                place, canonical_json([[f"c{i}", "bool", [], "boolean", ""] for i in range(limits.MOST_COLUMNS)])
            ),
            lambda place: records(
                place, canonical_json([[f"c{i}", "bool", [], "boolean", ""] for i in range(limits.MOST_COLUMNS + 1)])
            ),
            "a schema is a list of",
        ),
        Case(
            lambda place: record_with_path(place, limits.MOST_PATH),
            lambda place: record_with_path(place, limits.MOST_PATH + 1),
            "65 nodes, more than any tree is high",
        ),
    ],
    "file of tensors": [
        Case(
            lambda place: tensors(place, limits.TENSORS_HEADER.text_bytes, 8 + limits.TENSORS_HEADER.text_bytes),
            lambda place: tensors(place, limits.TENSORS_HEADER.text_bytes + 1, 9 + limits.TENSORS_HEADER.text_bytes),
            "the limit is 16777216",
            "fitchain.pod.values.state.parse_json",
        ),
        Case(
            lambda place: tensors(place, 2, 10),
            lambda place: tensors(place, 2, 11 + limits.TENSORS_BYTES),
            "the limit is 17179869184",
            "fitchain.pod.values.state.parse_json",
        ),
        Case(
            lambda place: many_tensors(place, limits.MOST_TENSORS),
            lambda place: many_tensors(place, limits.MOST_TENSORS + 1),
            "10001 tensors and the limit is 10000",
        ),
    ],
    "mock data (NPZ)": [
        Case(
            lambda place: unpacked(archive(place, {"x.npy": array((5, 7))}), len(array((5, 7)))),
            lambda place: unpacked(archive(place, {"x.npy": array((5, 7))}), len(array((5, 7))) - 1),
            "unpacks to",
        ),
        Case(
            lambda place: Table.read(archive(place, {"x.npy": array((5,), limits.ARRAY_HEADER_BYTES - 1)})),
            lambda place: Table.read(archive(place, {"x.npy": array((5,), limits.ARRAY_HEADER_BYTES)})),
            "10001 bytes and the limit is 10000",
        ),
        Case(
            lambda place: unpacked(swollen_directory(place, limits.ARCHIVE_DIRECTORY_BYTES), 1),
            lambda place: unpacked(swollen_directory(place, limits.ARCHIVE_DIRECTORY_BYTES + 1), 1),
            "directory has 20480001 bytes",
        ),
        Case(
            lambda place: unpacked(archive(place, {f"{i}.npy": b"" for i in range(limits.MOST_COLUMNS)}), 0),
            lambda place: unpacked(archive(place, {f"{i}.npy": b"" for i in range(limits.MOST_COLUMNS + 1)}), 0),
            "10001 arrays and the limit is 10000",
        ),
        Case(
            lambda place: Table.read(archive(place, {"x.npy": array((1,) * 9)})),
            lambda place: Table.read(archive(place, {"x.npy": array((1,) * 10)})),
            "at most rank 8",
        ),
    ],
    "tokenizer": [
        Case(
            lambda _: tokenizer_of(size=limits.TOKENIZER_BYTES),
            lambda _: tokenizer_of(size=limits.TOKENIZER_BYTES + 1),
            "more than 33554432 bytes",
            "fitchain.pod.compute.dataset.tokenizer.subprocess.Popen",
        ),
        Case(
            lambda _: tokenizer_of(largest=limits.MOST_VOCABULARY - 1),
            lambda _: tokenizer_of(largest=limits.MOST_VOCABULARY),
            "1048575 is the limit",
        ),
        Case(
            lambda place: note_of(place, 1000),
            lambda place: note_of(place, 1002),
            "the text has more than",
        ),
        Case(
            lambda _: Tokenizing(b"", limits.MOST_TOKENS),
            lambda _: Tokenizing(b"", limits.MOST_TOKENS + 1),
            "it has 1 to 65536",
        ),
    ],
    "file of state digests": [
        Case(
            lambda place: state_digests(place, 3),
            lambda place: state_digests(place, 4),
            "more than 3 steps",
        ),
    ],
    "keystore, backup of a key": [
        Case(
            lambda place: keystore(place, {}),
            lambda place: keystore(place, {"n": 1 << 21}),
            "n = 2097152, and 1048576 is the limit",
            "eth_account.Account.decrypt",
        ),
        Case(
            lambda place: keystore(place, {}),
            lambda place: keystore(place, {"N": 1 << 20, "r": 16}),
            "n r p = 16777216, and 8388608 is the limit",
            "eth_account.Account.decrypt",
        ),
    ],
    "object of the store": [
        Case(
            lambda place: files_of(place, limits.MOST_FILES),
            lambda place: files_of(place, limits.MOST_FILES + 1),
            "more files and folders than may be written",
        ),
        Case(
            lambda _: linked(limits.LINKS_PER_NODE),
            lambda _: linked(limits.LINKS_PER_NODE + 1),
            "1025 links and the limit is 1024",
        ),
        Case(
            lambda _: listing(limits.FOLDER_BLOCK_BYTES - 1),
            lambda _: listing(limits.FOLDER_BLOCK_BYTES),
            "such a one is below 262144",
        ),
        Case(
            lambda _: not_unixfs(limits.BLOCK_BYTES),
            lambda _: not_unixfs(limits.BLOCK_BYTES + 1),
            "2097153 bytes and the limit is 2097152",
        ),
        Case(
            lambda place: nested(place, limits.MOST_DEPTH),
            lambda place: nested(place, limits.MOST_DEPTH + 1),
            "nested more than 32 levels",
        ),
        Case(lambda _: blocks_of(3), lambda _: blocks_of(4), "more than 3 blocks"),
    ],
    "CAR": [
        Case(
            lambda _: car_of([(limits.CAR_HEADER_BYTES, bytes(limits.CAR_HEADER_BYTES))]),
            lambda _: car_of([(limits.CAR_HEADER_BYTES + 1, bytes(limits.CAR_HEADER_BYTES + 1))]),
            "section of 1025 bytes",
        ),
        Case(
            lambda _: car_of([CAR_HEAD, (36 + limits.BLOCK_BYTES, b"")]),
            lambda _: car_of([CAR_HEAD, (37 + limits.BLOCK_BYTES, b"")]),
            "section of 2097189 bytes",
        ),
        Case(lambda _: car_of_blocks(3), lambda _: car_of_blocks(4), "more than 3 blocks"),
    ],
    "endpoint of a pod": [
        Case(lambda _: endpoint(8), lambda _: endpoint(9), "9 addresses and may have 8"),
        Case(
            lambda _: long_endpoint(limits.ENDPOINT_BYTES),
            lambda _: long_endpoint(limits.ENDPOINT_BYTES + 1),
            "513 bytes and may have 512",
        ),
    ],
}


def state_digests(place: Path, lines: int) -> object:
    (place / "x").write_bytes(b'{"segment":0,"step":0,"tensors":{}}\n' * lines)
    with patch("fitchain.pod.proof.audit.diagnosis.MOST_STATE_DIGESTS", 3):
        return read_state_digests(place / "x")


def keystore(place: Path, terms: dict[str, int]) -> object:
    """Take a key whose keystore asks for a derivation of these terms."""
    from eth_account import Account

    body = dict(Account.encrypt(bytes(31) + b"\1", "x", kdf="scrypt", iterations=2))
    body["Crypto"] = body.pop("crypto")  # its names count in any letters
    if terms:
        body["Crypto"]["kdfparams"] = {k: v for k, v in body["Crypto"]["kdfparams"].items() if k not in "n"} | terms
    (place / "keystore.json").write_text(json.dumps(body))
    return keys.import_key(place, f"k{len(terms)}", place / "keystore.json", "x", work=2)


def not_unixfs(size_bytes: int) -> object:
    try:
        return unixfs.Node.decode(bytes(size_bytes))
    except InputRefused as error:
        if "is no UnixFS node" in error.message:
            return None
        raise


def blocks_of(count: int) -> object:
    blocks: dict[Cid, bytes] = {}
    link = unixfs.add_file([bytes([index]) for index in range(count - 1)], blocks.__setitem__)
    with patch("fitchain.pod.ports.store.unixfs.MOST_BLOCKS", 3):
        return b"".join(unixfs.read_file(link.cid, blocks.__getitem__, unixfs.Budget(100, 3)))


def long_endpoint(size_bytes: int) -> object:
    try:
        return Endpoint.parse(b"x" * size_bytes)
    except InputRefused as error:
        if "may have" in error.message:
            raise
        return None


def others() -> list[Any]:
    return [pytest.param(case, id=f"{what} {number}") for what in CASES for number, case in enumerate(CASES[what])]


@pytest.mark.parametrize("case", others())
def test_input_at_a_limit_is_read_and_one_beyond_is_refused(case: Case, tmp_path: Path) -> None:
    at, beyond = tmp_path / "at", tmp_path / "beyond"
    at.mkdir()
    beyond.mkdir()
    case.at(at)
    asked: AbstractContextManager[Any] = patch(case.untouched) if case.untouched else nullcontext()
    with asked as never, pytest.raises(FitchainError, match=case.words):
        case.beyond(beyond)
    assert not (case.untouched and never.called)


def test_every_row_of_the_table_has_cases_here() -> None:
    assert set(DOCUMENTS) | set(CASES) == {row.what for row in limits.FOREIGN}


def test_table_of_the_formats_is_made_of_the_limits() -> None:
    assert limits.table() in (ROOT / "docs" / "format.md").read_text()


OWN_JSON = {
    "cli/views/dataset.py": "a card that this process encoded",
    "cli/demo/parties.py": "what a command of ours printed",
    "pod/compute/environment/checking.py": "a home's memory of its host",
    "pod/jobs/journal.py": "rows of a home's journal",
    "pod/jobs/removal.py": "a deletion in a home's journal",
    "pod/jobs/metering.py": "a home's memory of what steps take",
    "pod/parties/scientist/request.py": "terms that this process encoded",
    "pod/compute/dataset/jsonl_file.py": "an owner's own records, whose numbers keep their digits",
    "pod/compute/dataset/tokenizer_process.py": "orders of a process of ours, and a file that its library took before",
    "pod/parties/verifier/ballot.py": "a vote in a home's journal",
    "pod/ports/chain/abi.py": "artifacts of the package",
    "pod/ports/chain/queue.py": "rows of a home's queue",
    "pod/ports/chain/devnet.py": "a devnet's chain, as its node wrote it down",
    "pod/ports/chain/known.py": "a home's note of its chain",
    "pod/ports/chain/rpc.py": "a request that this process encoded",
    "pod/ports/sealed.py": "an order, and the last words, of a process of ours",
    "pod/ports/settings.py": "a devnet's note in a home",
    "pod/ports/store/devnet_nodes.py": "files of nodes that this home runs",
    "pod/values/digest.py": "the one reader of what strangers wrote",
}
"""Where JSON is read without `parse_json`, and whose it is."""


def test_json_that_somebody_else_wrote_has_one_reader() -> None:
    found = set()
    for path in (*(ROOT / "pod").rglob("*.py"), *(ROOT / "cli").rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        if any(ast.unparse(call.func) in ("json.load", "json.loads") for call in calls):
            found.add(str(path.relative_to(ROOT)))
    assert found == set(OWN_JSON), "read it by `parse_json`, or say here whose it is"


# --- attacks that a limit alone does not show -------------------------------------------------


def memory_of(read: Callable[[], object]) -> int:
    """The most bytes that Python holds while something is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(InputRefused):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_header_that_announces_ten_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    assert memory_of(lambda: tensors(tmp_path, 10 << 30, 12 << 30)) < MIB


def test_body_of_a_file_that_its_header_does_not_describe_takes_none(tmp_path: Path) -> None:
    assert memory_of(lambda: tensors(tmp_path, 2, 8 << 30)) < MIB


def test_archive_that_unpacks_to_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w") as member:
        member.write(array((1 << 26,))[:200])
        for _ in range(64):
            member.write(bytes(MIB))
    assert path.stat().st_size < MIB
    assert memory_of(lambda: check_npz(path, 1 << 20)) < MIB
    assert memory_of(lambda: Table.read(path, limit_bytes=1 << 20)) < MIB


def test_array_header_that_announces_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    data = b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little")
    path = archive(tmp_path, {"x.npy": data + bytes(8 * MIB)})
    assert memory_of(lambda: Table.read(path)) < 4 * MIB


def test_no_more_is_unpacked_than_the_directory_says(tmp_path: Path) -> None:
    """The directory says 5 bytes after the header, and thousands are packed."""
    path = archive(tmp_path, {"x.npy": array((5,)) + bytes(100_000)})
    true_size, said = (len(array((5,))) + 100_000).to_bytes(4, "little"), len(array((5,))).to_bytes(4, "little")
    data = path.read_bytes()
    assert data.count(true_size) == 2
    path.write_bytes(data.replace(true_size, said))
    with pytest.raises(InputRefused, match="no intact NPZ archive"):  # its checksum is of other bytes
        Table.read(path)


def test_many_unknown_names_are_looked_up_once_each() -> None:
    """Ten thousand unknown fields beside ten thousand known ones were compared each with each."""

    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [Counted(f"n{index}") for index in range(2000)]
    refuse_unknown("it", [str(name) for name in names], names)
    assert Counted.compared <= 4 * len(names)


def test_near_names_are_looked_for_among_few_and_short_ones() -> None:
    with patch("fitchain.pod.values.suggestions.get_close_matches", return_value=[]) as compare:
        near_names("a" * (limits.NEAR_LETTERS + 1), ["a"])
        assert not compare.called
        near_names("a", ("b" * 1000 if index % 2 else "b" for index in range(100_000)))
        (name, known), _ = compare.call_args
        known = list(known)
        assert name == "a" and len(known) <= limits.NEAR_NAMES and max(map(len, known)) <= limits.NEAR_LETTERS
    assert near_names("lerning_rate", ["learning_rate"]) == ["learning_rate"]


def test_message_about_a_card_is_short_whatever_the_card_holds() -> None:
    card = json.loads((ROOT / "tests" / "golden" / "v2" / "job" / "card.json").read_bytes())
    columns = [
        {"name": f"{'c' * 100}{index}", "dtype": "float64", "shape": [], "unit": "", "kind": "number"}
        for index in range(9000)
    ]
    card |= {"columns": columns, "target": None, "transform": {"x": {"mean": 0.0, "scale": 1.0}}}
    with pytest.raises(InputRefused, match="unknown field 'x'") as refused:
        Card.parse(canonical_json(card))
    assert len(refused.value.message + refused.value.hint) < 10_000


def test_file_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 34)
    assert memory_of(lambda: read_at_most(tmp_path / "x", KIB)) < MIB
    with pytest.raises(NotFound):
        read_at_most(tmp_path / "y", KIB)
    with pytest.raises(InputRefused, match="is a folder"):
        read_at_most(tmp_path, KIB)


def test_refusal_that_is_too_long_is_cut_before_it_is_sent(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store", tmp_path)
    cid = send_refusal(store, JOB, "x" * 10_000, RECIPIENT)
    assert fetch_refusal(store, JOB, cid, SECRET) == "x" * limits.MOST_REASON


# --- the process that opens -------------------------------------------------------------------


def ended_by(tmp_path: Path, number: int) -> Path:
    """A Python that is ended by a signal at once."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nkill -{number} $$\nsleep 60\n")
    script.chmod(0o700)
    return script


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGXCPU, InputRefused),
        (signal.SIGSEGV, DigestMismatch),
        (signal.SIGABRT, DigestMismatch),
        (signal.SIGKILL, HostUnusable),
        (signal.SIGTERM, HostUnusable),
    ],
    ids=["out of processor time", "fault", "abort", "killed", "terminated"],
)
def test_how_the_process_ends_says_whose_fault_it_is(
    number: int, error: type[FitchainError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bytes do to native code they do on every host; what ends a process from outside is the
    host's."""
    monkeypatch.setattr("sys.executable", str(ended_by(tmp_path, number)))
    with pytest.raises(FitchainError) as ended:
        open_files([(tmp_path / "a", tmp_path / "b")], SECRET)
    assert type(ended.value) is error


def test_opening_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(script))
    with pytest.raises(InputRefused, match="took more than"):
        open_files([(tmp_path / "a", tmp_path / "b")], SECRET, limit_s=0.1)


def test_process_that_opens_has_little_processor_time_and_loads_little(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(seal(b"x", [RECIPIENT]))
    with patch("fitchain.pod.ports.sealed.subprocess.run") as run:
        run.return_value = subprocess.CompletedProcess([], 0)
        open_files([(source, tmp_path / "b")], SECRET, 3, 9.0)
    order = run.call_args.kwargs["input"]
    assert run.call_args.kwargs["timeout"] == 9.0
    program = (
        "import resource, sys; from fitchain.pod.ports import sealed\n"
        "sealed._Order.carry_out = lambda self: print(resource.getrlimit(resource.RLIMIT_CPU)[0], self.most_recipients,"
        " *{'torch', 'numpy', 'web3'} & set(sys.modules))\n"
        "sealed._apart_main()"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], input=order, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert said == [str(limits.OPENING_S), "3"]


def test_what_stops_in_native_code_is_an_altered_file() -> None:
    class PanicException(BaseException):
        """As pyrage's language calls it."""

    panic = patch("pyrage.decrypt_io", side_effect=PanicException("at the disco"))
    with panic, pytest.raises(DigestMismatch, match="at the disco"):
        open_sealed(seal(b"x", [RECIPIENT]), SECRET)


def test_host_that_lacks_disk_blames_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "store", tmp_path)
    cid = store.add(b"x")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HostUnusable, match="the disk is full"):
        store.fetch(cid, tmp_path / "out")
    assert isinstance(as_told("HostUnusable", "x", ""), HostUnusable)
