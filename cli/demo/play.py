"""The play of `fitchain demo`: the main job from end to end, on real data, every pod a process.

Read `play` from top to bottom: it does what the README's two terminals do, has three verifiers of a
neighbour's panel look at it (`cli.demo.audit`), and a stranger who has it audited again by its own
(`cli.demo.stranger`). What takes long runs side by side, so that two cores need about a minute, and
half of one without verifiers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.cli.demo import audit
from fitchain.cli.demo.follower import Follower
from fitchain.cli.demo.parties import (
    RunningCommand,
    WrittenSample,
    equip,
    make_side,
    pods,
    start_stores,
)
from fitchain.cli.demo.progress import Progress
from fitchain.cli.demo.result import DemoResult, Spent
from fitchain.cli.demo.samples import Sample
from fitchain.cli.demo.stranger import STRANGER, Stranger
from fitchain.cli.demo.stranger import VERIFIERS as OWN_VERIFIERS
from fitchain.cli.views.curves import sparkline
from fitchain.pod.jobs.history import ApprovalNeeded, Received
from fitchain.pod.ports.agreement import Phase, State
from fitchain.pod.values.amounts import FIT, amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import AgreementId, AuditRef, ModelId, PanelId

if TYPE_CHECKING:
    from fitchain.pod.compute.environment import Environment
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.jobs.job_status import JobStatus
    from fitchain.pod.parties.owner import RegisteredDataset
    from fitchain.pod.parties.scientist import Delivery
    from fitchain.pod.ports.agreement import AuditTerms
    from fitchain.pod.ports.settings import Settings
    from fitchain.pod.proof.certificate import Verdict

PRICE = 10 * FIT
FUNDS = 200 * FIT  # of which a verifier stakes 100
OWNERS = ("owner", "cheat")
REPLAYED_SEGMENTS = 5
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Play:
    """One of the demonstrations.

    Args:
        sample: its data's name.
        module: the scientist's.
        terms: what its recipe says.
        budget: the epsilon of the owner's privacy ledger; None without one.
    """

    sample: str
    module: str
    terms: dict[str, Any]
    budget: float | None = None


HELD_OUT = {"held_out": 0.2}
PLAYS = {
    "breast-cancer": Play(
        "breast-cancer",
        "breast_cancer.py:Classifier",
        {"epochs": 40, "batch_size": 32, "learning_rate": 0.002, "segment_steps": 10, "group_leaves": 16, **HELD_OUT},
    ),
    "digits": Play(
        "digits",
        "digits.py:Classifier",
        {"epochs": 8, "batch_size": 32, "learning_rate": 0.003, "segment_steps": 6, "group_leaves": 16, **HELD_OUT},
    ),
}
PRIVATE_PLAYS = {
    "breast-cancer": Play(
        "breast-cancer",
        "breast_cancer.py:Classifier",
        {
            "epochs": 60,
            "batch_size": 128,
            "optimizer": "SGD",
            "learning_rate": 0.5,
            "segment_steps": 2,
            "group_leaves": 16,
            "privacy": {"epsilon": 3.0, "clip": 0.5},
            **HELD_OUT,
        },
        budget=4.0,
    ),
}


def choose(sample: str, private: bool | None) -> Play:
    """A demonstration by its sample's name.

    Args:
        sample: one of `PLAYS`.
        private: with a privacy budget or without; None with one where there is such.

    Raises:
        InputRefused: there is none.
    """
    if sample not in PLAYS:
        raise InputRefused(f"there is no demonstration {sample!r}", f"choose one of {', '.join(PLAYS)}")
    if private and sample not in PRIVATE_PLAYS:
        raise InputRefused(
            f"{PLAYS[sample].module} mixes the records of a batch: it cannot be trained in private",
            "leave --privacy out",
        )
    return PLAYS[sample] if private is False else PRIVATE_PLAYS.get(sample, PLAYS[sample])


def play(
    which: Play, settings: Settings, run: Path, port: int | None, kind: str, audited: bool, progress: Progress
) -> DemoResult:
    """Do the whole job.

    Args:
        which: data, module, recipe and privacy budget.
        settings: they say which devnet is used.
        run: this run's folder.
        port: of the devnet, where it must be started.
        kind: of the stores, `local` or `ipfs`.
        audited: whether verifiers audit the training, a stranger's audit it again, and a second
            owner cheats.
        progress: shows each step.
    """
    from fitchain.pod.ports.chain import devnet

    with ExitStack() as stack, progress:
        progress.next("chain", "starting a test chain")
        writing = WrittenSample(which.sample, run)
        beside = stack.enter_context(ThreadPoolExecutor(1))
        storing = beside.submit(start_stores, kind, settings.devnet)
        record = devnet.start(settings.devnet, port)
        progress.done(f"test chain at {record.rpc}, contracts in place")

        progress.next("stores", "starting what the pods exchange sealed files through")
        stores = storing.result()
        progress.done(stores.describe())

        progress.next("keys", "making homes with their keys")
        names = ["owner", "scientist", *((*audit.NAMES, STRANGER, *OWN_VERIFIERS) if audited else ())]
        store_of = {name: stores.owner if name in OWNERS else stores.scientist for name in names}
        sides = {name: make_side(run, name, record, settings.devnet, store) for name, store in store_of.items()}
        homes = {name: stack.enter_context(equip(side, FUNDS)) for name, side in sides.items()}
        owner, scientist = homes["owner"], homes["scientist"]
        made = f"{len(homes)} homes with fresh keys; their passphrases lie in files beside them"
        progress.done(f"{made}, as this is a demonstration")

        panel, stranger = None, None
        if audited:
            progress.next("neighbour", "inviting verifiers into a panel")
            panel = audit.create_panel(
                homes[audit.NEIGHBOUR], "neighbours", [homes[name].keys.address for name in audit.VERIFIERS]
            )
            stranger = Stranger(sides[STRANGER], homes[STRANGER], [homes[name] for name in OWN_VERIFIERS], run)
            progress.done(f"makes the panel {panel.short} and invites five verifiers; each joins by itself")

        progress.next("owner", "registering its table")
        both = [(sides["owner"], ["owner"]), (sides["scientist"], ["scientist", "--auto-accept"])]
        running = stack.enter_context(pods(both, run))
        sample = writing.result()
        panels = [panel, stranger.panel] if panel and stranger else []
        dataset = offer(owner, sample, scientist.keys.address, panels, which.budget, reported=True)
        kept = f"registers {dataset.count} records ({sample.name}): their root {dataset.root.short} goes on the chain"
        opened = f", with a privacy budget of epsilon {which.budget:g}" if which.budget else ""
        progress.done(f"{kept}{opened}; the records stay")

        progress.next("scientist", "exporting its module")
        probing = probe_beside(stack)
        seating = beside.submit(audit.convene, panel, sides, homes, run, stack) if panel else None
        follower = Follower([owner, scientist], running)
        publishing = RunningCommand(
            sides["scientist"], "model", "publish", str(EXAMPLES / which.module), "--dataset", str(dataset.id)
        )
        model = ModelId(Digest.parse(str(publishing.result()["model"])))
        progress.done(f"publishes {which.module} as {model.short}: a graph and weights, never code")

        progress.next("scientist", "asking")
        probing.result()
        terms = None
        if seating is not None:
            running += seating.result()
        if panel is not None:
            audit.trust_panel(owner, panel)  # its policy names it, and it had no members when that was written
            terms = audit.terms(panel)
        served = ("owner", "scientist", *(audit.VERIFIERS if audited else ()))
        follower.until(lambda: registered(homes[name] for name in served))
        job = ask(scientist, dataset, model, which.terms, terms)
        setup_s, reader = progress.seconds, follower.follow(job)
        progress.done(f"asks for a training, {job.short}, and locks {amount_text(PRICE)} FIT{describe_terms(terms)}")

        progress.next("owner", "checking the request, its own host, and a rehearsal on made-up records")
        follower.until(lambda: owner.journal.happened(job, ApprovalNeeded))
        approve(owner, job)
        progress.done("checked the request and its own host, rehearsed on made-up records; a person says yes")

        progress.next("owner", "training")
        follower.until(lambda: owner.agreements.read(job).state >= State.TRAINED)
        progress.done(describe_training(reader.read()))

        cheat, seating_again = None, None
        if terms is not None:
            progress.next("verifiers", "training drawn segments again")
            cheat = audit.Cheat(sides["cheat"], homes["cheat"], run, stack)
            offered = offer(homes["cheat"], sample, scientist.keys.address, panels, which.budget, reported=False)
            cheat.tempt(offered, lambda dataset: ask(scientist, dataset, model, which.terms, terms))
            seating_again = beside.submit(stranger.seat_verifiers) if stranger else None
            follower.until(lambda: owner.agreements.read(job).state.ended)
            progress.done(audit.describe_audit(scientist, job))

        progress.next("scientist", "opening the delivery")
        follower.until(lambda: owner.agreements.read(job).state.ended)
        follower.until(lambda: scientist.journal.happened(job, Received))
        if audited:
            follower.until(lambda: scientist.audits.read(AuditRef(job)).phase is Phase.CONCLUDED)
        train_s = progress.seconds - setup_s
        accepts = "accepts the release, which pays the verifiers" if audited else "accepts the result"
        progress.done(f"opens the delivery, finds that its certificate holds, {accepts}")

        progress.next("owner", "collecting its payment")
        collected = owner.agreements.owed(owner.keys.address)
        owner.agreements.withdraw()
        progress.done(f"collects {amount_text(collected)} FIT: the price, and its bond back")

        progress.next("check", "certificate, replay and test, side by side")
        delivered = delivery(scientist, job, run / "result")
        verdict = judge(delivered, homes.get(STRANGER, scientist))
        level = verdict.assurance.label
        asking = None
        if stranger is not None and seating_again is not None:  # not content with that, it asks for more at once
            seating_again.result()
            audit.trust_panel(owner, stranger.panel)  # likewise: without it, a person would be asked
            asking = beside.submit(stranger.audit_again, job, delivered.model, delivered.certificate)
        checked = check(job, owner, scientist, delivered, sample.test)
        progress.done(describe_checks(checked, level))

        again = None
        if asking is not None:
            progress.next("stranger", "having the job audited again by verifiers of its own")
            again = asking.result()
            progress.done(again.describe())

        caught = None
        if cheat is not None:
            progress.next("cheat", "a second owner shuffles the diagnoses before it trains")
            caught = cheat.end(follower)
            progress.done(caught.describe())
        status = reader.read()  # late: a node may show what a transaction did before it shows its receipt
    return DemoResult(
        stores=stores,
        agreement=str(job),
        state=status.agreement.state.name.capitalize(),
        sample=sample.name,
        records=dataset.count,
        tested=checked.tested,
        weights=checked.weights,
        steps=status.run.step,
        checkpoints=status.run.count,
        anchors=len(status.run.anchors),
        transactions=status.transactions,
        gas=status.gas,
        price=PRICE,
        accuracy=checked.accuracy,
        assurance=level,
        held_out=describe_evaluation(verdict),
        risk=describe_report(owner, job),
        spent=Spent.of(scientist, dataset, verdict) if which.budget else None,
        again=again,
        replayed=audit.replayed(scientist, job) if audited else checked.replayed,
        segments=status.leaf_count - 1,
        verifiers=terms.verifiers if terms else 0,
        caught=caught,
        owner=sides["owner"].home,
        scientist=sides["scientist"].home,
        stranger=run / STRANGER,
        model=delivered.model,
        certificate=delivered.certificate,
        setup_s=setup_s,
        train_s=train_s,
        total_s=progress.seconds,
    )


def probe_beside(stack: ExitStack) -> Future[Environment]:
    """Probe this host beside whatever else goes on: the owner's pod will ask for the outcome."""
    from fitchain.pod.compute.environment import describe_host, host_cache
    from fitchain.pod.values.recipe import DEFAULT_CLASS

    beside = stack.enter_context(ThreadPoolExecutor(1))
    return beside.submit(describe_host, DEFAULT_CLASS, 1, host_cache())


def offer(
    home: Home, sample: Sample, scientist: str, panels: Sequence[PanelId], budget: float | None, reported: bool
) -> RegisteredDataset:
    """Register an owner's table under a policy that lets one scientist ask, asks a person about
    every request, and admits audits by some panels; with a privacy budget or without, with a risk
    report of each model or without."""
    from fitchain.pod.compute.dataset import Policy, RiskTerms
    from fitchain.pod.parties.owner import DatasetOffer, PrivacyOffer, register_dataset

    policy = Policy(
        minimum_price=PRICE,
        minimum_batch=8,
        disclosure_mode=AuditMode.SAMPLED,
        disclosure_cap=None,
        scientists=(scientist.lower(),),
        panels=tuple(map(str, panels)),
        risk=RiskTerms() if reported else None,
    )
    offered = DatasetOffer(
        sample.private, name=sample.name, target=sample.target, drop=sample.drop, price=PRICE, policy=policy
    )
    if budget is not None:
        offered = replace(offered, transform="ranges", ranges=sample.ranges, classes=sample.classes)
        offered = replace(offered, privacy=PrivacyOffer(budget))
    return register_dataset(home, offered)


def ask(
    home: Home, dataset: RegisteredDataset, model: ModelId, recipe: dict[str, Any], audit_terms: AuditTerms | None
) -> AgreementId:
    """Ask for the training, leaving the rehearsal to the owner; the agreement's id."""
    from fitchain.pod.parties.scientist import JobRequest, request_job

    request = JobRequest(
        dataset.id,
        model,
        recipe_overrides=recipe,
        price=PRICE,
        bond=PRICE,
        audit=audit_terms,
        rehearsed=False,
    )
    return request_job(home, request)


def approve(home: Home, job: AgreementId) -> None:
    """Say yes for the owner."""
    from fitchain.pod.parties import owner

    owner.approve(home, job)


def registered(homes: Iterable[Home]) -> bool:
    """Whether the pods of these homes are registered, so that they can seal for each other."""
    from fitchain.pod.values.errors import NotFound

    try:
        for home in homes:
            home.registry.pod(home.keys.address)
    except NotFound:
        return False
    return True


def delivery(home: Home, job: AgreementId, folder: Path) -> Delivery:
    """What the scientist received, copied to where anybody may look at it."""
    from fitchain.pod.parties import scientist

    return scientist.delivery(home, job).copy_into(folder)


def judge(delivered: Delivery, stranger: Home) -> Verdict:
    """What the certificate says to somebody who trusts nobody."""
    from fitchain.pod.proof.certificate import verify

    return verify(delivered.model, delivered.certificate, stranger.chain)


@dataclass(frozen=True)
class Checked:
    """What test and replay found."""

    replayed: int
    accuracy: float
    tested: int
    weights: int


def check(job: AgreementId, owner: Home, home: Home, delivered: Delivery, test: Path) -> Checked:
    """Let the scientist test the model, and the owner replay segments where no panel judged: side
    by side."""
    from fitchain.pod.parties import scientist
    from fitchain.pod.parties.owner import replay_job
    from fitchain.pod.values.state import read_safetensors

    audited = home.agreements.terms(job).audit.verifiers
    with ThreadPoolExecutor(1) as beside:
        replaying = beside.submit(lambda: () if audited else replay_job(owner, job, REPLAYED_SEGMENTS).verdicts)
        tested = scientist.evaluate(home, job, test)
        replayed = replaying.result()
    for segment in replayed:
        if not segment.equal:
            raise ClaimMismatch(
                f"segment {segment.index} came out differently when it was replayed: {segment.difference}"
            )
    tensors, _ = read_safetensors(delivered.model)
    return Checked(
        replayed=len(replayed),
        accuracy=tested.metrics["accuracy"],
        tested=tested.records,
        weights=sum(len(tensor.data) // 4 for tensor in tensors.values() if tensor.dtype == "F32"),
    )


def describe_evaluation(verdict: Verdict) -> str:
    """What the model does on held-out records, in a sentence."""
    from fitchain.cli.views.verdict import describe_held_out

    return describe_held_out(verdict) or ""


def describe_report(home: Home, job: AgreementId) -> str:
    """What the owner's attack on the model found, in a sentence; empty where it made none."""
    from fitchain.cli.views.risk import describe_summary
    from fitchain.pod.parties.owner import kept_report

    report = kept_report(home.job_folder(job))
    return describe_summary(report.summary) if report else ""


def describe_training(status: JobStatus) -> str:
    """The training in a line."""
    anchors = ", ".join(str(anchor.block) for anchor in status.run.anchors)
    losses = [loss for _, loss in status.losses]
    curve = f"; loss {sparkline(losses, 24)} {losses[-1]:.3f}" if losses else ""
    count = len(status.run.anchors)
    return f"trains {status.run.step} steps: {status.run.count} checkpoints, {count} anchors (blocks {anchors}){curve}"


def describe_checks(checked: Checked, level: str) -> str:
    """The checks in a line."""
    return (
        f"the certificate holds, {level} to who knows nobody; {describe_replays(checked.replayed)}"
        f"{checked.accuracy:.1%} right on {checked.tested} records"
    )


def describe_replays(count: int) -> str:
    """What the owner's own replay came to, if there was one."""
    return f"{count} segments trained again, equal to the bit; " if count else ""


def describe_terms(terms: AuditTerms | None) -> str:
    """Who is to audit, and for how much."""
    return f"; and {amount_text(terms.fees)} FIT for {terms.verifiers} verifiers" if terms else ""
