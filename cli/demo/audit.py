"""The demonstration's audit: a neighbour's panel of five verifiers, of whom three are drawn, and a
second owner that is caught."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.cli.demo.parties import Pod, Side, pods
from fitchain.pod.jobs.audit_status import drawn_segments
from fitchain.pod.jobs.history import ApprovalNeeded
from fitchain.pod.ports.agreement import AuditTerms, Outcome
from fitchain.pod.values.amounts import FIT, amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.ids import AgreementId, AuditRef, PanelId

if TYPE_CHECKING:
    from fitchain.cli.demo.follower import Follower
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.owner import RegisteredDataset

NEIGHBOUR = "neighbour"
VERIFIERS = tuple(f"verifier-{number}" for number in range(1, 6))
NAMES = (NEIGHBOUR, *VERIFIERS, "cheat")
SEATS = 3
STAKE, FEE, SEAT_STAKE = 100 * FIT, FIT, 20 * FIT
WINDOW_S, WAIT_S = 120, 600
DRAWN = 5
POLL_S = 0.1
CHEATING = Path(__file__).resolve().parents[2] / "examples" / "cheating_owner.py"


def create_panel(creator: Home, name: str, accounts: Sequence[str]) -> PanelId:
    """Name a panel and invite verifiers into it."""
    from fitchain.pod.jobs import panels

    return panels.create_panel(creator, name, accounts)


def trust_panel(home: Home, panel: PanelId) -> None:
    """Look at who is in a panel now and trust these, as `fitchain trust add` does: whoever joins
    later is not trusted with them."""
    from fitchain.pod.ports.trust import look_at_panel, trust

    trust(home.settings.home, look_at_panel(home.chain, panel))


def take_places(panel: PanelId, verifiers: Iterable[Home]) -> None:
    """Let verifiers stake, commit to their hash chains and join a panel that invited them."""
    from fitchain.pod.jobs import panels, staking

    for home in verifiers:
        staking.stake(home, STAKE)
        panels.join(home, panel)


def convene(
    panel: PanelId, sides: Mapping[str, Side], homes: Mapping[str, Home], run: Path, stack: ExitStack
) -> list[Pod]:
    """Let the neighbour's verifiers take their places, and start their pods.

    Returns:
        the pods.
    """
    take_places(panel, [homes[name] for name in VERIFIERS])
    return stack.enter_context(pods([(sides[name], ["verifier"]) for name in VERIFIERS], run))


def terms(panel: PanelId) -> AuditTerms:
    """What the parties agree on: three of the panel replay the first segment, the last and five
    drawn."""
    return AuditTerms(
        drawn_segments=DRAWN,
        verifiers=SEATS,
        mode=AuditMode.SAMPLED,
        panel=panel,
        window=WINDOW_S,
        wait=WAIT_S,
        fee_per_seat=FEE,
        seat_stake=SEAT_STAKE,
    )


def replayed(home: Home, job: AgreementId) -> int:
    """How many segments each verifier voted about."""
    return len(drawn_segments(home, AuditRef(job)))


def describe_audit(home: Home, job: AgreementId) -> str:
    """An audit in a line."""
    audit = home.audits.read(AuditRef(job))
    votes = describe_votes([vote.outcome for vote in home.audits.votes(audit)], len(audit.seats))
    segments = ", ".join(map(str, drawn_segments(home, audit.ref)))
    return (
        f"vote on segments {segments}, as the chain drew: {votes}; "
        f"{amount_text(audit.fee_per_seat)} FIT each once the scientist has its model"
    )


def describe_votes(votes: Sequence[Outcome], seats: int) -> str:
    """The votes of an audit, and that they are enough where not all seats voted before its verdict."""
    enough = f" ({len(votes)} of {seats} seats, a quorum)" if len(votes) < seats else ""
    return ", ".join(vote.name.capitalize() for vote in votes) + enough


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
            f"{self.verdict.name.capitalize()}; its bond of {amount_text(self.lost)} FIT is gone, "
            f"the scientist has {amount_text(self.to_scientist)} FIT back"
        )

    def values(self) -> dict[str, str]:
        """It as JSON."""
        return {
            "agreement": str(self.agreement),
            "verdict": self.verdict.name.capitalize(),
            "state": self.state,
            "bond_lost": amount_text(self.lost),
            "to_verifiers": amount_text(self.to_verifiers),
            "to_scientist": amount_text(self.to_scientist),
            "burned": amount_text(self.burned),
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
        while not self.home.journal.happened(self.job, ApprovalNeeded):
            running.check()
            time.sleep(POLL_S)
        owner.approve(self.home, self.job)

    def end(self, follower: Follower) -> Caught:
        """Wait until the money has moved."""
        calls = self.home.agreements
        follower.until(lambda: calls.read(self.job).state.ended)
        agreement = calls.read(self.job)
        (settled,) = (event.args for event in calls.events(self.job) if event.name == "Settled")
        shared = settled["toOwner"] + settled["toScientist"] + settled["burned"]
        return Caught(
            agreement=self.job,
            verdict=self.home.audits.read(AuditRef(self.job)).verdict,
            state=agreement.state.name.capitalize(),
            lost=agreement.terms.bond - settled["toOwner"],
            to_verifiers=agreement.terms.price + agreement.terms.bond + agreement.terms.audit.fees - shared,
            to_scientist=settled["toScientist"],
            burned=settled["burned"],
        )
