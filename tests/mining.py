"""Who mines on a test's devnet, where a test stops it or takes blocks back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from fitchain.pod.ports.chain.devnet import BLOCK_TIME_S
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.errors import ChainUnusable

SETTLED_S = 0.02


class Mining:
    """The mining of a devnet's node, which can be stopped and goes on afterwards.

    anvil mines by transaction and by the second, as it was started, until it is told to stop; from
    then on it does one of them. So it mines by transaction again, and the seconds are counted here.

    Args:
        url: the node's.
    """

    def __init__(self, url: str) -> None:
        self._node, self._alone = Node(url), threading.Lock()
        self._ticking: threading.Thread | None = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let transactions wait, and time stand still, as long as the block lasts."""
        with self._alone:
            self._node.request("evm_setAutomine", False)
            self._node.request("evm_setIntervalMining", 0)
            self._settle()
            try:
                yield
            finally:
                self._node.request("evm_setAutomine", True)
                self._node.request("evm_mine")
        if self._ticking is None or not self._ticking.is_alive():
            self._ticking = threading.Thread(target=self._mine_each_second, daemon=True)
            self._ticking.start()

    def take_back(self, block: int) -> None:
        """Reorganise the chain: all blocks from one on are replaced by empty ones, and the node
        forgets what was in them.

        anvil's reorganisation does not wait for a block that is being mined: where both meet, the
        chain lacks blocks from then on (seen in the project's CI, and made to happen by three
        hundred transactions a second).
        """
        with self.stopped():
            self._node.request("anvil_reorg", self._newest() - block + 1, [])

    def _settle(self) -> None:
        """Wait for blocks that anvil had begun, or had in line, when it was told to stop."""
        newest = -1
        while newest != (newest := self._newest()):
            time.sleep(SETTLED_S)

    def _newest(self) -> int:
        return int(self._node.request("eth_blockNumber"), 16)

    def _mine_each_second(self) -> None:
        while True:
            time.sleep(BLOCK_TIME_S)
            try:
                with self._alone:
                    self._node.request("evm_mine")
            except ChainUnusable:  # the node went away, and mines as it likes when it comes back
                return


@cache
def mining_at(url: str) -> Mining:
    """The mining of the devnet's node at a URL: one, whoever asks."""
    return Mining(url)
