"""The play: a plan's faults, one after the other, while pods that ended are started again and
requests are made; then calm, until every job is over; then the reckoning."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Agreement, Phase
from fitchain.pod.ports.chain import Chain, devnet
from fitchain.pod.ports.processes import running
from fitchain.pod.values.errors import FitchainError, Unusable
from fitchain.pod.values.ids import AuditRef
from tests.chain_fixtures import take_back
from tests.faults.market import leftovers
from tests.faults.market.disks import Disk
from tests.faults.market.journals import Story
from tests.faults.market.moods import Mood
from tests.faults.market.parties import Market
from tests.faults.market.plan import Fault, Kind
from tests.faults.market.processes import Pods, last_lines, pod_process
from tests.faults.market.requests import Request, request_of
from tests.pods import PodProcess

TICK_S = 0.2
SECOND_LIMIT_S = 90.0
"""How long a second pod may take to see that there is one."""
STOP_S = 40.0
CALM_S, STILL_S, LOOK_S = 1200.0, 240.0, 2.0
"""How long the end is waited for: in all, and while nothing moves; a pod puts off what failed five
times by 80 s."""
NODE_TRIES = 20


@dataclass
class Second:
    """A second pod on a home, beside one that runs since a time."""

    name: str
    since: float
    process: PodProcess
    began: float


@dataclass
class Play:
    """A play of one plan.

    Args:
        market: where.
        log: told what happens.
        stretch: of all times of the plan.
        taken: how many faults of each kind took hold.
        missed: those that found nothing to disturb, or could not be done here.
        wrong: what is never to happen.
    """

    market: Market
    log: Callable[[str], None]
    stretch: float = 1.0
    taken: Counter[Kind] = field(default_factory=Counter)
    missed: Counter[Kind] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _endings: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _seconds: list[Second] = field(default_factory=list)
    _node_away: int = 0
    _anew: bool = False

    def __post_init__(self) -> None:
        self.pods = Pods(self.market, STOP_S * self.stretch)

    def disturb(self, faults: Sequence[Fault]) -> None:
        """Start all pods and play the faults."""
        for name in self.market.parties:
            self.pods.start(name)
        began = time.monotonic()
        for fault in faults:
            self._tend_until(began + fault.at_s * self.stretch)
            took = self._do(fault)
            (self.taken if took else self.missed)[fault.kind] += 1
            self.log(f"{fault}{'' if took else ' (nothing to disturb)'}")
        while self._endings:
            self._tend_until(time.monotonic() + TICK_S)

    def calm(self) -> list[str]:
        """Wait until everything is over; what is not, in time."""
        began = moved = time.monotonic()
        before = list[str]()
        while outstanding := self._outstanding():
            now = time.monotonic()
            before, moved = outstanding, moved if outstanding == before else now
            if now - began > CALM_S * self.stretch or now - moved > STILL_S * self.stretch:
                return outstanding
            self._tend_until(now + LOOK_S)
        return []

    def start_anew(self) -> None:
        """Stop all pods as a person would, and start them again: a start removes what killed ones
        and commands have left."""
        self.wrong += self.pods.end()
        for name in self.market.parties:
            self.pods.start(name)

    def end(self) -> None:
        """Ask pods and commands to stop."""
        self.wrong += self.pods.end() + self.pods.died
        for second in self._seconds:
            second.process.process.kill()
            second.process.process.wait()
        for request in self.requests:
            request.give_up()
            self.wrong += request.wrong

    def _outstanding(self) -> list[str]:
        asked = [f"request {each.number} was not taken up" for each in self.requests if not each.done]
        if asked:
            return asked
        try:
            with self.market.reader() as reader:
                jobs = list(self._open_jobs(reader))
        except FitchainError as error:
            return [f"the chain cannot be read: {error.message}"]
        if not jobs and not self._anew:
            self._anew = True
            self.start_anew()
        away = [f"{name} has not come up" for name in self.market.parties if not self.pods.is_ready(name)]
        return jobs or away or list(leftovers.files(self.market.folder))

    def _open_jobs(self, reader: Home) -> Iterator[str]:
        """Requests that are not on the chain, and jobs that are not over."""
        agreements = agreements_of(reader)
        prices = Counter(each.terms.price for each in agreements)
        for request in self.requests:
            if request.price not in prices:
                yield f"request {request.number} of {request.scientist} is not on the chain"
        names = {party.address: name for name, party in self.market.parties.items()}
        stories = {name: Story.read(self.market.folder / name) for name in set(names.values())}
        for agreement in agreements:
            audit = reader.audits.read(AuditRef(agreement.id))
            if not agreement.state.ended or audit.phase not in (Phase.NONE, Phase.CONCLUDED):
                where = f"its audit {audit.phase.name} in round {audit.round}"
                yield f"{agreement.id.short} is {agreement.state.name}, {where}"
            elif not stories[names[agreement.terms.owner]].has(agreement.id, "wiped"):
                yield f"{agreement.id.short} is {agreement.state.name} and not cleared away"

    # While it goes on

    def _tend_until(self, when: float) -> None:
        while True:
            self._tend()
            if (left := when - time.monotonic()) <= 0:
                return
            time.sleep(min(TICK_S, left))

    def _tend(self) -> None:
        now = time.monotonic()
        due = [ending for at, ending in self._endings if at <= now]
        self._endings = [(at, ending) for at, ending in self._endings if at > now]
        for ending in due:
            ending()
        self.pods.tend()
        for request in self.requests:
            request.tend(self.market)
        for second in list(self._seconds):
            self._look_at(second)

    def _later(self, seconds: float, ending: Callable[[], None]) -> None:
        self._endings.append((time.monotonic() + seconds * self.stretch, ending))

    # As many branches as there are kinds.
    def _do(self, fault: Fault) -> bool:
        """Let a fault happen; whether it took hold."""
        market, pods = self.market, self.pods
        match fault.kind:
            case Kind.REQUEST | Kind.REQUEST_KILLED:
                self.requests.append(request_of(fault))
                return True
            case Kind.POD_KILLED:
                ran = pods.kill(fault.who)
                self._later(fault.lasts_s, lambda: self._restart(fault.who, fault.aim))
                return ran
            case Kind.NODE_KILLED:
                return self._kill_node(fault.lasts_s)
            case Kind.POD_STOPPED:
                self._later(fault.lasts_s, lambda: pods.go_on(fault.who))
                return pods.halt(fault.who)
            case Kind.REORGANISED:
                return self._take_back(fault.number)
            case Kind.MOOD:
                market.node.mood = fault.mood
                self._later(fault.lasts_s, lambda: self._calm_down(fault.mood))
                return True
            case Kind.STORE_FULL:
                return self._fill(market.store, fault.lasts_s)
            case Kind.HOME_FULL:
                return self._fill(market.homes[fault.who], fault.lasts_s)
            case Kind.STORE_READ_ONLY:
                self._later(fault.lasts_s, market.store.writable)
                return market.store.read_only()
            case Kind.CLOCK:
                return self._ask_node("evm_increaseTime", fault.number) and self._ask_node("evm_mine")
            case Kind.SECOND_POD:
                return self._start_second(fault.who)

    def _restart(self, name: str, aim: str) -> None:
        if not self.pods.is_up(name):
            self.pods.start(name, aim)

    def _fill(self, disk: Disk, seconds: float) -> bool:
        self._later(seconds, disk.free)
        return disk.fill()

    def _calm_down(self, mood: Mood) -> None:
        if self.market.node.mood is mood:
            self.market.node.mood = Mood.HONEST

    def _ask_node(self, method: str, *params: object) -> bool:
        """Ask something of the devnet's node itself."""
        return self._at_node(lambda chain: chain.node.request(method, *params))

    def _take_back(self, blocks: int) -> bool:
        return self._at_node(lambda chain: take_back(chain, chain.block("latest").number - blocks + 1))

    def _at_node(self, do: Callable[[Chain], object]) -> bool:
        """Do something at the devnet's node itself; whether it is there and does it."""
        if self._node_away:
            return False
        try:
            with self.market.reader() as reader:
                do(reader.chain)
        except FitchainError:
            return False
        return True

    def _kill_node(self, seconds: float) -> bool:
        record = devnet.status(self.market.devnet.folder)
        if record is None:
            return False
        kill_between_saves(record.pid, self.market.devnet.folder / "chain.json")
        self._node_away += 1
        self._later(seconds, self._start_node)
        return True

    def _start_node(self) -> None:
        for left in reversed(range(NODE_TRIES)):
            try:
                self.market.node_up()
                break
            except Unusable as error:
                if not left:
                    raise
                self.log(f"the node does not come up yet: {error.message}")
                time.sleep(TICK_S)
        self._node_away -= 1

    def _start_second(self, name: str) -> bool:
        """Start one more pod on a home whose pod has its lock."""
        if not self.pods.is_ready(name):
            return False
        since = self.pods.up_since(name)
        process = pod_process(self.market, name, log=self._log_of_second(name))
        self._seconds.append(Second(name, since, process, time.monotonic()))
        return True

    def _look_at(self, second: Second) -> None:
        """See that a second pod ends, for the first is there; unless that has gone meanwhile."""
        alone, status = self.pods.up_since(second.name) == second.since, second.process.process.poll()
        if status is None and alone and time.monotonic() - second.began < SECOND_LIMIT_S:
            return
        self._seconds.remove(second)
        with suppress(ProcessLookupError):
            second.process.process.kill()
        second.process.process.wait()
        if alone and status != Unusable.exit_code:
            said = last_lines(self._log_of_second(second.name))
            self.wrong.append(f"a second pod of {second.name} came to {status} and not to {Unusable.exit_code}: {said}")

    def _log_of_second(self, name: str) -> Path:
        return self.market.log(f"second-{name}")


def kill_between_saves(pid: int, chain: Path) -> None:
    """End a devnet's node by SIGKILL at a time at which the file of its chain is whole: anvil
    writes it in place, and one that ends in the middle of that takes the whole chain with it,
    which no pod could make up for."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        try:
            json.loads(chain.read_bytes())
        except ValueError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(TICK_S)
        else:
            os.kill(pid, signal.SIGKILL)
            break
    while running(pid):
        time.sleep(TICK_S / 10)


def agreements_of(reader: Home) -> list[Agreement]:
    """Every agreement of a deployment."""
    return reader.agreements.read_many(reader.agreements.list())
