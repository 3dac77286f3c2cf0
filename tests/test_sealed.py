"""Sealed envelopes: who can open them, and that nobody can change them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitchain.pod.ports.sealed import (
    APART_BYTES,
    check_recipient,
    new_identity,
    open_files,
    open_sealed,
    recipient_bytes,
    recipient_from_bytes,
    recipient_of,
    seal,
    seal_file,
)
from fitchain.pod.values.errors import AccessRefused, DigestMismatch, InputRefused, NotFound, Refuted, Unusable
from tests.speeds import examples

ALICE, BOB, EVE = (new_identity() for _ in range(3))


@settings(max_examples=examples(20))
@given(st.binary(max_size=200_000))
def test_each_recipient_opens_what_was_sealed(plaintext: bytes) -> None:
    sealed = seal(plaintext, [ALICE[1], BOB[1]])
    assert open_sealed(sealed, ALICE[0]) == open_sealed(sealed, BOB[0]) == plaintext


def test_the_sealed_bytes_do_not_hold_the_plaintext() -> None:
    assert b"a secret weight" not in seal(b"a secret weight" * 100, [ALICE[1]])


def test_a_stranger_is_refused() -> None:
    with pytest.raises(AccessRefused, match="other recipients"):
        open_sealed(seal(b"x", [ALICE[1]]), EVE[0])


@settings(max_examples=examples(200))
@given(st.integers(min_value=0, max_value=5000), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_never_opens(place: int, change: int) -> None:
    sealed = bytearray(seal(bytes(4000), [ALICE[1]]))
    sealed[place % len(sealed)] ^= change
    with pytest.raises((DigestMismatch, AccessRefused)):
        open_sealed(bytes(sealed), ALICE[0])


def test_a_changed_body_is_refuted() -> None:
    sealed = bytearray(seal(b"weights", [ALICE[1]]))
    sealed[-1] ^= 1
    with pytest.raises(Refuted, match="not as it was sealed"):
        open_sealed(bytes(sealed), ALICE[0])


@pytest.mark.parametrize("length", [0, 10, 100, 70_000, 131_000])
def test_a_truncated_message_is_refuted(length: int) -> None:
    sealed = seal(bytes(131_072), [ALICE[1]])
    with pytest.raises(DigestMismatch):
        open_sealed(sealed[:length], ALICE[0])


def test_a_message_that_goes_on_is_refuted() -> None:
    with pytest.raises(DigestMismatch):
        open_sealed(seal(bytes(70_000), [ALICE[1]]) + b"more", ALICE[0])


def test_a_file_survives_sealing_and_opening(tmp_path: Path) -> None:
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    plain.write_bytes(bytes(range(256)) * 4000)
    seal_file(plain, sealed, [ALICE[1]])
    open_files([(sealed, opened)], ALICE[0])
    assert opened.read_bytes() == plain.read_bytes()
    assert opened.stat().st_mode & 0o077 == 0


def test_a_large_file_is_sealed_and_opened_by_a_process_of_its_own(tmp_path: Path) -> None:
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    plain.write_bytes(bytes(APART_BYTES))
    seal_file(plain, sealed, [ALICE[1]])
    open_files([(sealed, opened)], ALICE[0])
    assert opened.read_bytes() == plain.read_bytes()
    with pytest.raises(AccessRefused, match="other recipients"):  # its errors are this process's
        open_files([(sealed, opened)], EVE[0])
    sealed.write_bytes(sealed.read_bytes()[:-1])
    with pytest.raises(DigestMismatch, match="not as it was sealed"):
        open_files([(sealed, tmp_path / "other")], ALICE[0])
    with pytest.raises(Unusable, match="taken"):
        (tmp_path / "taken").mkdir()
        seal_file(plain, tmp_path / "taken", [ALICE[1]])


def test_a_large_file_never_waits_for_this_interpreters_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here each of its pieces would: beside a busy thread that takes a hundred times as long."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("ciphered in this process")

    monkeypatch.setattr("pyrage.encrypt_io", refuse)
    monkeypatch.setattr("pyrage.decrypt_io", refuse)
    (tmp_path / "plain").write_bytes(bytes(APART_BYTES))
    seal_file(tmp_path / "plain", tmp_path / "sealed", [ALICE[1]])
    open_files([(tmp_path / "sealed", tmp_path / "opened")], ALICE[0])
    with pytest.raises(AssertionError):
        (tmp_path / "plain").write_bytes(bytes(APART_BYTES - 1))
        seal_file(tmp_path / "plain", tmp_path / "sealed", [ALICE[1]])


def test_a_file_cut_after_its_first_pieces_leaves_no_plaintext(tmp_path: Path) -> None:
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    plain.write_bytes(bytes(300_000))
    seal_file(plain, sealed, [ALICE[1]])
    sealed.write_bytes(sealed.read_bytes()[:200_000])
    with pytest.raises(DigestMismatch):
        open_files([(sealed, opened)], ALICE[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "sealed"]


def test_a_file_for_others_leaves_no_target(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    seal_file(tmp_path / "plain", tmp_path / "sealed", [ALICE[1]])
    with pytest.raises(AccessRefused):
        open_files([(tmp_path / "sealed", tmp_path / "opened")], EVE[0])
    assert not (tmp_path / "opened").exists()


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        seal_file(tmp_path / "nowhere", tmp_path / "sealed", [ALICE[1]])


def test_a_full_disk_is_unusable_and_refutes_nothing(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(Unusable, match="taken"):
        seal_file(tmp_path / "plain", tmp_path / "taken", [ALICE[1]])


@pytest.mark.parametrize(
    "recipient",
    ["", "age1xyz", ALICE[1].upper(), ALICE[0], ALICE[1] + "\n"],
    ids=["empty", "short", "in capitals", "an identity", "with a line's end"],
)
def test_a_malformed_recipient_is_refused(recipient: str) -> None:
    with pytest.raises(InputRefused):
        check_recipient(recipient)


@pytest.mark.parametrize("number", [0, 1, (1 << 255) - 20, (1 << 255) - 19, (1 << 255) - 18, 1 << 255])
def test_a_recipient_that_anyone_can_open_is_refused(number: int) -> None:
    """age would end the whole process with a panic."""
    with pytest.raises(InputRefused, match="low order"):
        recipient_from_bytes(number.to_bytes(32, "little"))


def test_a_recipient_is_known_by_its_raw_key() -> None:
    assert recipient_from_bytes(recipient_bytes(ALICE[1])) == ALICE[1]
    with pytest.raises(InputRefused):
        recipient_bytes("age1xyz")


def test_an_envelope_without_recipients_is_refused() -> None:
    with pytest.raises(InputRefused, match="not 0"):
        seal(b"x", [])


def test_a_malformed_identity_is_refused_without_being_repeated() -> None:
    with pytest.raises(InputRefused) as caught:
        open_sealed(seal(b"x", [ALICE[1]]), "AGE-SECRET-KEY-1NEARLY")
    assert "NEARLY" not in str(caught.value)


def test_an_identity_knows_its_recipient() -> None:
    assert recipient_of(ALICE[0]) == ALICE[1]
