"""Every contract's code is compared before anything it says is believed: a deployment's file with
one address replaced is refused, whatever stands there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.ports.chain import Chain, Deployment, connect
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.code import require_code
from fitchain.pod.ports.chain.connect import require_contracts
from fitchain.pod.ports.chain.deploy import Choices, deploy, record_path
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.errors import ChainUnusable
from tests.chain_fixtures import Devnet
from tests.false_deployments import ALL, address_of, code_of, invented, moved, rewired
from tests.node_proxy import counting

EMPTY = "0x1111111111111111111111111111111111111111"


def connected(devnet: Devnet, home: Path, deployment: Deployment) -> Chain:
    """A connection from a home that was handed this deployment's file."""
    path = home / "deployments" / "31337.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(deployment.encode())
    return connect(devnet.settings(home))


@pytest.fixture(scope="module")
def second(running_devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Another deployment of the very same contracts on the same chain."""
    place = running_devnet.settings(tmp_path_factory.mktemp("second"))
    path = record_path(place, 31337)
    before = path.read_bytes()
    yield deploy(place, choices=Choices(number=1))
    path.write_bytes(before)


@pytest.mark.parametrize("name", ALL)
def test_address_without_code_is_refused(running_devnet: Devnet, tmp_path: Path, name: str) -> None:
    wrong = moved(running_devnet.deployment, name, EMPTY)
    with pytest.raises(ChainUnusable, match=f"no contract stands at {EMPTY}, where the deployment has {name}"):
        connected(running_devnet, tmp_path, wrong)
    assert connected(running_devnet, tmp_path, running_devnet.deployment).deployment == running_devnet.deployment


@pytest.mark.parametrize(("name", "other"), list(zip(ALL, (*ALL[1:], ALL[0]), strict=True)))
def test_another_of_the_contracts_is_refused(running_devnet: Devnet, tmp_path: Path, name: str, other: str) -> None:
    address = address_of(running_devnet.deployment, other)
    wrong = moved(running_devnet.deployment, name, address)
    with pytest.raises(ChainUnusable, match=f"the code at {address}, where the deployment has {name}, is not that of"):
        connected(running_devnet, tmp_path, wrong)
    assert connected(running_devnet, tmp_path, running_devnet.deployment).deployment == running_devnet.deployment


@pytest.mark.parametrize("name", ALL)
def test_right_code_that_calls_other_siblings_is_refused(
    running_devnet: Devnet, second: Deployment, tmp_path: Path, name: str
) -> None:
    address = address_of(second, name)
    wrong = moved(running_devnet.deployment, name, address)
    with pytest.raises(ChainUnusable, match=rf"{address}") as error:
        connected(running_devnet, tmp_path, wrong)
    assert name in error.value.message
    assert connected(running_devnet, tmp_path, second).deployment == second


def test_file_with_another_number_is_refused(running_devnet: Devnet, tmp_path: Path) -> None:
    with pytest.raises(ChainUnusable, match="did not come about as this Fitchain creates it"):
        connected(running_devnet, tmp_path, replace(running_devnet.deployment, number=7))


@pytest.mark.parametrize("known", [True, False])
def test_connecting_costs_one_request_where_the_chain_is_known_and_two_elsewhere(
    running_devnet: Devnet, tmp_path: Path, known: bool
) -> None:
    with counting(running_devnet.record.rpc) as (url, traffic):
        place = replace(running_devnet.settings(tmp_path), rpc=url, chain_id=31337 if known else None)
        assert connect(place).constants == connect(running_devnet.settings(tmp_path)).constants
        assert traffic.requests == (1 if known else 2)
        assert sum(post.count("eth_getCode") for post in traffic.posts) == len(ALL) + 1
        traffic.posts.clear()
        connect(place)
        assert traffic.posts == [["eth_chainId", "eth_getBlockByNumber"]]


@pytest.fixture
def node(running_devnet: Devnet) -> Iterator[Node]:
    """The devnet's node; what a test does to its chain is undone."""
    node = Node(running_devnet.record.rpc)
    before = node.request("evm_snapshot")
    yield node
    node.request("evm_revert", before)


def test_one_changed_byte_is_refused(running_devnet: Devnet, node: Node) -> None:
    address = running_devnet.deployment.addresses["Audits"]
    code = bytearray.fromhex(node.request("eth_getCode", address, "latest")[2:])
    code[5000] ^= 1
    node.request("anvil_setCode", address, "0x" + code.hex())
    with pytest.raises(ChainUnusable, match=f"the code at {address}.* the two first part at byte 5000"):
        require_contracts(node, running_devnet.deployment)


@pytest.mark.parametrize(
    ("name", "immutable"), [(name, immutable) for name in ALL for immutable in interface(name).immutables]
)
def test_every_immutable_is_looked_at(running_devnet: Devnet, name: str, immutable: str) -> None:
    answers = rewired(
        running_devnet.deployment,
        code_of(Node(running_devnet.record.rpc), running_devnet.deployment),
        {(name, immutable): (7).to_bytes(32, "big")},
    )
    with pytest.raises(ChainUnusable, match=f"{name} at|did not come about"):
        require_code(running_devnet.deployment, answers)


def test_immutable_with_two_values_is_refused(running_devnet: Devnet) -> None:
    answers = code_of(Node(running_devnet.record.rpc), running_devnet.deployment)
    at = 1 + ALL.index("Agreements")
    code = bytearray(answers[at])
    last = interface("Agreements").immutables["audits"][-1]
    code[last : last + 32] = running_devnet.deployment.addresses["FitCoin"].encode()[:32]
    with pytest.raises(ChainUnusable, match="it holds two values of audits"):
        require_code(running_devnet.deployment, [*answers[:at], bytes(code), *answers[at + 1 :]])


def test_contracts_whose_storage_was_made_up_are_refused(running_devnet: Devnet, tmp_path: Path, node: Node) -> None:
    """Everything is right in the code, and something else than the constructors put it there."""
    forged = invented(node, running_devnet.deployment)
    supply = hex(2**255)
    node.request("anvil_setStorageAt", forged.addresses["FitCoin"], "0x" + (2).to_bytes(32, "big").hex(), supply)
    with pytest.raises(ChainUnusable, match=r"Directory at .* did not come about as this Fitchain creates it"):
        connected(running_devnet, tmp_path, forged)
    # Nothing else would have told: the contracts answer, and agree with each other.
    believed = Chain(node, running_devnet.settings(tmp_path), forged)
    assert believed.call("FitCoin", "totalSupply") == int(supply, 16)
    assert believed.call("Agreements", "audits") == forged.addresses["Audits"]
