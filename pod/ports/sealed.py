"""Sealed envelopes: age files for named recipients (https://age-encryption.org/v1, X25519).

Whatever is private is sealed here before it is stored, because what a store holds is public for
ever. It knows bytes and files, not what they mean. pyrage's exceptions end here.

What is opened comes from strangers. age's own reader takes quadratic time for a header, in one call
of native code that nothing interrupts, so a header is measured before: n recipients need fewer than
200 n bytes and n stanzas. Files that strangers sent are opened by a process of their own besides,
whose processor time is bounded; small messages are not, since what is left is linear.

Files are streamed in pieces of 64 KiB, and large ones in a process of their own: pyrage asks for
the interpreter's lock at every piece, so that beside one busy Python thread it would take a hundred
times as long (`scripts/bench/bench_ipfs.py`). The target of a file appears at once and whole
(written beside it, flushed, renamed): plaintext that was not authenticated to its last byte is
never left under the target's name.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pyrage

import fitchain
from fitchain.pod.values.errors import (
    AccessRefused,
    DigestMismatch,
    FitchainError,
    HostUnusable,
    InputRefused,
    NotFound,
    Unusable,
    as_told,
    reason_of,
)
from fitchain.pod.values.limits import (
    HEADER_BYTES_BESIDE,
    HEADER_BYTES_EACH,
    MOST_RECIPIENTS,
    OPENED_BYTES_A_SECOND,
    OPENING_S,
)

APART_BYTES = 8 << 20
"""From this size on a file is sealed or opened in a process of its own, which takes a tenth of a
second to start."""
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n"
    rb"(?:-> [!-~]++(?: [!-~]++)*+\n(?:[A-Za-z0-9+/]{64}\n)*+[A-Za-z0-9+/]{0,63}\n)++"
    rb"--- [A-Za-z0-9+/]{43}\n"
)
"""A header: stanzas of arguments and base64 in lines of 64, then a MAC.

Source: https://c2sp.org/age#header
"""
_STANZA = b"\n-> "
_NO_KEY = "No matching keys found"
_PANIC = "PanicException"
"""How pyrage's language says that it gave up, in a class that it does not export."""
_FIELD = (1 << 255) - 19
_LOW_ORDER = (
    0,
    1,
    _FIELD - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
"""Public keys whose shared secret is zero, by their number; age gives up on them with a panic,
which no `except` expects.

Source: https://cr.yp.to/ecdh.html, "How do I validate Curve25519 public keys?"; RFC 7748, section
6.1.
"""


def new_identity() -> tuple[str, str]:
    """Make a fresh X25519 identity from the system's random source.

    Returns:
        (secret, recipient): `AGE-SECRET-KEY-1...`, which is never published, and `age1...`, which
        may be.
    """
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def recipient_of(secret: str) -> str:
    """Compute the recipient to whom an identity answers.

    Raises:
        InputRefused: the text is no age identity (it is not repeated in the message, because it may
            be a secret).
    """
    return str(_identity(secret).to_public())


def check_recipient(text: str) -> str:
    """Refuse a text that is not the canonical form of an X25519 recipient.

    Returns:
        The text itself.

    Raises:
        InputRefused: it is anything but `age1...` with a valid checksum.
    """
    _recipient(text)
    return text


def recipient_bytes(text: str) -> bytes:
    """The raw public key, 32 bytes, of a recipient.

    Raises:
        InputRefused: it is none.
    """
    return unbech32(check_recipient(text))


def recipient_from_bytes(key: bytes) -> str:
    """The recipient of a raw public key; foreign input.

    Raises:
        InputRefused: nothing can be sealed to it.
    """
    return check_recipient(bech32("age", key))


def seal(plaintext: bytes, recipients: Sequence[str]) -> bytes:
    """Seal bytes for the recipients, each of whom can open them alone.

    Args:
        plaintext: what to seal.
        recipients: `age1...` texts, at least one.

    Returns:
        A binary age file; two seals of the same bytes differ.

    Raises:
        InputRefused: no recipient, too many, or one that is not an age recipient.
    """
    return bytes(pyrage.encrypt(plaintext, _recipients(recipients)))


def open_sealed(data: bytes, identity: str, most_recipients: int = MOST_RECIPIENTS) -> bytes:
    """Open sealed bytes.

    Args:
        data: a binary age file.
        identity: the secret text of one of its recipients.
        most_recipients: to how many it may be sealed.

    Raises:
        AccessRefused: it was sealed to others.
        DigestMismatch: it was altered or cut short after it was sealed, or is no age file.
        InputRefused: the identity is none.
    """
    secret, plaintext = _identity(identity), io.BytesIO()
    with _opening("the sealed message"):
        _check_header(data[: _header_bytes(most_recipients)], most_recipients)
        pyrage.decrypt_io(io.BytesIO(data), plaintext, [secret])
    return plaintext.getvalue()


def seal_file(source: Path, target: Path, recipients: Sequence[str]) -> None:
    """Seal a file for the recipients, in bounded memory; the target appears whole or not at all.

    Raises:
        InputRefused: no recipient, too many, or one that is not an age recipient.
        NotFound: the source is missing.
        Unusable: the source cannot be read or the target cannot be written.
    """
    _recipients(recipients)
    _seal(source, target, recipients)


def open_files(
    files: Sequence[tuple[Path, Path]],
    identity: str,
    most_recipients: int = MOST_RECIPIENTS,
    limit_s: float | None = None,
) -> None:
    """Open files that a stranger sealed, in a process of its own, one after the other, in bounded
    memory; each target appears whole and authenticated or not at all.

    Args:
        files: each sealed file, and where its content goes; those before one that does not open
            stay.
        identity: the secret text of one of their recipients.
        most_recipients: to how many they may be sealed.
        limit_s: seconds after which it is given up; None waits as long as the processor's time
            lasts that is given to them.

    Raises:
        AccessRefused: one was sealed to others.
        DigestMismatch: one was altered or cut short after it was sealed, or is no age file.
        InputRefused: the identity is none, or opening them takes too long.
        NotFound: one is missing.
        HostUnusable: one cannot be read or its target cannot be written, or the process was ended.
    """
    _identity(identity)
    size_bytes = sum(source.stat().st_size for source, _ in files if source.is_file())
    cpu_s = OPENING_S + size_bytes // OPENED_BYTES_A_SECOND
    _apart(_Order("open", [*files], [identity], most_recipients, cpu_s), limit_s)


def _seal(source: Path, target: Path, keys: Sequence[str]) -> None:
    """Seal a file: here, or beside this process where that is worth starting one."""
    if source.is_file() and source.stat().st_size >= APART_BYTES:
        _apart(_Order("seal", [(source, target)], keys))
    else:
        _seal_file(source, target, keys)


@dataclass(frozen=True)
class _Order:
    """What a process of its own is to do.

    Args:
        act: `seal` or `open`.
        files: from where, and where to.
        keys: recipients, or an identity.
        most_recipients: of a file that is opened.
        cpu_s: processor time that it may take; None sets no limit.
    """

    act: str
    files: Sequence[tuple[Path, Path]]
    keys: Sequence[str] = field(repr=False)
    most_recipients: int = MOST_RECIPIENTS
    cpu_s: int | None = None

    def encode(self) -> str:
        files = [[str(path.absolute()) for path in pair] for pair in self.files]
        return json.dumps([self.act, files, list(self.keys), self.most_recipients, self.cpu_s])

    @classmethod
    def decode(cls, text: str) -> _Order:
        act, files, *rest = json.loads(text)
        return cls(act, [(Path(source), Path(target)) for source, target in files], *rest)

    def carry_out(self) -> None:
        for source, target in self.files:
            if self.act == "seal":
                _seal_file(source, target, self.keys)
            else:
                _open_file(source, target, self.keys, self.most_recipients)


def _apart(order: _Order, limit_s: float | None = None) -> None:
    """Carry an order out in a process of its own; the keys go through its standard input, and its
    last words come back as an error."""
    what = f"the process that was to {order.act} {order.files[0][0] if order.files else 'no file'}"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "fitchain.pod.ports.sealed"],
            input=order.encode(),
            env={"PYTHONPATH": str(Path(fitchain.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        raise InputRefused(f"{what} took more than {limit_s:.0f} s") from None
    if done.returncode == 0:
        return
    if -done.returncode == signal.SIGXCPU:
        raise InputRefused(f"{what} took more than {order.cpu_s} s of processor time")
    if -done.returncode in _FAULTS:  # of native code over bytes that are the same on every host
        raise DigestMismatch(f"{what} was ended by {signal.Signals(-done.returncode).name}")
    try:
        error = as_told(**json.loads(done.stdout))
    except (ValueError, TypeError):
        error = HostUnusable(f"{what} ended with status {done.returncode}", "try again")
    raise error


_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


def _apart_main() -> int:
    """What that process does."""
    order = _Order.decode(sys.stdin.read())
    if order.cpu_s is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (order.cpu_s, order.cpu_s + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        order.carry_out()
    except FitchainError as error:
        print(json.dumps({"kind": type(error).__name__, "message": error.message, "hint": error.hint}))
        return error.exit_code
    return 0


def _seal_file(source: Path, target: Path, recipients: Sequence[str]) -> None:
    keys = _recipients(recipients)

    def encrypt(reader: BinaryIO, writer: BinaryIO) -> None:
        try:
            pyrage.encrypt_io(reader, writer, keys)
        except pyrage.EncryptError as error:
            raise Unusable(f"{source} cannot be sealed into {target}: {error}") from None

    _through(source, target, encrypt)


def _open_file(source: Path, target: Path, identities: Sequence[str], most_recipients: int) -> None:
    secrets = [_identity(identity) for identity in identities]

    def decrypt(reader: BinaryIO, writer: BinaryIO) -> None:
        with _opening(f"the sealed file {source}"):
            _check_header(reader.read(_header_bytes(most_recipients)), most_recipients)
            reader.seek(0)
            pyrage.decrypt_io(reader, writer, secrets)

    _through(source, target, decrypt)


def _header_bytes(recipients: int) -> int:
    """How long a header for so many recipients may be."""
    return HEADER_BYTES_EACH * recipients + HEADER_BYTES_BESIDE


def _check_header(start: bytes, recipients: int) -> None:
    """Refuse what does not begin with a header for so many recipients at most.

    Args:
        start: a file's first bytes, as many as such a header may have.

    Raises:
        DigestMismatch: it does not.
    """
    header = _HEADER.match(start)
    # One stanza besides: some writers add one of a random kind, so that readers bear it.
    if header is None or start.count(_STANZA, 0, header.end()) > recipients + 1:
        raise DigestMismatch(
            f"it begins with no header for up to {recipients} recipients, which takes at most "
            f"{_header_bytes(recipients)} bytes"
        )


def _recipients(texts: Sequence[str]) -> list[pyrage.x25519.Recipient]:
    if not 1 <= len(texts) <= MOST_RECIPIENTS:
        raise InputRefused(f"an envelope has 1 to {MOST_RECIPIENTS} recipients, not {len(texts)}")
    return [_recipient(text) for text in texts]


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        recipient = pyrage.x25519.Recipient.from_str(text)
    except (pyrage.RecipientError, TypeError, UnicodeError) as error:
        # only its start: somebody may have given an identity, which is a secret, by mistake
        raise InputRefused(f"{text!r:.12}... is no age recipient (age1...): {error}") from None
    if str(recipient) != text:
        raise InputRefused(f"{text!r:.80} is not the canonical form of its recipient, {recipient}")
    if int.from_bytes(unbech32(text), "little") % (1 << 255) % _FIELD in _LOW_ORDER:
        raise InputRefused(f"{text!r:.80} is a point of low order: whatever is sealed to it, anyone can open")
    return recipient


def _identity(secret: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(secret)
    except (pyrage.IdentityError, TypeError, UnicodeError) as error:
        raise InputRefused(f"the text is no age identity (AGE-SECRET-KEY-1...): {error}") from None


@contextmanager
def _opening(what: str) -> Iterator[None]:
    """Translate what pyrage says about a file that does not open.

    Another identity and an altered recipient line look alike in age: both are a file that this
    identity cannot open.
    """
    try:
        yield
    except DigestMismatch as error:
        raise _altered(what, error) from None
    except pyrage.DecryptError as error:
        if _NO_KEY in str(error):
            raise AccessRefused(
                f"{what} is sealed to other recipients than this identity",
                "open it with the identity it was sealed to; a job's result is sealed to the job's own identity",
            ) from None
        raise _altered(what, error) from None
    except OSError as error:
        if error.errno is not None:  # the disk's, not the cipher's
            raise
        raise _altered(what, error) from None
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise _altered(what, error) from None


def _altered(what: str, error: BaseException) -> DigestMismatch:
    return DigestMismatch(f"{what} is not as it was sealed ({error})", "fetch it again, or ask its sender")


def _through(source: Path, target: Path, convert: Callable[[BinaryIO, BinaryIO], None]) -> None:
    """Convert a file into a new one that appears whole or not at all."""
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        with source.open("rb") as reader, part.open("xb") as writer:
            part.chmod(0o600)
            convert(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        part.replace(target)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {error.filename}") from None
    except OSError as error:
        raise HostUnusable(f"{source} cannot be turned into {target}: {reason_of(error)}") from None
    finally:
        part.unlink(missing_ok=True)


# Bech32 (BIP-173), in which age writes its keys

_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CHECKSUM_DIGITS = 6


def bech32(prefix: str, data: bytes) -> str:
    """Write bytes in Bech32 under a prefix (BIP-173)."""
    spare = -len(data) * 8 % 5
    number = int.from_bytes(data, "big") << spare
    digits = [number >> shift & 31 for shift in range(len(data) * 8 + spare - 5, -1, -5)]
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    remainder = _polymod([*expanded, *digits, *[0] * _CHECKSUM_DIGITS]) ^ 1
    checksum = [remainder >> 5 * (5 - index) & 31 for index in range(_CHECKSUM_DIGITS)]
    return f"{prefix}1" + "".join(_DIGITS[digit] for digit in digits + checksum)


def unbech32(text: str) -> bytes:
    """The bytes of a Bech32 text whose checksum its maker vouches for."""
    digits = text.lower().rpartition("1")[2][:-_CHECKSUM_DIGITS]
    number = 0
    for digit in digits:
        number = number << 5 | _DIGITS.index(digit)
    bits = len(digits) * 5
    return (number >> bits % 8).to_bytes(bits // 8, "big")


def _polymod(digits: list[int]) -> int:
    """The checksum's polynomial remainder (BIP-173)."""
    remainder = 1
    for digit in digits:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ digit
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            remainder ^= generator if top >> bit & 1 else 0
    return remainder


if __name__ == "__main__":
    sys.exit(_apart_main())
