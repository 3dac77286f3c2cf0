"""The client: what is checked before anything is done, calls and events, refusals by name, and
money that is not there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.chain import Chain, connect
from fitchain.pod.ports.chain.abi import AMOUNTS, decode_revert, interface
from fitchain.pod.ports.chain.answers import chain_id
from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY, Deployment
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import load
from fitchain.pod.values.digest import ZERO, Digest, sha256
from fitchain.pod.values.errors import ChainUnusable, InputRefused, NodeUnreachable, NotFound, Reverted
from tests.chain_fixtures import ETHER, Account, Devnet
from tests.node_proxy import proxy

NOBODY = "http://127.0.0.1:1"
NOTHING: dict[str, Any] = {"address": "0x" + "00" * 20, "string": "", "bytes": b""}


@pytest.fixture(scope="module")
def account(open_account: Callable[..., Account]) -> Account:
    return open_account()


def nonce_of(account: Account) -> int:
    return int(account.chain.node.request("eth_getTransactionCount", account.address, "latest"), 16)


# Connecting


def test_connect_refuses_another_chain(running_devnet: Devnet, tmp_path: Path) -> None:
    with pytest.raises(ChainUnusable, match="is on chain 31337, and the settings say 5"):
        connect(replace(running_devnet.settings(tmp_path), chain_id=5))


def test_connect_without_a_deployment_says_where_it_looked(running_devnet: Devnet, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"deployments/31337\.json") as error:
        connect(replace(running_devnet.settings(tmp_path), devnet=tmp_path, devnet_rpc=None))
    assert "fitchain deploy" in error.value.hint


def deployed_at(home: Path, deployment: Deployment) -> None:
    (home / "deployments").mkdir(parents=True)
    (home / "deployments" / "31337.json").write_bytes(deployment.encode())


def test_connect_refuses_a_deployment_of_another_chain(running_devnet: Devnet, tmp_path: Path) -> None:
    deployed_at(tmp_path, replace(running_devnet.deployment, chain_id=1))
    with pytest.raises(ChainUnusable, match="is of chain 1"):
        connect(running_devnet.settings(tmp_path))


@pytest.mark.parametrize("text", ["", "{}", '{"version": "fitchain/deployment/v2"}'])
def test_connect_refuses_a_malformed_deployment(running_devnet: Devnet, tmp_path: Path, text: str) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "31337.json").write_text(text)
    with pytest.raises(InputRefused, match="is not a deployment's record"):
        connect(running_devnet.settings(tmp_path))


# The node


def test_unreachable_node_is_exit_3_with_a_hint() -> None:
    with pytest.raises(NodeUnreachable, match=r"no node answers at http://127\.0\.0\.1:1") as error:
        Node(NOBODY, retry_s=0.1).request("eth_chainId")
    assert error.value.exit_code == 3
    assert "fitchain devnet up" in error.value.hint


def test_unreachable_node_is_tried_again(running_devnet: Devnet) -> None:
    asked = count(1)

    def busy(_: dict[str, Any]) -> tuple[int, None] | None:
        return (503, None) if next(asked) < 4 else None

    with proxy(running_devnet.record.rpc, busy) as url:
        assert Node(url).request("eth_chainId") == hex(31337)


def test_node_that_refuses_by_status_is_not_asked_again(running_devnet: Devnet) -> None:
    with (
        proxy(running_devnet.record.rpc, lambda _: (403, None)) as url,
        pytest.raises(NodeUnreachable, match="HTTP status 403"),
    ):
        Node(url, retry_s=600).request("eth_chainId")


def test_answer_that_is_not_json_rpc_is_told(running_devnet: Devnet) -> None:
    with proxy(running_devnet.record.rpc, lambda _: (200, None)) as url, pytest.raises(NodeUnreachable):
        Node(url, retry_s=0.1).batch([chain_id(), chain_id()])


def test_keys_in_a_nodes_url_are_not_shown() -> None:
    with pytest.raises(NodeUnreachable) as error:
        Node("http://user:secret@127.0.0.1:1/v3/secret?key=secret", retry_s=0.1).request("eth_chainId")
    assert "secret" not in error.value.message
    assert "127.0.0.1:1" in error.value.message


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8545", "it begins with http:// or https://"),
        ("ws://127.0.0.1:1", "it begins with http:// or https://"),
        ("file:///etc/passwd", "it begins with http:// or https://"),
        ("http://", "it names no host"),
        ("https:///v3/key", "it names no host"),
        ("http://127.0.0.1:99999", "the port is a number from 1 to 65535"),
        ("http://127.0.0.1:abc", "the port is a number"),
        ("http://127.0.0.1:0", "the port is a number"),
        ("http://127.0.0.1:-1", "the port is a number"),
        ("http://[::1", "between [ and ] stands an IPv6 address"),
        ("http://[one]:8545", "between [ and ] stands an IPv6 address"),
        ("http://a b:8545", "it has a space in it"),
        ("http://127.0.0.1:8545/a b", "it has a space in it"),
        ("http://127.0.0.1:8545/\\x", "it has a space in it"),
        ("http://user:secret@[::1/v3/secret?key=secret#secret", "between [ and ]"),
        ("http://user:secret@127.0.0.1:abc/v3/secret?key=secret", "the port is"),
        ("http://user:se@secret@127.0.0.1:70000/secret", "the port is"),
        ("ws://user:secret@node/v3/secret", "it begins with"),
        ("user:secret@node:8545/secret", "it begins with"),
        ("ws://user:pa/secret@node:8545", "it begins with"),
    ],
)
def test_other_urls_are_refused_and_no_key_in_them_is_shown(tmp_path: Path, url: str, told: str) -> None:
    for refused in (
        lambda: Node(url),
        lambda: load(tmp_path, rpc=url, environ={}),
        lambda: load(tmp_path, environ={"FITCHAIN_ALSO_RPC": url}),
        lambda: load(tmp_path, environ={"FITCHAIN_STORE_GATEWAYS": f"https://example.org,{url}"}),
    ):
        with pytest.raises(InputRefused) as error:
            refused()
        assert told in error.value.message and "secret" not in f"{error.value}{error.value.hint}"


def test_an_ipv6_node_is_shown_as_it_is_named() -> None:
    with pytest.raises(NodeUnreachable, match=r"http://\[::1\]:1/…"):
        Node("http://user:secret@[::1]:1/v3/secret", retry_s=0).request("eth_chainId")


# Calls and events


@pytest.mark.parametrize("contract", [*CONTRACTS, DIRECTORY])
def test_every_artifact_is_read(contract: str) -> None:
    read = interface(contract)
    assert read.bytecode.endswith(read.runtime[-32:]) and read.source == f"contracts/{contract}.sol"
    for offsets in read.immutables.values():
        assert offsets and all(read.runtime[offset : offset + 32] == bytes(32) for offset in offsets)


@pytest.mark.parametrize("contract", [*CONTRACTS, DIRECTORY])
def test_nothing_in_an_artifact_hides_something_else_of_its_name(contract: str) -> None:
    artifacts = resources.files("fitchain.pod.ports.chain") / "artifacts"
    entries = json.loads((artifacts / f"{contract}.json").read_text())["abi"]
    read = interface(contract)
    counts = Counter(entry["type"] for entry in entries)
    assert (counts["function"], counts["event"], counts["error"]) == tuple(
        len(items) for items in (read.functions, read.events, read.errors)
    )


def nothing_of(kind: str) -> Any:
    """A value of a type, with nothing in it."""
    return NOTHING.get(kind, bytes(int(kind[5:])) if kind.startswith("bytes") and kind != "bytes" else 0)


def test_every_error_of_every_contract_is_told_by_its_name() -> None:
    errors = [error for contract in (*CONTRACTS, DIRECTORY) for error in interface(contract).errors.values()]
    for error in errors:
        data = error.encode([nothing_of(parameter["type"]) for parameter in error.inputs])
        name, values, sentence = decode_revert(data)
        assert (name, list(values)) == (error.name, [parameter["name"] for parameter in error.inputs])
        assert sentence.startswith(f"with {error.name}(")


def test_call_gives_structs_by_name(reader: Chain) -> None:
    entry = reader.call("Registry", "dataset", ZERO)
    nothing = {"owner": "0x" + "00" * 20, "count": 0, "active": False, "ledger": 0, "root": ZERO, "cardCid": b""}
    assert entry == nothing


def test_call_refusal_is_decoded_by_name_with_its_values(reader: Chain) -> None:
    id = sha256(b"nothing")
    with pytest.raises(Reverted, match=rf"Registry.offeredModel reverted with ModelNotRegistered\(id={id}\)") as error:
        reader.call("Registry", "offeredModel", id)
    assert (error.value.error, error.value.values) == ("ModelNotRegistered", {"id": id})


@pytest.mark.parametrize(
    ("contract", "function", "args"),
    [
        ("Registry", "colour", ()),
        ("Registrar", "pod", ()),
        ("Registry", "pod", ()),
        ("Registry", "pod", ("0x12",)),
        ("Registry", "dataset", (3,)),
        ("FitCoin", "transfer", ("0x" + "11" * 20, -1)),
    ],
)
def test_call_refuses_what_does_not_fit(reader: Chain, contract: str, function: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(InputRefused):
        reader.call(contract, function, *args)


def test_events_are_found_by_indexed_arguments(account: Account, reader: Chain) -> None:
    target = reader.deployment.addresses["ProofOfTrain"]
    receipt = account.chain.send("FitCoin", "transfer", target, 5)
    wanted: dict[str, Any] = {"from": account.address, "to": target}
    found = reader.events("FitCoin", "Transfer", **wanted)
    assert [event.args for event in found] == [wanted | {"value": 5}]
    assert found[0] == receipt.event("Transfer")
    assert found[0].timestamp == reader.block(receipt.block).timestamp
    assert reader.events("FitCoin", "Transfer", from_block=receipt.block + 1, to=target) == []


def test_events_refuse_an_argument_that_is_not_indexed(reader: Chain) -> None:
    with pytest.raises(InputRefused, match="no indexed argument 'value'"):
        reader.events("FitCoin", "Transfer", value=5)


def test_events_come_in_pieces_that_a_provider_grants(
    account: Account, running_devnet: Devnet, reader: Chain, tmp_path: Path
) -> None:
    for value in (1, 2, 3):
        account.chain.send("FitCoin", "transfer", reader.deployment.addresses["Registry"], value)
    wanted = reader.events("FitCoin", to_block=reader.head())

    def at_most_two_blocks(call: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if call["method"] != "eth_getLogs":
            return None
        span = int(call["params"][0]["toBlock"], 16) - int(call["params"][0]["fromBlock"], 16) + 1
        return (200, {"code": -32005, "message": "query exceeds max block range"}) if span > 2 else None

    with proxy(running_devnet.record.rpc, at_most_two_blocks) as url:
        piecewise = connect(replace(running_devnet.settings(tmp_path), rpc=url))
        assert piecewise.events("FitCoin", to_block=wanted[-1].block) == wanted


def test_strangers_text_that_is_no_text_stops_no_reader(account: Account, reader: Chain) -> None:
    data = interface("Registry").function("registerPod").encode([1, "age1", b""]).replace(b"age1", b"\xff\xfe\xfd\xfc")
    stranger = account.chain
    stranger.wait(stranger.submit_raw(reader.deployment.addresses["Registry"], data, "a registration"))
    assert reader.call("Registry", "pod", account.address)["recipient"] == "\ufffd" * 4
    assert reader.events("Registry", "PodRegistered")[-1].args["account"] == account.address


# Transactions


def test_refused_transaction_costs_nothing(account: Account) -> None:
    before = nonce_of(account), account.chain.balance(account.address)
    with pytest.raises(Reverted, match=r"CallerIsNotOwner\(caller=0x"):
        account.chain.send("Agreements", "reject", ZERO, b"")
    assert (nonce_of(account), account.chain.balance(account.address)) == before


def test_mined_revert_raises_with_its_reason(account: Account) -> None:
    before = nonce_of(account)
    with pytest.raises(Reverted, match=r"\(mined in block \d+\) reverted with NothingOwed") as error:
        account.chain.send("Agreements", "withdraw", gas=200_000)
    assert error.value.values == {"account": account.address}
    assert nonce_of(account) == before + 1


def test_too_little_eth_is_told_before_anything_is_sent(open_account: Callable[..., Account]) -> None:
    poor = open_account(wei=1000, units=5)
    with pytest.raises(ChainUnusable, match=r"has 0\.000000000000001 ETH and FitCoin.transfer may need") as error:
        poor.chain.send("FitCoin", "transfer", "0x" + "11" * 20, 5)
    assert error.value.hint == f"fitchain devnet fund {poor.address}"
    assert nonce_of(poor) == 0


def test_too_little_fit_is_told_by_the_token_itself(account: Account, reader: Chain) -> None:
    have = reader.fit_balance(account.address)
    with pytest.raises(Reverted, match="ERC20InsufficientBalance") as error:
        account.chain.send("FitCoin", "transfer", "0x" + "11" * 20, have + 1)
    assert error.value.values == {"sender": account.address, "balance": have, "needed": have + 1}


def test_dear_gas_is_not_paid_beyond_the_cap(account: Account) -> None:
    from fitchain.pod.ports.chain.connect import connect as again

    chain = again(replace(account.chain.settings, fee_cap_wei=1), account.keys)
    with pytest.raises(ChainUnusable, match="and the cap is"):
        chain.send("FitCoin", "transfer", "0x" + "11" * 20, 1)


def test_reader_cannot_send(reader: Chain) -> None:
    with pytest.raises(NotFound, match="no key"):
        reader.send("Agreements", "withdraw")


def test_confirmations_are_waited_for(account: Account) -> None:
    chain = connect(replace(account.chain.settings, confirmations=2), account.keys)
    pending = chain.submit("FitCoin", "transfer", "0x" + "11" * 20, 1)
    assert chain.head() <= int(chain.node.request("eth_blockNumber"), 16) - 2
    chain.node.request("anvil_mine", "0x2")
    receipt = chain.wait(pending)
    assert receipt.block <= chain.head()
    assert chain.call("FitCoin", "balanceOf", "0x" + "11" * 20) >= 1


def test_receipt_tells_what_it_cost(account: Account, reader: Chain) -> None:
    before = reader.balance(account.address)
    receipt = account.chain.send("FitCoin", "transfer", "0x" + "22" * 20, 1)
    assert before - reader.balance(account.address) == receipt.gas_used * receipt.gas_price
    assert reader.receipt(receipt.transaction) == receipt
    assert reader.receipt(sha256(b"none")) is None


# Revert data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "without giving a reason"),
        (bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big"), "because an arithmetic result is out of range"),
        (
            bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(32, b"\0"),
            "saying 'no'",
        ),
        (b"\x01\x02\x03\x04", "with the unknown error 0x01020304"),
    ],
)
def test_revert_data_without_a_name_of_ours(data: bytes, sentence: str) -> None:
    assert decode_revert(data)[2] == sentence


def test_revert_with_a_name_of_ours() -> None:
    error = next(item for item in interface("Agreements").errors.values() if item.name == "NothingOwed")
    data = error.encode(["0x" + "11" * 20])
    assert decode_revert(data)[:2] == ("NothingOwed", {"account": "0x" + "11" * 20})


@pytest.mark.parametrize("name", AMOUNTS)
def test_an_errors_amounts_are_told_in_fit(name: str) -> None:
    error = next(item for contract in CONTRACTS for item in interface(contract).errors.values() if item.name == name)
    values = [15 * 10**17 if item["type"].startswith("uint") else "0x" + "11" * 20 for item in error.inputs]
    named, sentence = decode_revert(error.encode(values))[1:]
    assert all(f"{amount}=1.5 FIT" in sentence and named[amount] == 15 * 10**17 for amount in AMOUNTS[name])


def test_truncated_revert_data_is_refused_not_crashed() -> None:
    error = next(item for item in interface("Agreements").errors.values() if item.name == "NothingOwed")
    assert decode_revert(error.selector + b"\x01") == ("", {}, f"with the unknown error 0x{error.selector.hex()}")


def test_deployment_record_is_its_own_inverse(running_devnet: Devnet, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_bytes(running_devnet.deployment.encode())
    assert Deployment.read(tmp_path / "d.json") == running_devnet.deployment
    assert json.loads((tmp_path / "d.json").read_text())["version"] == "fitchain/deployment/v2"


def test_ether_is_written_for_people() -> None:
    from fitchain.pod.values.amounts import amount_text

    assert [amount_text(n) for n in (0, 1, ETHER, 25 * ETHER // 10)] == ["0", "0.000000000000000001", "1", "2.5"]
    assert Digest(bytes(32)) == ZERO
