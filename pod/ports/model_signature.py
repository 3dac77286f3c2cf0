"""Model signatures: a Sigstore bundle over every file of a folder, by a key of one's own (the extra
`signing`).

It is what OpenSSF's model-signing writes and verifies: an in-toto statement over the files' SHA-256
in a DSSE envelope. It says that who holds the key had these files together, and nothing of how they
came about: that is the certificate's to say. The keys of a pod are none for it, since their curve
(secp256k1) is not among those that verify.

Source: https://github.com/ossf/model-signing-spec
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fitchain.pod.values.errors import AccessRefused, HostUnusable, InputRefused, NotFound, reason_of

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
NEW_KEY = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem makes one"
MOST_KEY_BYTES = 1 << 16


class SigningKey:
    """A private key of an elliptic curve, in a PEM file.

    Args:
        path: of the file.
        passphrase: asks for its passphrase; called only where the file has one.

    Raises:
        NotFound: there is no such file.
        AccessRefused: others than its owner may read it, or the passphrase does not open it.
        InputRefused: it is no such key, or of a curve with which nothing verifies.
        HostUnusable: the library is not here.
    """

    def __init__(self, path: Path, passphrase: Callable[[], str]) -> None:
        self._hashing, self._signing, serialization, curves = _libraries()
        data = _read(path)
        self.path, self._passphrase = path, passphrase().encode() if b"ENCRYPTED" in data else None
        try:
            key = serialization.load_pem_private_key(data, self._passphrase)
        except (ValueError, TypeError) as error:
            if self._passphrase is not None:
                raise AccessRefused(f"the passphrase does not open the key {path}", "nothing was written") from None
            reason = (str(error).splitlines() or ["no reason"])[0]
            raise InputRefused(f"{path} is no private key in PEM: {reason:.100}", NEW_KEY) from None
        curve = key.curve.name if isinstance(key, curves.EllipticCurvePrivateKey) else type(key).__name__
        if curve not in CURVES:
            usable = ", ".join(CURVES.values())
            raise InputRefused(f"the key {path} is of {curve}, and signatures verify with {usable}", NEW_KEY)
        self.curve = CURVES[curve]
        self.public: bytes = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key's PEM: a bundle names its key so."""
        return hashlib.sha256(self.public).hexdigest()

    def sign(self, folder: Path, signature: Path) -> None:
        """Sign every file below a folder, the signature itself aside.

        Args:
            folder: nothing in it is written later, else it does not verify.
            signature: the bundle that is written.
        """
        config = self._signing.Config().use_elliptic_key_signer(private_key=self.path, password=self._passphrase)
        config.set_hashing_config(self._hashing.Config().set_ignored_paths(paths=[signature]))
        config.sign(folder, signature)


def _libraries() -> tuple[Any, Any, Any, Any]:
    """model-signing's hashing and signing; of cryptography how keys are written, and their curves."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from model_signing import hashing, signing
    except ImportError as error:
        raise HostUnusable(
            f"models are signed by model-signing, and {error.name} is not installed",
            "install the extra `signing` (in a checkout: pip install -e '.[signing]')",
        ) from None
    return hashing, signing, serialization, ec


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise AccessRefused(
                    f"the key {path} is open to others (mode {mode:04o}), and would be 0600", f"chmod 600 {path}"
                )
            return file.read(MOST_KEY_BYTES)
    except OSError as error:
        raise NotFound(f"the key {path} cannot be read: {reason_of(error)}", NEW_KEY) from None
