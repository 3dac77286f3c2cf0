"""Keys of a pod: an Ethereum account and an age identity, encrypted at rest, and what is derived from them.

Stands after `chain` and before `registry` in the flow. Two keystore files (Web3 Secret Storage, version 3) per name lie in
`<home>/keys/<name>/`: `account.json` and `identity.json`. A secret never reaches a log, a `repr` or a command line. web3 and
eth-account are imported only when a key is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pod.digest import Digest, Word


@dataclass(frozen=True)
class KeyInfo:
    """What can be told of a key without its passphrase."""

    name: str
    address: str
    recipient: str


class Keys:
    """An opened key.

    `address` (with checksum), `recipient` (age1...), `identity` (the age secret key: hand it to nothing but `sealed`).
    """

    name: str
    address: str
    recipient: str

    @property
    def identity(self) -> str:
        """The age identity, AGE-SECRET-KEY-1..."""
        raise NotImplementedError

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes:
        """The raw signed transaction."""
        raise NotImplementedError

    def sign_digest(self, digest: Digest) -> bytes:
        """A 65-byte signature r || s || v over the digest, v being 27 or 28."""
        raise NotImplementedError

    def derive(self, purpose: str, *words: Word) -> bytes:
        """32 secret bytes for one purpose (HKDF-SHA256, RFC 5869), the same after every restart."""
        raise NotImplementedError


def create(home: Path, name: str, passphrase: str) -> Keys:
    """Make a new account and age identity under a name not yet used."""
    raise NotImplementedError


def import_key(home: Path, name: str, source: Path, passphrase: str) -> Keys:
    """Take a key from a file: a backup, a keystore (version 3), or 64 hex digits."""
    raise NotImplementedError


def list_keys(home: Path) -> list[KeyInfo]:
    """Every key of a home, by name; needs no passphrase."""
    raise NotImplementedError


def backup(home: Path, name: str, target: Path) -> Path:
    """Write both encrypted files of a key into one new file of mode 0600."""
    raise NotImplementedError


def unlock(home: Path, name: str, passphrase: str) -> Keys:
    """Open a key."""
    raise NotImplementedError


def recover_signer(digest: Digest, signature: bytes) -> str:
    """The address whose account signed the digest (65-byte signature as `Keys.sign_digest` makes)."""
    raise NotImplementedError
