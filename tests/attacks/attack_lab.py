"""The lab in which attacks are played: an honest job trained once; a devnet with parties, verifiers
and the real contracts; and pods of all three kinds on it.

Nothing is made before an attack needs it, so an attack on a replay starts no chain.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

from fitchain.pod.jobs.worker import Emit, Task
from fitchain.pod.parties.verifier import Examination
from fitchain.pod.ports import settings
from fitchain.pod.ports.agreement import Agreements, Audits, AuditTerms, Outcome, State
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.chain.deploy import Choices, deploy
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import Settings
from fitchain.pod.ports.store import Cid
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.errors import FitchainError, Reverted
from fitchain.pod.values.ids import AgreementId, AuditRef
from scripts.mutation.mutant_contracts import contracts_without
from scripts.mutation.rules import Rule
from tests.agreements import WINDOW, Parties, registered
from tests.audit_actors import FULL_STAKE, ManualSeat, Vote, stake
from tests.audit_scenario import EVIDENCE, STAKE, TERMS, AuditScenario
from tests.audited_workshop import PANEL, AuditedWorkshop, audited_by
from tests.audits import Case, Tamper, trained, work_here
from tests.chain_fixtures import ETHER, MONEY, Account, Devnet, funded_account
from tests.pods import Party, opened_party, private_table, staked, workshop_of
from tests.training_jobs import PRIVACY, PrivateNet, train_folder

SEATED, FREE = 3, 3
"""Seats of an audit, and verifiers that are left for as many redraws."""
AUDIT = replace(TERMS, wait=10 * WINDOW)
"""An audit that waits for longer than attacks let pass."""


@dataclass(frozen=True)
class Caught:
    """What caught an attack.

    Args:
        by: who or what.
        step: where.
        says: what it says, or what it costs whom; of an owner's cheat, the outcome and the first
            thing found.
        faked: of an owner's cheat the segments that do not replay, where everything is audited;
            None where the draw does not matter.
    """

    by: str
    step: str
    says: str
    faked: tuple[int, ...] | None = None


class AttackLab:
    """Where attacks are played.

    Args:
        place: a folder for everything.
        processes: whether replays run in worker processes, as everywhere else; otherwise in this
            one, because a process takes seconds. Pods always use processes.
        without: a rule that the contracts of this lab lack.
    """

    def __init__(self, place: Path, processes: bool, without: Rule | None = None) -> None:
        self.place, self.processes = place, processes
        self._open = ExitStack()
        if without is not None:
            (place / "contracts").mkdir()
            self._open.enter_context(contracts_without(without, place / "contracts"))
        self._accounts = 0

    def close(self) -> None:
        """Stop the devnet, if one was started."""
        self._open.close()

    # An owner's side

    @cached_property
    def store(self) -> LocalStore:
        """A store that owner and verifiers share."""
        return LocalStore(self.place / "store", self.place / "store-home")

    @property
    def work(self) -> Callable[[Path], object]:
        """How a training is done."""
        return train_folder if self.processes else work_here

    @cached_property
    def honest(self) -> Case:
        """An honest job of six segments."""
        return trained(self.place / "job", self.store, self.work)

    @cached_property
    def private(self) -> Case:
        """An honest job of six segments, trained in private."""
        return trained(self.place / "private-job", self.store, self.work, net=PrivateNet, privacy=PRIVACY, metrics=[])

    def copy(self) -> Case:
        """The honest job in a folder of its own, to be spoilt."""
        return self.honest.copy(os.urandom(4).hex())

    def examine(
        self, case: Case, weights: Cid | None = None, tamper: Tamper | None = None, **facts: object
    ) -> Examination:
        """Let a verifier examine a job whose every segment is audited: sealed evidence and
        delivery, the checks, the replay."""
        given = replace(case.facts(weights or case.deliver()), **facts)  # type: ignore[arg-type]
        with self._replaying():
            return case.examined(given, tamper)

    @contextmanager
    def _replaying(self) -> Iterator[None]:
        """Run what a worker would do in this process, whose class is that of its tests, unless
        processes are wanted."""
        if self.processes:
            yield
            return
        with (
            patch("fitchain.pod.jobs.worker.parent.run_worker", _run_here),
            patch("fitchain.pod.compute.environment.check"),
        ):
            yield

    # The chain

    @cached_property
    def net(self) -> Devnet:
        """A fresh devnet with the contracts deployed."""
        folder = self.place / "devnet"
        folder.mkdir()
        record = devnet.up(folder, port=0)
        self._open.callback(devnet.down, folder)
        nobody = settings.load(home=folder / "nobody", devnet=folder, environ={})
        return Devnet(folder, record, deploy(nobody))

    def home(self) -> Path:
        """A folder for one more home."""
        self._accounts += 1
        return self.place / f"home-{self._accounts}"

    def account(self, units: int = 1000 * ETHER, of: Settings | None = None) -> Account:
        """A fresh account with money."""
        return funded_account(of or self.net.settings(self.home()), units=units)

    @cached_property
    def parties(self) -> Parties:
        """Owner and scientist with what they registered."""
        return registered(self.account(10_000 * ETHER), self.account(10_000 * ETHER))

    @cached_property
    def _verifiers(self) -> list[Account]:
        return []

    def staked(self) -> Account:
        """A fresh verifier in the pool."""
        self._verifiers.append(stake(self.account(STAKE), STAKE))
        return self._verifiers[-1]

    @property
    def scenario(self) -> AuditScenario:
        """The parties, and as many verifiers in the pool as an audit and its redraws may need."""
        known = Verifiers(self.parties.owner.chain).verifiers([one.address for one in self._verifiers])
        drawable = sum(not one.away and one.free >= FULL_STAKE for one in known)
        for _ in range(SEATED + FREE - drawable):
            self.staked()
        return AuditScenario(self.parties, self._verifiers)

    def lookalike(self) -> Settings:
        """The settings of somebody's own deployment of the same contracts on the same chain."""
        folder = self.place / "lookalike"
        place = settings.load(home=folder, devnet=folder, rpc=self.net.record.rpc, environ={})
        deploy(place, choices=Choices(number=1))
        return place

    def pass_time(self, seconds: int = WINDOW + 1) -> None:
        """Let seconds pass on the chain at once."""
        node = Node(self.net.record.rpc)
        node.request("evm_increaseTime", seconds)
        node.request("evm_mine")

    # Pods

    def party(self, name: str, units: int = MONEY) -> Party:
        """A side whose pod can run."""
        party = opened_party(self.net.settings(self.home()), name, units=units)
        self._open.callback(party.home.close)
        return party

    def verifier(self, name: str) -> Party:
        """A side that has staked and stands nowhere."""
        return staked(self.party(name, 2 * MONEY))

    @cached_property
    def table(self) -> Path:
        """The owner's private table."""
        return private_table(self.place / "private" / "findings.csv")

    @cached_property
    def audited(self) -> AuditedWorkshop:
        """Owner, scientist and five verifiers, of whose panel three audit a job."""
        workshop = workshop_of(self.party("owner"), self.party("scientist"), self.table)
        return audited_by(workshop, [self.verifier(f"verifier-{number}") for number in range(PANEL)], self.table)


@dataclass(frozen=True)
class ManualAudit:
    """An audit that is played by hand: who sits there votes as the attack wants.

    Args:
        lab: where.
        scenario: the parties and the verifiers.
        id: the agreement.
        earned: what verifiers had earned before.
    """

    lab: AttackLab
    scenario: AuditScenario
    id: AgreementId
    earned: Mapping[str, int]

    @classmethod
    def opened(cls, lab: AttackLab, terms: AuditTerms = AUDIT) -> ManualAudit:
        """An ended training whose audit awaits its draw."""
        scenario = lab.scenario
        return cls.of(lab, scenario, scenario.ended(terms))

    @classmethod
    def of(cls, lab: AttackLab, scenario: AuditScenario, id: AgreementId) -> ManualAudit:
        """The audit of an ended training."""
        known = Verifiers(scenario.reader.chain).verifiers([one.address for one in scenario.verifiers])
        return cls(lab, scenario, id, {one.address: one.earned for one in known})

    @classmethod
    def voting(cls, lab: AttackLab, terms: AuditTerms = AUDIT) -> ManualAudit:
        """An audit whose seats have joined, and whose owner gave its evidence."""
        manual = cls.opened(lab, terms)
        manual.join()
        manual.submit()
        return manual

    @property
    def ref(self) -> AuditRef:
        """Which audit it is."""
        return AuditRef(self.id)

    @property
    def calls(self) -> Audits:
        """The contract, called by the owner."""
        return self.scenario.reader

    @property
    def owner(self) -> Agreements:
        """The agreements, called by the owner."""
        return self.scenario.parties.by_owner

    @property
    def state(self) -> State:
        """Where the agreement stands."""
        return self.owner.read(self.id).state

    def join(self) -> None:
        """Draw and let every seat join."""
        self.scenario.joined(self.id)

    def submit(self) -> None:
        """Let the owner hand over its evidence."""
        self.calls.submit(self.ref, EVIDENCE)

    def seats(self) -> list[ManualSeat]:
        """Who sits where."""
        return self.scenario.seated(self.id)

    def commit(self, votes: Sequence[Vote | None]) -> None:
        """Let the seats commit, in order; None does not."""
        for seat, vote in zip(self.seats(), votes, strict=True):
            if vote is not None:
                seat.commit(vote)

    def reveal(self, votes: Sequence[Vote | None]) -> None:
        """Let the seats reveal, in order; None does not."""
        for seat, vote in zip(self.seats(), votes, strict=True):
            if vote is not None:
                seat.reveal(vote)

    def conclude(self, late: bool = False) -> Outcome:
        """Advance to the verdict, if there is one."""
        if late:
            self.lab.pass_time()
        self.calls.advance(self.ref)
        return self.calls.read(self.ref).verdict

    def vote(self, votes: Sequence[Vote]) -> Outcome:
        """Commit, reveal and advance; the verdict."""
        self.commit(votes)
        self.reveal(votes)
        return self.conclude()

    def ruling(self, seat: int | None = None) -> str:
        """The verdict, where bond and price went, and what a seat lost and earned, in words."""
        audit = self.calls.read(self.ref)
        words = [audit.verdict.name.title()]
        if self.state in MONEY_OF:
            words.append(MONEY_OF[self.state])
        if seat is not None:
            who = audit.seats[seat].verifier
            lost = self.calls.penalties(self.ref).get(who, 0)
            earned = Verifiers(self.calls.chain).verifier(who).earned - self.earned[who]
            words.append(f"loses {lost / ETHER:g} FIT and earns {max(earned, 0) / ETHER:g}")  # it may have withdrawn
        return "; ".join(words)


MONEY_OF = {
    State.FORFEITED: "price back to the scientist, bond forfeited",
    State.REFUNDED: "price back to the scientist, bond back to the owner",
    State.SETTLED: "price due and bond to the owner",
    State.HALVED: "price halved, bond back to the owner",
}
"""Where bond and price went, by the state in which an agreement ended."""


def refused(act: Callable[[], object]) -> str:
    """The name of the error with which something is refused; `taken` where it is not."""
    try:
        act()
    except Reverted as error:
        return error.error
    except FitchainError as error:
        return type(error).__name__
    return "taken"


def _run_here(folder: Path, task: Task, on_event: Emit | None = None, **_: object) -> None:
    for event in work_here(folder, task):
        if on_event is not None:
            on_event(event)
