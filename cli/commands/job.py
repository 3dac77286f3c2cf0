"""`fitchain job`: what a scientist asks for and an owner decides, from request to payment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import AgreementArgument, find_agreement, find_dataset, find_model
from fitchain.cli.views.amounts import counted, format_duration, format_fit, parse_duration, parse_fit
from fitchain.cli.views.output import Facts, Report, Rows, say
from fitchain.pod.ports.agreement import Phase, State
from fitchain.pod.values.errors import AccessRefused, InputRefused, Unusable
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from fitchain.cli.views.cost import Plan
    from fitchain.pod.jobs.job_status import JobStatus
    from fitchain.pod.ports.chain.base import Receipt

app = group("job", "Ask for a training, decide on it, follow it, pay for it.")


@command(app, "request")
def request(
    session: Session,
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="ID", help="The dataset to train on.", show_default=False)
    ],
    model: Annotated[str, typer.Option("--model", metavar="ID", help="The model to train.", show_default=False)],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE.toml", help="What differs from the defaults.", show_default=False),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="FIT", help="What you pay; else the card's price.", show_default=False),
    ] = None,
    bond: Annotated[
        str | None,
        typer.Option(
            "--bond",
            metavar="FIT",
            help="What the owner risks; else the price, or what an audit needs.",
            show_default=False,
        ),
    ] = None,
    acceptance_window: Annotated[str, typer.Option(metavar="TIME", help="Within which the owner accepts.")] = "1d",
    training_window: Annotated[str, typer.Option(metavar="TIME", help="Within which it trains.")] = "1d",
    dispute_window: Annotated[str, typer.Option(metavar="TIME", help="After which silence pays it.")] = "1d",
    rehearsal: Annotated[bool, typer.Option(help="Train a few steps on mock data here first.")] = True,
    verifiers: Annotated[
        int | None, typer.Option(metavar="M", help="Verifiers that audit it.", min=0, max=15, show_default=False)
    ] = None,
    segments: Annotated[
        int | None,
        typer.Option(
            metavar="Q", help="Segments they draw; else enough for a tenth.", min=0, max=65535, show_default=False
        ),
    ] = None,
    panel: Annotated[
        str | None, typer.Option(metavar="PANEL", help="Whom to draw from; else all verifiers.", show_default=False)
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="MODE", help="What they see: open, sampled or on-site; else open.", show_default=False),
    ] = None,
    audit_fee: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="For all verifiers; else their share of the price.", show_default=False),
    ] = None,
    audit_window: Annotated[
        str | None, typer.Option(metavar="TIME", help="For each phase of the audit; else 1h.", show_default=False)
    ] = None,
    dispute_verifiers: Annotated[
        int | None,
        typer.Option(metavar="M", help="Verifiers of a dispute, without others.", min=0, max=15, show_default=False),
    ] = None,
    counter_bond: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="What you risk in a dispute; else the fee.", show_default=False),
    ] = None,
) -> Report:
    """Ask an owner for a training.

    The price is locked until the job ends. The first steps are rehearsed here on mock data before.
    """
    from fitchain.cli.audit_options import AuditOptions, asked
    from fitchain.pod.parties import scientist

    home = session.home
    windows = [parse_duration(window) for window in (acceptance_window, training_window, dispute_window)]
    on, of = find_dataset(home, dataset), find_model(home, model)
    paid, risked = (None if amount is None else parse_fit(amount) for amount in (price, bond))
    how = (verifiers, segments, panel, mode, audit_fee, audit_window, dispute_verifiers, counter_bond)
    ask = asked(home, on, of, _read_recipe(recipe), paid, risked, AuditOptions(*how))
    for label, told in audit_pairs(ask.plan):
        say(f"{label}: {told}")  # before anything is signed
    id = scientist.request_job(
        home,
        on,
        of,
        recipe_overrides=ask.overrides,
        price=paid,
        bond=ask.bond,
        windows=windows,
        audit=ask.audit,
        rehearsed=rehearsal,
    )
    terms = home.agreements.read(id).terms
    values: dict[str, Any] = {
        "agreement": id,
        "owner": terms.owner,
        "price": format_fit(terms.price),
        "bond": format_fit(terms.bond),
        "audit": audit_values(ask.plan),
    }
    pairs: list[tuple[str, Any]] = [
        ("agreement", id),
        ("owner", terms.owner),
        ("price", f"{values['price']} FIT, locked; the owner risks {values['bond']} FIT"),
        *audit_pairs(ask.plan),
        ("next", f"fitchain job watch {id.short}"),
    ]
    return Report(values, [Facts(pairs)])


@command(app, "list")
def list_(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Every job of the deployment, not only this home's.")] = False,
) -> Report:
    """List jobs, oldest first."""
    home = session.reader
    mine = None if every else session.own_address()
    found = [home.agreements.read(id) for id in home.agreements.list()]
    shown = [job for job in found if mine is None or mine in (job.scientist, job.terms.owner)]
    rows = [
        (
            job.id.short,
            job.state.name.capitalize(),
            _role(mine, job.terms.owner, job.scientist),
            job.terms.dataset.short,
            job.terms.steps,
            format_fit(job.terms.price),
        )
        for job in shown
    ]
    values = [
        {
            "agreement": job.id,
            "state": job.state.name.capitalize(),
            "owner": job.terms.owner,
            "scientist": job.scientist,
            "dataset": job.terms.dataset,
            "model": job.terms.model,
            "steps": job.terms.steps,
            "price": format_fit(job.terms.price),
        }
        for job in shown
    ]
    headers = ("job", "state", "you are", "dataset", "steps", "price FIT")
    return Report({"jobs": values}, [Rows(headers, rows, right=("steps", "price FIT"), empty="no job yet")])


@command(app, "show")
def show(session: Session, agreement: AgreementArgument) -> Report:
    """Show where a job stands, its cost and its history."""
    from fitchain.cli.views import history
    from fitchain.pod.jobs.job_status import JobStatusReader

    home = session.reader
    standing = JobStatusReader(home, find_agreement(home, agreement)).read()
    lines = [history.sentence(entry) for entry in standing.history if entry.kind not in ("checkpoint", "training")]
    return Report(history.values(standing), [history.describe(standing), *(["", *lines] if lines else [])])


@command(app, "watch")
def watch(
    session: Session,
    agreement: AgreementArgument,
    until_settled: Annotated[bool, typer.Option("--until-settled", help="Go on until money has moved.")] = False,
) -> Report:
    """Follow a job until its training ends.

    Exits 0 if it was trained to its last step, 3 if it ended otherwise. Progress goes to stderr.
    """
    from fitchain.cli.views import history
    from fitchain.cli.views import watch as watching
    from fitchain.pod.jobs.job_status import JobStatusReader

    home = session.reader
    standing = watching.watch(JobStatusReader(home, find_agreement(home, agreement)), until_settled)
    trained = standing.proof.end_block is not None and not standing.agreement.diverged
    session.exit_code = 0 if trained else 3
    return Report(history.values(standing), [_ending(standing)])


@command(app, "approve")
def approve(session: Session, agreement: AgreementArgument) -> Report:
    """Say yes to a request, as its owner; the pod acts on it."""
    from fitchain.pod.parties import owner

    id = find_agreement(session.reader, agreement)
    owner.approve(session.reader, id)
    return _decided(id, "approved", "the owner's pod checks it, accepts it and trains")


@command(app, "reject")
def reject(
    session: Session,
    agreement: AgreementArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in this pod's journal.")] = "",
) -> Report:
    """Say no to a request, as its owner.

    The scientist gets its money back.
    """
    from fitchain.pod.parties import owner

    id = find_agreement(session.reader, agreement)
    owner.reject(session.home, id, reason)
    return _decided(id, "rejected", "the scientist gets its money back")


@command(app, "accept")
def accept(session: Session, agreement: AgreementArgument) -> Report:
    """Accept a result, as its scientist.

    Its certificate is checked first; then the price is the owner's.
    """
    from fitchain.pod.parties import scientist

    id = find_agreement(session.reader, agreement)
    scientist.accept_result(session.home, id)
    return _decided(id, "accepted", "the price is the owner's, its bond is free")


@command(app, "dispute")
def dispute(session: Session, agreement: AgreementArgument) -> Report:
    """Have an unaudited result audited, as its scientist.

    Locks the agreed fee and counter-bond, which are lost if the result is found to be as agreed.
    """
    from fitchain.pod.parties import scientist

    home = session.home
    id = find_agreement(home, agreement)
    job = home.agreements.read(id)
    audit = job.terms.audit
    if job.scientist != home.keys.address:
        raise AccessRefused(
            f"the scientist of {id.short} is {job.scientist}, and this home's account is {home.keys.address}",
            "only the scientist can dispute a result",
        )
    if audit.verifiers or not audit.dispute_verifiers:
        raise Unusable(
            f"the terms of {id.short} name no verifiers of a dispute",
            f"they are {'audited in any case' if audit.verifiers else 'agreed with job request --dispute-verifiers'}",
        )
    if job.state not in (State.TRAINED, State.DIVERGED):
        raise Unusable(f"{id.short} is {job.state.name.lower()}: there is no result to dispute", _see(id))
    if home.chain.block("latest").timestamp > job.dispute_deadline:
        raise Unusable(f"the time to dispute {id.short} is over", f"fitchain job settle {id.short} pays its owner")
    scientist.dispute(home, id)
    sent = home.journal.last(id, "disputed").body
    values = {
        "agreement": id,
        "result": "disputed",
        "fee": format_fit(audit.fee),
        "counter_bond": format_fit(audit.counter_bond),
        "transaction": sent["transaction"],
        "gas": sent["gas"],
    }
    locked = f"{values['fee']} FIT for {counted(audit.seats, 'verifier')} and {values['counter_bond']} FIT counter-bond"
    pairs = [("disputed", id), ("locked", locked), ("next", f"fitchain job watch {id.short} --until-settled")]
    return Report(values, [Facts(pairs)])


@command(app, "cancel")
def cancel(session: Session, agreement: AgreementArgument) -> Report:
    """Take a request back that nobody accepted.

    As its scientist, once the owner let the acceptance window pass.
    """
    id = find_agreement(session.reader, agreement)
    job = session.reader.agreements.read(id)
    if job.state is State.REQUESTED:
        _require_over(session, job.acceptance_deadline, f"the owner may still accept {id.short}")
    return _sent(id, "cancelled", session.home.agreements.cancel(id))


@command(app, "settle")
def settle(session: Session, agreement: AgreementArgument) -> Report:
    """Settle a job whose time is up, as anyone.

    A result that the scientist met with silence is paid; a training that the owner did not end in time forfeits its bond; an audit
    that waits is drawn, or goes on without whom it waited for.
    """
    id = find_agreement(session.reader, agreement)
    job = session.reader.agreements.read(id)
    if job.state in (State.ACCEPTED, State.TRAINING):
        _require_over(session, job.training_deadline, f"the owner may still end the training of {id.short}")
        return _sent(id, "forfeited", session.home.agreements.expire(id))
    if job.state is State.AUDITING:
        return _advanced(session, id)
    if job.state not in (State.TRAINED, State.DIVERGED):
        raise Unusable(f"{id.short} is {job.state.name.lower()}: there is nothing to settle", _see(id))
    _require_over(session, job.dispute_deadline, f"the scientist may still answer the result of {id.short}")
    return _sent(id, "settled", session.home.agreements.settle(id))


@command(app, "withdraw")
def withdraw(session: Session) -> Report:
    """Collect the payments that wait for this account."""
    home = session.home
    address = home.keys.address
    owed = home.agreements.owed(address)
    if not owed:
        return Report({"withdrawn": "0", "address": address}, ["nothing is waiting for this account"])
    receipt = home.agreements.withdraw()
    values = {"withdrawn": format_fit(owed), "address": address, "transaction": receipt.transaction}
    return Report(values, [Facts([("withdrawn", f"{values['withdrawn']} FIT"), ("to", address)])])


def audit_pairs(plan: Plan | None) -> list[tuple[str, Any]]:
    """What the audit of a request finds and costs, in labelled lines; none where nobody is to audit."""
    from fitchain.cli.views.cost import pairs_of

    return [] if plan is None else pairs_of(plan)


def audit_values(plan: Plan | None) -> dict[str, Any] | None:
    """The same for `--json`."""
    from fitchain.cli.views.cost import values

    return None if plan is None else values(plan)


def _ending(standing: JobStatus) -> str:
    """How a watched job ended, and what a person may do now."""
    from fitchain.cli.views import history

    id, ended = standing.agreement.id.short, history.state_name(standing)
    waits = standing.agreement.state in (State.TRAINED, State.DIVERGED)
    if standing.agreement.state is State.AUDITING:
        return f"{id} has ended its training and is {ended.lower()}; next: fitchain job watch {id} --until-settled"
    return f"{id} {ended}{f'; next: fitchain model fetch {id}, fitchain job accept {id}' if waits else ''}"


def _advanced(session: Session, id: AgreementId) -> Report:
    """Draw an audit's verifiers, or take it out of a phase whose time is up or in which nobody is left to act."""
    from fitchain.cli.views import audits

    audit = session.reader.audits.read(id)
    now = session.reader.chain.block("latest").timestamp
    waits_for_draw = audit.phase is Phase.AWAITING and now <= audit.deadline
    if not waits_for_draw and not audit.may_advance(now):
        left = format_duration(audit.deadline + 1 - now)
        raise Unusable(f"{audits.AWAITED[audit.phase]} for {left}: the audit of {id.short} is under way", _see(id))
    step = session.home.audits.draw if waits_for_draw else session.home.audits.advance
    receipt = step(id)
    after = session.reader.audits.read(id)
    told = (
        f"advanced {id.short} from {audits.phase_name(audit)} to {audits.phase_name(after)} ({receipt.gas_used:,} gas)"
    )
    values = {
        "agreement": id,
        "result": "advanced",
        "phase": after.phase.name.capitalize(),
        "verdict": after.verdict.name.capitalize() if after.verdict else None,
        "transaction": receipt.transaction,
        "gas": receipt.gas_used,
    }
    return Report(values, [told, *([verdict] if (verdict := audits.verdict_told(after)) else [])])


def _see(id: AgreementId) -> str:
    return f"see `fitchain job show {id.short}`"


def _require_over(session: Session, deadline: int, who: str) -> None:
    """Refuse before a transaction is paid for in vain."""
    left = deadline + 1 - session.reader.chain.block("latest").timestamp
    if left > 0:
        raise Unusable(f"{who} for {format_duration(left)}", "do this after that time")


def _decided(id: AgreementId, what: str, next: str) -> Report:
    return Report({"agreement": id, "decision": what}, [f"{what} {id.short}: {next}"])


def _sent(id: AgreementId, what: str, receipt: Receipt) -> Report:
    values = {"agreement": id, "result": what, "transaction": receipt.transaction, "gas": receipt.gas_used}
    return Report(values, [f"{what} {id.short} ({receipt.gas_used:,} gas)"])


def _read_recipe(path: Path | None) -> dict[str, Any]:
    import tomllib

    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputRefused(f"the recipe {path} cannot be read: {error}") from None


def _role(mine: str | None, owner: str, scientist: str) -> str:
    return "owner" if mine == owner else "scientist" if mine == scientist else "-"
