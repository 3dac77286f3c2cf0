"""The client: typed calls, transactions and events of one deployment, over JSON-RPC."""

from __future__ import annotations

from typing import Any

from pod.chain.base import Block, Deployment, Event, Pending, Receipt, Signer
from pod.digest import Digest
from pod.settings import Settings


class Chain:
    """A connection to one deployment; made by `connect`."""

    settings: Settings
    deployment: Deployment
    account: Signer | None

    def call(self, contract: str, function: str, *args: Any, block: int | str | None = None) -> Any:
        """Read a view function: one value, or a tuple of several; structs come as dicts, bytes32 as Digest.

        Args:
            block: number or tag; None reads at `head()`.
        """
        raise NotImplementedError

    def send(self, contract: str, function: str, *args: Any, gas: int | None = None, value: int = 0) -> Receipt:
        """Submit and wait."""
        raise NotImplementedError

    def submit(self, contract: str, function: str, *args: Any, gas: int | None = None, value: int = 0) -> Pending:
        """Sign, journal and broadcast a transaction without waiting.

        Args:
            gas: a limit; None estimates it, and an estimate that reverts raises and costs nothing.
        """
        raise NotImplementedError

    def wait(self, pending: Pending) -> Receipt:
        """Wait until a transaction is mined and confirmed; a mined revert raises."""
        raise NotImplementedError

    def events(
        self,
        contract: str,
        name: str | None = None,
        from_block: int | None = None,
        to_block: int | None = None,
        **indexed: Any,
    ) -> list[Event]:
        """Decoded events in order, up to `head()` unless said otherwise; `name` None takes every event of the contract."""
        raise NotImplementedError

    def head(self) -> int:
        """Number of the newest block that has enough confirmations."""
        raise NotImplementedError

    def block(self, number: int | str) -> Block:
        """A block by number or tag."""
        raise NotImplementedError

    def receipt(self, transaction: Digest) -> Receipt | None:
        """The receipt of a mined transaction, None while it is not mined."""
        raise NotImplementedError

    def balance(self, address: str) -> int:
        """ETH in wei."""
        raise NotImplementedError

    def fit_balance(self, address: str) -> int:
        """FIT in base units."""
        raise NotImplementedError


def connect(settings: Settings, account: Signer | None = None) -> Chain:
    """Connect to the node and the deployment that the settings name.

    Raises:
        ChainUnusable: no node answers, it is on another chain, or no contracts stand at the deployment's addresses.
        NotFound: no deployment on this chain is known.
    """
    raise NotImplementedError
