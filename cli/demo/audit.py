"""The demonstration's second half: three staked verifiers, and a second owner that is caught."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.cli.demo.parties import Pod, Side, pods
from fitchain.cli.views.amounts import format_fit
from fitchain.pod.ports.agreement import AuditTerms, Outcome
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.ids import AgreementId, PanelId

if TYPE_CHECKING:
    from fitchain.cli.demo.follower import Follower
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.owner import RegisteredDataset

VERIFIERS = ("verifier-1", "verifier-2", "verifier-3")
NAMES = (*VERIFIERS, "cheat")
FEE = 3 * 10**18
WINDOW_S = 120
DRAWN = 5
POLL_S = 0.1
CHEATING = Path(__file__).resolve().parents[2] / "examples" / "cheating_owner.py"


def convene(
    sides: Mapping[str, Side], homes: Mapping[str, Home], run: Path, stack: ExitStack
) -> tuple[PanelId, list[Pod]]:
    """Let the verifiers stake and start their pods, and name them as a panel.

    Returns:
        the panel's id and the pods.
    """
    for name in VERIFIERS:
        homes[name].audits.stake()
    running = stack.enter_context(pods([(sides[name], ["verifier"]) for name in VERIFIERS], run))
    members = [homes[name].keys.address for name in VERIFIERS]
    return homes["scientist"].registry.create_panel("neighbours", members), running


def terms(panel: PanelId) -> AuditTerms:
    """What the parties agree on: all three replay the first segment, the last and five drawn."""
    return AuditTerms(segments=DRAWN, verifiers=3, mode=AuditMode.SAMPLED, panel=panel, fee=FEE, window=WINDOW_S)


def audited_segments(home: Home, job: AgreementId) -> tuple[int, ...]:
    """The segments that the chain drew."""
    from fitchain.pod.proof.audit.chain_record import read_chain_record

    audit = home.audits.read(job)
    return read_chain_record(home.chain, job, audit.seed, audit.round).audited


def replayed(home: Home, job: AgreementId) -> int:
    """How many segments each verifier voted about."""
    return len(audited_segments(home, job))


def describe_audit(home: Home, job: AgreementId) -> str:
    """An audit in a line."""
    audit = home.audits.read(job)
    votes = [vote.outcome.name.capitalize() for vote in home.audits.votes(audit)]
    segments = ", ".join(map(str, audited_segments(home, job)))
    each = format_fit(home.agreements.terms(job).audit.fee // len(audit.seats))
    return (
        f"vote on segments {segments}, as the chain drew: {', '.join(votes)}; {each} FIT each; "
        "the model's key is released"
    )


@dataclass(frozen=True)
class Caught:
    """What became of the owner that cheated.

    Args:
        agreement: its job.
        verdict: the audit's.
        state: of the agreement.
        lost: of its bond, in base units.
        to_verifiers, to_scientist, burned: where the scientist's money and the bond went.
    """

    agreement: AgreementId
    verdict: Outcome
    state: str
    lost: int
    to_verifiers: int
    to_scientist: int
    burned: int

    def describe(self) -> str:
        """It in a line."""
        return (
            f"a second owner shuffled the diagnoses before it trained {self.agreement.short}: "
            f"{self.verdict.name.capitalize()}; its bond of {format_fit(self.lost)} FIT is gone, "
            f"the scientist has {format_fit(self.to_scientist)} FIT back"
        )

    def values(self) -> dict[str, str]:
        """It as JSON."""
        return {
            "agreement": str(self.agreement),
            "verdict": self.verdict.name.capitalize(),
            "state": self.state,
            "bond_lost": format_fit(self.lost),
            "to_verifiers": format_fit(self.to_verifiers),
            "to_scientist": format_fit(self.to_scientist),
            "burned": format_fit(self.burned),
        }


class Cheat:
    """The second owner: its pod trains on shuffled diagnoses and does all else as agreed.

    Args:
        side, home: its own.
        run: this run's folder.
        stack: ends its pod.
    """

    def __init__(self, side: Side, home: Home, run: Path, stack: ExitStack) -> None:
        self.side, self.home, self.run, self.stack = replace(side, program=(str(CHEATING),)), home, run, stack

    def tempt(self, dataset: RegisteredDataset, ask: Callable[[RegisteredDataset], AgreementId]) -> None:
        """Be asked for a training of the table that it offers, and say yes."""
        from fitchain.pod.parties import owner

        (running,) = self.stack.enter_context(pods([(self.side, ["owner"])], self.run))
        self.job = ask(dataset)
        while not self.home.journal.happened(self.job, "approval_needed"):
            running.check()
            time.sleep(POLL_S)
        owner.approve(self.home, self.job)

    def end(self, follower: Follower) -> Caught:
        """Wait until the money has moved."""
        calls = self.home.agreements
        follower.until(lambda: calls.read(self.job).state.ended)
        agreement, events = calls.read(self.job), {event.name: event.args for event in calls.events(self.job)}
        paid, forfeited = events["AuditPaid"], events.get("Forfeited", {})
        return Caught(
            agreement=self.job,
            verdict=self.home.audits.read(self.job).verdict,
            state=agreement.state.name.capitalize(),
            lost=agreement.terms.bond if forfeited else 0,
            to_verifiers=paid["toVerifiers"],
            to_scientist=paid["toScientist"] + forfeited.get("toScientist", 0),
            burned=forfeited.get("burned", 0),
        )
