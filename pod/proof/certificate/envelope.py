"""The envelope: a payload and the owner's signature over it.

It knows bytes and addresses, not what is claimed.

Source: DSSE v1 (https://github.com/secure-systems-lab/dsse); the signature is over keccak256 of its
pre-authentication encoding, 65 bytes r || s || v with v = 27 or 28, as Ethereum accounts sign, and
`keyid` is the account's address with its checksum (EIP-55).
"""

from __future__ import annotations

import base64
import binascii
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.chain.base import Signer
from fitchain.pod.values.digest import Digest, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, SignatureMismatch
from fitchain.pod.values.limits import ENVELOPE
from fitchain.pod.values.recipe.fields import Fields

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MODEL = "a model"
UTF16 = "UTF-16 text"
MARKED = "text behind a mark of byte order"
_SAVED = "an editor saved it anew: save it as UTF-8 without a mark, or ask for the certificate again"
_HINTS = {MODEL: "name the model first, its certificate behind it", UTF16: _SAVED, MARKED: _SAVED}
CERTIFICATE_BYTES = ENVELOPE.text_bytes
SIGNATURE_BYTES = 65
HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
"""Half of secp256k1's group order: a signature with a larger s has a twin with a smaller one, and
only that is admitted (EIP-2)."""


def seal(payload: bytes, signer: Signer) -> bytes:
    """Sign a payload.

    Args:
        payload: an in-toto statement's bytes.
        signer: the account to sign with.

    Returns:
        the envelope as canonical JSON.
    """
    signature = signer.sign_digest(signed_digest(PAYLOAD_TYPE, payload))
    signatures = [{"keyid": signer.address, "sig": _encode(signature)}]
    return canonical_json({"payload": _encode(payload), "payloadType": PAYLOAD_TYPE, "signatures": list(signatures)})


@dataclass(frozen=True)
class Envelope:
    """An envelope whose signature is not checked yet.

    Args:
        payload: what is said to be signed.
        keyid: the address that is said to have signed it.
        signature: r || s || v.
    """

    payload: bytes
    keyid: str
    signature: bytes

    def signer(self) -> str:
        """The address that signed the payload.

        Raises:
            SignatureMismatch: the signature is another key's than the envelope says, or none.
        """
        signer = recover(signed_digest(PAYLOAD_TYPE, self.payload), self.signature)
        if signer != self.keyid:
            raise SignatureMismatch(
                f"the certificate says that {self.keyid} signed it, and its signature is {signer}'s"
                " over other bytes or none at all",
                "it was altered, or signed by somebody else: ask the owner for it again",
            )
        return signer


def unseal(data: bytes) -> tuple[bytes, str]:
    """Read an envelope and check its signature.

    Returns:
        the payload, and the address that signed it.

    Raises:
        SignatureMismatch, InputRefused: as `read_envelope` and `Envelope.signer`.
    """
    envelope = read_envelope(data)
    return envelope.payload, envelope.signer()


def read_envelope(data: bytes) -> Envelope:
    """Read an envelope.

    Raises:
        InputRefused: the bytes are no envelope of a certificate, or one of another version: whoever
            looks at a wrong or cut-off file has refuted nothing.
    """
    try:
        fields = Fields("the certificate", parse_json(data, ENVELOPE), ("payload", "payloadType", "signatures"))
        signed = Fields("its signature", fields.items("signatures", 1, 1)[0], ("keyid", "sig"))
        payload, signature = _decode("payload", fields.value["payload"]), _decode("sig", signed.value["sig"])
        kind, keyid = fields.text("payloadType", 200), signed.text("keyid", 200)
    except InputRefused as error:
        what = kind_of_file(data)
        hint = _HINTS.get(what, "ask for the certificate again")
        raise InputRefused(
            f"the file is no certificate, which is JSON with payload, payloadType and signatures: it is {what}; "
            f"{error.message}",
            hint,
        ) from None
    if kind != PAYLOAD_TYPE:
        raise InputRefused(
            f"the certificate's payload is of type {kind!r:.100}, and {PAYLOAD_TYPE!r} is read here",
            "it may be of another version of Fitchain: check it with that one",
        )
    return Envelope(payload, keyid, signature)


def kind_of_file(data: bytes) -> str:
    """What a file is, as far as its first bytes say, that is not what was expected."""
    start = data[:512].lstrip()
    if not data:
        return "empty"
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return UTF16
    if start.startswith(BOM_UTF8):
        return MARKED
    if start[:1] == b"<":
        return "a web page"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return MODEL
    if start[:1] == b"{":
        whole = data.rstrip()[-1:] == b"}"
        return "a certificate" if whole and b'"payloadType"' in data else "JSON" if whole else "cut off"
    return "something else"


def signed_digest(payload_type: str, payload: bytes) -> Digest:
    """keccak256 of the pre-authentication encoding: "DSSEv1", type and payload, each with its
    length."""
    from eth_utils.crypto import keccak

    kind = payload_type.encode()
    return Digest(keccak(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)))


def recover(digest: Digest, signature: bytes) -> str:
    """The address whose key made a signature.

    Args:
        digest: what was signed.
        signature: r || s || v.

    Raises:
        SignatureMismatch: no key can have made it.
    """
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    if len(signature) != SIGNATURE_BYTES or signature[-1] not in (27, 28):
        raise SignatureMismatch(
            f"a signature has {SIGNATURE_BYTES} bytes and ends with 27 or 28, unlike {signature.hex()}"
        )
    if int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        raise SignatureMismatch("the signature's s lies in the upper half of the group's order, where no account signs")
    try:
        plain = Signature(signature[:-1] + bytes((signature[-1] - 27,)))
        return str(plain.recover_public_key_from_msg_hash(bytes(digest)).to_checksum_address())
    except (BadSignature, ValidationError) as error:
        raise SignatureMismatch(f"no key can have made the signature: {error}") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(name: str, text: Any) -> bytes:
    """Base64 in its one form: what decodes to the same bytes but looks otherwise is refused."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InputRefused(f"its {name} is not base64") from None
    if _encode(data) != text:
        raise InputRefused(f"its {name} is not canonical base64")
    return data
