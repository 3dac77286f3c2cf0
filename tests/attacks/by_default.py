"""Attacks that the terms hold off which nobody had to name: who can be asked in a dispute, what a
seat puts at risk, how long a phase lasts."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np

from fitchain.cli.views.cost import describe_bribe
from fitchain.pod.jobs.worker.task import Train
from fitchain.pod.parties.owner import run
from fitchain.pod.parties.scientist import AuditOptions, JobRequest, dispute, plan_audit, request_job
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.trust import look_at_panel, trust
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import Unusable
from fitchain.pod.values.job_folder import JobFolder
from tests.attacks import pod_rules
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import MONEY_OF, AttackLab, Caught
from tests.attacks.pod_stage import ruling, until_concluded
from tests.chain_fixtures import ETHER
from tests.pods import HOUR_S, PRICE, RECIPE, offer_table, owner_runs, scientist_runs, verifier_runs
from tests.policies import open_policy

TERMS = "terms by default"


def unasked(lab: AttackLab) -> Caught:
    """Train on other records than were agreed, where the scientist named nobody to audit that."""
    audited = lab.audited
    workshop, scientist = audited.workshop, audited.workshop.scientist
    home = scientist.home
    trust(home.settings.home, look_at_panel(home.chain, audited.panel))
    request = JobRequest(workshop.dataset.id, workshop.model.id, RECIPE, PRICE, windows=(HOUR_S,) * 3, rehearsed=False)
    with dishonest_owner(), owner_runs(workshop.owner), scientist_runs(scientist, auto_accept=False):
        id = request_job(home, plan_audit(home, request, AuditOptions())[0])
        audited.until(scientist.has(id, "received"))
        try:
            dispute(home, id)
        except Unusable:
            lab.pass_time(HOUR_S + 1)
            workshop.until_state(id, State.SETTLED)
            return Caught("nobody", "nowhere", f"{MONEY_OF[State.SETTLED]}; nobody can be asked")
        with verifier_runs(*audited.verifiers):
            until_concluded(audited, id)
    return Caught(TERMS, "Requested", ruling(audited, id))


def dishonest_owner() -> Any:
    """Let the owner's pod give its worker other records than are registered."""
    prepare = run.prepare

    def prepared(home: Any, id: Any, record: Any, folder: JobFolder, keep_every: int = 1) -> Train:
        task = prepare(home, id, record, folder, keep_every)
        with np.load(folder.records) as file:
            columns = {name: file[name] for name in file.files}
        doubled = {name: cells * 2 if cells.dtype.kind == "f" else cells for name, cells in columns.items()}
        np.savez(folder.records, **doubled)
        return task

    return patch.object(run, "prepare", prepared)


def two_bribes(lab: AttackLab) -> Caught:
    """Buy two votes of three, in a training so long that a seat replays next to nothing of it."""
    audited, home = lab.audited, lab.audited.workshop.scientist.home
    options = AuditOptions(verifiers=3, segments=28, panel=audited.panel, mode=AuditMode.SAMPLED, window=HOUR_S)
    recipe = {"steps": 100_000, "segment_steps": 10, "batch_size": 8}
    workshop = audited.workshop
    request = JobRequest(workshop.dataset.id, workshop.model.id, recipe, 1000 * ETHER, rehearsed=False)
    _, plan = plan_audit(home, request, options)
    assert plan is not None and plan.at_stake is not None
    says = describe_bribe(plan)
    return Caught(TERMS, "Requested", says) if plan.risk.insured >= plan.at_stake else Caught("nobody", "nowhere", says)


def short_phase(lab: AttackLab) -> Caught:
    """Ask for an audit whose replay takes longer than a phase, so that honest seats are absent."""
    workshop, home = lab.audited.workshop, lab.audited.workshop.scientist.home
    policy = open_policy(disclosure_mode=AuditMode.OPEN)
    dataset = offer_table(workshop.owner, lab.table, policy=policy, mock_records=16)
    recipe = {"steps": 20_000_000, "segment_steps": 2_000}
    request = JobRequest(dataset.id, workshop.model.id, recipe, PRICE)
    planned, _ = plan_audit(home, request, AuditOptions(verifiers=1, segments=4096))
    assert planned.audit is not None
    if planned.audit.window > HOUR_S:
        return Caught(TERMS, "Requested", "a phase lasts longer than the replay on a slow host")
    return Caught("nobody", "nowhere", f"a phase lasts {planned.audit.window} s")


DEFAULT_ATTACKS = (
    Attack(
        "a request that names no verifiers",
        "a training on other records, whose scientist asked for no audit and named nobody for a dispute",
        Caught(TERMS, "Requested", f"Mismatch; {MONEY_OF[State.FORFEITED]}"),
        unasked,
        pod_rules.COURT,
        f"{MONEY_OF[State.SETTLED]}; nobody can be asked",
    ),
    Attack(
        "two bribes",
        "two votes of three bought in an audit that takes a seat next to no work",
        Caught(TERMS, "Requested", "2 seats put "),
        two_bribes,
        pod_rules.BRIBES,
        "2 seats put ",
    ),
    Attack(
        "a phase shorter than the replay",
        "a replay of hours, in which every honest seat would be absent",
        Caught(TERMS, "Requested", "a phase lasts longer than the replay on a slow host"),
        short_phase,
        pod_rules.WINDOW,
        "a phase lasts 3600 s",
    ),
)
