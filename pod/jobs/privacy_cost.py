"""What a training costs of the privacy budget to which its dataset is charged, and what is left of
it."""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.registry import DatasetEntry
from fitchain.pod.values.privacy.ledger import add, allowed_epsilon, epsilon_of, spent_epsilon


@dataclass(frozen=True)
class PrivacyCost:
    """What a training costs of the dataset's privacy budget, as epsilons beside its delta.

    Args:
        asked: of this job; it is charged when it is accepted, and nothing gives it back.
        spent: so far.
        after: what will be spent then; they add up order by order, to less than the sum.
        budget: what may be spent.
        delta: the dataset's.
        fits: whether the contract would take the acceptance.
        unit: the column each of whose values is a unit; None where a record is one.
    """

    asked: float
    spent: float
    after: float
    budget: float
    delta: float
    fits: bool
    unit: str | None = None


def cost_of(home: Home, dataset: DatasetEntry, card: Card, charge: int) -> PrivacyCost | None:
    """What a charge costs of the privacy budget of a dataset; None where it has none.

    Args:
        home: opened, its key is not needed.
        dataset: as the chain has it.
        card: of the dataset.
        charge: of the training, as the terms have it.

    Raises:
        ChainUnusable: the node does not answer.
    """
    ledger = home.registry.ledger_of(dataset)
    if card.privacy is None or ledger is None:
        return None
    delta = card.privacy.delta
    asked, after = (epsilon_of(word, delta) for word in (charge, add(ledger.spent, charge)))
    spent = spent_epsilon(ledger.spent, delta)
    unit = None if card.unit is None else card.unit.column
    return PrivacyCost(asked, spent, after, allowed_epsilon(ledger.budget, delta), delta, ledger.fits(charge), unit)
