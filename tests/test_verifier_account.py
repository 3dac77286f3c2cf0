"""A verifier's pod keeps its account in the draws, and goes on where it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable

from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.ports.registry import Role
from tests.chain_fixtures import ETHER
from tests.limits import LIMIT_S
from tests.pods import Party, verifier_runs


def test_pod_commits_to_its_own_chain_where_another_stands(open_party: Callable[..., Party]) -> None:
    party = open_party("newcomer")
    party.home.verifiers.stake(5 * ETHER, b"\1" * 26)
    links = LinkChain(party.home.keys, party.home.chain)
    with verifier_runs(party):
        wait_until(party, lambda: links.is_known(party.home.verifiers.verifier(party.address)))
    assert any("committed to a new hash chain" in line for line in party.said)


def test_what_is_wrong_with_an_account_is_told_once(open_party: Callable[..., Party]) -> None:
    """It cannot pay for a transaction, and goes on looking for its audits."""
    party = open_party("poor")
    party.home.register_or_update(Role.VERIFIER)
    party.home.verifiers.stake(5 * ETHER, b"\1" * 26)
    balance = party.home.chain.balance(party.address)
    party.home.chain.node.request("anvil_setBalance", party.address, hex(1000))
    with verifier_runs(party):
        wait_until(party, lambda: any("ETH" in line for line in party.said))
    party.home.chain.node.request("anvil_setBalance", party.address, hex(balance))
    assert len([line for line in party.said if "ETH" in line]) == 1


def wait_until(party: Party, reached: Callable[[], bool]) -> None:
    """Wait until something is reached; what the pod said is in the error."""
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline, "\n".join(party.said[-12:])
        time.sleep(0.05)
