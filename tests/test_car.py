"""CAR files: what is written is read back, and what was altered, cut off or made up is refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.store import Cid, car
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.errors import DigestMismatch, InputRefused, NotFound

DATA = b"content" * 100


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", tmp_path / "home")


def exported(store: LocalStore, cid: Cid) -> bytes:
    return b"".join(car.encode(cid, store.blocks(cid)))


def imported(store: LocalStore, data: bytes) -> Cid:
    root, blocks = car.read(io.BytesIO(data))
    store.add_blocks(root, blocks)
    return root


@pytest.mark.parametrize("length", [0, 1, 1 << 20, (2 << 20) + 1])
def test_an_object_moves_from_store_to_store(store: LocalStore, tmp_path: Path, length: int) -> None:
    cid = store.add(bytes(length))
    other = LocalStore(tmp_path / "other", tmp_path / "home")
    assert imported(other, exported(store, cid)) == cid
    assert other.cat(cid) == bytes(length) and other.list_pins() == [cid]


def test_a_block_that_is_linked_twice_is_written_once(store: LocalStore) -> None:
    assert len(exported(store, store.add(bytes(4 << 20)))) < 2 << 20


def test_a_file_is_written_whole_or_not_at_all(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        car.write(tmp_path / "x.car", Cid.of(0x55, bytes(32)), store.blocks(Cid.of(0x55, bytes(32))))
    assert not list(tmp_path.glob("*car*"))


def test_an_altered_byte_is_refuted(store: LocalStore, tmp_path: Path) -> None:
    data = bytearray(exported(store, store.add(DATA)))
    data[-3] ^= 1
    other = LocalStore(tmp_path / "other", tmp_path / "home")
    with pytest.raises(DigestMismatch, match="is altered"):
        imported(other, bytes(data))
    assert other.list_pins() == []


def test_a_car_without_its_root_is_not_taken(store: LocalStore, tmp_path: Path) -> None:
    one, two = store.add(DATA), store.add(b"other")
    data = b"".join(car.encode(one, store.blocks(two)))
    with pytest.raises(NotFound, match=str(one)):
        imported(LocalStore(tmp_path / "other", tmp_path / "home"), data)


def header(**values: object) -> bytes:
    body = bytes(libipld.encode_dag_cbor(values))
    return bytes([len(body)]) + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x80",
        b"\xff" * 20,
        b"hello, world",
        header(version=2, roots=[]),
        header(version=1),
        header(version=1, roots=[]),
        header(version=1, roots=["x"]),
        header(version=1, roots=[b"x"]),
        header(version=1, roots=7),
    ],
)
def test_what_is_no_car_is_refused(store: LocalStore, data: bytes) -> None:
    with pytest.raises(InputRefused):
        imported(store, data)


def test_a_huge_section_is_refused_before_it_is_read(store: LocalStore) -> None:
    begun = exported(store, store.add(b""))[:59]
    with pytest.raises(InputRefused, match="a section of"):
        imported(store, begun + b"\xff\xff\xff\x7f")


@given(cut=st.integers(0, 10_000), place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_car_gives_true_blocks_or_an_error(cut: int, place: int, byte: int) -> None:
    cid = Cid.of(0x55, hashlib.sha256(DATA).digest())
    data = bytearray(b"".join(car.encode(cid, [(cid, DATA)])))
    data[place % len(data)] = byte
    with contextlib.suppress(InputRefused, DigestMismatch):
        _, blocks = car.read(io.BytesIO(data[: cut % len(data) + 1]))
        assert list(blocks) in ([], [(cid, DATA)])
