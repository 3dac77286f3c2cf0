"""Permits: signed allowances of FIT, so that what a call locks needs no transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import AccessRefused

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PERMIT_S = 3600
"""How long a permit signed here can be used."""


@dataclass(frozen=True)
class Permit:
    """A signed allowance (EIP-2612). A deadline of 0 means that none is given."""

    value: int = 0
    deadline: int = 0
    v: int = 0
    r: Digest = ZERO
    s: Digest = ZERO


def sign_permit(chain: Chain, spender: str, value: int) -> Permit:
    """Sign an allowance of this account's FIT for a contract (EIP-2612), good for an hour.

    Whoever sees it may spend it: what it grants is an allowance for the contract and nothing else,
    so a call that carries a spent permit goes through by that allowance.

    Args:
        chain: the connection.
        spender: the contract, by name.
        value: FIT in base units; 0 needs none.

    Raises:
        AccessRefused: the connection has no key of ours.
    """
    if value == 0:
        return Permit()
    if (signer := chain.account) is None:
        raise AccessRefused("a permit needs a key of ours to sign it", "choose one with --key")
    nonce = chain.call("FitCoin", "nonces", signer.address, block="latest")
    deadline = chain.block("latest").timestamp + PERMIT_S
    coin, contract = (chain.deployment.addresses[name] for name in ("FitCoin", spender))
    signature = signer.sign_digest(
        permit_digest(chain.chain_id, coin, signer.address, contract, value, nonce, deadline)
    )
    return Permit(value, deadline, signature[64], Digest(signature[:32]), Digest(signature[32:64]))


def struct_of(value: DataclassInstance) -> dict[str, Any]:
    """A dataclass as the contract's struct, under its names: acceptance_window is acceptanceWindow
    there."""
    return {abi_name(field.name): getattr(value, field.name) for field in fields(value)}


def abi_name(name: str) -> str:
    """A field's name in the contracts' structs."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def permit_digest(chain_id: int, coin: str, holder: str, spender: str, value: int, nonce: int, deadline: int) -> Digest:
    """What a permit signs, bound to one token on one chain.

    Args:
        chain_id: the chain.
        coin: address of FitCoin.
        holder, spender: whose FIT who may take.
        value: base units.
        nonce: the holder's permits so far.
        deadline: seconds since 1970.

    Source: EIP-2612, "Specification"; EIP-712, "Definition of domainSeparator".
    """
    domain = _keccak(
        ["bytes32", "bytes32", "bytes32", "uint256", "address"],
        [_text_hash(_DOMAIN), _text_hash("FitCoin"), _text_hash("1"), chain_id, coin],
    )
    message = _keccak(
        ["bytes32", "address", "address", "uint256", "uint256", "uint256"],
        [_text_hash(_PERMIT), holder, spender, value, nonce, deadline],
    )
    from eth_utils.crypto import keccak

    return Digest(bytes(keccak(b"\x19\x01" + bytes(domain) + bytes(message))))


_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_PERMIT = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"


def _text_hash(text: str) -> bytes:
    from eth_utils.crypto import keccak

    return bytes(keccak(text=text))


def _keccak(types: list[str], values: list[Any]) -> Digest:
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    return Digest(bytes(keccak(encode(types, values))))
