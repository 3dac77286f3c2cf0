"""Deployment: at addresses that follow from who deploys and what is chosen, so that whoever was cut
off at any step completes it, and a chain that lacks what it needs is told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.chain import Deployment, connect, devnet
from fitchain.pod.ports.chain.base import CONTRACTS
from fitchain.pod.ports.chain.create2 import (
    FACTORY,
    FACTORY_CODE,
    FACTORY_COST_WEI,
    FACTORY_SENDER,
    FACTORY_TRANSACTION,
)
from fitchain.pod.ports.chain.deploy import Choices, deploy, record_path
from fitchain.pod.ports.chain.node_tools import binary
from fitchain.pod.ports.chain.plan import Plan
from fitchain.pod.ports.chain.prerequisites import HISTORY
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.verification import verification_paths
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.errors import AccessRefused, ChainUnusable, InputRefused, NodeUnreachable
from scripts.compile_contracts import STANDARD_INPUT
from tests.chain_fixtures import ETHER, PASSPHRASE, QUICK_WORK, secret_file
from tests.node_proxy import Verdict, proxy
from tests.speeds import long_unless

ROOT = Path(__file__).parent.parent
OTHER_CHAIN = 5050
STEPS = 8  # the directory, filling it, six contracts
SENDS = ("eth_sendTransaction", "eth_sendRawTransaction")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a devnet without contracts."""
    folder = tmp_path_factory.mktemp("devnet")
    devnet.up(folder, 0)
    yield folder
    devnet.down(folder)


@pytest.fixture
def place(running: Path, tmp_path: Path) -> Iterator[Settings]:
    """The settings of a home on a devnet without contracts."""
    place = settings.load(home=tmp_path / "home", devnet=running, environ={})
    node = Node(place.rpc)
    before = node.request("evm_snapshot")
    yield place
    node.request("evm_revert", before)
    for file in (running / "deployments").glob("*"):
        file.unlink()


@pytest.fixture(scope="module")
def other_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chain that is no devnet."""
    log = tmp_path_factory.mktemp("anvil") / "anvil.log"
    command = [str(binary("anvil")), "--port", "0", "--chain-id", str(OTHER_CHAIN)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield f"http://127.0.0.1:{devnet.listening_port(process.pid, log)}"
        finally:
            process.terminate()


@pytest.fixture
def other_chain(other_node: str, tmp_path: Path) -> Iterator[Settings]:
    """The settings of a home on a chain that is no devnet, with a key that has ETH there."""
    place = settings.load(
        home=tmp_path / "other", rpc=other_node, devnet=tmp_path, confirmations=0, poll_s=0.02, environ={}
    )
    node = Node(other_node)
    before = node.request("evm_snapshot")
    node.request("anvil_setBalance", new_key(place).address, hex(10 * ETHER))
    yield place
    node.request("evm_revert", before)


def new_key(place: Settings) -> keys.Keys:
    return keys.create(place.home, "default", PASSPHRASE, work=QUICK_WORK)


def key_of(place: Settings) -> keys.Keys:
    return keys.unlock(place.home, "default", PASSPHRASE)


def sent(rpc: str, address: str) -> int:
    return int(Node(rpc).request("eth_getTransactionCount", address, "latest"), 16)


def planned(place: Settings, number: int = 0) -> Deployment:
    return Plan(key_of(place).address, FIT, 25, number).deployment(OTHER_CHAIN)


# Once, and where


def test_deploy_twice_is_once(place: Settings) -> None:
    deployer = Node(place.rpc).request("eth_accounts")[0]
    before = sent(place.rpc, deployer)
    first = deploy(place)
    assert deploy(place) == first == connect(place).deployment
    assert sent(place.rpc, deployer) - before == STEPS


def test_addresses_follow_from_the_deployer_and_what_is_chosen(other_chain: Settings) -> None:
    deployment = deploy(other_chain, key_of(other_chain))
    assert deployment == replace(planned(other_chain), block=deployment.block)


def test_elsewhere_a_key_of_the_home_deploys_and_has_the_supply(other_chain: Settings) -> None:
    key = key_of(other_chain)
    deployment = deploy(other_chain, key)
    chain = connect(other_chain, key)
    assert chain.deployment == deployment
    assert chain.fit_balance(key.address) == 10**9 * ETHER
    assert (chain.constants.fee_floor, chain.constants.turn_blocks, chain.constants.minimum_window_s) == (FIT, 25, 600)
    assert chain.call("Agreements", "minimumWindow") == 600


def test_choices_are_what_the_contracts_say(place: Settings) -> None:
    deploy(place, choices=Choices(fee_floor=3, turn_blocks=11))
    chain = connect(place)
    assert (chain.call("Agreements", "feeFloor"), chain.call("Audits", "turnBlocks")) == (3, 11)
    assert (chain.constants.fee_floor, chain.constants.turn_blocks, chain.constants.minimum_window_s) == (3, 11, 1)


@pytest.mark.parametrize(
    "choices", [{"fee_floor": 0}, {"fee_floor": 2**80}, {"turn_blocks": 0}, {"turn_blocks": 8192}, {"number": -1}]
)
def test_choices_out_of_range_are_refused(choices: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match=r"is from \d+ to \d+, not"):
        Choices(**choices)


def test_a_second_deployment_of_one_account_has_a_number(place: Settings) -> None:
    first, second = deploy(place), deploy(place, choices=Choices(number=1))
    assert not {*first.addresses.values(), first.directory} & {*second.addresses.values(), second.directory}
    assert connect(place).deployment == second == deploy(place)


def test_what_stands_is_not_deployed_otherwise_elsewhere(other_chain: Settings) -> None:
    deploy(other_chain, key_of(other_chain))
    with pytest.raises(InputRefused, match=r"with a floor of fees of 1000000000000000000, and 5 is asked for") as error:
        deploy(other_chain, key_of(other_chain), Choices(fee_floor=5))
    assert "move that file away" in error.value.hint


def test_a_lost_record_is_found_again_on_the_chain(other_chain: Settings) -> None:
    key = key_of(other_chain)
    first = deploy(other_chain, key)
    record_path(other_chain, OTHER_CHAIN).unlink()
    Node(other_chain.rpc).request("anvil_mine", hex(1100))  # further back than the first look
    assert deploy(other_chain, key) == first
    assert sent(other_chain.rpc, key.address) == STEPS


def test_devnet_with_contracts_of_another_version_gets_new_ones(place: Settings) -> None:
    first = deploy(place)
    older = dict(first.addresses) | {"Registry": first.addresses["FitCoin"]}
    record_path(place, 31337).write_bytes(replace(first, addresses=older).encode())
    assert deploy(place) == first == connect(place).deployment


def test_deploy_refuses_another_chain(place: Settings) -> None:
    with pytest.raises(ChainUnusable, match="is on chain 31337, and the settings say 1"):
        deploy(replace(place, chain_id=1))


def test_elsewhere_a_key_must_pay(other_chain: Settings) -> None:
    with pytest.raises(AccessRefused, match="needs a key"):
        deploy(other_chain)


def test_record_without_contracts_is_not_overwritten_elsewhere(other_chain: Settings) -> None:
    key = key_of(other_chain)
    path = record_path(other_chain, OTHER_CHAIN)
    deployment = deploy(other_chain, key)
    path.write_bytes(replace(deployment, addresses=dict.fromkeys(CONTRACTS, "0x" + "11" * 20)).encode())
    with pytest.raises(ChainUnusable, match="records a deployment, but no contract stands"):
        deploy(other_chain, key)


# Cut off


def cut_off(method: str, after: int) -> Callable[[dict[str, Any]], Verdict]:
    """Fails a method once so many transactions were sent."""
    sends = count()
    state = {"sent": 0}

    def judge(call: dict[str, Any]) -> Verdict:
        refused = (403, None) if state["sent"] >= after and call["method"] == method else None
        if call["method"] in SENDS and refused is None:
            state["sent"] = next(sends) + 1
        return refused

    return judge


@pytest.mark.parametrize("method", ["eth_sendRawTransaction", "eth_getTransactionReceipt"])
@pytest.mark.parametrize("after", long_unless(lambda after: after in (0, 1, 2, 6), range(STEPS + 1)))
def test_deployment_that_is_cut_off_anywhere_ends_in_the_same_addresses(
    other_chain: Settings, method: str, after: int
) -> None:
    key = key_of(other_chain)
    with ExitStack() as stack:
        url = stack.enter_context(proxy(other_chain.rpc, cut_off(method, after)))
        if after < STEPS or method == "eth_getTransactionReceipt":
            stack.enter_context(pytest.raises(NodeUnreachable))
        deploy(replace(other_chain, rpc=url), key)
    assert after <= sent(other_chain.rpc, key.address) <= STEPS
    deployment = deploy(other_chain, key)
    assert deployment == replace(planned(other_chain), block=deployment.block) == connect(other_chain).deployment
    assert sent(other_chain.rpc, key.address) == STEPS


@pytest.mark.parametrize("after", long_unless(lambda after: after in (1, 2, 6), range(STEPS)))
def test_devnets_own_account_goes_on_where_it_was_cut_off(place: Settings, after: int) -> None:
    before = sent(place.rpc, deployer := Node(place.rpc).request("eth_accounts")[0])
    with proxy(place.rpc, cut_off("eth_sendTransaction", after)) as url, pytest.raises(NodeUnreachable):
        deploy(replace(place, rpc=url))
    assert deploy(place) == connect(place).deployment
    assert sent(place.rpc, deployer) - before == STEPS


def test_killed_deployment_is_completed_by_the_next(other_chain: Settings, tmp_path: Path) -> None:
    sends = count(1)
    killed: list[subprocess.Popen[str]] = []

    def kill(call: dict[str, Any]) -> Verdict:
        if call["method"] in SENDS and next(sends) == 4:
            killed[0].kill()
        return None

    with proxy(other_chain.rpc, kill) as url:
        killed.append(subprocess.Popen(script(other_chain, tmp_path, url), stdout=subprocess.PIPE, text=True))
        assert killed[0].wait() < 0
        killed[0].communicate()
    deployment = deploy(other_chain, key_of(other_chain))
    assert deployment == replace(planned(other_chain), block=deployment.block)


def test_account_that_runs_dry_goes_on_once_it_has_more(other_chain: Settings) -> None:
    key, node = key_of(other_chain), Node(other_chain.rpc)
    node.request("anvil_setBalance", key.address, hex(ETHER // 80))
    with pytest.raises(ChainUnusable, match=r"has .* ETH and the creation of \w+ may need"):
        deploy(other_chain, key)
    assert 2 < sent(other_chain.rpc, key.address) < STEPS
    node.request("anvil_setBalance", key.address, hex(ETHER))
    assert deploy(other_chain, key).addresses == planned(other_chain).addresses


# What the chain must have


def test_factorys_transaction_is_what_it_is_said_to_be() -> None:
    from eth_account import Account
    from eth_utils.crypto import keccak

    assert Account.recover_transaction(FACTORY_TRANSACTION) == FACTORY_SENDER
    first_creation = b"\xd6\x94" + bytes.fromhex(FACTORY_SENDER[2:]) + b"\x80"  # RLP of the account and nonce 0
    assert bytes(keccak(first_creation))[12:].hex() == FACTORY[2:].lower()
    price, gas = FACTORY_TRANSACTION[4:9], FACTORY_TRANSACTION[10:13]
    assert int.from_bytes(price) * int.from_bytes(gas) == FACTORY_COST_WEI
    assert FACTORY_CODE in FACTORY_TRANSACTION


def test_absent_factory_is_told_with_the_way_on(other_chain: Settings) -> None:
    key, node = key_of(other_chain), Node(other_chain.rpc)
    node.request("anvil_setCode", FACTORY, "0x")
    with pytest.raises(ChainUnusable, match=f"the CREATE2 factory {FACTORY} is absent on chain {OTHER_CHAIN}") as error:
        deploy(other_chain, key)
    assert "--with-factory" in error.value.hint and FACTORY_SENDER in error.value.hint
    assert "0.01 ETH" in error.value.hint
    assert sent(other_chain.rpc, key.address) == 0


def test_absent_factory_is_paid_for_on_demand(other_chain: Settings) -> None:
    key, node = key_of(other_chain), Node(other_chain.rpc)
    node.request("anvil_setCode", FACTORY, "0x")
    node.request("anvil_setBalance", FACTORY_SENDER, hex(FACTORY_COST_WEI // 4))
    before = int(node.request("eth_getBalance", key.address, "latest"), 16)
    deployment = deploy(other_chain, key, Choices(with_factory=True))
    assert node.request("eth_getCode", FACTORY, "latest") == "0x" + FACTORY_CODE.hex()
    assert deployment.addresses == planned(other_chain).addresses
    assert sent(other_chain.rpc, key.address) == STEPS + 1
    assert before - int(node.request("eth_getBalance", key.address, "latest"), 16) > FACTORY_COST_WEI * 3 // 4


def test_factory_that_stands_is_not_paid_for(other_chain: Settings) -> None:
    key = key_of(other_chain)
    deploy(other_chain, key, Choices(with_factory=True))
    assert sent(other_chain.rpc, key.address) == STEPS


def test_factory_whose_transaction_is_used_up_is_given_up(other_chain: Settings) -> None:
    node = Node(other_chain.rpc)
    node.request("anvil_setCode", FACTORY, "0x")
    node.request("anvil_setNonce", FACTORY_SENDER, "0x1")
    with pytest.raises(ChainUnusable, match="can never stand on chain"):
        deploy(other_chain, key_of(other_chain), Choices(with_factory=True))


def test_node_that_takes_no_transaction_for_every_chain_is_told(other_chain: Settings) -> None:
    Node(other_chain.rpc).request("anvil_setCode", FACTORY, "0x")

    def protected(call: dict[str, Any]) -> Verdict:
        theirs = call["params"] == ["0x" + FACTORY_TRANSACTION.hex()]
        return (200, {"code": -32000, "message": "only replay-protected transactions allowed"}) if theirs else None

    with (
        proxy(other_chain.rpc, protected) as url,
        pytest.raises(ChainUnusable, match=r"does not take the CREATE2 factory's transaction.*replay-protected"),
    ):
        deploy(replace(other_chain, rpc=url), key_of(other_chain), Choices(with_factory=True))


def test_something_else_in_the_factorys_place_is_refused(other_chain: Settings) -> None:
    Node(other_chain.rpc).request("anvil_setCode", FACTORY, "0x00")
    with pytest.raises(ChainUnusable, match="is not the CREATE2 factory"):
        deploy(other_chain, key_of(other_chain), Choices(with_factory=True))


@pytest.mark.parametrize("blocks", [0, 3])
def test_chain_without_old_block_hashes_is_told_and_can_be_gone_on_with(other_chain: Settings, blocks: int) -> None:
    key, node = key_of(other_chain), Node(other_chain.rpc)
    node.request("anvil_mine", hex(blocks))
    code = node.request("eth_getCode", HISTORY, "latest")
    node.request("anvil_setCode", HISTORY, "0x")
    with pytest.raises(ChainUnusable, match=r"does not serve the hashes of old blocks \(EIP-2935; HistoryNotServed\)"):
        deploy(other_chain, key)
    assert sent(other_chain.rpc, key.address) == 0
    node.request("anvil_setCode", HISTORY, code)
    assert deploy(other_chain, key).addresses == planned(other_chain).addresses


# What is written down


def test_block_explorer_gets_the_compilers_input_and_each_contracts_arguments(place: Settings) -> None:
    deployment = deploy(place)
    source, explorer = verification_paths(record_path(place, 31337))
    assert source.name == "31337.verification.json" and source.read_bytes() == STANDARD_INPUT.read_bytes()
    told = json.loads(explorer.read_text())
    assert told["standard_input"] == source.name
    assert told["contracts"].keys() == {"Directory", *CONTRACTS}
    sources = json.loads(source.read_text())["sources"]
    created = creations(place.rpc)
    for name, contract in told["contracts"].items():
        assert contract["address"] == {"Directory": deployment.directory, **deployment.addresses}[name]
        assert contract["contract"] == f"contracts/{name}.sol:{name}" and f"contracts/{name}.sol" in sources
        assert contract["compiler"].startswith("v0.8.37+commit.")
        bytecode = json.loads((STANDARD_INPUT.parent / f"{name}.json").read_text())["bytecode"]
        assert (bytecode + contract["constructor_arguments"][2:])[2:] in created


def creations(rpc: str) -> set[str]:
    """The init code that the factory was given, as hex."""
    node = Node(rpc)
    newest = int(node.request("eth_blockNumber"), 16)
    blocks = [node.request("eth_getBlockByNumber", hex(number), True) for number in range(newest + 1)]
    inputs = [sent["input"] for block in blocks for sent in block["transactions"]]
    return {data[2 + 64 :] for data in inputs}


def script(place: Settings, folder: Path, rpc: str) -> list[str]:
    secret_file(folder / "passphrase", PASSPHRASE + "\n")
    flags = ["--home", place.home, "--rpc", rpc, "--passphrase-file", folder / "passphrase", "--confirmations", "0"]
    return [str(part) for part in (sys.executable, ROOT / "scripts" / "deploy.py", *flags)]


def test_script_deploys(other_chain: Settings, tmp_path: Path) -> None:
    command = [*script(other_chain, tmp_path, other_chain.rpc), "--turn-blocks", "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["chain_id"] == OTHER_CHAIN
    assert connect(other_chain).constants.turn_blocks == 30
    refused = subprocess.run([*command, "--chain-id", "1"], capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "is on chain 5050, and the settings say 1" in refused.stderr
