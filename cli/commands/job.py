"""`fitchain job`: what a scientist asks for and an owner decides, from request to payment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fitchain.cli.answers import OR_YES, ReasonOption, YesOption, by_owners_pod, require_yes
from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import AgreementArgument, find_agreement, find_dataset, find_model, find_panel
from fitchain.cli.recipe_file import read_recipe
from fitchain.cli.views import panels
from fitchain.cli.views.amounts import clock, counted, format_duration, parse_duration, parse_fit
from fitchain.cli.views.output import KeyValues, Report, Rows, log, print_views
from fitchain.pod.ports.agreement import Phase, State
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import AccessRefused, FitchainError, InputRefused, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.jobs.job_status import JobStatus
    from fitchain.pod.jobs.panel_status import PanelStatus
    from fitchain.pod.jobs.privacy_cost import PrivacyCost
    from fitchain.pod.parties.scientist import AuditOptions, JobRequest
    from fitchain.pod.ports.agreement import Agreement, Audit
    from fitchain.pod.ports.chain.base import Receipt
    from fitchain.pod.proof.audit.plan import AuditPlan

Value = TypeVar("Value")

app = group("job", "Ask for a training, decide on it, follow it, pay for it.")


@command(app, "request")
def request(
    session: Session,  # its parameters are the options of the command line
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
        int | None,
        typer.Option(metavar="M", help="Verifiers that audit it, an odd number.", min=0, max=15, show_default=False),
    ] = None,
    segments: Annotated[
        int | None,
        typer.Option(
            metavar="Q", help="Segments they draw; else enough for a tenth.", min=0, max=4096, show_default=False
        ),
    ] = None,
    panel: Annotated[
        str | None, typer.Option(metavar="PANEL", help="Whom to draw from; else all verifiers.", show_default=False)
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="MODE", help="What they see: open, sampled or on-site; else open.", show_default=False),
    ] = None,
    fee_per_seat: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="For each verifier; else its share of the price.", show_default=False),
    ] = None,
    seat_stake: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="What each can lose, 10 to 20 fees; else 20.", show_default=False),
    ] = None,
    audit_window: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="For each phase of the audit; else 1h, or what a replay needs.", show_default=False
        ),
    ] = None,
    audit_wait: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For which too few verifiers are waited for; else 1d.", show_default=False),
    ] = None,
    dispute_verifiers: Annotated[
        int | None,
        typer.Option(
            metavar="M",
            help="Verifiers of a dispute, without others; else 3 of a panel that you and the owner trust.",
            min=0,
            max=15,
            show_default=False,
        ),
    ] = None,
    counter_bond: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="What you risk in a dispute; else the fee.", show_default=False),
    ] = None,
) -> Report:
    """Ask an owner for a training.

    The price is locked until the job ends. The first steps are rehearsed here on mock data before.
    Where no verifiers are named, a panel that you and the owner trust is named for a dispute.
    """
    from fitchain.cli.views.review import describe_cost
    from fitchain.pod.parties import scientist

    def log_cost(cost: PrivacyCost) -> None:
        """Say what it costs, before anything is sent."""
        costs.append(cost)
        log(f"privacy: {describe_cost(cost, is_ahead=True)}")

    home = session.home
    costs: list[PrivacyCost] = []
    asked = scientist.JobRequest(
        find_dataset(home, dataset),
        find_model(home, model),
        recipe_overrides=read_recipe(recipe),
        recipe_source="" if recipe is None else str(recipe),
        price=_optional(parse_fit, price),
        bond=_optional(parse_fit, bond),
        windows=(parse_duration(acceptance_window), parse_duration(training_window), parse_duration(dispute_window)),
        rehearsed=rehearsal,
    )
    options = read_audit_options(
        home,
        verifiers=verifiers,
        segments=segments,
        panel=panel,
        mode=mode,
        fee_per_seat=fee_per_seat,
        seat_stake=seat_stake,
        window=audit_window,
        wait=audit_wait,
        dispute_verifiers=dispute_verifiers,
        counter_bond=counter_bond,
    )
    planned, plan = scientist.plan_audit(home, asked, options, log)
    judged = _panel_of(home, planned)
    judges = [] if plan is None else [*panels.pairs_of(judged), *_phases(planned)]
    bond_kind = "default" if bond is None else "given"
    for label, text in (*audit_pairs(plan, bond_kind), *judges):
        log(f"{label}: {text}")  # before anything is signed
    for doubt in scientist.doubts_of(home, planned):
        log(doubt)
    if rehearsal:
        log("rehearsing the first steps on mock data here, before anything is locked")
    id = scientist.request_job(home, planned, log_cost)
    terms = scientist.asked_terms(home, id)
    values: dict[str, Any] = {
        "agreement": id,
        "owner": terms.owner,
        "price": amount_text(terms.price),
        "bond": amount_text(terms.bond),
        "audit": audit_values(plan),
        "panel": panels.values(judged),
        "privacy": asdict(costs[0]) if costs else None,
    }
    pairs: list[tuple[str, Any]] = [
        ("job", id),
        ("owner", terms.owner),
        ("price", f"{values['price']} FIT, locked; the owner risks {values['bond']} FIT"),
        *(("privacy", describe_cost(cost, is_ahead=True)) for cost in costs),
        *audit_pairs(plan, bond_kind),
        *judges,
        ("next", f"fitchain job watch {id.short}"),
    ]
    return Report(values, [KeyValues(pairs)])


@command(app, "list")
def list_(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Every job of the deployment, not only this home's.")] = False,
    most: Annotated[int, typer.Option("--most", metavar="N", help="The newest so many.", min=1)] = 100,
) -> Report:
    """List jobs, oldest first, and which of them wait for your yes."""
    from fitchain.pod.jobs.waiting import awaits_approval, awaits_delivery, jobs_with_questions
    from fitchain.pod.jobs.watch import newest_jobs

    mine = None if every else session.own_address()
    shown, older = newest_jobs(session.reader, mine, most)
    own = [job for job in shown if job.terms.owner == mine]
    questions = jobs_with_questions(session.reader, own)
    asked = {job.id for job in own if awaits_approval(session.reader, job)}
    now = session.reader.chain.block("latest").timestamp
    held = {job.id for job in own if awaits_delivery(session.reader, job, now)}
    rows = [
        (
            job.id.short,
            job.state.name.capitalize(),
            _role(mine, job.terms.owner, job.scientist),
            job.terms.dataset.short,
            job.terms.steps,
            amount_text(job.terms.price),
            clock(job.requested_at),
            _awaited(job.id, job.id in asked, job.id in questions, job.id in held),
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
            "price": amount_text(job.terms.price),
            "requested": job.requested_at,
            "awaits_approval": job.id in asked,
            "held": job.id in held,
            "questions": questions.get(job.id, []),
        }
        for job in shown
    ]
    headers = ("job", "state", "you are", "dataset", "steps", "price FIT", "requested", "waits for you")
    table = Rows(headers, rows, right=("steps", "price FIT"), empty="no job yet")
    left_out = [f"and {counted(older, 'older job')}: --most {older + len(shown)} shows all"] if older else []
    return Report({"jobs": values, "older": older}, [table, *left_out])


@command(app, "show")
def show(
    session: Session,
    agreement: AgreementArgument,
    every: Annotated[bool, typer.Option("--all", help="Every layer of the model, however many.")] = False,
) -> Report:
    """Show what a job is, where it stands, its cost and its history.

    To its owner also who asks, what would leave, how long it takes and what speaks against it. What
    is sealed to this home and no pod has read is opened if the passphrase is at hand.
    """
    from fitchain.cli.commands import sealed
    from fitchain.cli.views import history
    from fitchain.pod.jobs.history import CheckpointRecorded
    from fitchain.pod.jobs.job_status import JobStatusReader

    home = session.reader
    id = find_agreement(home, agreement)
    job = home.agreements.read(id)
    unread = sealed.read_messages_once(session, job)
    status = JobStatusReader(home, id).read()
    asked = _asked(session, job, every)
    lines = [history.sentence(line) for line in status.history if not isinstance(line.entry, CheckpointRecorded)]
    values = {**history.values(status), **asked.values, "unread": unread or None}
    return Report(values, [history.describe(status, unread), *asked.views, *(["", *lines] if lines else [])])


def _asked(session: Session, job: Agreement, every: bool) -> Report:
    """What a job asks for, as far as this home may know it."""
    from fitchain.cli.commands import sealed
    from fitchain.cli.views import review
    from fitchain.pod.jobs.offered import local_offer
    from fitchain.pod.parties.owner.review import is_own, review_job

    home = session.reader
    try:
        if is_own(home, job):
            reviewed, unopened = sealed.look_at_offer(session, review_job(home, job))
            values = {**review.content_values(reviewed.offered, every), "review": review.values(reviewed)}
            return Report(values, review.sections(reviewed, unopened, every))
        offered = local_offer(home, job)
    except InputRefused as error:
        return Report(review.content_values(None, every), [KeyValues([("offer", error.message)])])
    return Report(review.content_values(offered, every), review.as_asked(job, offered, every))


@command(app, "watch")
def watch(
    session: Session,
    agreement: AgreementArgument,
    until_settled: Annotated[bool, typer.Option("--until-settled", help="Go on until money has moved.")] = False,
) -> Report:
    """Follow a job until its training ends.

    Exits 0 if it was trained to its last step, 3 if it ended otherwise. Progress goes to stderr;
    its scientist sees the losses with the passphrase, if no pod of the scientist's reads them.
    """
    from fitchain.cli.commands import sealed
    from fitchain.cli.views import history
    from fitchain.cli.views import watch as watching
    from fitchain.pod.jobs.job_status import JobStatusReader

    home = session.reader
    id = find_agreement(home, agreement)
    look = sealed.reading_messages(session, home.agreements.read(id))
    status = watching.watch(JobStatusReader(home, id), until_settled, look)
    trained = status.run.end_block is not None and not status.agreement.diverged
    session.exit_code = 0 if trained else 3
    return Report(history.values(status), [_ending(status)])


@command(app, "approve")
def approve(
    session: Session,
    agreement: AgreementArgument,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> Report:
    """Say yes to a request, as its owner; the pod acts on it.

    Shows who asks for what, what would leave, from whom an audit would draw and what speaks against
    it, and then asks you: reject the job if they are nobody's you know.
    """
    from fitchain.cli.commands import sealed
    from fitchain.cli.views import review
    from fitchain.pod.parties import owner
    from fitchain.pod.parties.owner.review import review_request

    home = session.reader
    reviewed = sealed.require_offer(session, review_request(home, find_agreement(home, agreement)))
    id = reviewed.agreement.id
    print_views([review.describe(reviewed)], stderr=True)
    if not yes:
        require_yes(
            "approve this request? type yes: ",
            "nothing was approved",
            f"decline it: fitchain job reject {id.short}",
            OR_YES,
        )
    owner.approve(home, id, reviewed.concerns, reason)
    decided = _decided(id, "approved", by_owners_pod(home, "checks it, accepts it and trains"))
    values = {**decided.values, **review.values(reviewed), **review.content_values(reviewed.offered)}
    return Report(values, decided.views)


@command(app, "reject")
def reject(
    session: Session,
    agreement: AgreementArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Sealed to the scientist, and kept.")] = "",
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

    Its certificate is checked first; then the price is the owner's. After an audit the owner is
    paid already, and the verifiers are now.
    """
    from fitchain.pod.parties import scientist

    id = find_agreement(session.reader, agreement)
    audited = bool(session.reader.audits.read(AuditRef(id)).phase)
    scientist.accept_result(session.home, id)
    paid = "the verifiers are paid" if audited else "the price is the owner's, its bond is free"
    return _decided(id, "accepted", paid)


@command(app, "complain")
def complain(session: Session, agreement: AgreementArgument) -> Report:
    """Say on chain that a delivery does not open, as its scientist.

    It is fetched first, and nothing is said of one that opens. After an audit each verifier then
    releases the key that it kept; without one, who disputes has its counter-bond back if a verifier
    does. A scientist's pod says it by itself.
    """
    from fitchain.pod.parties import scientist

    id = find_agreement(session.reader, agreement)
    reason = scientist.complain_of(session.home, id)
    return Report(
        {"agreement": id, "decision": "complained", "reason": reason}, [f"complained of {id.short}: {reason}"]
    )


@command(app, "dispute")
def dispute(session: Session, agreement: AgreementArgument) -> Report:
    """Have an unaudited result audited, as its scientist.

    Locks the agreed fees and counter-bond, which are lost if the result is found to be as agreed.
    Where the delivery does not open, that is said on chain first.
    """
    from fitchain.pod.parties import scientist

    home = session.home
    id = find_agreement(home, agreement)
    receipt, audit = scientist.dispute(home, id), home.agreements.terms(id).audit
    values = {
        "agreement": id,
        "result": "disputed",
        "fees": amount_text(audit.fees),
        "counter_bond": amount_text(audit.counter_bond),
        "transaction": receipt.transaction,
        "gas": receipt.gas_used,
    }
    locked = (
        f"{values['fees']} FIT for {counted(audit.seats, 'verifier')} and {values['counter_bond']} FIT counter-bond"
    )
    pairs = [("disputed", id), ("locked", locked), ("next", f"fitchain job watch {id.short} --until-settled")]
    return Report(values, [KeyValues(pairs)])


@command(app, "cancel")
def cancel(session: Session, agreement: AgreementArgument) -> Report:
    """Take a request back that nobody accepted.

    As its scientist, once the owner let the acceptance window pass.
    """
    from fitchain.pod.parties.scientist.request import cancel_job, withdraw_unsent

    if (unsent := _unsent(session, agreement)) is not None and withdraw_unsent(session.home, unsent):
        values = {"agreement": unsent, "result": "cancelled", "transaction": None, "gas": 0}
        return Report(values, [f"cancelled {unsent.short}, which is not on the chain"])
    id = find_agreement(session.reader, agreement)
    job = session.reader.agreements.read(id)
    if job.scientist != (address := session.home.keys.address):
        raise AccessRefused(
            f"the scientist of {id.short} is {job.scientist}, and this home's account is {address}",
            "only who asked can take a request back; its owner can decline it: fitchain job reject",
        )
    if job.state is not State.REQUESTED:
        raise Unusable(f"{id.short} is {job.state.name.lower()} and no longer a request", _see(id))
    _require_over(session, job.acceptance_deadline, f"the owner may still accept {id.short}")
    return _sent(id, "cancelled", cancel_job(session.home, id))


@command(app, "settle")
def settle(session: Session, agreement: AgreementArgument) -> Report:
    """Settle a job whose time is up, as anyone.

    A result that the scientist met with silence is paid; a training that the owner did not end in
    time forfeits its bond; an audit that waits is drawn, or goes on without whom it waited for;
    once the time for a release is over, the verifiers are paid.
    """
    id = find_agreement(session.reader, agreement)
    job = session.reader.agreements.read(id)
    if job.state in (State.ACCEPTED, State.TRAINING):
        _require_over(session, job.training_deadline, f"the owner may still end the training of {id.short}")
        return _sent(id, "forfeited", session.home.agreements.expire(id))
    if job.state is State.AUDITING or session.reader.audits.read(AuditRef(id)).phase.releasing:
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
    values = {"withdrawn": amount_text(owed), "address": address, "transaction": receipt.transaction}
    return Report(values, [KeyValues([("withdrawn", f"{values['withdrawn']} FIT"), ("to", address)])])


def read_audit_options(home: Home, **texts: Any) -> AuditOptions:
    """The options of an audit as they were typed, read; what was not given stays open.

    Args:
        home: which knows the panels.
        texts: by the fields of `AuditOptions`.

    Raises:
        InputRefused: one is no amount, no length of time or no mode.
        NotFound: there is no such panel.
    """
    from fitchain.pod.parties.scientist import AuditOptions

    readers: dict[str, Callable[[str], object]] = {
        "panel": lambda text: find_panel(home, text),
        "mode": AuditMode.parse,
        "fee_per_seat": parse_fit,
        "seat_stake": parse_fit,
        "window": parse_duration,
        "wait": parse_duration,
        "counter_bond": parse_fit,
    }
    values: dict[str, Any] = {
        name: _optional(readers[name], text) if name in readers else text for name, text in texts.items()
    }
    return AuditOptions(**values)


def audit_pairs(plan: AuditPlan | None, bond_kind: str) -> list[tuple[str, Any]]:
    """What the audit of a request finds and costs, as pairs; none where nobody is to audit."""
    from fitchain.cli.views.cost import pairs_of

    return [] if plan is None else pairs_of(plan, bond_kind)


def audit_values(plan: AuditPlan | None) -> dict[str, Any] | None:
    """The same for `--json`."""
    from fitchain.cli.views.cost import values

    return None if plan is None else values(plan)


def _awaited(id: AgreementId, approval: bool, consent: bool, held: bool) -> str:
    """The command by which a person answers what waits for it; empty where nothing does."""
    commands = {"approve": approval, "consent": consent, "deliver": held}
    return next((f"fitchain job {name} {id.short}" for name, waits in commands.items() if waits), "")


def _ending(status: JobStatus) -> str:
    """How a watched job ended, and what a person may do now."""
    from fitchain.cli.views import history

    id, ended = status.agreement.id.short, history.state_name(status)
    waits = status.agreement.state in (State.TRAINED, State.DIVERGED)
    if reason := history.why_declined(status):
        return f"{id} {ended}: the owner declined: {reason}"
    if status.agreement.state is State.AUDITING:
        return f"{id} has ended its training and is {ended.lower()}; next: fitchain job watch {id} --until-settled"
    return f"{id} {ended}{f'; next: fitchain model fetch {id}, fitchain job accept {id}' if waits else ''}"


def _advanced(session: Session, id: AgreementId) -> Report:
    """Draw an audit's verifiers, or end a phase whose time is up or where nobody is left to act."""
    from fitchain.cli.views import audits

    ref, latest = AuditRef(id), session.reader.chain.block("latest")
    audit = session.reader.audits.read(ref, latest.number)
    if audit.may_advance(latest.timestamp):
        receipt = session.home.audits.advance(ref)
    elif audit.may_draw(latest.timestamp):
        receipt = session.home.audits.draw(ref, _own_nonce(session, audit))
    else:
        left = format_duration(audit.deadline + 1 - latest.timestamp)
        raise Unusable(f"{audits.AWAITED[audit.phase]} for {left}: the audit of {id.short} is under way", _see(id))
    advanced = f"advanced {id.short} from {audits.phase_name(audit)}"
    values: dict[str, Any] = {
        "agreement": id,
        "result": "advanced",
        "transaction": receipt.transaction,
        "gas": receipt.gas_used,
    }
    try:
        after = session.reader.audits.read(ref)
    except FitchainError as error:
        log(f"where it stands now cannot be read: {error.message}; {_see(id)}")
        return Report({**values, "phase": None, "verdict": None}, [f"{advanced} ({receipt.gas_used:,} gas)"])
    values["phase"] = after.phase.name.capitalize()
    values["verdict"] = after.verdict.name.capitalize() if after.verdict else None
    line = f"{advanced} to {audits.phase_name(after)} ({receipt.gas_used:,} gas)"
    return Report(values, [line, *([verdict] if (verdict := audits.describe_verdict(after)) else [])])


def _own_nonce(session: Session, audit: Audit) -> Digest:
    """The scientist's part of the draw where this home is the scientist's; in its turn nobody else
    can draw.

    Raises:
        Unusable: it is the scientist's turn, and this home is another's.
    """
    from fitchain.pod.jobs.asker import asker_nonce

    home = session.home
    if home.agreements.read(audit.id).scientist == home.keys.address:
        return asker_nonce(home.keys, audit.id)
    turn_ends = audit.opened_block + home.chain.constants.turn_blocks
    if audit.phase is Phase.AWAITING and home.chain.block("latest").number <= turn_ends:
        raise Unusable(
            f"up to block {turn_ends} only the scientist's pod draws for the audit of {audit.id.short}", _see(audit.id)
        )
    return ZERO


def _phases(planned: JobRequest) -> list[tuple[str, Any]]:
    """How long an audit's phases last, and how long too few verifiers are waited for."""
    audit = planned.audit
    if audit is None:
        return []
    wait = format_duration(audit.wait)
    return [("phases", f"{format_duration(audit.window)} each; too few verifiers are waited for up to {wait}")]


def _panel_of(home: Home, request: JobRequest) -> PanelStatus | None:
    """The panel that a request names, beside its parties; None where it names none."""
    from fitchain.pod.jobs.panel_status import read_panel_status

    if request.audit is None:
        return None
    owner = home.registry.dataset(request.dataset).owner
    return read_panel_status(home, request.audit.panel, owner, home.keys.address)


def _optional(read: Callable[[str], Value], text: str | None) -> Value | None:
    return None if text is None else read(text)


def _see(id: AgreementId) -> str:
    return f"see `fitchain job show {id.short}`"


def _require_over(session: Session, deadline: int, who: str) -> None:
    """Refuse before a transaction is paid for in vain."""
    left = deadline + 1 - session.reader.chain.block("latest").timestamp
    if left > 0:
        raise Unusable(f"{who} for {format_duration(left)}", "do this after that time")


def _decided(id: AgreementId, what: str, next: str) -> Report:
    return Report({"agreement": id, "decision": what}, [f"{what} {id.short}: {next}"])


def _unsent(session: Session, agreement: str) -> AgreementId | None:
    """The request of this home that the text names, where the chain has it not."""
    named = [id for id in session.reader.journal.request_ids() if str(id).startswith(agreement.lower())]
    on_chain = session.reader.agreements.list() if named else []
    return named[0] if len(named) == 1 and named[0] not in on_chain else None


def _sent(id: AgreementId, what: str, receipt: Receipt) -> Report:
    values = {"agreement": id, "result": what, "transaction": receipt.transaction, "gas": receipt.gas_used}
    return Report(values, [f"{what} {id.short} ({receipt.gas_used:,} gas)"])


def _role(mine: str | None, owner: str, scientist: str) -> str:
    return "owner" if mine == owner else "scientist" if mine == scientist else "-"
