"""The whole job, live: `make demo` twice on a devnet of its own, and what the second run cost on
the chain.

It is the job of the promise: m = 0, three anchors, from request to settlement. Gas and transactions
are read from the node's receipts; they do not depend on how busy the machine is.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fitchain.pod.ports import settings
from fitchain.pod.ports.agreement import Agreements
from fitchain.pod.ports.chain import Chain, connect, devnet
from fitchain.pod.ports.chain.answers import undecoded
from fitchain.pod.ports.chain.base import checksum
from fitchain.pod.ports.chain.create2 import FACTORY, creation
from fitchain.pod.ports.chain.plan import Plan
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId
from scripts.bench.figures import Figure, describe_seconds

ROOT = Path(__file__).parents[2]
GOAL_S = 60


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        try:
            first_s, _ = demo(scratch)
            second_s, summary = demo(scratch)
            parts = summary["seconds"]
            detail = f"the job itself {describe_seconds(parts['total'])}; first run {describe_seconds(first_s)}"
            yield Figure("make demo with privacy and audit, second run", second_s, "s", GOAL_S, detail=detail)
            chain = connect(settings.load(home=scratch / "nobody", devnet=scratch / "devnet", environ={}))
            yield from gas(chain, summary)
        finally:
            devnet.down(scratch / "devnet")


def demo(scratch: Path) -> tuple[float, dict[str, Any]]:
    """Run the demonstration as a person does; its seconds and the object that it prints."""
    arguments = f"--json --port 0 --folder {scratch / 'runs'}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FITCHAIN_", "MAKE", "MFLAGS"))}
    homes = {"FITCHAIN_HOME": str(scratch / "home"), "FITCHAIN_DEVNET": str(scratch / "devnet")}
    command = ["make", "--no-print-directory", "demo", f"ARGS={arguments}"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=clean | homes, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"make demo ended with exit code {done.returncode}:\n{done.stderr}")
    return time.perf_counter() - started, json.loads(done.stdout.splitlines()[-1])


def gas(chain: Chain, summary: dict[str, Any]) -> Iterator[Figure]:
    """What the job and the deployment used, by the receipts."""
    calls, id = Agreements(chain), AgreementId(Digest.parse(summary["agreement"]))
    transactions = {event.transaction: None for event in calls.events(id)}
    used = dict(zip(transactions, gas_used(chain, transactions), strict=True))
    names = {event.transaction: event.name for event in calls.events(id)}
    detail = ", ".join(f"{names[transaction]} {units:,}" for transaction, units in used.items())
    yield Figure("a whole job, from request to settlement", sum(used.values()), "gas", 800_000, detail=detail)
    yield Figure("its transactions", len(used), "transactions", 8)
    anchors = [used[anchor.transaction] for anchor in calls.run_record(id).anchors]
    detail = f"{len(anchors)} anchors: {', '.join(f'{units:,}' for units in anchors)}"
    yield Figure("anchor after the first, with its note", max(anchors[1:]), "gas", 45_000, detail=detail)
    created = deployment_transactions(chain)
    each = gas_used(chain, created)
    detail = ", ".join(f"{name} {units:,}" for name, units in zip(created.values(), each, strict=True))
    yield Figure("deployment of all contracts", sum(each), "gas", 12_000_000, detail=detail)


def deployment_transactions(chain: Chain) -> dict[Digest, str]:
    """The transactions that created the contracts and filled the directory, and what each did: on a
    devnet they are the first ones to the factory and to the directory."""
    plan = Plan.of(chain.deployment, chain.constants)
    creations = {creation(plan.salt, code): name for name, code in plan.init_codes().items()}
    blocks = chain.node.batch(
        [undecoded("eth_getBlockByNumber", hex(n), True) for n in range(chain.deployment.block + 60)]
    )
    return {
        Digest.parse(sent["hash"]): creations.get(bytes.fromhex(sent["input"][2:]), "filling the directory")
        for block in blocks
        if block is not None
        for sent in block["transactions"]
        if sent["to"] and checksum(sent["to"]) in (FACTORY, chain.deployment.directory)
    }


def gas_used(chain: Chain, transactions: Iterable[Digest]) -> list[int]:
    """Gas of each transaction, by its receipt."""
    receipts = [chain.receipt(transaction) for transaction in transactions]
    return [receipt.gas_used for receipt in receipts if receipt is not None]
