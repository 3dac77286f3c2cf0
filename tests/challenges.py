"""The challenge seed as the contract computes it: for who checks what follows from it without a
chain."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId


def challenge_seed(id: AgreementId, block_hash: Digest) -> Digest:
    """keccak256(abi.encode(agreement id, hash of the challenge block))."""
    return Digest(bytes(keccak(encode(["bytes32", "bytes32"], [bytes(id), bytes(block_hash)]))))
