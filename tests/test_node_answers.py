"""What nodes answer that is malformed, or only unusual: each is understood, or is one clear line
with the next step."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.agreement import Phase
from fitchain.pod.ports.chain import Chain, ReadBlock, ReadCall, answers, connect, rpc
from fitchain.pod.ports.chain.answers import Query
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import GWEI
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import ChainUnusable, NodeRefused, NodeUnreachable, Reverted
from tests.chain_fixtures import Account, Devnet
from tests.liars import PAGE
from tests.node_proxy import Reply, proxy
from tests.speeds import long_unless

SOMEBODY = "0x" + "11" * 20
WORD = "0x" + "00" * 31 + "07"
HASH = "0x" + "22" * 32
HEADER = {
    "number": "0x7",
    "hash": HASH,
    "parentHash": HASH,
    "timestamp": "0x1",
    "stateRoot": HASH,
    "baseFeePerGas": "0x1",
}
LOG = {
    "address": SOMEBODY,
    "topics": [WORD],
    "data": "0x",
    "blockNumber": "0x7",
    "blockHash": HASH,
    "transactionHash": HASH,
    "logIndex": "0x0",
}
RECEIPT = {
    "transactionHash": str(ZERO),
    "from": SOMEBODY,
    "blockNumber": "0x7",
    "status": "0x1",
    "gasUsed": "0x1",
    "effectiveGasPrice": "0x1",
    "logs": [LOG],
    "contractAddress": None,
}
LOGS = answers.logs([answers.address(SOMEBODY)], [WORD], 5, 9)

JUNK: list[Any] = [None, 7, -1, True, "7", "0x", "0xzz", "0x" + "f" * 17, [], {}]
WELL_FORMED: list[tuple[Query[Any], Any]] = [
    (answers.block(7), HEADER),
    (answers.block(7), HEADER | {"extraData": "0x" + "99" * 97}),  # proof of authority puts its signers there
    (answers.block(7), {name: value for name, value in HEADER.items() if name != "baseFeePerGas"}),
    (answers.block("latest"), None),
    (LOGS, [LOG]),
    (LOGS, [LOG | {"address": "0x" + "11" * 20, "removed": False, "blockTimestamp": "0x1"}]),
    (answers.receipt(ZERO), RECEIPT),
    (answers.receipt(ZERO), RECEIPT | {"type": "0x2", "logsBloom": "0x", "contractAddress": SOMEBODY}),
]
MALFORMED: list[tuple[Query[Any], Any]] = [
    *((answers.block_number(), value) for value in JUNK),
    *((answers.balance(SOMEBODY), value) for value in (None, "", "0x" + "f" * 65)),
    *((answers.code(SOMEBODY), value) for value in (None, "0x1", "1234", ["0x12"])),
    *((answers.accounts(), value) for value in (None, "0x", [None], ["0x1234"])),
    *((answers.send_raw(b""), value) for value in (None, "0x", WORD[:-2], "0x" + "zz" * 32)),
    *((answers.block(7), value) for value in JUNK[1:]),
    (answers.block(7), HEADER | {"number": "0x8"}),
    (answers.block(7), HEADER | {"hash": "0x12"}),
    (answers.block(7), HEADER | {"timestamp": None}),
    (answers.block(7), HEADER | {"baseFeePerGas": "cheap"}),
    *((LOGS, value) for value in JUNK if value != []),
    (LOGS, [None]),
    (LOGS, [LOG, LOG]),
    (LOGS, [LOG | {"address": "0x" + "12" * 20}]),
    (LOGS, [LOG | {"blockNumber": "0x4"}]),
    (LOGS, [LOG | {"blockNumber": "0xa"}]),
    (LOGS, [LOG | {"topics": [HASH]}]),
    (LOGS, [LOG | {"topics": []}]),
    (LOGS, [LOG | {"topics": [WORD] * 5}]),
    (LOGS, [LOG | {"data": "0x1"}]),
    (LOGS, [LOG | {"logIndex": "0x1"}, LOG]),
    (answers.receipt(ZERO), RECEIPT | {"transactionHash": HASH}),
    (answers.receipt(ZERO), RECEIPT | {"status": "0x2"}),
    (answers.receipt(ZERO), RECEIPT | {"from": None}),
    (answers.receipt(ZERO), RECEIPT | {"logs": None}),
    (answers.transaction(ZERO), {"from": SOMEBODY}),
]

Change = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(("query", "answer"), WELL_FORMED)
def test_what_was_asked_for_is_decoded(query: Query[Any], answer: Any) -> None:
    query.decode(answer)


@pytest.mark.parametrize(("query", "answer"), MALFORMED)
def test_what_was_not_asked_for_is_none(query: Query[Any], answer: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        query.decode(answer)


def result(method: str, value: Any) -> Change:
    """Changes what one method answers."""
    return lambda call, answer: answer | {"result": value} if call["method"] == method else answer


def refusing(method: str, message: str, code: int = -32601) -> Change:
    """Lets one method be refused."""
    error = {"code": code, "message": message}
    return lambda call, answer: {"id": answer["id"], "error": error} if call["method"] == method else answer


def through(running_devnet: Devnet, home: Path, url: str) -> Chain:
    place = running_devnet.settings(home)
    return Chain(Node(url, retry_s=0), replace(place, rpc=url), running_devnet.deployment)


CALL = ReadCall("FitCoin", "balanceOf", (SOMEBODY,))


@pytest.mark.parametrize("value", [None, "0x", "0x1234", WORD + "zz", 7, {}, []])
def test_a_call_that_returns_anything_else_is_a_node_out_of_order(
    running_devnet: Devnet, tmp_path: Path, value: Any
) -> None:
    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=result("eth_call", value)) as url,
        pytest.raises(NodeUnreachable, match="answers eth_call with what cannot be") as error,
    ):
        through(running_devnet, tmp_path, url).batch([CALL, ReadBlock(0)])
    assert "name another with --rpc" in error.value.hint


def test_a_number_that_an_enum_lacks_is_a_node_out_of_order() -> None:
    with pytest.raises(NodeUnreachable, match="says 99 for a Phase, which has the numbers 0 to"):
        Phase(99)


@pytest.mark.parametrize(
    "change",
    [
        lambda answers: [answer | {"id": 7777} for answer in answers],
        lambda answers: [*answers[:-1], answers[0]],
        lambda answers: [answer["result"] for answer in answers],
        lambda answers: [answer | {"id": "1"} for answer in answers],
        lambda answers: [answer | {"id": None} for answer in answers],
    ],
)
def test_a_batch_with_other_answers_is_no_answer(change: Callable[[list[Any]], Any]) -> None:
    with pytest.raises(rpc._OtherAnswers):
        rpc._matched(change([{"id": 1, "result": "a"}, {"id": 2, "result": "b"}]), [1, 2])


def test_a_batchs_answers_come_in_any_order() -> None:
    first, second = {"id": 1, "result": "a"}, {"id": 2, "result": "b"}
    assert rpc._matched([second, first], [1, 2]) == [first, second]


# HTTP


def answering(running_devnet: Devnet, reply: Reply) -> AbstractContextManager[str]:
    return proxy(running_devnet.record.rpc, lambda _: None, reply=lambda status, body: reply)


@pytest.mark.parametrize(
    ("reply", "told", "hint"),
    [
        ((200, {}, PAGE), "answers with a web page, which is not JSON-RPC", "name another"),
        ((200, {}, b""), "answers with nothing, which is not", "name another"),
        ((200, {}, b'{"jsonrpc": "2.0", "id"'), "answers with '{\"jsonrpc", "name another"),
        ((200, {}, b"[" * 100_000), "which is not JSON-RPC", "name another"),
        ((200, {}, b"{}"), "does not speak JSON-RPC", "name another"),
        ((401, {}, PAGE), "HTTP status 401", "which key belongs into the URL"),
        ((403, {}, b""), "HTTP status 403", "look at the key in its URL"),
        ((404, {}, b""), "HTTP status 404", "compare the URL"),
        (
            (302, {"Location": "https://example.org/in?key=secret"}, b""),
            "on to https://example.org/…",
            "whom you trust",
        ),
        ((308, {"Location": "http://["}, b""), "somewhere", "whom you trust"),
        ((429, {}, b""), "HTTP status 429", "wait, or name a node of your own"),
    ],
)
@pytest.mark.parametrize("calls", [1, 3])
def test_what_no_node_says_is_a_line_with_the_next_step(
    running_devnet: Devnet, reply: Reply, told: str, hint: str, calls: int
) -> None:
    with answering(running_devnet, reply) as url, pytest.raises(NodeUnreachable) as error:
        Node(url, retry_s=0).batch([answers.chain_id()] * calls)
    assert told in error.value.message and hint in error.value.hint
    assert "secret" not in error.value.message + error.value.hint


def test_a_redirect_is_not_followed(running_devnet: Devnet) -> None:
    asked = list[Any]()
    with (
        proxy(running_devnet.record.rpc, lambda _: None, posted=lambda: asked.append(1)) as elsewhere,
        answering(running_devnet, (307, {"Location": elsewhere}, b"")) as url,
        pytest.raises(NodeUnreachable, match="sends whoever asks on to"),
    ):
        Node(url, retry_s=0).ask(answers.chain_id())
    assert asked == []


@pytest.mark.parametrize("when", ["1", "date"])
def test_a_busy_node_is_left_alone_for_as_long_as_it_asks(running_devnet: Devnet, when: str) -> None:
    posts = list[float]()

    def busy(status: int, body: bytes) -> Reply:
        posts.append(time.monotonic())
        pause = formatdate(time.time() + 2, usegmt=True) if when == "date" else when
        return (429, {"Retry-After": pause}, b"") if len(posts) == 1 else (status, {}, body)

    with proxy(running_devnet.record.rpc, lambda _: None, reply=busy) as url:
        assert Node(url).ask(answers.chain_id()) == 31337
    assert len(posts) == 2 and posts[1] - posts[0] > 0.9


def test_a_pause_that_is_too_long_is_told(running_devnet: Devnet) -> None:
    began = time.monotonic()
    with (
        answering(running_devnet, (429, {"Retry-After": "3600"}, b"")) as url,
        pytest.raises(NodeUnreachable, match="HTTP status 429, and asks to wait 3600 s"),
    ):
        Node(url).ask(answers.chain_id())
    assert time.monotonic() - began < 5


LIMITS = [
    {"code": -32005, "message": "daily request count exceeded, request rate limited"},
    {"code": -32005, "message": "Limit exceeded", "data": {"rate": {"backoff_seconds": 1}}},
    {"code": 429, "message": "Your app has exceeded its compute units per second capacity"},
    {"code": -32007, "message": "15/second request limit reached"},
    {"code": -32016, "message": "over rate limit"},
]


@pytest.mark.parametrize("calls", long_unless(lambda calls: calls == 3, [1, 3]))
@pytest.mark.parametrize("error", LIMITS, ids=lambda error: str(error["code"]))
def test_a_provider_that_counts_requests_is_asked_again(
    running_devnet: Devnet, error: dict[str, Any], calls: int
) -> None:
    posts = list[int]()

    def counting(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": call["id"], "error": error} if len(posts) < 3 else answer

    with proxy(running_devnet.record.rpc, lambda _: None, posted=lambda: posts.append(1), change=counting) as url:
        assert Node(url).batch([answers.chain_id()] * calls) == [31337] * calls


def test_a_provider_that_counts_for_long_is_named_as_one(running_devnet: Devnet) -> None:
    def counting(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": call["id"], "error": LIMITS[0]}

    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=counting) as url,
        pytest.raises(NodeUnreachable, match="it counts requests, and refuses eth_chainId: daily request") as error,
    ):
        Node(url, retry_s=0.1).ask(answers.chain_id())
    assert error.value.hint.startswith("the provider counts requests")


def test_a_provider_that_limits_logs_is_asked_for_less_at_once(running_devnet: Devnet) -> None:
    limits = refusing("eth_getLogs", "query returned more than 10000 results", -32005)
    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=limits) as url,
        pytest.raises(NodeRefused, match="more than 10000 results"),
    ):
        Node(url).ask(answers.logs([], [], 0, None))


def test_a_node_that_lets_every_second_request_pass_is_read(running_devnet: Devnet) -> None:
    """It is there all the time: who it is is not asked again, which would take the turn."""
    posts, rpc_url = list[int](), running_devnet.record.rpc

    def every_second(status: int, body: bytes) -> Reply:
        posts.append(1)
        return (429, {"Retry-After": "0"}, b"") if len(posts) % 2 else (status, {}, body)

    genesis = Node(rpc_url).ask(answers.block(0))
    assert genesis is not None
    with proxy(rpc_url, lambda _: None, reply=every_second) as url:
        node = Node(url)
        node.stay_on(genesis.hash, lambda: None)
        assert [node.ask(answers.chain_id()) for _ in range(3)] == [31337] * 3


def test_a_batchs_ids_may_come_back_as_texts() -> None:
    first, second = {"id": "1", "result": "a"}, {"id": "2", "result": "b"}
    assert rpc._matched([second, first], [1, 2]) == [first, second]


def test_an_answer_without_end_is_cut(running_devnet: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "ANSWER_BYTES", 1 << 10)
    with (
        answering(running_devnet, (200, {}, b" " * (2 << 20))) as url,
        pytest.raises(NodeUnreachable, match="goes on beyond"),
    ):
        Node(url, retry_s=0).ask(answers.chain_id())


# Chains


@pytest.fixture
def sender(open_account: Callable[..., Account]) -> Account:
    return open_account()


def sending(account: Account, url: str) -> Queue:
    """The account's queue over another door."""
    chain = account.chain
    return Queue(chain.settings.home, Node(url, retry_s=0), ZERO, chain.chain_id, account.keys, 10**12)


def test_a_chain_without_a_base_fee_is_named(running_devnet: Devnet, sender: Account) -> None:
    def old(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber":
            del answer["result"]["baseFeePerGas"]
        return answer

    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=old) as url,
        pytest.raises(ChainUnusable, match="chain 31337 has no base fee"),
    ):
        sending(sender, url)._fees()


def test_a_node_without_a_suggested_tip_is_asked_for_its_price(running_devnet: Devnet, sender: Account) -> None:
    missing = refusing("eth_maxPriorityFeePerGas", "the method does not exist")

    def priced(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"result": hex(5 * GWEI)} if call["method"] == "eth_gasPrice" else missing(call, answer)

    with proxy(running_devnet.record.rpc, lambda _: None, change=priced) as url:
        queue = sending(sender, url)
        assert (queue._tip(2 * GWEI), queue._tip(6 * GWEI)) == (3 * GWEI, 0)


def test_headers_of_proof_of_authority_are_read(running_devnet: Devnet, tmp_path: Path) -> None:
    def signed(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber":
            answer["result"] |= {"extraData": "0x" + "99" * 97, "difficulty": "0x2"}
        return answer

    with proxy(running_devnet.record.rpc, lambda _: None, change=signed) as url:
        chain = connect(replace(running_devnet.settings(tmp_path), rpc=url))
        assert chain.block("latest").number >= chain.deployment.block


def test_pruned_logs_are_told(running_devnet: Devnet, tmp_path: Path) -> None:
    pruned = refusing("eth_getLogs", "pruned history unavailable")
    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=pruned) as url,
        pytest.raises(NodeRefused, match="refuses eth_getLogs: pruned history unavailable") as error,
    ):
        through(running_devnet, tmp_path, url).events("FitCoin")
    assert "name a node that keeps them all" in error.value.hint


@pytest.mark.parametrize("data", ["0xzz", "no hex", 7, {"data": [1]}, None, "Reverted 0x1", "0x12345678"])
def test_a_revert_with_any_data_is_a_revert(running_devnet: Devnet, tmp_path: Path, data: Any) -> None:
    def reverting(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        error = {"code": 3, "message": "execution reverted", "data": data}
        return {"id": answer["id"], "error": error} if call["method"] == "eth_call" else answer

    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=reverting) as url,
        pytest.raises(Reverted, match=r"FitCoin\.balanceOf reverted"),
    ):
        through(running_devnet, tmp_path, url).batch([CALL])
