"""Keys: encrypted at rest, opened by one passphrase, never printed; derived secrets; signatures."""

from __future__ import annotations

import json
import os
import pickle
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_keys.datatypes import Signature
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.keys import Keys, backup, create, hkdf, import_key, list_keys, unlock
from fitchain.pod.ports.passphrase import read_passphrase
from fitchain.pod.ports.sealed import open_sealed, recipient_of, seal
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound
from tests.chain_fixtures import secret_file

QUICK = 2
PASSPHRASE = "correct horse"


def new(home: Path, name: str = "default") -> Keys:
    return create(home, name, PASSPHRASE, work=QUICK)


def test_unlock_finds_the_same_account_and_identity(tmp_path: Path) -> None:
    made, opened = new(tmp_path), unlock(tmp_path, "default", PASSPHRASE)
    assert (opened.address, opened.recipient, opened.identity) == (made.address, made.recipient, made.identity)


def test_unlock_with_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    new(tmp_path)
    with pytest.raises(AccessRefused, match="the passphrase does not open"):
        unlock(tmp_path, "default", "wrong")


def test_unlock_of_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as error:
        unlock(tmp_path, "default", PASSPHRASE)
    assert "fitchain keys new" in error.value.hint


def test_create_refuses_a_taken_name(tmp_path: Path) -> None:
    new(tmp_path)
    with pytest.raises(InputRefused, match="already"):
        new(tmp_path)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "x" * 65])
def test_create_refuses_a_malformed_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputRefused, match="name"):
        new(tmp_path, name)


def test_create_refuses_an_empty_passphrase(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="passphrase is empty"):
        create(tmp_path, "default", "", work=QUICK)


def test_files_are_for_the_owner_alone_and_hold_no_secret(tmp_path: Path) -> None:
    made = new(tmp_path)
    folder = tmp_path / "keys" / "default"
    for file in ("account.json", "identity.json"):
        text = (folder / file).read_text()
        assert (folder / file).stat().st_mode & 0o777 == 0o600
        assert json.loads(text)["version"] == 3
        assert made._scalar.hex() not in text
        assert bytes(made._account.key).hex() not in text
    assert folder.stat().st_mode & 0o777 == 0o700


def test_no_secret_is_printed_or_pickled(tmp_path: Path) -> None:
    made = new(tmp_path)
    assert repr(made) == f"Keys('default', {made.address})"
    with pytest.raises(TypeError):
        pickle.dumps(made)


def test_list_needs_no_passphrase(tmp_path: Path) -> None:
    made = [new(tmp_path, name) for name in ("a", "b")]
    assert [(key.name, key.address, key.recipient) for key in list_keys(tmp_path)] == [
        (key.name, key.address, key.recipient) for key in made
    ]
    assert list_keys(tmp_path / "elsewhere") == []


def test_backup_restores_both_secrets_elsewhere(tmp_path: Path) -> None:
    made = new(tmp_path / "a")
    file = backup(tmp_path / "a", "default", tmp_path)
    restored = import_key(tmp_path / "b", "again", file, PASSPHRASE, work=QUICK)
    assert (restored.address, restored.identity) == (made.address, made.identity)
    assert file.stat().st_mode & 0o777 == 0o600


def test_backup_never_overwrites(tmp_path: Path) -> None:
    new(tmp_path)
    file = backup(tmp_path, "default", tmp_path / "copy.json")
    with pytest.raises(InputRefused, match="exists already"):
        backup(tmp_path, "default", file)


def test_import_of_a_backup_with_a_wrong_passphrase_keeps_nothing(tmp_path: Path) -> None:
    new(tmp_path / "a")
    file = backup(tmp_path / "a", "default", tmp_path)
    with pytest.raises(AccessRefused):
        import_key(tmp_path / "b", "again", file, "wrong", work=QUICK)
    assert list_keys(tmp_path / "b") == []


def test_import_of_a_private_key_in_hex(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0x" + f"{1:064x}" + "\n")
    key = import_key(tmp_path, "one", tmp_path / "key", PASSPHRASE, work=QUICK)
    assert key.address == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"  # the well-known address of the private key 1


def test_import_of_a_keystore_of_another_tool(tmp_path: Path) -> None:
    made = new(tmp_path)
    key = import_key(tmp_path, "copy", tmp_path / "keys" / "default" / "account.json", PASSPHRASE, work=QUICK)
    assert key.address == made.address
    assert key.recipient != made.recipient


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", "0" * 64, "f" * 64, '{"version": 3}', "ab" * 31])
def test_import_of_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputRefused):
        import_key(tmp_path, "name", tmp_path / "file", PASSPHRASE, work=QUICK)
    assert list_keys(tmp_path) == []


def test_altered_recipient_is_noticed(tmp_path: Path) -> None:
    new(tmp_path)
    other = new(tmp_path / "other")
    file = tmp_path / "keys" / "default" / "identity.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recipient": other.recipient}))
    with pytest.raises(InputRefused, match="names the recipient"):
        unlock(tmp_path, "default", PASSPHRASE)


def edited(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A keystore with a change in it."""
    body = json.loads(file.read_text())
    change(body)
    file.write_text(json.dumps(body))
    return file


def test_a_keystore_of_another_account_is_refused(tmp_path: Path) -> None:
    """Money is sent to the address that a keystore names before anybody opens it."""
    mine, other = new(tmp_path / "mine"), new(tmp_path / "other")
    account = tmp_path / "mine" / "keys" / "default" / "account.json"
    edited(account, lambda body: body.update(address=other.address[2:].lower()))
    named = f"names the account {other.address[2:].lower()}, and its key is that of {mine.address}"
    with pytest.raises(InputRefused, match=named):
        unlock(tmp_path / "mine", "default", PASSPHRASE)
    with pytest.raises(InputRefused, match=named):
        import_key(tmp_path / "third", "copy", account, PASSPHRASE, work=QUICK)
    assert list_keys(tmp_path / "third") == []


def test_a_keystore_of_another_cipher_is_refused(tmp_path: Path) -> None:
    """eth-keyfile looks at none: it would come out as another account's key."""
    new(tmp_path)
    account = tmp_path / "keys" / "default" / "account.json"
    edited(account, lambda body: body["crypto"].update(cipher="aes-128-cbc"))
    with pytest.raises(
        InputRefused, match="is encrypted with the cipher 'aes-128-cbc', and keystores are read that use aes-128-ctr"
    ):
        unlock(tmp_path, "default", PASSPHRASE)


@pytest.mark.parametrize("parameters", [{"n": 1 << 40}, {"r": 1 << 20}, {"p": 1 << 30}, {"c": 1 << 40}])
def test_a_keystore_that_asks_for_endless_work_is_refused(tmp_path: Path, parameters: dict[str, int]) -> None:
    new(tmp_path)
    account = tmp_path / "keys" / "default" / "account.json"
    edited(account, lambda body: body["crypto"]["kdfparams"].update(parameters))
    with pytest.raises(InputRefused, match="asks for more work than any tool gives a keystore"):
        unlock(tmp_path, "default", PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(version=4),
        lambda body: body.update(crypto="none"),
        lambda body: body["crypto"].update(kdfparams=[]),
        lambda body: body["crypto"]["kdfparams"].update(n="many"),
        lambda body: body["crypto"].update(mac=7),
        lambda body: body["crypto"]["kdfparams"].update(dklen=16),
        lambda body: body["crypto"]["kdfparams"].update(n=3),
        lambda body: body["crypto"]["kdfparams"].pop("salt"),
        lambda body: body["crypto"]["cipherparams"].update(iv="xyz"),
        lambda body: body["crypto"].pop("ciphertext"),
        lambda body: body.pop("crypto"),
        lambda body: body.pop("version"),
        lambda body: body.update(version=3.0),
    ],
)
def test_a_malformed_keystore_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    new(tmp_path)
    edited(tmp_path / "keys" / "default" / "account.json", change)
    with pytest.raises(InputRefused, match="is no keystore of version 3"):
        unlock(tmp_path, "default", PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        {"kdf": "argon2id"},
        {"kdf": "pbkdf2", "kdfparams": {"c": 1, "dklen": 32, "prf": "md5", "salt": "00"}},
        {"kdf": "pbkdf2", "kdfparams": {"c": 1, "dklen": 32, "prf": "hmac-sha1", "salt": "00"}},
        {"kdf": "pbkdf2", "kdfparams": {"c": 1, "dklen": 32, "salt": "00"}},
        {"cipher": ["aes-128-ctr"]},
    ],
)
def test_a_keystore_that_is_encrypted_otherwise_says_so(tmp_path: Path, change: dict[str, Any]) -> None:
    new(tmp_path)
    edited(tmp_path / "keys" / "default" / "account.json", lambda body: body["crypto"].update(change))
    with pytest.raises(
        InputRefused, match=r"is encrypted with the (kdf|prf|cipher) .*, and keystores are read that use"
    ):
        unlock(tmp_path, "default", PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(version="3"),
        lambda body: body.pop("address"),
        lambda body: body.update(address=""),
        lambda body: body.update(address="0x" + body["address"].removeprefix("0x").upper()),
        lambda body: body.update(Crypto=body.pop("crypto"), Version=body.pop("version"), Address=body.pop("address")),
    ],
)
def test_a_keystore_as_other_wallets_write_it_is_taken(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    mine = new(tmp_path)
    account = edited(tmp_path / "keys" / "default" / "account.json", change)
    assert import_key(tmp_path / "b", "one", account, PASSPHRASE, work=QUICK).address == mine.address


CASES = Path(__file__).parent / "cases" / "keystore_of_another_account"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrong_address", "names the account 0{40}, and its key is that of 0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"),
        ("gcm", "is encrypted with the cipher 'aes-256-gcm'"),
    ],
)
def test_keystores_that_would_give_another_account_are_refused(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(InputRefused, match=told):
        import_key(tmp_path, "one", CASES / f"{name}.json", "swordfish staple", work=QUICK)
    assert list_keys(tmp_path) == []


def test_a_keystore_whose_version_is_a_text_is_taken(tmp_path: Path) -> None:
    key = import_key(tmp_path, "one", CASES / "version_text.json", "swordfish staple", work=QUICK)
    assert key.address == "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def test_a_mark_of_byte_order_is_no_part_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "hex").write_bytes(BOM_UTF8 + b"0x" + b"1".rjust(64, b"0"))
    one = import_key(tmp_path, "one", tmp_path / "hex", PASSPHRASE, work=QUICK)
    assert one.address == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
    file = backup(tmp_path, "one", tmp_path)
    file.write_bytes(BOM_UTF8 + file.read_bytes())
    assert import_key(tmp_path / "b", "one", file, PASSPHRASE, work=QUICK).identity == one.identity


def test_a_mark_of_byte_order_is_no_part_of_a_passphrase(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "file", "")
    file.write_bytes(BOM_UTF8 + PASSPHRASE.encode() + b"\r\n")
    assert read_passphrase(file) == PASSPHRASE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o644, 0o620, 0o610])
def test_a_passphrase_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = secret_file(tmp_path / "file", PASSPHRASE)
    assert read_passphrase(file) == PASSPHRASE
    file.chmod(mode)
    with pytest.raises(AccessRefused, match=f"is open to others \\(mode {mode:04o}\\)") as error:
        read_passphrase(file)
    assert error.value.hint.startswith(f"chmod 600 {file}")


def test_a_passphrase_comes_through_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE.encode() + b"\n")
    os.close(writing)
    assert read_passphrase(Path(f"/dev/fd/{reading}")) == PASSPHRASE
    os.close(reading)


def test_identity_opens_what_is_sealed_to_its_recipient(tmp_path: Path) -> None:
    made = new(tmp_path)
    assert open_sealed(seal(b"weights", [made.recipient]), made.identity) == b"weights"


@given(st.binary(min_size=32, max_size=32))
def test_identity_text_is_what_age_reads(scalar: bytes) -> None:
    key = Keys("law", (1).to_bytes(32, "big"), scalar)
    assert recipient_of(key.identity) == key.recipient


def test_derived_secrets_survive_a_restart_and_differ_by_purpose_and_words(tmp_path: Path) -> None:
    made, word = new(tmp_path), sha256(b"agreement")
    secrets = [made.derive("a/v1"), made.derive("b/v1"), made.derive("a/v1", word), made.derive("a/v1", word, 1)]
    assert len(set(secrets)) == 4
    assert unlock(tmp_path, "default", PASSPHRASE).derive("a/v1", word, 1) == secrets[3]


def test_hkdf_is_that_of_rfc_5869() -> None:
    """Appendix A.1: its output's first 32 bytes are one block."""
    found = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert found.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_signature_names_its_account(tmp_path: Path) -> None:
    made, digest = new(tmp_path), sha256(b"certificate")
    signature = made.sign_digest(digest)
    assert len(signature) == 65
    recoverable = Signature(signature_bytes=signature[:-1] + bytes([signature[-1] - 27]))
    signers = [recoverable.recover_public_key_from_msg_hash(bytes(each)) for each in (digest, sha256(b"another"))]
    assert signers[0].to_checksum_address() == made.address
    assert signers[1].to_checksum_address() != made.address
