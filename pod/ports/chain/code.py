"""Whether a deployment's contracts are the ones that ship with this Fitchain: the code at every
address, the immutables in it, and how it came there.

Code at an address alone says little. A contract's immutables say which siblings it calls, and its
storage may hold anything if something else than its own constructor ran before: a settled
agreement, a thousand votes, somebody's balance. So the immutables are read out of the code and
compared with the listed siblings, and every address must be the one at which the factory puts that
very creation code (EIP-1014), which then ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.answers import Query
from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY, Constants, Deployment, checksum
from fitchain.pod.ports.chain.create2 import FACTORY, FACTORY_CODE
from fitchain.pod.ports.chain.plan import Plan
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID
from fitchain.pod.values.errors import ChainUnusable

WORD = 32
MINIMUM_WINDOW_S = 600
"""Seconds that a window lasts at least, but for the devnet's."""

_SIBLINGS = {name[0].lower() + name[1:]: name for name in CONTRACTS}
_CHOSEN = ("deployer", "feeFloor", "turnBlocks")
_AGAIN = "run `fitchain deploy`, or get the deployment's file again from where you trust it"


def code_requests(deployment: Deployment) -> list[Query[bytes]]:
    """What a node is asked so that `require_code` can tell."""
    addresses = (FACTORY, deployment.directory, *(deployment.addresses[name] for name in CONTRACTS))
    return [answers.code(address) for address in addresses]


def require_code(deployment: Deployment, answered: Sequence[bytes]) -> Constants:
    """Check that the contracts stand where the deployment says, are ours, and know each other.

    Args:
        deployment: what is claimed.
        answered: to `code_requests`, in that order.

    Returns:
        what was chosen for the deployment, out of the code.

    Raises:
        ChainUnusable: a contract is missing, another one, wired to others, or did not come about by
            its own constructor.
    """
    factory, *codes = answered
    names = (DIRECTORY, *CONTRACTS)
    immutables = {
        name: _immutables(name, _address_of(deployment, name), code) for name, code in zip(names, codes, strict=True)
    }
    constants = Constants(
        deployer=_as_address(immutables[DIRECTORY]["deployer"]),
        fee_floor=int.from_bytes(immutables["Agreements"]["feeFloor"]),
        turn_blocks=int.from_bytes(immutables["Audits"]["turnBlocks"]),
        minimum_window_s=int.from_bytes(immutables["Agreements"]["minimumWindow"]),
    )
    for name in CONTRACTS:
        _require_wired(deployment, name, immutables[name])
    if factory != FACTORY_CODE:
        raise ChainUnusable(f"what stands at {FACTORY} on chain {deployment.chain_id} is not the CREATE2 factory")
    _require_created(deployment, constants)
    return constants


def _immutables(name: str, address: str, code: bytes) -> Mapping[str, bytes]:
    """The immutables in a contract's code, by name; the rest must be the artifact's."""
    ours = interface(name)
    if not code:
        raise ChainUnusable(
            f"no contract stands at {address}, where the deployment has {name}",
            "run `fitchain deploy` (a devnet that was started afresh has forgotten its contracts)",
        )
    if len(code) != len(ours.runtime):
        raise _other_code(name, address, f"it has {len(code)} bytes, and {name} has {len(ours.runtime)}")
    masked = bytearray(code)
    words: dict[str, bytes] = {}
    for immutable, offsets in ours.immutables.items():
        for offset in offsets:
            word = bytes(code[offset : offset + WORD])
            masked[offset : offset + WORD] = bytes(WORD)
            if words.setdefault(immutable, word) != word:
                raise _other_code(name, address, f"it holds two values of {immutable}")
    if masked != ours.runtime:
        difference = next(i for i, (byte, right) in enumerate(zip(masked, ours.runtime, strict=True)) if byte != right)
        raise _other_code(name, address, f"the two first part at byte {difference}")
    return words


def agreed_immutables(deployment: Deployment, name: str) -> Mapping[str, bytes]:
    """The immutables of a contract that have one right value, in 32 bytes each: siblings as the
    deployment lists them, the coin's own domain, the chain's shortest window. What the deployer
    chose is not among them."""
    if name == "FitCoin":
        return _coins_domain(deployment)
    window = 1 if deployment.chain_id == DEVNET_CHAIN_ID else MINIMUM_WINDOW_S
    values = {immutable: _as_word(deployment.addresses[sibling]) for immutable, sibling in _SIBLINGS.items()}
    values["minimumWindow"] = window.to_bytes(WORD)
    return {immutable: values[immutable] for immutable in interface(name).immutables if immutable not in _CHOSEN}


def _require_wired(deployment: Deployment, name: str, immutables: Mapping[str, bytes]) -> None:
    """Check a contract's immutables."""
    address = deployment.addresses[name]
    for immutable, wanted in agreed_immutables(deployment, name).items():
        word = immutables[immutable]
        if word == wanted:
            continue
        if (sibling := _SIBLINGS.get(immutable)) is not None:
            raise ChainUnusable(
                f"{name} at {address} calls {_as_address(word)} its {sibling}, and the deployment has "
                f"{sibling} at {_as_address(wanted)}",
                _AGAIN,
            )
        raise ChainUnusable(
            f"{name} at {address} has 0x{word.hex()} for {immutable}, and on chain {deployment.chain_id} "
            f"it would be 0x{wanted.hex()}",
            _AGAIN,
        )


def _coins_domain(deployment: Deployment) -> Mapping[str, bytes]:
    """What OpenZeppelin's EIP712 keeps for the coin, by the names of its immutables: permits are
    signed over it.

    Source: EIP-712; OpenZeppelin Contracts 5, utils/cryptography/EIP712.sol and ShortStrings.sol.
    """
    from eth_utils.crypto import keccak

    domain = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    name, version = bytes(keccak(text=_COIN)), bytes(keccak(text=_COIN_VERSION))
    chain_id = deployment.chain_id.to_bytes(WORD)
    this = _as_word(deployment.addresses["FitCoin"])
    return {
        "_cachedChainId": chain_id,
        "_cachedThis": this,
        "_cachedDomainSeparator": bytes(keccak(bytes(keccak(text=domain)) + name + version + chain_id + this)),
        "_hashedName": name,
        "_hashedVersion": version,
        "_name": _short_string(_COIN),
        "_version": _short_string(_COIN_VERSION),
    }


_COIN, _COIN_VERSION = "FitCoin", "1"


def _short_string(text: str) -> bytes:
    return text.encode().ljust(WORD - 1, b"\0") + bytes([len(text)])


def _require_created(deployment: Deployment, constants: Constants) -> None:
    """Check that every address is where the factory puts the contract's own creation code."""
    plan = Plan.of(deployment, constants)
    planned = plan.deployment(deployment.chain_id)
    for name in (DIRECTORY, *CONTRACTS):
        if (address := _address_of(deployment, name)) != (right := _address_of(planned, name)):
            raise ChainUnusable(
                f"{name} at {address} did not come about as this Fitchain creates it, which would have put it at "
                f"{right}: what its storage holds may be made up",
                _AGAIN,
            )


def _address_of(deployment: Deployment, name: str) -> str:
    return deployment.directory if name == DIRECTORY else deployment.addresses[name]


def _as_address(word: bytes) -> str:
    return checksum("0x" + word[-20:].hex())


def _as_word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(WORD, b"\0")


def _other_code(name: str, address: str, difference: str) -> ChainUnusable:
    return ChainUnusable(
        f"the code at {address}, where the deployment has {name}, is not that of {name}: {difference}",
        f"it may be of another version of Fitchain; {_AGAIN}",
    )
