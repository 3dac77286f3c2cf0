"""The demonstration's stranger: somebody who knows neither the parties nor their panel, and has the
job audited again by verifiers of its own.

Its five verifiers are pods in threads of this process, as a notebook would serve them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fitchain.cli.demo.audit import DRAWN, FEE, SEATS, WINDOW_S, create_panel, describe_votes, take_places, trust_panel
from fitchain.cli.demo.parties import RunningCommand, Side
from fitchain.pod.jobs.audit_status import drawn_segments
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.ids import AuditRef

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.values.ids import AgreementId

STRANGER = "stranger"
VERIFIERS = tuple(f"own-verifier-{number}" for number in range(1, 6))
LOG = "own-verifiers.log"


@dataclass(frozen=True)
class Again:
    """What came of the audit that the stranger asked for.

    Args:
        ref: which one.
        votes: as they were revealed.
        segments: that they are about.
        verdict: the audit's.
        fees: FIT in base units, what its seats earned.
        assurance: the certificate's level for the stranger, who trusts that panel.
    """

    ref: AuditRef
    votes: tuple[Outcome, ...]
    segments: tuple[int, ...]
    verdict: Outcome
    fees: int
    assurance: str

    def describe(self) -> str:
        """It in a line."""
        votes = describe_votes(self.votes, SEATS)
        segments = ", ".join(map(str, self.segments))
        return (
            f"has the job audited again by three of five verifiers of its own, with the owner's consent: {votes} "
            f"on segments {segments}; the same file is {self.assurance} to it now"
        )

    def values(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "ordinal": self.ref.ordinal,
            "verdict": self.verdict.name.capitalize(),
            "votes": [vote.name.capitalize() for vote in self.votes],
            "segments": list(self.segments),
            "fees": amount_text(self.fees),
            "assurance": self.assurance,
        }


class Stranger:
    """Somebody who trusts verifiers of its own and nobody else.

    Args:
        side, home: its own.
        verifiers: homes of those that it trusts.
        run: this run's folder.
    """

    def __init__(self, side: Side, home: Home, verifiers: Sequence[Home], run: Path) -> None:
        self.side, self.home, self.verifiers, self.run = side, home, verifiers, run
        self.panel = create_panel(home, "my own", [each.keys.address for each in verifiers])

    def seat_verifiers(self) -> None:
        """Let its verifiers take their places in its panel."""
        take_places(self.panel, self.verifiers)

    def audit_again(self, job: AgreementId, model: Path, certificate: Path) -> Again:
        """Trust its panel, ask for an audit by it as `fitchain proof reaudit` does, and read the
        certificate again."""
        from fitchain.pod.proof.certificate import Assurance, verify

        trust_panel(self.home, self.panel)
        with ExitStack() as stack:
            self._serve(stack)
            how = (
                "--verifiers",
                str(SEATS),
                "--segments",
                str(DRAWN),
                "--fee",
                amount_text(FEE),
                "--window",
                f"{WINDOW_S}s",
            )
            RunningCommand(self.side, "proof", "reaudit", str(job), "--panel", str(self.panel), *how).result()
        asked = self.home.agreements.asked_audits(job)[-1]
        audit = self.home.audits.read(asked.ref)
        return Again(
            ref=asked.ref,
            votes=tuple(vote.outcome for vote in self.home.audits.votes(audit)),
            segments=drawn_segments(self.home, asked.ref),
            verdict=audit.verdict,
            fees=asked.terms.fees,
            assurance=verify(model, certificate, self.home.chain, Assurance.SAMPLED).assurance.label,
        )

    def _serve(self, stack: ExitStack) -> None:
        """Run the pods of its verifiers as long as the stack stands."""
        from fitchain.pod.jobs.serving import ServedPod
        from fitchain.pod.parties.verifier import Verifier

        log = stack.enter_context((self.run / LOG).open("w"))
        for home in self.verifiers:
            stack.enter_context(ServedPod(Verifier(home, partial(_write, log, home.settings.home.name))))


def _write(log: IO[str], name: str, id: AgreementId, text: str) -> None:
    """Write what a pod says of a job."""
    print(f"{time.strftime('%H:%M:%S')}  {name}  {id.short}  {text}", file=log, flush=True)
