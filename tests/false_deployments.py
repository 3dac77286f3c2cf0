"""Deployments that are not what their files say: addresses replaced, code copied elsewhere with
another wiring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fitchain.pod.ports.chain import Deployment
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY, checksum
from fitchain.pod.ports.chain.code import agreed_immutables, code_requests
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.digest import sha256

ALL = (DIRECTORY, *CONTRACTS)


def address_of(deployment: Deployment, name: str) -> str:
    """Where a contract, or the directory, is said to stand."""
    return deployment.directory if name == DIRECTORY else deployment.addresses[name]


def moved(deployment: Deployment, name: str, address: str) -> Deployment:
    """The deployment with one contract said to stand elsewhere."""
    if name == DIRECTORY:
        return replace(deployment, directory=address)
    return replace(deployment, addresses={**deployment.addresses, name: address})


def code_of(node: Node, deployment: Deployment) -> list[bytes]:
    """What a node answers to `code_requests`."""
    return node.batch(code_requests(deployment))


def rewired(
    deployment: Deployment, genuine: Sequence[bytes], changed: Mapping[tuple[str, str], bytes] | None = None
) -> list[bytes]:
    """The code that the contracts of a deployment would have.

    Args:
        deployment: the addresses that the immutables name.
        genuine: the answers to `code_requests` for the deployment that is copied.
        changed: other values of some immutables, by contract and name.

    Returns:
        as a node would answer `code_requests`.
    """
    answers = [genuine[0]]
    for name, answer in zip(ALL, genuine[1:], strict=True):
        code = bytearray(answer)
        words = {} if name == DIRECTORY else dict(agreed_immutables(deployment, name))
        words |= {immutable: word for (contract, immutable), word in (changed or {}).items() if contract == name}
        for immutable, word in words.items():
            for offset in interface(name).immutables[immutable]:
                code[offset : offset + 32] = word
        answers.append(bytes(code))
    return answers


def invented(node: Node, genuine: Deployment) -> Deployment:
    """The genuine contracts' code at other addresses, wired to itself, put there by the node
    itself: on a chain of one's own, or by creation code that writes what it likes to storage."""
    places = {name: checksum(f"0x{sha256(name.encode()).value[:20].hex()}") for name in ALL}
    forged = replace(genuine, addresses={name: places[name] for name in CONTRACTS}, directory=places[DIRECTORY])
    for name, code in zip(ALL, rewired(forged, code_of(node, genuine))[1:], strict=True):
        node.request("anvil_setCode", places[name], "0x" + code.hex())
    return forged
