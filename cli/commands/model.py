"""`fitchain model`: what a scientist brings, and what a training made of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import (
    AgreementArgument,
    ModelArgument,
    find_agreement,
    find_dataset,
    find_model,
    require_retirable,
)
from fitchain.cli.views.amounts import clock, day, size_text
from fitchain.cli.views.output import KeyValues, Report, Rows, log
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.job_folder import BASES

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports.registry import ModelEntry
    from fitchain.pod.values.ids import ModelId

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
            "--parent", metavar="MODEL", help="A model that it descends from; may be repeated.", show_default=False
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL|FILE",
            help="What it is made of: a model published here, or a .safetensors file. Its tensors travel once, for all"
            " jobs over it.",
            show_default=False,
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read the base; else only who is offered a model over it.")
    ] = False,
    output: Annotated[
        str,
        typer.Option(
            "--output", metavar="NAME", help="Which tensor, where it returns several: logits, say.", show_default=False
        ),
    ] = "",
) -> Report:
    """Export an nn.Module as a graph and weights, and register them."""
    from fitchain.pod.parties import scientist

    path, colon, name = source.rpartition(":")
    if not colon or not name.isidentifier():
        raise InputRefused(f"{source!r} does not name a module in a file", "write it as FILE.py:NAME")
    home = session.home
    parents = [find_model(home, text) for text in parent or ()]
    dataset_id = find_dataset(home, dataset)
    log(f"tracing {name} as a graph, then sealing and registering it")
    if public and base is None:
        raise InputRefused("--public says who may read the base, and none is named", "add --base, or leave it out")
    published = scientist.publish_model(
        home,
        Path(path),
        dataset_id,
        name=name,
        output=output,
        parents=parents,
        inputs=inputs or (),
        base=None if base is None else _base(home, base),
        is_public=public,
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
    home = session.reader
    entry = home.registry.model(find_model(home, model))
    jobs = home.agreements.read_many(home.agreements.list())
    trained_it = [job for job in jobs if job.terms.model == entry.id]
    values = {
        "model": entry.id,
        "author": entry.author,
        "graph": entry.graph,
        **_origin(entry),
        "active": entry.active,
        "jobs": [
            {"agreement": job.id, "state": job.state.name.capitalize(), "requested": job.requested_at}
            for job in trained_it
        ],
    }
    pairs = [(label.replace("_", " "), _shown(value)) for label, value in values.items() if label not in _UNTOLD]
    rows = [(job.id.short, job.state.name.capitalize(), clock(job.requested_at)) for job in trained_it]
    return Report(values, [KeyValues(pairs), Rows(("job", "state", "requested"), rows)])


@command(app, "fetch")
def fetch(
    session: Session,
    agreement: AgreementArgument,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy the two files there too.", show_default=False)
    ] = None,
) -> Report:
    """Fetch, open and check what a job trained."""
    from fitchain.pod.parties import scientist

    home = session.home
    id = find_agreement(home, agreement)
    delivery = scientist.fetch_model(home, id)
    if to is not None:
        delivery = delivery.copy_into(to)
    values = {"model": delivery.model, "certificate": delivery.certificate}
    check = f"fitchain proof verify {shlex.quote(str(delivery.model))} {shlex.quote(str(delivery.certificate))}"
    pairs: list[tuple[str, Any]] = [*values.items(), ("next", check)]
    if home.agreements.read(id).state in (State.TRAINED, State.DIVERGED):
        pairs.append(("then", f"fitchain job accept {id.short}"))
    return Report(values, [KeyValues(pairs)])


@command(app, "merge")
def merge(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="JOB|FILE", help="A job that was received, or a .safetensors file.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file that is written.", show_default=False)],
    base: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The base's file; else the one that this home has.", show_default=False),
    ] = None,
) -> Report:
    """Write whole what was delivered as a delta over a base."""
    from fitchain.pod.parties import scientist

    if (path := Path(model)).is_file():
        merged = scientist.merge_model(path, to, base or session.settings.home / BASES)
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


def _base(home: Home, text: str) -> ModelId | Path:
    """The base that a person means: a file that is there, else a model by its id."""
    return path if (path := Path(text)).is_file() or path.suffix else find_model(home, text)


MOST_LISTED = 12
_UNTOLD = ("jobs", "active")
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
