"""What the demonstration says at its end, for somebody who has never heard of it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.cli.demo.audit import Caught
from fitchain.cli.demo.parties import Stores
from fitchain.cli.demo.stranger import Again
from fitchain.cli.views.output import Prose
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.privacy.ledger import allowed_epsilon, left

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.owner import RegisteredDataset
    from fitchain.pod.proof.certificate import Verdict


NO_BUDGET = (
    "That the model keeps the records to itself: no privacy budget limits what its weights say about one of them."
)


@dataclass(frozen=True)
class Spent:
    """What the training cost of the owner's privacy budget.

    Args:
        epsilon: of the training, for each record.
        delta: beside it.
        budget, left: of the ledger afterwards, as epsilons.
        checked: who looked at the noise, in words.
    """

    epsilon: float
    delta: float
    budget: float
    left: float
    checked: str

    @classmethod
    def of(cls, home: Home, dataset: RegisteredDataset, verdict: Verdict) -> Spent:
        """Read it from the certificate and the chain.

        Raises:
            NotFound: the dataset has no ledger, or the training was not private.
        """
        from fitchain.cli.views.verdict import noise_checked

        claim, ledger = verdict.statement.privacy, home.registry.ledger_of(home.registry.dataset(dataset.id))
        if claim is None or ledger is None:
            raise NotFound("the training was charged to no privacy ledger")
        return cls(
            epsilon=claim.epsilon,
            delta=claim.delta,
            budget=allowed_epsilon(ledger.budget, claim.delta),
            left=left(ledger.spent, ledger.budget, claim.delta),
            checked=noise_checked(verdict),
        )

    def values(self) -> dict[str, Any]:
        """It as JSON."""
        return {name: getattr(self, name) for name in ("epsilon", "delta", "budget", "left")}

    def sentence(self) -> str:
        """It in a sentence."""
        return (
            f"Whatever anybody concludes from the delivered weights about one of the records is at most "
            f"{math.exp(self.epsilon):.3g} times as likely as if it had contributed nothing, except with a probability "
            f"of about {self.delta:g} (epsilon {self.epsilon:.3g}): charged for good to the owner's privacy ledger on "
            f"the chain, where {self.left:.3g} is left of its {self.budget:.3g}. It rests on noise: {self.checked}."
        )


@dataclass(frozen=True)
class DemoResult:
    """What became of the demonstration's job.

    Args:
        stores: what its pods exchanged sealed files through.
        agreement: its id.
        state: where it ended.
        sample: the dataset's name in words.
        records: how many the owner registered.
        tested: how many records the scientist tested on.
        weights: numbers that the model is made of.
        steps, checkpoints, anchors: of the training.
        transactions, gas: from request to settlement.
        price: FIT in base units, paid to the owner.
        accuracy: on the test table, 0 to 1.
        assurance: the certificate's level for who trusts nobody.
        held_out: what the model does on records that the owner held out, in words.
        risk: what the owner's attack on the model found, in words.
        spent: of the owner's privacy budget; None where it has none.
        again: what came of the audit that a stranger asked for; None without one.
        replayed: segments that verifiers voted about, or that the owner trained again.
        segments: how many there are.
        verifiers: who audited the training; 0 for nobody.
        caught: what became of the owner that cheated; None without one.
        owner, scientist, stranger: folders of their homes.
        model, certificate: paths of what was delivered.
        setup_s, train_s, total_s: seconds.
    """

    stores: Stores
    agreement: str
    state: str
    sample: str
    records: int
    tested: int
    weights: int
    steps: int
    checkpoints: int
    anchors: int
    transactions: int
    gas: int
    price: int
    accuracy: float
    assurance: str
    held_out: str
    risk: str
    spent: Spent | None
    again: Again | None
    replayed: int
    segments: int
    verifiers: int
    caught: Caught | None
    owner: Path
    scientist: Path
    stranger: Path
    model: Path
    certificate: Path
    setup_s: float
    train_s: float
    total_s: float

    def values(self) -> dict[str, Any]:
        """The JSON object of `fitchain demo --json`."""
        return {
            "agreement": self.agreement,
            "state": self.state,
            "dataset_records": self.records,
            "steps": self.steps,
            "checkpoints": self.checkpoints,
            "anchors": self.anchors,
            "transactions": self.transactions,
            "gas_total": self.gas,
            "test_accuracy": self.accuracy,
            "model": str(self.model),
            "certificate": str(self.certificate),
            "replayed_segments": self.replayed,
            "assurance": self.assurance,
            "held_out": self.held_out,
            "risk": self.risk,
            "privacy": self.spent.values() if self.spent else None,
            "audited_again": self.again.values() if self.again else None,
            "verifiers": self.verifiers,
            "cheat": self.caught.values() if self.caught else None,
            "store": self.stores.kind,
            "ipfs_version": self.stores.version,
            "seconds": {
                "setup": round(self.setup_s, 2),
                "train": round(self.train_s, 2),
                "total": round(self.total_s, 2),
            },
        }

    def summary(self) -> list[Prose]:
        """What happened, what it cost, what is proven and what is not, what to try next."""
        happened = (
            f"An owner kept {self.records} records ({self.sample}) to itself. A scientist brought a model of "
            f"{self.weights:,} numbers. The model was trained beside the data, {self.steps} steps, and came back "
            f"sealed, through {self.stores.describe()}. "
            f"The certificate says: {self.held_out}. On {self.tested} "
            f"records of the scientist's own it is right {self.accuracy:.1%} of the time."
        )
        attacked = (
            f"Before it let the model go, the owner attacked it, to see whom it gives away: {self.risk}. The report "
            "stays with the owner; the last checkpoint has its digest, and so has the certificate."
        )
        cost = (
            f"{amount_text(self.price)} FIT, paid to the owner; {self.transactions} transactions with {self.gas:,} gas "
            f"in all, from request to settlement; {self.total_s:.0f} s, of them {self.train_s:.0f} s from request to "
            "payment."
        )
        return [
            Prose("What happened", [happened, attacked, *([self._caught(self.caught)] if self.caught else [])]),
            Prose("What it cost", [cost]),
            Prose("What is proven", self._proven()),
            Prose("What is not", self._open()),
            Prose("What to try next", self.commands(), verbatim=True),
        ]

    def _caught(self, caught: Caught) -> str:
        return (
            "A second owner took the same job, shuffled the diagnoses before it trained, and did everything else as "
            f"agreed. The verifiers' verdict was {caught.verdict.name.capitalize()}: of its bond of "
            f"{amount_text(caught.lost)} FIT the verifiers had {amount_text(caught.to_verifiers)}, "
            f"{amount_text(caught.burned)} were burned, and the scientist has its money back "
            f"with the rest, {amount_text(caught.to_scientist)} FIT."
        )

    def _proven(self) -> list[str]:
        return [
            f"The file is the model that the training's {self.checkpoints} checkpoints end in. They are chained under "
            f"a root that the chain computed itself, from {self.anchors} anchors and the end: none can be changed now.",
            "The owner could not choose the order of the records: it follows from a block's hash and from a nonce that "
            "the owner had committed to before.",
            *self._vouched(),
            *([self.spent.sentence()] if self.spent else []),
        ]

    def _vouched(self) -> list[str]:
        """What others than the owner say of the training, and to whom that is worth something."""
        about = f"{self.replayed} of the {self.segments} segments between checkpoints"
        if not self.verifiers:
            return [f"The owner trained {about} again and came to the same bytes; that is worth its word."]
        said = [
            f"A quorum of {self.verifiers} verifiers, whom the chain drew out of a panel of five, voted Match about "
            f"{about}. To a stranger that is '{self.assurance}': anybody can make accounts and have them vote."
        ]
        if self.again is None:
            return said
        return [
            *said,
            f"A stranger, who knows neither party, had the job audited again by a panel of its own, with the owner's "
            f"consent and for {amount_text(self.again.fees)} FIT: {self.again.verdict.name.capitalize()}. To it the "
            f"same file is '{self.again.assurance}' now, and to nobody else who does not trust that panel.",
        ]

    def _open(self) -> list[str]:
        rest = self.segments - self.replayed
        if self.verifiers:
            unseen = (
                f"That the other {rest} segments were trained as agreed. Which ones are looked at is drawn after the "
                f"training, so whoever fakes a tenth of them is found with {self._detection():.0%} by these terms "
                "(`fitchain proof cost`), if a quorum of the verifiers is honest."
            )
        else:
            unseen = (
                f"That the other {rest} segments were trained as agreed. Nobody but the owner replayed any, and the "
                f"certificate says so: '{self.assurance}'."
            )
        return [
            unseen,
            *([] if self.spent else [NO_BUDGET]),
            "That the records are true, or the model good: a certificate is about how it was trained.",
            "Anything about separate parties: on this machine one person played all, on a test chain with free money.",
        ]

    def _detection(self) -> float:
        return float(Sampling(self.segments, self.replayed - 2).detection(Fraction(1, 10)))

    def commands(self) -> list[str]:
        """Command lines that work as they stand."""
        scientist, job = f"--home {shown(self.scientist)}", self.agreement[:10]
        verify = f"fitchain proof verify {shown(self.model)} {shown(self.certificate)}"
        return [
            verify,
            *([f"{verify} --require {self.again.assurance} --home {shown(self.stranger)}"] if self.again else []),
            f"fitchain job show {job} {scientist}",
            f"fitchain job report {job} --home {shown(self.owner)} --svg {shown(self.model.parent / 'risk.svg')}",
            f"fitchain proof show {job} {scientist}",
            *([f"fitchain proof cost {job} {scientist}"] if self.verifiers else []),
            *([f"fitchain job show {str(self.caught.agreement)[:10]} {scientist}"] if self.caught else []),
            "fitchain demo --data digits --no-audit",
            "fitchain devnet down",
        ]


def shown(path: Path) -> str:
    """A path as short as it can be from here."""
    try:
        return str(path.relative_to(os.getcwd()))
    except ValueError:
        return str(path)
