"""A node that lies or limps, against everything that a pod or a checker reads: whatever it answers
is what was asked for, or one of Fitchain's own errors."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from fitchain.pod.ports.agreement import Agreements, Audits, Outcome
from fitchain.pod.ports.agreement.history import read_history
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.connect import find_deployment, join, require_contracts
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.registry import Registry, Role
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.ids import AuditRef
from tests.audit_actors import TERMS, StakedVerifiers
from tests.certified_jobs import SOMETHING, Job, played, registered
from tests.chain_fixtures import Account
from tests.liars import Interrogation, Liar
from tests.node_proxy import proxy

LONG_ANSWERS, NIGHTLY_ANSWERS = 2_000, 50_000
Act = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Scene:
    """A job that was audited and settled, whoever reads of it, and an account that sends."""

    job: Job
    account: Account
    chain: Chain

    def through(self, url: str) -> Chain:
        """The connection of the account over another door of the same node, which gives up at
        once."""
        chain, node = self.chain, Node(url, retry_s=0)
        genesis = chain.block(0).hash
        queue = Queue(chain.settings.home, node, genesis, chain.chain_id, self.account.keys, 10**12)
        return Chain(node, chain.settings, chain.deployment, queue, self.account.keys, chain.constants)

    def acts(self, url: str) -> Sequence[Act]:
        """What pods and checkers read, and how they send."""
        chain, id, model = self.through(url), self.job.id, self.job.parties.model
        calls, audits, registry = Agreements(chain), Audits(chain), Registry(chain)
        ref, owner = AuditRef(id), self.job.parties.owner.address
        place = chain.settings.with_node(url, chain.chain_id)

        def look() -> object:
            return [*calls.list(owner=owner), *calls.read_many([id]), *audits.read_many([ref])]

        return [
            ("join", lambda: join(Node(url, retry_s=0), place)),
            ("code", lambda: require_contracts(Node(url, retry_s=0), find_deployment(place))),
            ("look", look),
            ("read", lambda: fresh(calls).read(id)),
            ("terms", lambda: fresh(calls).terms(id)),
            ("run", lambda: fresh(calls).run_record(id)),
            ("objects", lambda: fresh(calls).objects(id)),
            ("newest event", lambda: fresh(calls).newest_event(id).timestamp),
            ("questions", lambda: fresh(calls).asked_audits(id)),
            ("audit", lambda: audits.read(ref)),
            ("audit's events", lambda: audits.events(ref)),
            ("votes", lambda: audits.votes(audits.read(ref))),
            ("releases", lambda: audits.releases(ref)),
            ("penalties", lambda: audits.penalties(ref)),
            ("draws", lambda: audits.draws(ref)),
            ("recipients", lambda: audits.recipients(audits.read(ref))),
            ("submission", lambda: audits.submission(audits.read(ref))),
            ("opened", lambda: audits.opened_in(None, chain.head(), 0)),
            ("verifier", lambda: Verifiers(chain).verifier(owner)),
            ("history", lambda: read_history(chain, id)),
            ("verify", lambda: verify(self.job.model, self.job.certificate, chain)),
            ("pod", lambda: registry.pod(owner)),
            ("dataset", lambda: registry.dataset(self.job.parties.dataset)),
            ("model", lambda: registry.model(model)),
            ("balances", lambda: (chain.fit_balance(owner), chain.balance(owner))),
            ("head", lambda: (chain.head(), chain.block("latest"))),
            ("send", lambda: chain.submit("FitCoin", "transfer", owner, 1)),
            ("rebroadcast", lambda: chain.sender.rebroadcast() if chain.sender else None),
        ]


def fresh(calls: Agreements) -> Agreements:
    """The same calls, which remember nothing."""
    return Agreements(calls.chain)


@pytest.fixture(scope="module")
def scene(
    open_account: Callable[..., Account],
    staked_verifiers: StakedVerifiers,
    reader: Chain,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    folder = tmp_path_factory.mktemp("delivery")
    parties = registered(open_account(), open_account(), folder / "table.npz")
    panel = staked_verifiers.panel(parties.scientist.chain, AuditMode.SAMPLED.name)
    job = played(
        parties, folder / "model.safetensors", b"lying", audit=replace(TERMS, mode=AuditMode.SAMPLED, panel=panel)
    )
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    Audits(parties.owner.chain).release(AuditRef(job.id), SOMETHING)
    Audits(parties.scientist.chain).accept_release(AuditRef(job.id))
    Registry(parties.owner.chain).register_pod(Role.OWNER, parties.owner.keys.recipient)
    account = open_account()
    return Scene(job, account, account.chain)


@contextmanager
def lying(scene: Scene, seed: int, share: float = 0.35) -> Iterator[Interrogation]:
    """A liar before the scene's node, and who asks it."""
    liar = Liar(seed, share)
    with proxy(scene.chain.node.url, lambda _: None, reply=liar.reply) as url:
        yield Interrogation(liar, scene.acts(url))


def interrogate(scene: Scene, seed: int, answers: int) -> Interrogation:
    with lying(scene, seed) as questions:
        questions.until(answers)
    assert questions.faults == {}, f"seed {seed}"
    return questions


def test_an_honest_node_is_understood(scene: Scene) -> None:
    with lying(scene, 0, share=0) as questions:
        for _, act in questions.acts:
            act()


@pytest.mark.long
def test_whatever_a_node_answers_is_an_error_of_ours(scene: Scene) -> None:
    outcomes = interrogate(scene, 11, LONG_ANSWERS).outcomes
    assert outcomes["done"] > 100 and outcomes["NodeUnreachable"] > 100


@pytest.mark.nightly
def test_whatever_a_node_answers_in_a_night_is_an_error_of_ours(scene: Scene) -> None:
    interrogate(scene, secrets.randbits(32), NIGHTLY_ANSWERS)
