"""Reading together: how many HTTP requests it takes, and what happens where a node takes no
batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.chain import Chain, connect
from fitchain.pod.ports.chain.answers import chain_id, undecoded
from fitchain.pod.ports.chain.reads import Read, ReadBalance, ReadBlock, ReadCall, ReadEvents
from fitchain.pod.ports.chain.rpc import BATCH, Node
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import ChainUnusable, NodeRefused, NodeUnreachable, NotFound, Reverted
from tests.chain_fixtures import Account, Devnet
from tests.node_proxy import Batch, counting, proxy

SUPPLY = 10**27
EVERYTHING: list[Read] = [
    ReadCall("FitCoin", "totalSupply"),
    ReadEvents(("FitCoin",), "Transfer", {"from": "0x" + "00" * 20}),
    ReadBlock(0),
    ReadBalance("0x" + "99" * 20),
    ReadEvents(("Agreements", "Audits"), id=ZERO),
    ReadCall("Agreements", "feeFloor", block="latest"),
]


def through(devnet: Devnet, home: Path, url: str, **changes: Any) -> Chain:
    return connect(replace(devnet.settings(home), rpc=url, **changes))


def test_a_mixture_is_one_request(running_devnet: Devnet, reader: Chain, tmp_path: Path) -> None:
    with counting(running_devnet.record.rpc) as (url, traffic):
        chain = through(running_devnet, tmp_path, url)
        traffic.posts.clear()
        supply, minted, genesis, nothing, none, floor = chain.batch(EVERYTHING)
        assert traffic.requests == 1
    assert (supply, floor, nothing, none) == (SUPPLY, chain.constants.fee_floor, 0, [])
    assert [event.args["value"] for event in minted] == [SUPPLY]
    assert genesis == reader.block(0)


def test_confirmations_cost_one_request_for_the_head(running_devnet: Devnet, tmp_path: Path) -> None:
    with counting(running_devnet.record.rpc) as (url, traffic):
        chain = through(running_devnet, tmp_path, url, confirmations=1, defaulted=frozenset())
        traffic.posts.clear()
        chain.batch(EVERYTHING)
        assert [len(post) for post in traffic.posts] == [1, len(EVERYTHING)]
        still = chain.snapshot()
        traffic.posts.clear()
        for _ in range(3):
            still.batch(EVERYTHING)
        assert traffic.requests == 3


def test_a_snapshot_does_not_see_what_comes_after(open_account: Callable[..., Account], reader: Chain) -> None:
    target = "0x" + "77" * 20
    still = reader.snapshot()
    open_account().chain.send("FitCoin", "transfer", target, 3)
    transfers = ReadEvents(("FitCoin",), "Transfer", {"to": target})
    balance = ReadCall("FitCoin", "balanceOf", (target,))
    assert still.batch([balance, transfers]) == [0, []]
    assert reader.batch([balance])[0] == 3 and len(reader.batch([transfers])[0]) == 1


def test_a_batch_has_at_most_a_hundred_calls(running_devnet: Devnet, tmp_path: Path) -> None:
    with counting(running_devnet.record.rpc) as (url, traffic):
        chain = through(running_devnet, tmp_path, url)
        traffic.posts.clear()
        assert chain.call_many([("FitCoin", "totalSupply", ())] * 250) == [SUPPLY] * 250
        assert [len(post) for post in traffic.posts] == [100, 100, 50]
        assert chain.batch([]) == [] and traffic.requests == 3


def test_events_of_very_many_blocks_are_asked_for_together(running_devnet: Devnet, tmp_path: Path) -> None:
    ranges: list[list[tuple[int, int]]] = []

    def no_logs(calls: Batch) -> tuple[int, Any] | None:
        if calls[0]["method"] != "eth_getLogs":
            return None
        asked = [call["params"][0] for call in calls]
        ranges.append([(int(logs["fromBlock"], 16), int(logs["toBlock"], 16)) for logs in asked])
        return 200, [{"id": call["id"], "result": []} for call in calls]

    with proxy(running_devnet.record.rpc, lambda _: None, whole=no_logs) as url:
        chain = through(running_devnet, tmp_path, url)
        assert chain.events("FitCoin", "Transfer", 0, 149_999) == []
    assert ranges == [[(0, 49_999), (50_000, 99_999), (100_000, 149_999)]]


def test_refusal_names_the_call_that_was_refused(reader: Chain) -> None:
    calls = [ReadCall("FitCoin", "totalSupply"), ReadCall("Registry", "offeredModel", (ZERO,))]
    with pytest.raises(Reverted, match=r"^Registry.offeredModel reverted with ModelNotRegistered"):
        reader.batch(calls)
    with pytest.raises(NotFound, match="has no block 123456789"):
        reader.batch([ReadBlock(0), ReadBlock(123456789)])


def test_events_that_begin_in_the_future_are_none(reader: Chain) -> None:
    assert reader.events("FitCoin", from_block=reader.head() + 1000) == []


# Nodes that take no batches, or no large ones

TOO_MANY = {"code": -32600, "message": "batch requests are not supported"}


def each(calls: Batch, error: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]


REFUSALS: dict[str, Callable[[Batch], tuple[int, Any]]] = {
    "by status": lambda calls: (403, None),
    "as too large": lambda calls: (413, "too large"),
    "as a fault of its own": lambda calls: (500, "oops"),
    "by one error": lambda calls: (200, {"jsonrpc": "2.0", "id": None, "error": TOO_MANY}),
    "by one error in a list": lambda calls: (200, [{"jsonrpc": "2.0", "id": calls[0]["id"], "error": TOO_MANY}]),
    "in every answer": lambda calls: (200, each(calls, TOO_MANY)),
    "by half an answer": lambda calls: (200, each(calls, TOO_MANY)[: len(calls) // 2]),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_where_batches_are_refused_calls_go_one_by_one(running_devnet: Devnet, tmp_path: Path, refusal: str) -> None:
    posts: list[int] = []

    def alone(calls: Batch) -> tuple[int, Any] | None:
        posts.append(len(calls))
        return REFUSALS[refusal](calls) if len(calls) > 1 else None

    with proxy(running_devnet.record.rpc, lambda _: None, whole=alone) as url:
        chain = through(running_devnet, tmp_path, url)
        posts.clear()
        assert chain.batch(EVERYTHING)[0] == SUPPLY
        assert posts == [1] * len(EVERYTHING)


def test_where_large_batches_are_refused_smaller_ones_are_tried(running_devnet: Devnet) -> None:
    posts: list[int] = []

    def few(calls: Batch) -> tuple[int, Any] | None:
        posts.append(len(calls))
        return (413, None) if len(calls) > 30 else None

    calls = [chain_id()] * 120
    with proxy(running_devnet.record.rpc, lambda _: None, whole=few) as url:
        node = Node(url)
        assert node.batch(calls) == [31337] * 120
        assert posts == [100, 50, 25, 25, 25, 25, 20]
        posts.clear()
        node.batch(calls)
        assert max(posts) <= 25


def test_busy_node_is_asked_for_the_same_batch_again(running_devnet: Devnet) -> None:
    posts: list[int] = []

    def busy(calls: Batch) -> tuple[int, Any] | None:
        posts.append(len(calls))
        return (429, None) if len(posts) < 3 else None

    with proxy(running_devnet.record.rpc, lambda _: None, whole=busy) as url:
        assert len(Node(url).batch([chain_id()] * 5)) == 5
    assert posts == [5, 5, 5]


def test_one_refused_call_spoils_no_other(running_devnet: Devnet) -> None:
    node = Node(running_devnet.record.rpc)
    first, second, third = node.answers([chain_id(), undecoded("eth_colour"), chain_id()])
    assert first == third == 31337
    assert isinstance(second, NodeRefused) and "eth_colour" in second.message
    assert node.batch_limit == BATCH


def test_node_that_refuses_everything_is_told(running_devnet: Devnet) -> None:
    with (
        proxy(running_devnet.record.rpc, lambda _: (403, None)) as url,
        pytest.raises(NodeUnreachable, match="HTTP status 403"),
    ):
        Node(url).batch([chain_id()] * 4)


def test_logs_are_halved_only_where_they_are_refused(
    running_devnet: Devnet, open_account: Callable[..., Account], reader: Chain, tmp_path: Path
) -> None:
    account = open_account()
    for value in (1, 2, 3):
        account.chain.send("FitCoin", "transfer", "0x" + "11" * 20, value)
    last = reader.head()
    posts: list[Any] = []

    def at_most_three_blocks(call: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if call["method"] != "eth_getLogs" or call["params"][0]["toBlock"] == "latest":
            return None
        span = int(call["params"][0]["toBlock"], 16) - int(call["params"][0]["fromBlock"], 16) + 1
        return (200, {"code": -32005, "message": "query exceeds max block range"}) if span > 3 else None

    def answered(calls: Batch) -> tuple[int, Any] | None:
        """Judge each call by itself, as nodes do."""
        posts.append(len(calls))
        if len(calls) == 1:
            return None
        node, verdicts = Node(running_devnet.record.rpc), [at_most_three_blocks(call) for call in calls]
        answers = iter(
            node.answers(
                [undecoded(c["method"], *c["params"]) for c, bad in zip(calls, verdicts, strict=True) if not bad]
            )
        )
        return 200, [
            {"id": call["id"], "error": verdict[1]} if verdict else {"id": call["id"], "result": next(answers)}
            for call, verdict in zip(calls, verdicts, strict=True)
        ]

    with proxy(running_devnet.record.rpc, at_most_three_blocks, whole=answered) as url:
        chain = through(running_devnet, tmp_path, url)
        posts.clear()
        events, supply = chain.batch([ReadEvents(("FitCoin",), to_block=last), ReadCall("FitCoin", "totalSupply")])
    assert supply == SUPPLY
    assert events == reader.events("FitCoin", to_block=last)
    assert len(posts) <= 2 + (last - reader.deployment.block + 1).bit_length()


def test_a_block_whose_logs_are_refused_is_told(running_devnet: Devnet, tmp_path: Path) -> None:
    def never(call: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        return (200, {"code": -32005, "message": "no logs here"}) if call["method"] == "eth_getLogs" else None

    with (
        proxy(running_devnet.record.rpc, never) as url,
        pytest.raises(ChainUnusable, match="refuses eth_getLogs: no logs here"),
    ):
        through(running_devnet, tmp_path, url).events("FitCoin", None, 0, 3)
