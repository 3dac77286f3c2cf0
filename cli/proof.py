"""`fitchain proof`: what anyone may check of a training."""

from __future__ import annotations

from typing import Any

from cli.command import Session, command, group
from cli.ids import AgreementId, find_agreement
from cli.output import Facts, Report, Rows

app = group("proof", "Check what was trained.")


@command(app, "show")
def show(session: Session, agreement: AgreementId) -> Report:
    """Show what the chain keeps of a training: order seed, anchors, roots."""
    home = session.reader
    id = find_agreement(home, agreement)
    job, proof = home.agreements.read(id), home.agreements.proof(id)
    ended = proof.end_block is not None
    times = {anchor.block: home.chain.block(anchor.block).timestamp for anchor in proof.anchors}
    values = {
        "agreement": id,
        "state": job.state.name.capitalize(),
        "context": proof.ctx,
        "order_seed": proof.seed,
        "nonce": proof.nonce,
        "seed_block": job.seed_block,
        "checkpoints": proof.count,
        "step": proof.step,
        "transcript_root": proof.transcript_root if ended else None,
        "model_root": proof.model_root if ended else None,
        "weights": str(proof.weights) if proof.weights else None,
        "key": str(proof.key) if proof.key else None,
        "end_block": proof.end_block,
        "anchors": [
            {
                "count": anchor.count,
                "root": anchor.root,
                "note": str(anchor.note) if anchor.note else None,
                "block": anchor.block,
                "time": times[anchor.block],
                "transaction": anchor.transaction,
            }
            for anchor in proof.anchors
        ],
    }
    pairs: list[tuple[str, Any]] = [
        ("agreement", id),
        ("state", values["state"]),
        ("context", proof.ctx),
        ("order seed", f"{proof.seed}"),
        ("checkpoints", f"{proof.count} of {-(-job.terms.steps // job.terms.segment) + 1}"),
        ("transcript", values["transcript_root"]),
        ("model", values["model_root"]),
        ("weights", proof.weights),
    ]
    anchors = [(anchor.count, anchor.root, anchor.block, _clock(times[anchor.block])) for anchor in proof.anchors]
    table = Rows(
        ("checkpoints", "root", "block", "time"), anchors, right=("checkpoints", "block"), empty="no anchor yet"
    )
    return Report(values, [Facts(pairs), table])


def _clock(seconds: int) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
