"""One run of the market: a seed's plan played to its end, and what it came to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Outcome, State
from fitchain.pod.values.ids import AuditRef
from tests.faults.market import accounts, journals, leftovers
from tests.faults.market.accounts import Wealth
from tests.faults.market.journals import Story
from tests.faults.market.parties import Market, market
from tests.faults.market.plan import KILLS, Fault, digest
from tests.faults.market.play import Play, agreements_of

SETUP_S, MOST_STRETCHED = 20.0, 4.0
"""How long setting up takes on two idle cores. On a busy machine it takes longer, and so do jobs:
the plan's times are stretched as much, up to a bound."""
SAVED_S = 7.0
"""After so long the devnet's file holds what was set up, and a killed node comes back with it."""
BURIED = 16
"""So many blocks lie on it then: no reorganisation of a plan reaches it."""


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Args:
        seed: of its plan.
        plan: names the plan.
        kills: pods and nodes ended by SIGKILL.
        faults: that took hold, by kind.
        missed: that found nothing to disturb, or could not be done here, by kind.
        aimed: pods that ended at a point of theirs, by point.
        misled: pods that did not start since the node lied to them.
        jobs: by how they ended.
        lost: units of FIT and of wei that are not where they should be.
        refused: transactions that were mined and reverted.
        seconds: it took.
        wrong: what is never to happen; empty where all is well.
    """

    seed: int
    plan: str
    kills: int
    faults: dict[str, int]
    missed: dict[str, int]
    aimed: dict[str, int]
    misled: int
    jobs: dict[str, int]
    lost: int
    refused: int
    seconds: float
    wrong: tuple[str, ...]

    def json(self) -> dict[str, object]:
        """As JSON values."""
        return asdict(self)


def play(folder: Path, seed: int, faults: Sequence[Fault], log: Callable[[str], None]) -> Result:
    """Play a plan in an empty folder.

    Args:
        folder: is there, and stays.
        seed: of the unruly node's choices.
        faults: as planned.
        log: told what happens.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        scene = stack.enter_context(market(folder, seed))
        stretch = min(max(1.0, (time.monotonic() - began) / SETUP_S), MOST_STRETCHED)
        log(f"set up; times are stretched {stretch:.1f} times")
        one = Play(scene, log, stretch)
        stack.callback(one.pods.kill_all)
        with scene.reader() as reader:
            reader.chain.node.request("anvil_mine", hex(BURIED))
            before = Wealth.read(reader, scene)
        time.sleep(SAVED_S)
        one.disturb(faults)
        log("calm")
        stuck = one.calm()
        one.end()
        with scene.reader() as reader:
            reckoning = Reckoning(scene, reader, before, one)
            wrong = (*stuck, *one.wrong, *reckoning.wrong())
            return reckoning.result(seed, faults, wrong, time.monotonic() - began)


class Reckoning:
    """What is found once everything has ended.

    Args:
        market: of the run.
        reader: at the node itself.
        before: what everybody had.
        played: the play.
    """

    def __init__(self, market: Market, reader: Home, before: Wealth, played: Play) -> None:
        self.market, self.reader, self.played = market, reader, played
        self.agreements = agreements_of(reader)
        self.sent = accounts.sent(reader, market)
        after = Wealth.read(reader, market)
        dues = [accounts.due_of(reader, market, agreement) for agreement in self.agreements]
        self.lost = [*accounts.money(before, after, dues), *accounts.gas(before, after, self.sent)]

    def wrong(self) -> Iterator[str]:
        """What is never to happen."""
        yield from self.lost
        yield from accounts.doubled(self.reader, self.agreements)
        yield from accounts.queues(self.reader, self.market, self.sent)
        yield from self._ends()
        homes = [self.market.folder / name for name in self.market.parties]
        for check in (journals.unsound, journals.bugs, journals.refuted):
            for home in homes:
                yield from check(home)
        yield from self._untold()
        for look in (leftovers.processes, leftovers.files, leftovers.tracebacks):
            yield from look(self.market.folder)

    def _ends(self) -> Iterator[str]:
        """Among honest parties whose windows were long enough every job is settled, and no audit
        comes to anything but a Match or costs a seat anything; and who asked once, pays once."""
        for agreement in self.agreements:
            audit = self.reader.audits.read(AuditRef(agreement.id))
            if agreement.state is not State.SETTLED or audit.verdict not in (Outcome.NONE, Outcome.MATCH):
                yield f"{agreement.id.short} ended as {agreement.state.name}, its audit as {audit.verdict.name}"
            if lost := self.reader.audits.penalties(audit.ref):
                yield f"the audit of {agreement.id.short} cost honest verifiers {lost}"
        for price, count in Counter(each.terms.price for each in self.agreements).items():
            if count > 1:
                yield f"one request is on the chain {count} times, at {price}"

    def _untold(self) -> Iterator[str]:
        names = {party.address: name for name, party in self.market.parties.items()}
        stories = {name: Story.read(self.market.folder / name) for name in self.market.parties}
        for each in self.agreements:
            yield from journals.untold(stories, names[each.terms.owner], names[each.scientist], each)

    def result(self, seed: int, faults: Sequence[Fault], wrong: Sequence[str], seconds: float) -> Result:
        """All of it."""
        played, jobs = self.played, Counter(each.state.name.lower() for each in self.agreements)
        aimed = played.pods.hits
        kills = sum(played.taken[kind] for kind in KILLS) + sum(aimed.values())
        taken, missed = ({kind.value: n for kind, n in each.items()} for each in (played.taken, played.missed))
        refused = sum(each.refused for each in self.sent.values())
        figures = (
            kills,
            taken,
            missed,
            dict(aimed),
            played.pods.misled,
            dict(jobs),
            len(self.lost),
            refused,
            round(seconds, 1),
        )
        return Result(seed, str(digest(faults)), *figures, tuple(wrong))
