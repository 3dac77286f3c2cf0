"""`fitchain model`: what a scientist brings, and what a training made of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.commands import job
from fitchain.cli.ids import (
    AgreementArgument,
    ModelArgument,
    find_agreement,
    find_dataset,
    find_model,
    require_retirable,
)
from fitchain.cli.model_source import PublishArguments
from fitchain.cli.parents import is_id, read_parents
from fitchain.cli.views.amounts import clock, day, size_text
from fitchain.cli.views.lineage import lineage_pairs, parentage_values
from fitchain.cli.views.output import KeyValues, Prose, Report, Rows, log
from fitchain.cli.views.weights import weights_pairs, weights_values
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused, require_faultless
from fitchain.pod.values.job_folder import BASE, BASES

if TYPE_CHECKING:
    from fitchain.pod.ports.registry import ModelEntry

app = group("model", "Bring a model; fetch what became of it.")


# Many parameters: what a person may say of a model.
@command(app, "publish")
def publish(
    session: Session,
    source: Annotated[
        str,
        typer.Argument(metavar="FILE.py:NAME", help="NAME: a class or a factory without arguments, or an instance."),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", metavar="ID", help="The shapes of the inputs come from its columns.", show_default=False
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=COLUMNS[:TYPE]",
            help="Which columns enter a parameter of forward: x=age,bmi or x='gene_*' or x=@number or codes=icd:int64"
            " or x=@rest; one for each. Else all single values enter together.",
            show_default=False,
        ),
    ] = None,
    parent: Annotated[
        list[str] | None,
        typer.Option(
            "--parent",
            metavar="MODEL|JOB|CERTIFICATE",
            help="What it descends from: a model; or a job or a certificate's file, whose weights it begins with.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL|FILE",
            help="What it is made of: a model published here, a .safetensors file, the index of its shards, or a folder"
            " with either. Its tensors travel once, for all jobs over it.",
            show_default=False,
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read the base; else only who is offered a model over it.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE.safetensors",
            help="Begin with these: a file, the index of its shards, or a folder with either; beside a certificate, its"
            " model's file.",
            show_default=False,
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take those weights that fit, although some do not.")
    ] = False,
    output: Annotated[
        str,
        typer.Option(
            "--output", metavar="NAME", help="Which tensor, where it returns several: logits, say.", show_default=False
        ),
    ] = "",
) -> Report:
    """Export an nn.Module as a graph and weights, and register them."""
    base_path = None if base is None else _named_path(base)
    arguments = PublishArguments(
        source, inputs or (), parent or (), weights, base_path, public, partial, base is not None
    )
    require_faultless("", list(arguments.faults()))
    from fitchain.pod.parties import scientist

    path, name = arguments.path, arguments.name
    home = session.home
    under = base_path if base is None or base_path is not None else find_model(home, base)
    parents, initial = read_parents(home, parent or (), weights, partial, base_path)
    dataset_id = find_dataset(home, dataset)
    log(f"tracing {name} as a graph, then sealing and registering it")
    published = scientist.publish_model(
        home,
        path,
        dataset_id,
        name=name,
        output=output,
        parents=parents,
        inputs=inputs or (),
        base=under,
        is_public=public,
        weights=initial,
    )
    values: dict[str, Any] = {
        "model": published.id,
        "graph": published.graph,
        "initial_model": published.initial_model,
        "folder": home.model_folder(published.id),
    }
    pairs: list[tuple[str, Any]] = [(label.replace("_", " "), value) for label, value in values.items()]
    pairs += [
        (f"input {each.name}", f"{_listed(each.columns)} ({each.type}, {' x '.join(map(str, each.shape))})")
        for each in published.arguments
    ]
    if parents and initial is None:
        pairs.append(
            ("parents", f"{', '.join(each.short for each in parents)}: only named: none of their weights is taken")
        )
    if initial is not None and published.loaded is not None:
        values["weights"] = weights_values(initial, published)
        pairs += weights_pairs(initial, published)
    values["inputs"] = [asdict(each) for each in published.arguments]
    values["base"] = None if published.base is None else dict(vars(published.base))
    if (used := published.base) is not None:
        sealed = "public" if used.is_public else "sealed to those who are offered a model over it"
        pairs.append(("base", f"{used.id} ({used.root}), {sealed}"))
        pairs.append(("shared with it", size_text(used.shared_bytes)))
        pairs.append(("travels with each job", size_text(used.own_bytes)))
    if published.unpublished:
        values["unpublished"] = list(published.unpublished)
        pairs.append(("not published", f"{', '.join(published.unpublished)}: the recipe says how it is trained"))
    pairs.append(("next", f"fitchain job request --dataset {dataset_id.short} --model {published.id.short}"))
    return Report(values, [KeyValues(pairs)])


@command(app, "continue")
def continue_(
    session: Session,
    agreement: AgreementArgument,
    dataset: Annotated[
        str,
        typer.Option("--dataset", metavar="ID", help="The dataset to go on with, of any owner.", show_default=False),
    ],
    request: Annotated[bool, typer.Option("--request", help="Ask its owner for the training at once.")] = False,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE.toml", help="With --request: as in job request.", show_default=False),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="FIT", help="With --request: what you pay.", show_default=False),
    ] = None,
) -> Report:
    """Publish what a job delivered as a new model for another dataset.

    Graph and columns are those of the first; its preprocessing is the other owner's own.
    """
    from fitchain.pod.parties import scientist

    if not request and (recipe is not None or price is not None):
        raise InputRefused("--recipe and --price are of a request", "add --request, or leave them out")
    home = session.home
    id, dataset_id = find_agreement(home, agreement), find_dataset(home, dataset)
    continued = scientist.continue_job(home, id, dataset_id)
    published = continued.published
    values: dict[str, Any] = {
        "model": published.id,
        "graph": published.graph,
        "initial_model": published.initial_model,
        "continues": id,
        "notes": list(continued.notes),
        "folder": home.model_folder(published.id),
    }
    pairs: list[tuple[str, Any]] = [(label.replace("_", " "), values[label]) for label in values if label != "notes"]
    pairs += [("note", note) for note in continued.notes]
    if not request:
        pairs.append(("next", f"fitchain job request --dataset {dataset_id.short} --model {published.id.short}"))
        return Report(values, [KeyValues(pairs)])
    asked = job.request(session, str(dataset_id), str(published.id), recipe=recipe, price=price)
    return Report(values | {"request": asked.values}, [KeyValues(pairs), *asked.views])


@command(app, "list")
def list_(session: Session) -> Report:
    """List the models of this deployment, oldest first."""
    home = session.reader
    names = {row.id: row.name for row in home.journal.models()}
    entries, times = home.registry.models(), home.registry.registered_at("Model")
    values = [
        {
            "model": entry.id,
            "name": names.get(entry.id),
            "author": entry.author,
            "graph": entry.graph,
            **_origin(entry),
            "active": entry.active,
            "registered": times.get(entry.id),
        }
        for entry in entries
    ]
    rows = [
        (
            entry.id.short,
            names.get(entry.id),
            entry.author,
            "yes" if entry.active else "retired",
            day(times[entry.id]) if entry.id in times else None,
        )
        for entry in entries
    ]
    headers = ("model", "name here", "author", "open", "registered")
    return Report({"models": values}, [Rows(headers, rows, empty="no model yet")])


@command(app, "show")
def show(session: Session, model: ModelArgument) -> Report:
    """Show a published model and the jobs that trained it."""
    from fitchain.pod.proof.certificate.lineage import lineage_is_whole, trace

    home = session.reader
    entry = home.registry.model(find_model(home, model))
    lineage, parentages = trace(home.chain, entry.id)
    jobs = home.agreements.read_many(home.agreements.list())
    trained_it = [job for job in jobs if job.terms.model == entry.id]
    values = {
        "model": entry.id,
        "author": entry.author,
        "graph": entry.graph,
        **_origin(entry),
        "active": entry.active,
        "parentages": [parentage_values(each) for each in parentages],
        "lineage_whole": lineage_is_whole(lineage),
        "jobs": [
            {"agreement": job.id, "state": job.state.name.capitalize(), "requested": job.requested_at}
            for job in trained_it
        ],
    }
    pairs = [(label.replace("_", " "), _shown(value)) for label, value in values.items() if label not in _UNTOLD]
    pairs += lineage_pairs(lineage, parentages, lineage_is_whole(lineage))
    rows = [(job.id.short, job.state.name.capitalize(), clock(job.requested_at)) for job in trained_it]
    return Report(values, [KeyValues(pairs), Rows(("job", "state", "requested"), rows)])


@command(app, "fetch")
def fetch(
    session: Session,
    agreement: AgreementArgument,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Copy the files there too; what is there and equal stays.", show_default=False
        ),
    ] = None,
) -> Report:
    """Fetch, open and check what a job trained."""
    from fitchain.pod.parties import scientist

    if to is not None:
        scientist.require_folder(to)  # before what takes long
    home = session.home
    id = find_agreement(home, agreement)
    delivery = scientist.fetch_model(home, id)
    if to is not None:
        delivery = delivery.copy_into(to)
    values = {
        "model": delivery.model,
        "certificate": delivery.certificate,
        "graph": delivery.graph,
        "preprocessing": delivery.preprocessing,
    }
    check = f"fitchain proof verify {shlex.quote(str(delivery.model))} {shlex.quote(str(delivery.certificate))}"
    pairs: list[tuple[str, Any]] = [*values.items(), ("next", check)]
    if home.agreements.read(id).state in (State.TRAINED, State.DIVERGED):
        pairs.append(("then", f"fitchain job accept {id.short}"))
    return Report(values, [KeyValues(pairs), Prose("In Python", _use(delivery.model.parent), verbatim=True)])


@command(app, "merge")
def merge(
    session: Session,
    model: Annotated[
        str,
        typer.Argument(
            metavar="JOB|FILE",
            help="A job that was received, a .safetensors file, the index of its shards, or a folder with either.",
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file that is written.", show_default=False)],
    base: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The base's file; else the one that this home has.", show_default=False),
    ] = None,
) -> Report:
    """Write whole what was delivered as a delta over a base, or comes in shards."""
    from fitchain.pod.parties import scientist

    if (path := _named_path(model)) is not None:
        beside = (path if path.is_dir() else path.parent) / BASE
        usual = beside if beside.is_file() else session.settings.home / BASES
        merged = scientist.merge_model(path, to, base or usual)
    else:
        home = session.home
        merged = scientist.merge_result(home, find_agreement(home, model), to, base)
    pairs = [
        ("written", to),
        ("model root", merged.root),
        ("base", merged.base),
        ("tensors", size_text(merged.size_bytes)),
    ]
    return Report(dict(vars(merged)), [KeyValues(pairs)])


@command(app, "retire")
def retire(session: Session, model: ModelArgument) -> Report:
    """Let no new request name a model, as its author; jobs on their way go on."""
    home = session.home
    id = find_model(home, model)
    entry = home.registry.model(id)
    require_retirable(home, f"the model {id.short}", entry.author, entry.active)
    home.registry.retire_model(id)
    return Report({"model": id, "active": False}, [f"retired {id.short}: no new request can name it"])


def _named_path(text: str) -> Path | None:
    """The file or folder that a text names; None where it can only be an id."""
    return None if is_id(text) and not Path(text).exists() else Path(text)


def _use(folder: Path) -> list[str]:
    """How a delivered model is used, line by line."""
    return ["import fitchain", f"model = fitchain.load({str(folder)!r})", 'print(model.predict("rows.csv"))']


MOST_LISTED = 12
_UNTOLD = ("jobs", "active", "parentages", "lineage_whole")
"""What is shown as a table, or as part of one."""


def _origin(entry: ModelEntry) -> dict[str, Any]:
    """Weights of a model, and where they come from, in the words of `--json`."""
    return {
        "initial_model": entry.root,
        "base": None if entry.base == ZERO else entry.base,
        "parents": list(entry.parents),
        "derivation": None if entry.derivation == ZERO else entry.derivation,
    }


def _listed(columns: Sequence[str]) -> str:
    """Columns for people, the first few of many."""
    more = len(columns) - MOST_LISTED
    return ", ".join([*columns[:MOST_LISTED], *([f"and {more} more"] if more > 0 else [])])


def _shown(value: Any) -> Any:
    """A value for people: several ids in one line."""
    return ", ".join(str(each) for each in value) or None if isinstance(value, list) else value
