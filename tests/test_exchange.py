"""What travels between pods: sealed, whole, and of its own job; or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitchain.pod.jobs.exchange import (
    KEY_VERSION,
    NOTE_VERSION,
    Note,
    fetch_folder,
    fetch_key,
    fetch_note,
    send_folder,
    send_key,
    send_note,
)
from fitchain.pod.ports.sealed import new_identity, seal
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.digest import canonical_json, sha256
from fitchain.pod.values.errors import AccessRefused, DigestMismatch, InputRefused, NotFound, StoreUnusable
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.limits import FolderLimits
from tests.speeds import examples

JOB, OTHER = AgreementId(sha256(b"job")), AgreementId(sha256(b"other job"))
NAMES = ("recipe.json", "graph.json")
SECRET, RECIPIENT = new_identity()
LIMITS = FolderLimits(1 << 30, None, 2)
STRANGER, STRANGERS = new_identity()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", tmp_path / "home")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder with the files of an exchange, and one that does not travel."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in (*NAMES, "private.txt"):
        (folder / name).write_text(f"content of {name}")
    return folder


def blocks(store: LocalStore) -> list[Path]:
    return [path for path in (store.folder / "blocks").rglob("*") if path.is_file()]


def test_folder_arrives_as_it_was_sent(store: LocalStore, plain: Path, tmp_path: Path) -> None:
    cid = send_folder(store, plain, NAMES, [RECIPIENT, STRANGERS])
    for secret in (SECRET, STRANGER):
        fetch_folder(store, cid, tmp_path / "out", NAMES, secret, LIMITS)
        assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
            name: f"content of {name}" for name in NAMES
        }


def test_store_sees_no_plain_byte(store: LocalStore, plain: Path) -> None:
    send_folder(store, plain, NAMES, [RECIPIENT])
    assert not [path for path in blocks(store) if b"content of" in path.read_bytes()]
    assert sorted(path.name for path in plain.iterdir()) == ["graph.json", "private.txt", "recipe.json"]


def test_folder_for_others_leaves_nothing(store: LocalStore, plain: Path, tmp_path: Path) -> None:
    cid = send_folder(store, plain, NAMES, [STRANGERS])
    with pytest.raises(AccessRefused, match=f"the folder {cid} does not open: the sealed file recipe.json.age"):
        fetch_folder(store, cid, tmp_path / "out", NAMES, SECRET, LIMITS)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("sent", [NAMES[:1], (*NAMES, "private.txt")])
def test_folder_with_other_files_than_agreed_is_refused(
    store: LocalStore, plain: Path, tmp_path: Path, sent: tuple[str, ...]
) -> None:
    cid = send_folder(store, plain, sent, [RECIPIENT])
    with pytest.raises(InputRefused, match="should hold"):
        fetch_folder(store, cid, tmp_path / "out", NAMES, SECRET, LIMITS)
    assert not (tmp_path / "out").exists()


def test_folder_beyond_the_limit_is_refused(store: LocalStore, plain: Path, tmp_path: Path) -> None:
    (plain / "graph.json").write_bytes(bytes(3 << 20))
    cid = send_folder(store, plain, NAMES, [RECIPIENT])
    with pytest.raises(InputRefused):
        fetch_folder(store, cid, tmp_path / "out", NAMES, SECRET, FolderLimits(1 << 20, None, 2))
    assert list((tmp_path / "out").iterdir()) == []


def test_file_where_a_folder_should_be_is_refused(store: LocalStore, tmp_path: Path) -> None:
    cid = store.add(seal(b"one file", [RECIPIENT]))
    with pytest.raises(InputRefused, match="is a file and not a folder"):
        fetch_folder(store, cid, tmp_path / "out", NAMES, SECRET, LIMITS)


def test_folder_sealed_badly_is_told_from_a_bad_copy(store: LocalStore, plain: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in NAMES:
        (bad / f"{name}.age").write_bytes(seal(b"fine", [RECIPIENT])[:-1])
    with pytest.raises(DigestMismatch, match="not as it was sealed"):
        fetch_folder(store, store.add_folder(bad), tmp_path / "out", NAMES, SECRET, LIMITS)
    cid = send_folder(store, plain, NAMES, [RECIPIENT])
    for block in blocks(store):
        data = bytearray(block.read_bytes())
        data[-1] ^= 1
        block.write_bytes(data)
    with pytest.raises(StoreUnusable, match=r"copy of .* is altered"):
        fetch_folder(store, cid, tmp_path / "out", NAMES, SECRET, LIMITS)


def test_missing_object_is_not_found(store: LocalStore, tmp_path: Path) -> None:
    nowhere = Cid.of(0x70, bytes(32))
    with pytest.raises(NotFound):
        fetch_folder(store, nowhere, tmp_path / "out", NAMES, SECRET, LIMITS)
    with pytest.raises(NotFound):
        fetch_note(store, nowhere, SECRET)


@settings(max_examples=examples(25))
@given(
    st.integers(0, 2**31),
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8),
    st.none() | st.dictionaries(st.sampled_from(["loss", "accuracy"]), st.floats(-1e9, 1e9)),
)
def test_note_is_its_own_inverse(
    tmp_path_factory: pytest.TempPathFactory, step: int, leaves: list[bytes], metrics: dict[str, float] | None
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = LocalStore(folder / "store", folder)
    note = Note(JOB, step // 2, step, tuple(sha256(leaf) for leaf in leaves), metrics)
    assert fetch_note(store, send_note(store, note, RECIPIENT), SECRET) == note


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"version": KEY_VERSION},
        {"version": NOTE_VERSION},
        {"version": NOTE_VERSION, "agreement": str(JOB), "first": 0, "step": 0, "leaves": ["0x12"], "metrics": None},
        {"version": NOTE_VERSION, "agreement": str(JOB), "first": "x", "step": 0, "leaves": [], "metrics": None},
        {"version": NOTE_VERSION, "agreement": str(JOB), "first": 0, "step": 0, "leaves": [], "metrics": {"loss": "x"}},
        {"version": NOTE_VERSION, "agreement": str(JOB), "first": 0, "step": 0, "leaves": [], "metrics": [1]},
        {
            "version": NOTE_VERSION,
            "agreement": str(JOB),
            "first": 0,
            "step": 0,
            "leaves": [],
            "metrics": {"\x1b[2J": 1},
        },
        {"version": NOTE_VERSION, "agreement": str(JOB), "first": 0, "step": 0, "leaves": 7, "metrics": None},
    ],
)
def test_what_is_no_note_is_refused(store: LocalStore, body: object) -> None:
    cid = store.add(seal(canonical_json(body), [RECIPIENT]))  # type: ignore[arg-type]
    with pytest.raises(InputRefused):
        fetch_note(store, cid, SECRET)


def test_bytes_that_are_no_json_are_refused(store: LocalStore) -> None:
    with pytest.raises(InputRefused):
        fetch_note(store, store.add(seal(b"\xff\x00 not json", [RECIPIENT])), SECRET)


def test_metric_that_is_no_double_is_refused(store: LocalStore) -> None:
    body = canonical_json(
        {"version": NOTE_VERSION, "agreement": str(JOB), "first": 0, "step": 0, "leaves": [], "metrics": {"loss": 7}}
    )
    huge = body.replace(b'"loss":7', b'"loss":1' + b"0" * 400)
    assert len(huge) > len(body)
    with pytest.raises(InputRefused, match="a metric is a finite number"):
        fetch_note(store, store.add(seal(huge, [RECIPIENT])), SECRET)


def test_key_of_the_job_arrives(store: LocalStore) -> None:
    assert fetch_key(store, JOB, send_key(store, JOB, STRANGER, RECIPIENT), SECRET) == STRANGER


def test_key_of_another_job_is_refused(store: LocalStore) -> None:
    cid = send_key(store, OTHER, STRANGER, RECIPIENT)
    with pytest.raises(InputRefused, match=f"is the key of {OTHER} and not of {JOB}"):
        fetch_key(store, JOB, cid, SECRET)


def test_key_for_somebody_else_stays_shut(store: LocalStore) -> None:
    cid = send_key(store, JOB, STRANGER, STRANGERS)
    with pytest.raises(AccessRefused):
        fetch_key(store, JOB, cid, SECRET)


def test_key_that_is_none_is_refused_without_being_repeated(store: LocalStore) -> None:
    cid = store.add(seal(canonical_json({"version": KEY_VERSION, "agreement": str(JOB), "identity": 7}), [RECIPIENT]))
    with pytest.raises(InputRefused):
        fetch_key(store, JOB, cid, SECRET)
