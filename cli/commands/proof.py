"""`fitchain proof`: what anyone may check of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views import audits
from fitchain.cli.views.amounts import clock, counted, parse_fit, parse_share
from fitchain.cli.views.output import KeyValues, Report, Rows, View, log
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused, NotFound, Refuted
from fitchain.pod.values.ids import AuditRef
from fitchain.pod.values.job_folder import CERTIFICATE, MODEL

if TYPE_CHECKING:
    from fitchain.pod.jobs.audit_status import AuditStatus
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.jobs.worker import Event
    from fitchain.pod.proof.audit.diagnosis import StateDigests

app = group("proof", "Check what was trained.")


@command(app, "show")
def show(session: Session, agreement: AgreementArgument) -> Report:
    """Show what the chain keeps of a training."""
    from fitchain.pod.jobs.audit_status import drawn_segments, read_audit_statuses

    home = session.reader
    id = find_agreement(home, agreement)
    job, run = home.agreements.read(id), home.agreements.run_record(id)
    ended = run.end_block is not None
    now = home.chain.block("latest").timestamp
    statuses = read_audit_statuses(home, id) if ended else []
    drawn = {status.audit.ref: drawn_segments(home, status.audit.ref) for status in statuses}
    blocks = home.chain.blocks(anchor.block for anchor in run.anchors)
    times = {number: block.timestamp for number, block in blocks.items()}
    values = {
        "agreement": id,
        "state": job.state.name.capitalize(),
        "context": None if run.ctx == ZERO else run.ctx,
        "order_seed": None if run.seed == ZERO else run.seed,
        "nonce": None if run.nonce == ZERO else run.nonce,
        "seed_block": job.seed_block,
        "leaves": run.count,
        "step": run.step,
        "delivered": run.delivered if ended else None,
        "transcript_root": run.transcript_root if ended else None,
        "model_root": run.model_root if ended else None,
        "last_model_root": run.last_model_root if ended else None,
        "delivery": str(run.delivery) if run.delivery else None,
        "identity": str(run.identity) if run.identity else None,
        "end_block": run.end_block,
        "anchors": [
            {
                "count": anchor.count,
                "root": anchor.root,
                "note": str(anchor.note) if anchor.note else None,
                "block": anchor.block,
                "time": times[anchor.block],
                "transaction": anchor.transaction,
            }
            for anchor in run.anchors
        ],
        "audits": [audits.values(status, now) | {"segments": list(drawn[status.audit.ref])} for status in statuses],
    }
    pairs: list[tuple[str, Any]] = [
        ("job", id),
        ("state", values["state"]),
        ("context", values["context"]),
        ("order seed", values["order_seed"]),
        ("leaves", f"{run.count} of {-(-job.terms.steps // job.terms.segment_steps) + 1}"),
        ("transcript", values["transcript_root"]),
        ("model", values["model_root"]),
        ("delivery", run.delivery),
    ]
    anchors = [(anchor.count, anchor.root, anchor.block, clock(times[anchor.block])) for anchor in run.anchors]
    table = Rows(("leaves", "root", "block", "time"), anchors, right=("leaves", "block"), empty="no anchor yet")
    shown = [view for status in statuses for view in _audit_views(status, drawn[status.audit.ref], now)]
    return Report(values, [KeyValues(pairs), table, *shown])


def _audit_views(status: AuditStatus, drawn: Sequence[int], now: int) -> list[View]:
    pairs = [pair for pair in audits.pairs_of(status, now) if pair[0] != "seats"]
    if drawn:
        shown = ", ".join(map(str, drawn[:20]))
        pairs.append(("segments", f"{shown}{f' and {len(drawn) - 20} more' if len(drawn) > 20 else ''}"))
    return [KeyValues(pairs), audits.rows_of(status)]


@command(app, "replay")
def replay(
    session: Session,
    agreement: AgreementArgument,
    segments: Annotated[
        int, typer.Option(metavar="N", help="How many: the last, the first, others at random.", min=1)
    ] = 5,
) -> Report:
    """Train segments again and compare them, bit for bit.

    For whoever has the data: the owner. The leaves that it compares with must add up to the root on
    the chain.
    """
    from fitchain.pod.parties import owner

    home = session.home
    id = find_agreement(home, agreement)
    result = owner.replay_job(home, id, segments, _log_event)
    values = {
        "agreement": id,
        "replayed": len(result.verdicts),
        "segments": result.segments,
        "equal": result.equal,
        "verdicts": [asdict(verdict) for verdict in result.verdicts],
    }
    session.exit_code = 0 if result.equal else Refuted.exit_code
    differing = [f"segment {verdict.index}: {verdict.difference}" for verdict in result.verdicts if not verdict.equal]
    all_equal = f"{len(result.verdicts)} of {result.segments} segments replayed, all equal to the bit"
    return Report(values, differing or [all_equal])


@command(app, "explain")
def explain(
    session: Session,
    agreement: AgreementArgument,
    segment: Annotated[
        list[int] | None,
        typer.Option(metavar="J", help="Which segment, else those drawn; repeat it.", min=0, show_default=False),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option("--with", metavar="FILE", help="The other side's digests, to compare with.", show_default=False),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write this side's digests there.", show_default=False)
    ] = None,
    audit: Annotated[
        int, typer.Option("--audit", metavar="N", help="Which audit: 0, or one that was asked for again.", min=0)
    ] = 0,
) -> Report:
    """Find where two sides of an audit part.

    Down to the segment, the step and the tensor. Trains the segments again here. A file of state
    digests holds no data: hand yours to the other side. It moves no money.
    """
    from fitchain.pod.parties import owner
    from fitchain.pod.proof.audit.diagnosis import compare_with_file, first_disagreement, write_state_digests

    home = session.home
    id = find_agreement(home, agreement)
    mine = _train_again(home, AuditRef(id, audit), segment or ())
    if to is not None:
        write_state_digests(to, mine)
    if other is not None:
        disagreement, beside = compare_with_file(mine, other), f"the digests in {other.name}"
    else:
        kept = owner.kept_state_digests(home, id, {state.segment for state in mine})
        disagreement, beside = first_disagreement(mine, kept), f"{counted(len(kept), 'state')} kept here"
    values = {
        "agreement": id,
        "states": len(mine),
        "segments": sorted({state.segment for state in mine}),
        "file": to,
        "agree": disagreement is None,
        "disagreement": None if disagreement is None else asdict(disagreement),
    }
    session.exit_code = 0 if disagreement is None else Refuted.exit_code
    agreed = f"{counted(len(mine), 'state')} trained again here; no difference from {beside}"
    next = (
        []
        if other or to
        else ["next: write this side's digests with --to FILE, and compare the other side's with --with FILE"]
    )
    return Report(values, [agreed if disagreement is None else str(disagreement), *next])


def _train_again(home: Home, ref: AuditRef, segments: Sequence[int]) -> tuple[StateDigests, ...]:
    """Train segments again, or those that an audit looks at, from what this home has of a job.

    Raises:
        NotFound: this home has neither training nor evidence, or the job has no such segment.
    """
    from fitchain.pod.jobs.audit_status import drawn_segments
    from fitchain.pod.parties import owner, verifier

    id = ref.agreement
    chosen = segments or drawn_segments(home, ref)
    if not chosen:
        raise NotFound(f"the audit {ref.short} has drawn nothing yet", "name segments with --segment")
    if owner.has_training(home, id):
        return owner.explain_training(home, id, chosen, _log_event)
    if ref in verifier.seats_of(home, id):
        return verifier.explain_evidence(home, ref, chosen, _log_event)
    raise NotFound(
        f"this home has neither the training of {id.short} nor evidence of its audit {ref.ordinal}",
        "run it in the owner's home, or in a verifier's while its audit is not over",
    )


@command(app, "cost")
def cost(
    session: Session,  # its parameters are the options of the command line
    agreement: Annotated[
        str | None,
        typer.Argument(
            metavar="JOB", help="Its id, or the first six digits or more; else the options.", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="T", help="Steps of the training.", min=1)] = 1000,
    segment_steps: Annotated[int, typer.Option(metavar="K", help="Steps between two checkpoints.", min=1)] = 20,
    segments: Annotated[
        int | None,
        typer.Option(
            metavar="Q", help="Segments drawn; else enough for a tenth.", min=0, max=65535, show_default=False
        ),
    ] = None,
    verifiers: Annotated[int, typer.Option(metavar="M", help="Verifiers.", min=1, max=15)] = 3,
    price: Annotated[str, typer.Option(metavar="FIT", help="What the training costs.")] = "10",
    fee_per_seat: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="What a seat earns; else what holds bribes off.", show_default=False),
    ] = None,
    seat_stake: Annotated[
        str | None, typer.Option(metavar="FIT", help="What a seat can lose; else 20 fees.", show_default=False)
    ] = None,
    bond: Annotated[
        str | None, typer.Option(metavar="FIT", help="What the owner would risk.", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Records of a step.", min=1, show_default=False)
    ] = None,
    records: Annotated[
        int | None, typer.Option(metavar="N", help="Records of the dataset.", min=1, show_default=False)
    ] = None,
    delivered: Annotated[
        int | None,
        typer.Option(metavar="LEAF", help="The delivered checkpoint, where not the last.", min=1, show_default=False),
    ] = None,
    wanted: Annotated[str, typer.Option(metavar="P", help="The chance of detection to draw for.")] = "95%",
) -> Report:
    """Show what an audit would find, disclose and cost.

    Of a job, or, before anybody signs, of terms given as options. It says which bound holds
    against whom: an owner alone, an owner that buys votes, a panel that acts together.
    """
    from fitchain.cli.views import cost as costs
    from fitchain.pod.proof.audit.plan import MOST_STAKE_FEES, AuditPlan, default_draws, default_money

    if verifiers % 2 == 0:
        raise InputRefused(
            f"an audit has an odd number of verifiers, not {verifiers}", "half of an even number is none"
        )
    chance = parse_share("chance", wanted)
    if agreement is not None:
        from fitchain.pod.jobs.job_status import local_recipe

        home = session.reader
        job = home.agreements.read(find_agreement(home, agreement))
        run = home.agreements.run_record(job.id)
        delivered = None if run.end_block is None or run.diverged else run.delivered
        plan = AuditPlan.of(job.terms, local_recipe(home, job), delivered)
        head: dict[str, Any] = {"agreement": job.id}
    else:
        drawn = default_draws(steps, segment_steps) if segments is None else segments
        if delivered is not None and delivered > -(-steps // segment_steps):
            raise InputRefused(f"the training has no checkpoint {delivered}, its last is {-(-steps // segment_steps)}")
        paid, sampling = parse_fit(price), Sampling.of(steps, segment_steps, drawn, delivered)
        named = None if bond is None else parse_fit(bond)
        chosen = None if fee_per_seat is None else parse_fit(fee_per_seat)
        fee, risked = default_money(paid, sampling, verifiers, bond=named, fee=chosen, least_bond=paid)
        stake = MOST_STAKE_FEES * fee if seat_stake is None else parse_fit(seat_stake)
        plan = AuditPlan(
            steps=steps,
            segment_steps=segment_steps,
            wanted=drawn,
            seats=verifiers,
            disputed=False,
            price=paid,
            fee_per_seat=fee,
            seat_stake=stake,
            bond=risked,
            batch_size=batch_size,
            records=records,
            delivered=delivered,
        )
        head = {"agreement": None}
    kind = "agreed" if agreement is not None else "default" if bond is None else "given"
    return Report(head | costs.values(plan, chance), costs.views(plan, kind, chance))


# Many parameters: what is checked, against what, and how strictly.
@command(app, "verify")
def verify(
    session: Session,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL|FOLDER", help="The delivered file, .safetensors; or the folder it is in.")
    ],
    certificate: Annotated[
        Path | None,
        typer.Argument(metavar="[CERT]", help="Its certificate, .json; else the one beside it.", show_default=False),
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="At least: vouched, on-site, sampled or open.", show_default=False),
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PANEL", help="A panel that counts as it stands now, for this once; repeat it.", show_default=False
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The base's file, where the model is a delta: compared, too.", show_default=False
        ),
    ] = None,
    also_rpc: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A second node, which must agree with the first.", show_default=False),
    ] = None,
    trail: Annotated[
        Path | None,
        typer.Option(
            "--trail",
            metavar="FILE",
            help="The owner's signed trail: what it states of deletions is shown.",
            show_default=False,
        ),
    ] = None,
) -> Report:
    """Check where a model file comes from, and who vouches for it.

    Needs no key, no data and no torch; node, deployment and trust list are yours, never the
    certificate's, and a second node may have to agree. Exits 0 if it holds, 1 if it is refuted, 3
    if it could not be checked or fewer vouch for it than you require.
    """
    from fitchain.cli.commands.trail import describe_stated
    from fitchain.cli.ids import match_panel
    from fitchain.cli.views.verdict import describe_verdict
    from fitchain.pod.ports.chain.witness import connect_witnessed
    from fitchain.pod.ports.registry import Registry
    from fitchain.pod.proof.certificate import Assurance
    from fitchain.pod.proof.certificate import verify as check
    from fitchain.pod.proof.trail import read_trail, require_owners

    model = model / MODEL if model.is_dir() else model
    certificate = _beside(model) if certificate is None else certificate
    level = Assurance.parse(require) if require else None
    settings = replace(session.settings, also_rpc=also_rpc) if also_rpc else session.settings
    chain = connect_witnessed(settings)
    panels = [match_panel(Registry(chain), text) for text in trust or ()]
    owners = None if trail is None else read_trail(trail)
    verdict = check(model, certificate, chain, level, panels, base)
    report = describe_verdict(verdict, model)
    if owners is None:
        return report
    run = verdict.statement
    require_owners(owners, run.agreement, run.owner, run.contracts["Agreements"], run.chain_id)
    stated, lines = describe_stated(owners)
    return Report({**report.values, "stated": stated}, [*report.views, lines])


def _beside(model: Path) -> Path:
    """The certificate that lies beside a model.

    Raises:
        NotFound: there is no such model, or none beside it.
    """
    if not model.is_file():
        raise NotFound(f"there is no file {model}", "name the delivered model, or the folder that it lies in")
    if not (path := model.with_name(CERTIFICATE)).is_file():
        raise NotFound(
            f"there is no {CERTIFICATE} beside {model}", "name the certificate behind the model: MODEL CERTIFICATE"
        )
    return path


def _log_event(event: Event) -> None:
    """Tell what a worker tells, but where it stands in between."""
    from fitchain.cli.views.worker import describe_event
    from fitchain.pod.jobs.worker.events import Ending, Progress, Started

    if not isinstance(event, Started | Progress | Ending):
        log(describe_event(event))
