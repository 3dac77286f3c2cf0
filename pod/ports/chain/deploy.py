"""Deployment: the contracts put on a chain, once, so that an interruption costs at most one
transaction.

Works on any chain whose node speaks Ethereum's JSON-RPC. On a devnet the node's own first account
deploys and gets the supply of FIT; elsewhere a key of the home does. While it goes on, `<chain
id>.partial.json` keeps each creation's transaction; at the end `<chain id>.json` is the deployment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fitchain.pod.ports.chain.abi import encode, interface
from fitchain.pod.ports.chain.base import Deployment, Pending, Receipt, Signer, write_file
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.connect import join, require_contracts, unlocked_account
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID, DevnetRecord, Settings
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import AccessRefused, ChainUnusable, InputRefused


def deploy(settings: Settings, account: Signer | None = None) -> Deployment:
    """Deploy the contracts, go on with a deployment that was cut off, or find one that is complete.

    Args:
        settings: which node; a `chain_id` there must be the node's.
        account: the opened key that pays and gets the supply of FIT; None takes a devnet's own
            account.

    Returns:
        the deployment, which is written to `deployments/<chain id>.json` in the home, or in the
        devnet's folder for a running devnet.

    Raises:
        ChainUnusable: the node is on another chain, the account cannot pay, or a record stands
            whose contracts do not.
        AccessRefused: the chain is no devnet and no key was given.
        InputRefused: another account began the deployment.
    """
    node = Node(settings.rpc)
    settings, genesis = join(node, settings)
    chain = _bare_chain(node, settings, genesis, account)
    path = record_path(settings, chain.chain_id)
    if (recorded := _recorded(chain, path)) is not None:
        return recorded
    return _Work(chain, path).finish()


def record_path(settings: Settings, chain_id: int) -> Path:
    """Where a deployment on this chain is recorded."""
    home, devnet = settings.deployment_paths(chain_id)
    record = DevnetRecord.read(settings.devnet)
    return devnet if record and record.alive and record.rpc == settings.rpc else home


def _bare_chain(node: Node, settings: Settings, genesis: Digest, account: Signer | None) -> Chain:
    """A chain without contracts yet."""
    chain_id = settings.chain_id or 0
    nowhere = Deployment(chain_id, {}, 0)
    if account is not None:
        cap, confirmations = settings.fee_cap_wei, settings.confirmations
        queue = Queue(settings.home, node, genesis, chain_id, account, cap, confirmations)
        queue.nudge()
        return Chain(node, settings, nowhere, queue, account)
    if chain_id != DEVNET_CHAIN_ID:
        hint = "open a key of this home: `fitchain deploy --key NAME`"
        raise AccessRefused(f"a deployment on chain {chain_id} needs a key that pays for it", hint)
    return Chain(node, settings, nowhere, unlocked_account(node))


def _recorded(chain: Chain, path: Path) -> Deployment | None:
    """The recorded deployment, if its contracts stand.

    A devnet gets a new one where they do not (it was started afresh) or are of an older Fitchain.
    """
    if (recorded := Deployment.read(path)) is None:
        return None
    try:
        require_contracts(Chain(chain.node, chain.settings, recorded))
    except ChainUnusable as fault:
        if chain.chain_id == DEVNET_CHAIN_ID:
            return None
        hint = "let the node catch up with its chain; to deploy anew, move that file away"
        raise ChainUnusable(f"{path} records a deployment, but {fault.message}", hint) from None
    return recorded if chain.chain_id != DEVNET_CHAIN_ID or _of_these_artifacts(chain, recorded) else None


def _of_these_artifacts(chain: Chain, recorded: Deployment) -> bool:
    """Whether the recorded creations carried the code that ships with this Fitchain."""
    for name, transaction in recorded.transactions.items():
        creation = chain.node.request("eth_getTransactionByHash", transaction)
        if creation is None or not creation["input"].startswith("0x" + interface(name).bytecode.hex()):
            return False
    return True


class _Work:
    """A deployment under way.

    Args:
        chain: who sends, to where.
        path: where the finished deployment is recorded.
    """

    def __init__(self, chain: Chain, path: Path) -> None:
        self.chain = chain
        self.path = path
        self.partial = path.with_suffix(".partial.json")
        self.sent = self._read()

    def finish(self) -> Deployment:
        """Create what is missing and record the whole."""
        receipts: dict[str, Receipt] = {}
        receipts["FitCoin"] = self._create("FitCoin", [self.chain.address])
        receipts["Registry"] = self._create("Registry", [])
        coin, registry = _created(receipts["FitCoin"]), _created(receipts["Registry"])
        receipts["Agreements"] = self._create("Agreements", [coin, registry])
        addresses = {name: _created(receipt) for name, receipt in receipts.items()}
        first = min(receipt.block for receipt in receipts.values())
        # Agreements creates ProofOfTrain and Audits itself.
        deployed = Chain(self.chain.node, self.chain.settings, Deployment(self.chain.chain_id, addresses, first))
        addresses["ProofOfTrain"] = deployed.call("Agreements", "proofOfTrain", block="latest")
        addresses["Audits"] = deployed.call("Agreements", "audits", block="latest")
        transactions = {name: str(receipt.transaction) for name, receipt in receipts.items()}
        deployment = Deployment(self.chain.chain_id, addresses, first, transactions)
        write_file(self.path, deployment.encode())
        self.partial.unlink(missing_ok=True)
        return deployment

    def _create(self, name: str, args: list[Any]) -> Receipt:
        """Create one contract, unless a cut-off deployment has sent that very creation."""
        contract = interface(name)
        code = contract.bytecode + encode(f"{name}'s constructor", contract.constructor, args)
        pending = self._sent_before(name, code) or self._send(name, code)
        return self.chain.wait(pending)

    def _send(self, name: str, code: bytes) -> Pending:
        pending = self.chain.submit_raw(None, code, f"the creation of {name}")
        self.sent[name] = {"transaction": str(pending.transaction), "nonce": pending.nonce}
        body = {"deployer": self.chain.address, "sent": self.sent}
        write_file(self.partial, (json.dumps(body, indent=2) + "\n").encode())
        return pending

    def _sent_before(self, name: str, code: bytes) -> Pending | None:
        """The creation that was sent before the interruption, if the node has it and it is still
        the same code."""
        if (sent := self.sent.get(name)) is None:
            return None
        creation = self.chain.node.request("eth_getTransactionByHash", sent["transaction"])
        if creation is None or creation["input"] != "0x" + code.hex():
            return None
        return Pending(Digest.parse(sent["transaction"]), self.chain.address, sent["nonce"], f"the creation of {name}")

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            body = json.loads(self.partial.read_text())
            deployer, sent = str(body["deployer"]), dict(body["sent"])
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise InputRefused(f"{self.partial} is no record of a deployment: {error!r}", "move it away") from None
        if deployer != self.chain.address:
            raise InputRefused(
                f"the deployment on chain {self.chain.chain_id} was begun by {deployer}, "
                f"and this key is {self.chain.address}",
                f"go on with that key, or begin anew without {self.partial}",
            )
        return sent


def _created(receipt: Receipt) -> str:
    if receipt.contract_address is None:
        raise ChainUnusable(f"the creation {receipt.transaction} put no contract anywhere")
    return receipt.contract_address
