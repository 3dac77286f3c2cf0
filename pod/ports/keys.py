"""Keys of a pod: an Ethereum account and an age identity, encrypted at rest, and what is derived
from them.

Two keystore files (Web3 Secret Storage, version 3) per name lie in `<home>/keys/<name>/`:
`account.json` and `identity.json`, whose secret is the X25519 scalar and which names its recipient
beside. A secret never reaches a log, a `repr` or a command line. eth-account is imported only when
a key is opened.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from fitchain.pod.ports.sealed import bech32, new_identity, recipient_of, unbech32
from fitchain.pod.values.digest import DIGEST_BYTES, Digest, Word, parse_json
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, Unusable, host_errors
from fitchain.pod.values.limits import KEY_FILE, MOST_DERIVATION, MOST_SCRYPT
from fitchain.pod.values.reading import read_text
from fitchain.pod.values.versions import require_version

WORK = 1 << 17
"""Scrypt's N: 128 MiB and 0.4 s a guess, what OWASP asks of stored passwords (Password Storage
Cheat Sheet, scrypt)."""

_READ = {"cipher": ("aes-128-ctr",), "kdf": ("scrypt", "pbkdf2"), "prf": ("hmac-sha256",)}
"""What a keystore of version 3 may be encrypted with, as the Web3 Secret Storage Definition has it."""
_NO_KEYSTORE = "is no keystore of version 3"
_WHOLE = "copy the file whole, from the tool that made it"
_ENDLESS = "asks for more work than any tool gives a keystore"

BACKUP_VERSION = "fitchain/keys/v2"
IMPORTED_VERSIONS = ("fitchain/keys/v1", BACKUP_VERSION)
"""The same two keystores under either name: an account with money in it outlives the version of
Fitchain that made it. What is derived from the identity does not."""

LEAST_DERIVED = 32
"""Bytes: half of them encrypt, half authenticate."""
_AGE_PREFIX = "age-secret-key-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEX_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_FILES = ("account.json", "identity.json")


@dataclass(frozen=True)
class KeyInfo:
    """What can be told of a key without its passphrase."""

    name: str
    address: str
    recipient: str


class Keys:
    """An opened key; it can sign for its account (a `fitchain.pod.ports.chain.Signer`), open what
    is sealed to it, and derive secrets.

    Args:
        name: its name in the home.
        private_key: the account's 32 bytes.
        scalar: the age identity's 32 bytes.
    """

    __slots__ = ("_account", "_scalar", "address", "name", "recipient")

    def __init__(self, name: str, private_key: bytes, scalar: bytes) -> None:
        from eth_account import Account

        self.name = name
        self._account = Account.from_key(private_key)
        self._scalar = scalar
        self.address = str(self._account.address)
        self.recipient = recipient_of(self.identity)

    def __repr__(self) -> str:
        return f"Keys({self.name!r}, {self.address})"

    def __reduce__(self) -> str:
        raise TypeError("an opened key is not copied or pickled")

    @property
    def identity(self) -> str:
        """The age identity, AGE-SECRET-KEY-1...: for `fitchain.pod.ports.sealed` alone."""
        return bech32(_AGE_PREFIX, self._scalar).upper()

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes:
        """The raw signed transaction.

        Args:
            fields: an EIP-1559 transaction's, as eth-account names them.
        """
        return bytes(self._account.sign_transaction(dict(fields)).raw_transaction)

    def sign_digest(self, digest: Digest) -> bytes:
        """A 65-byte signature r || s || v over the digest, v being 27 or 28 (deterministic, RFC
        6979)."""
        return bytes(self._account.unsafe_sign_hash(bytes(digest)).signature)

    def derive(self, purpose: str, *words: Word) -> bytes:
        """Derive 32 secret bytes for one purpose; they are the same after every restart.

        Args:
            purpose: `fitchain/<what>/v2`.
            words: what they are for: digests or unsigned integers.

        Source: RFC 5869 (HKDF-SHA256); input the age identity's scalar, info the purpose's SHA-256
        followed by the words.
        """
        parts = [word.value if isinstance(word, Digest) else word.to_bytes(DIGEST_BYTES, "big") for word in words]
        return hkdf(self._scalar, b"fitchain/derive/v2", hashlib.sha256(purpose.encode()).digest() + b"".join(parts))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes of HKDF-SHA256 (RFC 5869): extract, then one block of expand."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def create(home: Path, name: str, passphrase: str, work: int = WORK) -> Keys:
    """Make a new account and age identity.

    Args:
        home: the pod's folder.
        name: letters, digits, dots, dashes; not used before.
        passphrase: encrypts both files.
        work: scrypt's N.

    Raises:
        InputRefused: the name is taken or malformed, or the passphrase empty.
    """
    return _keep(home, Keys(_checked(home, name), os.urandom(32), _new_scalar()), passphrase, work)


def import_key(home: Path, name: str, source: Path, passphrase: str, work: int = WORK) -> Keys:
    """Take a key from a file.

    Args:
        home: the pod's folder.
        name: not used before.
        source: a backup; a keystore (version 3) of an account; or its private key as 64 hex digits.
            The latter two get a fresh age identity.
        passphrase: opens the backup or keystore, and encrypts both new files.
        work: scrypt's N.

    Raises:
        NotFound: there is no such file.
        InputRefused: it is none of these, or the name is taken or malformed.
        AccessRefused: the passphrase does not open it.
    """
    _checked(home, name)
    text = _read(source).strip()
    if match := _HEX_KEY.fullmatch(text):
        return _keep(home, _keys(name, bytes.fromhex(match[1]), _new_scalar(), source), passphrase, work)
    body = _parse(source, text)
    if str(body.get("version")).startswith("fitchain/") and body["version"] not in IMPORTED_VERSIONS:
        require_version(f"the backup {source}", body, BACKUP_VERSION)
    if body.get("version") in IMPORTED_VERSIONS:
        return _keep(
            home, _opened(name, body.get("account"), body.get("identity"), passphrase, source), passphrase, work
        )
    keys = _keys(name, _decrypt(body, passphrase, source), _new_scalar(), source)
    _require_named(body, keys, source)
    return _keep(home, keys, passphrase, work)


def list_keys(home: Path) -> list[KeyInfo]:
    """Every key of a home, by name; needs no passphrase.

    Raises:
        InputRefused: a file is malformed.
    """
    folders = sorted(path for path in (home / "keys").glob("*") if not path.name.startswith("."))
    return [_info(folder) for folder in folders]


def backup(home: Path, name: str, target: Path) -> Path:
    """Write both encrypted files of a key into one new file of mode 0600.

    Args:
        home: the pod's folder.
        name: which key.
        target: the new file, or a folder for it.

    Returns:
        the file.

    Raises:
        NotFound: there is no such key, or no such folder.
        InputRefused: the file exists.
    """
    folder = _folder(home, name)
    account, identity = (_parse(folder / file, _read(folder / file)) for file in _FILES)
    path = target / f"fitchain-key-{name}.json" if target.is_dir() else target
    body = {"version": BACKUP_VERSION, "name": name, "account": account, "identity": identity}
    _write_new(path, body)
    return path


def unlock(home: Path, name: str, passphrase: str) -> Keys:
    """Open a key.

    Raises:
        NotFound: the home has no key of that name.
        AccessRefused: the passphrase does not open it.
        InputRefused: a file is malformed or altered.
    """
    folder = _folder(home, name)
    account, identity = (_parse(folder / file, _read(folder / file)) for file in _FILES)
    return _opened(name, account, identity, passphrase, folder)


# Files


def _keep(home: Path, keys: Keys, passphrase: str, work: int) -> Keys:
    """Encrypt a key into its folder, which appears whole or not at all."""
    if not passphrase:
        raise InputRefused("the passphrase is empty")
    account, scalar = bytes(keys._account.key), keys._scalar
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda secret: _encrypt(secret, passphrase, work), (account, scalar)))
    # The address of a keystore is that of its secret as an account: the identity is none, and names
    # its recipient instead.
    del files[1]["address"]
    files[1]["recipient"] = keys.recipient
    folder = home / "keys" / keys.name
    scratch = folder.with_name(f".{keys.name}.{os.getpid()}")
    scratch.mkdir(mode=0o700, parents=True)
    try:
        for file, body in zip(_FILES, files, strict=True):
            _write_new(scratch / file, body)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch)
        raise
    return keys


def _checked(home: Path, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputRefused(f"a key's name has letters, digits, dots and dashes, not {name!r}")
    if (home / "keys" / name).exists():
        raise InputRefused(f"the home {home} has a key {name!r} already", "choose another name with --name")
    return name


def _folder(home: Path, name: str) -> Path:
    folder = home / "keys" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise NotFound(
            f"the home {home} has no key {name!r}", "make one with `fitchain keys new`, or see `fitchain keys list`"
        )
    return folder


def _info(folder: Path) -> KeyInfo:
    from eth_utils.address import to_checksum_address

    account, identity = (_parse(folder / file, _read(folder / file)) for file in _FILES)
    try:
        return KeyInfo(folder.name, str(to_checksum_address(account["address"])), str(identity["recipient"]))
    except (KeyError, ValueError, TypeError) as error:
        raise InputRefused(f"{folder} holds no key: {error!r}") from None


def _read(path: Path) -> str:
    try:
        return read_text(path, KEY_FILE.text_bytes)
    except NotFound:
        raise
    except Unusable as error:
        raise InputRefused(f"the key's file cannot be read: {error.message}", error.hint) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        body = parse_json(text.encode(), KEY_FILE)
    except InputRefused:
        body = None
    if not isinstance(body, dict):
        raise InputRefused(f"{path} is no key: neither a backup, nor a keystore of version 3, nor 64 hex digits")
    return body


def _write_new(path: Path, body: dict[str, Any]) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputRefused(f"{path} exists already", "name another file") from None
    except FileNotFoundError:
        raise NotFound(f"there is no folder {path.parent}") from None
    try:
        with host_errors(f"{path} cannot be written"), open(file, "w") as writer:
            writer.write(json.dumps(body, indent=2) + "\n")
            writer.flush()
            os.fsync(writer.fileno())
    except BaseException:
        path.unlink()  # half a key is none
        raise


# Secrets


def _encrypt(secret: bytes, passphrase: str, work: int) -> dict[str, Any]:
    from eth_account import Account

    return dict(Account.encrypt(secret, passphrase, kdf="scrypt", iterations=work))


def _decrypt(body: Any, passphrase: str, where: Path) -> bytes:
    from eth_account import Account

    _require_readable(body, where)
    try:
        _check_derivation(body, where)
        return bytes(Account.decrypt(_lowered(body) | {"version": 3}, passphrase))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, NotImplementedError) as error:
        if "MAC" in str(error):
            raise AccessRefused(f"the passphrase does not open {where}", "try again; nothing was changed") from None
        raise InputRefused(f"{where} {_NO_KEYSTORE}: a field of its crypto is malformed", _WHOLE) from None


def _require_readable(body: Any, where: Path) -> None:
    """Check what eth-keyfile takes on trust: it looks at no cipher, so that one by another comes
    out as another key, and stumbles over other ways to derive one.

    Raises:
        InputRefused: the keystore is of another version, cipher or derivation, or lacks a field.
    """
    fields = _lowered(body)
    crypto = _lowered(fields.get("crypto"))
    # Some wallets write the number as a text.
    if str(fields.get("version")) != "3" or isinstance(fields["version"], float):
        raise InputRefused(f"{where} {_NO_KEYSTORE}: its version is {fields.get('version')!r:.40}", _WHOLE)
    if lacking := [
        name for name in ("cipher", "cipherparams", "ciphertext", "kdf", "kdfparams", "mac") if not crypto.get(name)
    ]:
        raise InputRefused(f"{where} {_NO_KEYSTORE}: its crypto has no {lacking[0]}", _WHOLE)
    used = {"cipher": crypto["cipher"], "kdf": crypto["kdf"]}
    if crypto["kdf"] == "pbkdf2":
        used["prf"] = _lowered(crypto["kdfparams"]).get("prf")
    for name, value in used.items():
        if value not in _READ[name]:
            raise InputRefused(
                f"{where} is encrypted with the {name} {value!r:.40}, and keystores are read that use "
                f"{' or '.join(_READ[name])}",
                "have the tool that made it write one of the usual kind, as Geth does",
            )


def _check_derivation(body: Any, where: Path) -> None:
    """Refuse a keystore whose key takes hours, or more memory than there is, to derive: the file
    itself says how much.

    Raises:
        InputRefused: it does.
        ValueError: it is none of version 3.
    """
    terms = _lowered(_lowered(_lowered(body).get("crypto")).get("kdfparams"))
    for name, most in MOST_DERIVATION.items():
        asked = terms.get(name, 1)
        if type(asked) is not int or asked < 1:
            raise ValueError(f"{name} is no positive integer")
        if asked > most:
            raise InputRefused(f"{where} {_ENDLESS}: {name} = {asked!r:.40}, and {most} is the limit")
    if terms.get("dklen", LEAST_DERIVED) < LEAST_DERIVED:
        raise ValueError(f"a key of {LEAST_DERIVED} bytes is derived")
    work = prod(terms.get(name, 1) for name in ("n", "r", "p"))
    if work > MOST_SCRYPT:
        raise InputRefused(f"{where} {_ENDLESS}: n r p = {work!r:.40}, and {MOST_SCRYPT} is the limit")


def _lowered(value: Any) -> dict[str, Any]:
    """An object by its names in small letters, as the reader of keystores takes them; empty for
    what is none."""
    return {str(key).lower(): of for key, of in value.items()} if isinstance(value, dict) else {}


def _opened(name: str, account: Any, identity: Any, passphrase: str, where: Path) -> Keys:
    with ThreadPoolExecutor() as pool:
        private_key, scalar = pool.map(lambda body: _decrypt(body, passphrase, where), (account, identity))
    keys = _keys(name, private_key, scalar, where)
    _require_named(account, keys, where)
    if keys.recipient != identity.get("recipient"):
        raise InputRefused(
            f"{where} names the recipient {identity.get('recipient')}, and its identity has {keys.recipient}"
        )
    return keys


def _require_named(account: dict[str, Any], keys: Keys, where: Path) -> None:
    """Check that a keystore is of the account that it names, where it names one: the address is
    shown, and money is sent to it, before anybody opens the key.

    Raises:
        InputRefused: it is another's.
    """
    named = _lowered(account).get("address")
    if named and str(named).lower().removeprefix("0x") != keys.address[2:].lower():
        raise InputRefused(
            f"{where} names the account {named!s:.80}, and its key is that of {keys.address}",
            "the file was altered or mixed up: restore it from the backup",
        )


def _keys(name: str, private_key: bytes, scalar: bytes, where: Path) -> Keys:
    from eth_utils.exceptions import ValidationError

    try:
        return Keys(name, private_key, scalar)
    except (ValueError, ValidationError):
        raise InputRefused(f"{where} holds no private key of an account: the number is out of range") from None


def _new_scalar() -> bytes:
    return unbech32(new_identity()[0])
