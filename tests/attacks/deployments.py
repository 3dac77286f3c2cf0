"""Attacks on whoever is handed a deployment's file."""

from __future__ import annotations

from fitchain.pod.ports.chain import Deployment, connect
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.errors import FitchainError
from tests.attacks.attack_lab import AttackLab, Caught
from tests.false_deployments import invented, moved

CONNECTION = "connection"


def false_address(lab: AttackLab) -> Caught:
    """Hand on the genuine file with the Audits of one's own deployment of the same contracts."""
    own = connect(lab.lookalike()).deployment
    return _connected(lab, moved(lab.net.deployment, "Audits", own.addresses["Audits"]), "wiring")


def invented_storage(lab: AttackLab) -> Caught:
    """Hand on the file of contracts whose code is genuine and calls its own kind alone, and whose
    storage says what one likes: here that somebody owns all FIT twice."""
    node = Node(lab.net.record.rpc)
    forged = invented(node, lab.net.deployment)
    supply = "0x" + (2 * 10**27).to_bytes(32, "big").hex()
    node.request("anvil_setStorageAt", forged.addresses["FitCoin"], "0x" + (2).to_bytes(32, "big").hex(), supply)
    return _connected(lab, forged, "creation code")


def _connected(lab: AttackLab, deployment: Deployment, step: str) -> Caught:
    """Connect from a home that was handed this deployment's file."""
    place = lab.net.settings(lab.home())
    path = place.home / "deployments" / f"{deployment.chain_id}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(deployment.encode())
    try:
        connect(place)
    except FitchainError as error:
        return Caught(CONNECTION, f"{step}: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it is believed")
