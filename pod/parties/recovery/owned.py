"""What an owner's pod knows: its datasets, to whom its jobs are sealed, what audits may open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fitchain.pod.compute.dataset import Card, Reading, Table, UnitColumn, check_unchanged
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import DatasetRow
from fitchain.pod.jobs.life import owners_life
from fitchain.pod.jobs.tokenizers import tokenizer_file
from fitchain.pod.parties.owner.data import (
    SOURCE,
    SOURCE_VERSION,
    keep_row,
    read_registered,
    read_table,
    registration_key,
    registration_salt,
    registrations,
    spill_of,
)
from fitchain.pod.parties.owner.disclosed import DISCLOSED, EVIDENCE_MADE, counted_records, keep_disclosed
from fitchain.pod.parties.owner.examine import RECIPIENT, fetch_offer, read_recipe
from fitchain.pod.parties.recovery.lines import write_recovered
from fitchain.pod.parties.recovery.report import Recovery
from fitchain.pod.parties.scientist.publish import read_card
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.ports.agreement.calls import cid_in
from fitchain.pod.ports.chain import Event
from fitchain.pod.ports.registry import DatasetEntry
from fitchain.pod.ports.sealed import check_recipient
from fitchain.pod.values.digest import parse_json
from fitchain.pod.values.errors import DatasetChanged, FitchainError, InputRefused, NotFound
from fitchain.pod.values.ids import AuditRef, DatasetId
from fitchain.pod.values.limits import CARD
from fitchain.pod.values.recipe import Recipe

ATTEMPTS = 10
"""An offer is given as long to come as if it had been tried so often in vain: it was examined
before."""


def recover_datasets(home: Home, recovery: Recovery, sources: Mapping[DatasetId, Path]) -> None:
    """Find every dataset that this account registered again.

    Args:
        home: opened with its key, whose journal is being made.
        recovery: is told what was found.
        sources: where a dataset's file lies, where the home does not say.

    Raises:
        ChainUnusable, StoreUnusable: chain or store do not answer.
        NotFound, InputRefused, DatasetChanged: a file that was named is not there, is no table, or
            not the one that was registered.
    """
    kept = {row.id for row in home.journal.datasets()}
    entries = {entry.id: entry for entry in home.registry.datasets(home.keys.address)}
    if unknown := sources.keys() - entries.keys():
        raise NotFound(f"this account registered no dataset {min(unknown).short}", "see `fitchain data list --mine`")
    for id, entry in entries.items():
        if id in kept and id not in sources:
            continue
        row, problem = _row(home, entry, sources.get(id))
        if row is None:
            meaning = "no request on it is answered, and no audit of its jobs"
            recovery.lacks("dataset", id, problem, meaning, f"fitchain pod recover --source {id}=FILE")
            continue
        keep_row(home, row)
        recovery.has("dataset", id, f"registered from {row.source}{f'; {problem}' if problem else ''}")


def _row(home: Home, entry: DatasetEntry, named: Path | None) -> tuple[DatasetRow | None, str]:
    """A dataset's row, and what is not known of it, in words."""
    card = read_card(home, entry.id)
    noted = _noted(home, entry, card)
    if noted is not None and named is None:
        return noted, _unread(home, noted)
    if named is None:
        return None, "where its file lies is not known"
    source = named.absolute()
    reading = noted.reading if noted is not None else _reading_of(card)
    table = read_table(source, reading, tokenizer_file(home, card), spill_of(home))
    salt = noted.salt if noted is not None else _salt(home, table, entry)
    check_unchanged(table, registration_key(home, salt), entry.root)
    return DatasetRow(entry.id, source, reading, salt, entry.root, card.encode(), str(entry.card)), ""


def _noted(home: Home, entry: DatasetEntry, card: Card) -> DatasetRow | None:
    """The row as it was noted beside what was computed of the dataset; None where it was not."""
    path = home.settings.home / "datasets" / str(entry.id) / SOURCE
    try:
        note = parse_json(path.read_bytes(), CARD)
        if note["version"] != SOURCE_VERSION:
            return None
        source, reading, salt = Path(note["source"]), dict(note["reading"]), bytes.fromhex(note["salt"])
    except (FileNotFoundError, InputRefused, KeyError, TypeError, ValueError):
        return None
    return DatasetRow(entry.id, source, reading, salt, entry.root, card.encode(), str(entry.card))


def _unread(home: Home, row: DatasetRow) -> str:
    """Why a dataset's file cannot be read as it was registered; empty where it can."""
    try:
        read_registered(home, row)
    except FitchainError as error:
        return f"which cannot be used now: {error.message}"
    return ""


def _reading_of(card: Card) -> dict[str, object]:
    """How a card's table is read from a file that may have more columns."""
    unit = None if card.unit is None else UnitColumn(card.unit.column, card.unit.most_records).json()
    return Reading(None, card.schema).json() | {"unit": unit}


def _salt(home: Home, table: Table, entry: DatasetEntry) -> bytes:
    """The salt of a registration, by which of those that the key derives its root comes out.

    Raises:
        DatasetChanged: by none: the table is another one.
    """
    for number in range(registrations(home) + 1):
        salt = registration_salt(home.keys, number)
        try:
            check_unchanged(table, registration_key(home, salt), entry.root)
        except DatasetChanged:
            continue
        return salt
    raise DatasetChanged(
        f"the file is not that of the dataset {entry.id.short}: under no salt of this key its root is {entry.root}",
        "name the file as it was registered",
    )


def recover_owned(home: Home, recovery: Recovery) -> None:
    """Find what the pod needs to go on with its jobs, as their owner.

    Raises:
        ChainUnusable: the node does not answer.
    """
    ids = home.agreements.list(owner=home.keys.address)
    for agreement in home.agreements.read_many(ids):
        events = home.agreements.events(agreement.id)
        accepted = next((event for event in events if event.name == "Accepted"), None)
        what = agreement.state.name.lower()
        if accepted is not None:
            _keep_recipient(home, agreement, accepted)
            _keep_sent(home, agreement, events)
            _keep_counted(home, recovery, agreement, events)
        if agreement.state is State.REQUESTED:
            what = "requested; you are asked about it, whatever was said of it before"
        write_recovered(home, agreement.id, owners_life(home, agreement.id, events), *_open_questions(home, agreement))
        recovery.has("job", agreement.id, what)
        _miss_identity(home, recovery, agreement)


def _keep_recipient(home: Home, agreement: Agreement, accepted: Event) -> None:
    """To whom the job is sealed: as the scientist's entry stood when it was accepted."""
    if home.journal.fact(agreement.id, RECIPIENT) is not None:
        return
    chain, account = home.chain, agreement.scientist
    named = [
        event
        for name in ("PodRegistered", "PodUpdated")
        for event in chain.events("Registry", name, None, accepted.block, account=account)
    ]
    named.sort(key=lambda event: (event.block, event.log_index))
    if named:
        home.journal.keep_fact(agreement.id, RECIPIENT, check_recipient(named[-1].args["recipient"]))


def _keep_sent(home: Home, agreement: Agreement, events: list[Event]) -> None:
    """What was sealed already, so that it is not sealed anew."""
    id, journal, run = agreement.id, home.journal, home.agreements.run_of(agreement.id, events)
    if run.delivery is not None:
        journal.keep_fact(id, "weights", str(run.delivery))
    released = [release.identity for release in home.audits.releases(AuditRef(id), events) if release.by == _own(home)]
    if key := run.identity or next(iter(released), None):
        journal.keep_fact(id, "key", str(key))
    for event in events:
        if event.name == "EvidenceSubmitted" and (cid := cid_in(event.args["evidenceCid"])) is not None:
            journal.keep_fact(AuditRef(id, event.args["ordinal"]), f"evidence/{event.args['round']}", str(cid))


def _own(home: Home) -> str:
    return home.keys.address


def _keep_counted(home: Home, recovery: Recovery, agreement: Agreement, events: list[Event]) -> None:
    """What audits of the job have opened, or may, against the cap of its dataset; of those of which
    evidence may have been made, all. Where the recipe is gone, each counts with every record."""
    recipe = _recipe(home, recovery, agreement)
    every = home.registry.dataset(agreement.terms.dataset).count if recipe is None else 0
    card = Card.parse(home.journal.dataset(agreement.terms.dataset).card)
    refs = {AuditRef(agreement.id): agreement.terms.audit}
    for asked in home.agreements.asked_audits_of(home.agreements.consented_audits(agreement.id)):
        refs[asked.ref] = asked.terms
    for ref, terms in refs.items():
        if recipe is not None:
            keep_disclosed(home, ref, counted_records(terms, recipe, card, bool(ref.ordinal)))
        elif home.journal.fact(ref, DISCLOSED) is None:
            keep_disclosed(home, ref, every if terms.seats else 0)
    for event in events:
        if event.name == "EvidenceAwaited":
            home.journal.keep_fact(AuditRef(agreement.id, event.args["ordinal"]), EVIDENCE_MADE, "")


def _recipe(home: Home, recovery: Recovery, agreement: Agreement) -> Recipe | None:
    """The recipe of a job, from its folder, else from the offer; None where neither has it."""
    try:
        return read_recipe(home.job_folder(agreement.id))
    except (NotFound, InputRefused):
        pass
    try:
        return fetch_offer(home, agreement, ATTEMPTS)[0]
    except FitchainError as error:
        meaning = "its audits count as if they opened every record, and nothing can be trained or shown of it"
        recovery.lacks("job", agreement.id, f"its recipe ({error.message})", meaning)
        return None


def _open_questions(home: Home, agreement: Agreement) -> list[AuditRef]:
    """Questions that wait for an answer: a person is asked, whatever it said before."""
    refs = [asked.ref for asked in home.agreements.asked_audits(agreement.id)]
    return home.agreements.open_among(refs, home.chain.block("latest").timestamp)


def _miss_identity(home: Home, recovery: Recovery, agreement: Agreement) -> None:
    """Say where the identity is gone that opens what the job delivered, and it was not released."""
    folder = home.job_folder(agreement.id)
    if agreement.state is State.AUDITING and not folder.identity.exists():
        meaning = (
            "no evidence can be given and no key be released: unless a copy of the home has it, the bond is forfeited"
        )
        recovery.lacks("job", agreement.id, f"the job's identity, which was in {folder.identity}", meaning)
