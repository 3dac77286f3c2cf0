"""CREATE2 (EIP-1014): addresses that follow from what is created, whoever sends it and whenever.

The factory is Arachnid's deterministic deployment proxy: called with a salt and init code, it
creates the contract or reverts without a reason. Its own creation was signed once, by nobody's key
and for any chain (Nick's method), so it stands at the same address wherever somebody paid for that.

Source: https://github.com/Arachnid/deterministic-deployment-proxy
"""

from __future__ import annotations

from fitchain.pod.ports.chain.base import checksum
from fitchain.pod.values.digest import Digest

FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
FACTORY_SENDER = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
"""The account that the signature of the factory's creation belongs to; nobody has its key."""

FACTORY_COST_WEI = 10**16
"""What that transaction may cost: 100,000 units of gas at 100 gwei."""

FACTORY_TRANSACTION = bytes.fromhex(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe"
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
    "1ba02222222222222222222222222222222222222222222222222222222222222222"
    "a02222222222222222222222222222222222222222222222222222222222222222"
)


def created_at(salt: Digest, init_code: bytes) -> str:
    """Where the factory puts a contract.

    Args:
        salt: what sets two contracts of the same init code apart.
        init_code: creation code and the constructor's arguments.
    """
    from eth_utils.crypto import keccak

    words = b"\xff" + bytes.fromhex(FACTORY[2:]) + salt.value + keccak(init_code)
    return checksum("0x" + bytes(keccak(words))[12:].hex())


def creation(salt: Digest, init_code: bytes) -> bytes:
    """The factory's call data for a contract."""
    return salt.value + init_code
