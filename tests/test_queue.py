"""The nonce queue: nothing is lost or sent twice when a process, the node or the connection goes
away."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.chain import Chain, connect, devnet, queue
from fitchain.pod.ports.chain.base import Receipt
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.chain.known import KNOWN_FILE
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.values.errors import ChainUnusable, NodeUnreachable, NotMinedYet, Reverted
from tests.chain_fixtures import PASSPHRASE, Account, Devnet, no_mining, take_back
from tests.node_proxy import proxy

TARGET = "0x" + "11" * 20
GAS = 100_000


def queue_of(chain: Chain) -> Queue:
    assert isinstance(chain.sender, Queue)
    return chain.sender


def states(chain: Chain) -> list[tuple[int, str]]:
    """(nonce, state) of every row of a home."""
    with closing(sqlite3.connect(chain.settings.home / "transactions.db")) as database:
        return database.execute("SELECT nonce, state FROM transactions ORDER BY nonce, time").fetchall()


def mined_nonces(chain: Chain) -> int:
    return int(chain.node.request("eth_getTransactionCount", chain.address, "latest"), 16)


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture
def stopped_mining(reader: Chain) -> Iterator[None]:
    """Blocks come only when a test asks for one."""
    with no_mining(reader):
        yield


def without_sending(call: dict[str, Any]) -> tuple[int, None] | None:
    return (403, None) if call["method"] == "eth_sendRawTransaction" else None


def cut_off(account: Account, rpc: str, value: int) -> None:
    """Write a transaction down and lose the node before it is sent."""
    with proxy(rpc, without_sending) as url:
        chain = connect(replace(account.chain.settings, rpc=url), account.keys)
        with pytest.raises(NodeUnreachable) as gone:
            chain.submit("FitCoin", "transfer", TARGET, value)
        assert "goes out with what this home sends next: do not do it again" in gone.value.hint


def test_pipelined_transactions_are_mined_in_the_order_sent(account: Account) -> None:
    chain = account.chain
    pending = [chain.submit("FitCoin", "transfer", TARGET, value, gas=GAS) for value in range(10)]
    receipts = [chain.wait(one) for one in pending]
    assert [receipt.event("Transfer").args["value"] for receipt in receipts] == list(range(10))
    assert [one.nonce for one in pending] == list(range(10))
    assert states(chain) == [(nonce, "mined") for nonce in range(10)]


def test_processes_of_one_home_never_share_a_nonce(account: Account, running_devnet: Devnet) -> None:
    home = account.chain.settings.home
    code = f"""
from pathlib import Path
from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.chain import connect
place = settings.load(home=Path({str(home)!r}), devnet=Path({str(running_devnet.folder)!r}), environ={{}})
chain = connect(place, keys.unlock(place.home, "default", {PASSPHRASE!r}))
for pending in [chain.submit("FitCoin", "transfer", {TARGET!r}, 1, gas={GAS}) for _ in range(10)]:
    chain.wait(pending)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert states(account.chain) == [(nonce, "mined") for nonce in range(30)]


def test_threads_of_one_process_never_share_a_nonce(account: Account) -> None:
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda value: account.chain.send("FitCoin", "transfer", TARGET, value), range(12)))
    assert [receipt.event("Transfer").args["value"] for receipt in receipts] == list(range(12))
    assert states(account.chain) == [(nonce, "mined") for nonce in range(12)]


def test_transaction_is_written_before_it_is_sent_and_sent_at_the_next_start(
    account: Account, running_devnet: Devnet
) -> None:
    cut_off(account, running_devnet.record.rpc, 7)
    assert states(account.chain) == [(0, "signed")]
    again = connect(account.chain.settings, account.keys)
    (pending,) = queue_of(again).pending()
    assert again.wait(pending).event("Transfer").args["value"] == 7


def test_cut_off_pod_catches_up_before_it_reads(account: Account, stopped_mining: None) -> None:
    chain = account.chain
    chain.submit("Agreements", "withdraw", gas=GAS)
    chain.submit("FitCoin", "transfer", TARGET, 7, gas=GAS)
    again = connect(chain.settings, account.keys)
    chain.node.request("evm_mine")
    (refused, reason), (sent, receipt) = again.catch_up()
    assert (refused.what, sent.what) == ("Agreements.withdraw", "FitCoin.transfer")
    assert isinstance(reason, Reverted)
    assert reason.error == "NothingOwed"
    assert isinstance(receipt, Receipt)
    assert again.catch_up() == []


def test_next_transaction_sends_what_was_cut_off_first(account: Account, running_devnet: Devnet) -> None:
    cut_off(account, running_devnet.record.rpc, 7)
    receipt = account.chain.send("FitCoin", "approve", TARGET, 8)
    assert (mined_nonces(account.chain), receipt.event("Approval").args["value"]) == (2, 8)


@pytest.mark.parametrize("how", ["cut off", "taken back"])
def test_what_goes_out_late_is_not_sent_a_second_time(account: Account, running_devnet: Devnet, how: str) -> None:
    """Whoever saw it nowhere, and does it again, does it once."""
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    if how == "cut off":
        cut_off(account, running_devnet.record.rpc, 7)
    else:
        take_back(chain, chain.send("FitCoin", "transfer", TARGET, 7).block)
    with pytest.raises(NotMinedYet, match="another one of this home was not on the chain, and is sent now"):
        chain.send("FitCoin", "transfer", TARGET, 7)
    chain.catch_up()
    assert (chain.fit_balance(TARGET), mined_nonces(chain)) == (before + 7, 1)
    chain.send("FitCoin", "transfer", TARGET, 7)  # whoever does it yet again has seen the first
    assert chain.fit_balance(TARGET) == before + 14


def test_transaction_that_the_node_forgot_is_sent_again(account: Account, stopped_mining: None) -> None:
    chain = account.chain
    pending = [chain.submit("FitCoin", "transfer", TARGET, value, gas=GAS) for value in (1, 2)]
    chain.node.request("anvil_dropAllTransactions")
    assert connect(chain.settings, account.keys).sender is not None
    chain.node.request("evm_mine")
    assert [chain.wait(one).event("Transfer").args["value"] for one in pending] == [1, 2]


# What a reorganisation takes back


def test_what_was_taken_back_is_noticed_and_what_stands_is_not(account: Account) -> None:
    chain = account.chain
    block = chain.send("FitCoin", "transfer", TARGET, 1).block
    assert not chain.was_taken_back()
    take_back(chain, block)
    assert chain.was_taken_back()
    assert chain.rebroadcast() == ["FitCoin.transfer"]
    chain.catch_up()
    assert not chain.was_taken_back()


def test_what_a_reorganisation_took_back_is_sent_again_under_its_nonce(account: Account) -> None:
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    sent = [chain.send("FitCoin", "transfer", TARGET, value) for value in (1, 2)]
    take_back(chain, sent[0].block)
    assert (mined_nonces(chain), chain.receipt(sent[0].transaction)) == (0, None)
    assert chain.rebroadcast() == ["FitCoin.transfer"] * 2
    chain.catch_up()
    assert (chain.fit_balance(TARGET), mined_nonces(chain)) == (before + 3, 2)
    assert chain.rebroadcast() == []
    assert states(chain) == [(0, "mined"), (1, "mined")]


def test_next_transaction_does_not_take_the_nonce_of_one_that_was_taken_back(account: Account) -> None:
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    take_back(chain, chain.send("FitCoin", "transfer", TARGET, 1).block)
    chain.send("FitCoin", "approve", TARGET, 2)
    assert (chain.fit_balance(TARGET), mined_nonces(chain)) == (before + 1, 2)


def test_process_that_starts_after_a_reorganisation_sends_again(account: Account) -> None:
    before = account.chain.fit_balance(TARGET)
    take_back(account.chain, account.chain.send("FitCoin", "transfer", TARGET, 1).block)
    connect(account.chain.settings, account.keys).catch_up()
    assert account.chain.fit_balance(TARGET) == before + 1


@pytest.fixture
def bound_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transfers count as what a reorganisation may have given another meaning."""
    monkeypatch.setattr(queue, "BOUND", frozenset({"FitCoin.transfer"}))


def test_what_would_mean_something_else_is_not_sent_again(account: Account, bound_transfers: None) -> None:
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    take_back(chain, (sent := chain.send("FitCoin", "transfer", TARGET, 1)).block - 1)
    chain.send("FitCoin", "approve", TARGET, 77)
    chain.catch_up()
    assert chain.receipt(sent.transaction) is None
    assert (chain.fit_balance(TARGET), mined_nonces(chain)) == (before, 2)  # and nothing waits behind a gap
    assert states(chain) == [(0, "dropped"), (0, "mined"), (1, "mined")]


def test_what_rests_on_blocks_that_stand_is_sent_again_in_any_case(account: Account, bound_transfers: None) -> None:
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    take_back(chain, chain.send("FitCoin", "transfer", TARGET, 1).block)
    assert chain.rebroadcast() == ["FitCoin.transfer"]
    chain.catch_up()
    assert chain.fit_balance(TARGET) == before + 1


def test_what_is_on_its_way_is_called_back_where_it_would_mean_something_else(
    account: Account, stopped_mining: None, bound_transfers: None
) -> None:
    """An anchor that was sent and is not mined would be mined under the next order seed."""
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    pending = chain.submit("FitCoin", "transfer", TARGET, 1)
    chain.node.request("anvil_reorg", 1, [])
    assert chain.rebroadcast() == []
    chain.node.request("evm_mine")
    with pytest.raises(ChainUnusable, match="took the nonce 0"):
        chain.wait(pending)
    assert (chain.fit_balance(TARGET), mined_nonces(chain)) == (before, 1)


def test_copy_that_a_node_kept_of_what_was_taken_back_is_outbid(
    account: Account, stopped_mining: None, bound_transfers: None
) -> None:
    chain, before = account.chain, account.chain.fit_balance(TARGET)
    pending = chain.submit("FitCoin", "transfer", TARGET, 1)
    chain.node.request("evm_mine")
    chain.wait(pending)
    with closing(sqlite3.connect(chain.settings.home / "transactions.db")) as database:
        ((raw,),) = database.execute("SELECT raw FROM transactions").fetchall()
    chain.node.request("anvil_reorg", 2, [])
    chain.node.request("eth_sendRawTransaction", "0x" + raw.hex())  # as other nodes do by themselves
    chain.rebroadcast()
    chain.node.request("evm_mine")
    assert (chain.fit_balance(TARGET), mined_nonces(chain)) == (before, 1)


def test_one_stale_answer_takes_nothing_back(account: Account, running_devnet: Devnet) -> None:
    """A node that lags behind says that fewer nonces are used up; the receipts are still there."""
    account.chain.send("FitCoin", "transfer", TARGET, 1)

    def stale(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"result": "0x0"} if call["method"] == "eth_getTransactionCount" else answer

    with proxy(running_devnet.record.rpc, lambda _: None, change=stale) as url:
        chain = connect(replace(account.chain.settings, rpc=url), account.keys)
        assert not chain.was_taken_back() and chain.rebroadcast() == []
        assert states(chain) == [(0, "mined")]


def lagging(*methods: str) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """Answers of a node that does not know yet what it is asked for by some methods."""

    def lag(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        is_known = call["params"] and call["params"][0] in ("latest", "0x0")
        return answer | {"result": None} if call["method"] in methods and not is_known else answer

    return lag


def test_node_that_lags_calls_back_nothing_that_is_on_its_way(
    account: Account, running_devnet: Devnet, stopped_mining: None, bound_transfers: None
) -> None:
    account.chain.node.request("evm_mine")
    pending = account.chain.submit("FitCoin", "transfer", TARGET, 1)
    with proxy(running_devnet.record.rpc, lambda _: None, change=lagging("eth_getBlockByNumber")) as url:
        assert connect(replace(account.chain.settings, rpc=url), account.keys).rebroadcast() == []
    assert states(account.chain) == [(0, "sent")]
    account.chain.node.request("evm_mine")
    assert account.chain.wait(pending).transaction == pending.transaction


def test_node_that_lags_gives_no_nonce_of_ours_to_a_stranger(
    account: Account, running_devnet: Devnet, stopped_mining: None
) -> None:
    """Whoever is told so sends the same again, and pays twice."""
    pending = account.chain.submit("FitCoin", "transfer", TARGET, 1)
    account.chain.node.request("evm_mine")
    with proxy(running_devnet.record.rpc, lambda _: None, change=lagging("eth_getTransactionReceipt")) as url:
        connect(replace(account.chain.settings, rpc=url), account.keys).rebroadcast()
    assert states(account.chain) == [(0, "sent")]
    assert account.chain.wait(pending).transaction == pending.transaction
    assert states(account.chain) == [(0, "mined")]


def test_price_is_raised_when_gas_became_dearer(account: Account, stopped_mining: None) -> None:
    chain = account.chain
    pending = [chain.submit("FitCoin", "transfer", TARGET, value, gas=GAS) for value in (1, 2)]
    for _ in range(2):  # dearer for the block that leaves them out, and still so for the next
        chain.node.request("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
        chain.node.request("evm_mine")
        queue_of(chain).rebroadcast()
    receipts = [chain.wait(one) for one in pending]
    assert [receipt.event("Transfer").args["value"] for receipt in receipts] == [1, 2]
    assert [receipt.transaction for receipt in receipts] != [one.transaction for one in pending]
    assert mined_nonces(chain) == 2


def test_nonce_taken_by_a_stranger_is_told(
    account: Account, running_devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "STRANGER_S", 0)
    cut_off(account, running_devnet.record.rpc, 7)
    (pending,) = queue_of(account.chain).pending()
    elsewhere = connect(replace(account.chain.settings, home=tmp_path), account.keys)
    elsewhere.send("FitCoin", "transfer", TARGET, 8)
    queue_of(account.chain).rebroadcast()
    assert states(account.chain) == [(0, "dropped")]
    with pytest.raises(ChainUnusable, match=r"took the nonce 0 of FitCoin\.transfer"):
        account.chain.wait(pending)
    assert account.chain.send("FitCoin", "transfer", TARGET, 9).event("Transfer").args["value"] == 9


def test_transaction_that_the_node_refuses_leaves_no_gap(account: Account, running_devnet: Devnet) -> None:
    def refusing(call: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        refusal = {"code": -32000, "message": "exceeds the configured cap"}
        return (200, refusal) if call["method"] == "eth_sendRawTransaction" else None

    with proxy(running_devnet.record.rpc, refusing) as url:
        chain = connect(replace(account.chain.settings, rpc=url), account.keys)
        with pytest.raises(ChainUnusable, match=r"was not sent: the node at .* exceeds the configured cap"):
            chain.submit("FitCoin", "transfer", TARGET, 1)
    assert account.chain.send("FitCoin", "transfer", TARGET, 2).event("Transfer").args["value"] == 2
    assert mined_nonces(account.chain) == 1


def test_other_devnet_is_not_given_yesterdays_transactions(
    account: Account, running_devnet: Devnet, tmp_path: Path
) -> None:
    cut_off(account, running_devnet.record.rpc, 7)
    other = tmp_path / "other"
    record = devnet.up(other, 0)
    try:
        place = replace(account.chain.settings, devnet=other, rpc=record.rpc)
        deploy(place)
        devnet.fund(replace(place, home=other), account.address, 10**18, 10)
        (place.home / KNOWN_FILE).unlink()  # whoever has read that the home belongs to another chain
        chain = connect(place, account.keys)
        assert chain.deployment.addresses == running_devnet.deployment.addresses
        assert queue_of(chain).pending() == []
        assert chain.send("FitCoin", "transfer", TARGET, 8).event("Transfer").args["value"] == 8
        assert mined_nonces(chain) == 1
    finally:
        devnet.down(other)


def test_file_holds_no_key_and_is_for_the_owner_alone(account: Account) -> None:
    account.chain.send("FitCoin", "transfer", TARGET, 1)
    path = account.chain.settings.home / "transactions.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert bytes(account.keys._account.key) not in path.read_bytes()
