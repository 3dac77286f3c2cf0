"""Continuing: what a job delivered is published as a new model for another owner's dataset, with
the graph of the first.

Columns go by name, as the first model was published. What a number means to the model follows from
each owner's own constants (its dataset's mean and scale, say), which differ: that is told, and not
undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fitchain.pod.compute.dataset import Card
from fitchain.pod.compute.dataset.columns import MEANT_BY_UNIT, Column, Kind
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import ModelRow
from fitchain.pod.parties.scientist.publish import PublishedBase, PublishedModel, read_card, register_files
from fitchain.pod.parties.scientist.receive import delivery
from fitchain.pod.parties.scientist.weights import weights_of_job
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.values.categories import category_texts
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId, DatasetId
from fitchain.pod.values.job_folder import GRAPH
from fitchain.pod.values.recipe import Recipe, argument_columns

MOST_NAMED = 8
"""Columns in a message."""
CATEGORIES = "categories"
_NUMBERS = (Kind.NUMBER, Kind.WHOLE, Kind.BOOLEAN)
PUBLISH_HINT = "publish a model for its columns: fitchain model publish FILE.py:NAME --dataset DATASET --parent JOB"


@dataclass(frozen=True)
class ContinuedModel:
    """A model that begins with what a job delivered.

    Args:
        published: the model, for the other dataset.
        job: what delivered its weights.
        notes: what is otherwise in the other dataset, in sentences.
    """

    published: PublishedModel
    job: AgreementId
    notes: tuple[str, ...]


def continue_job(home: Home, id: AgreementId, dataset: DatasetId) -> ContinuedModel:
    """Publish what a job delivered as a new model for another dataset.

    The job's delivery is fetched and checked where that is not done. The new model has the graph of
    the job's own, which this home has published, its root is the job's final root, and the registry
    names the parent and how it derives.

    Args:
        home: the scientist's, opened with its key.
        id: the job.
        dataset: of any owner.

    Raises:
        NotFound: the job has delivered nothing, this home did not publish its model, or there is no
            such dataset.
        InputRefused: the dataset lacks a column of the model's, or has another under its name.
        Refuted: the job's certificate does not hold.
    """
    row = home.journal.model(home.agreements.terms(id).model)
    card = read_card(home, dataset)
    weights = weights_of_job(home, id)
    before = Statement.parse(unseal(delivery(home, id).certificate.read_bytes())[0])
    require_same_columns(before.recipe, before.card, card)
    under = _base_of(home, before.recipe)
    graph = (row.folder / GRAPH).read_bytes()
    registered = register_files(home, graph, weights.tensors, weights.origin, under)
    model, root, cid = registered.id, registered.file.root, registered.cid
    columns = before.recipe.inputs
    if columns == argument_columns(card.json()):
        columns = ()  # as every recipe has them that names none
    home.journal.keep_model(ModelRow(model, row.name, home.model_folder(model), row.graph, root, str(cid), columns))
    used = None if under is None else under.used_by(registered.file)
    published = PublishedModel(model, row.graph, root, cid, base=used)
    return ContinuedModel(published, id, tuple(notes_of(before.recipe, before.card, card)))


def _base_of(home: Home, recipe: Recipe) -> PublishedBase | None:
    """The base over which a model was published here, which the continued one has, too."""
    if recipe.base is None:
        return None
    if (published := home.bases.published(recipe.base)) is None:
        raise NotFound(
            f"this home has published no base {recipe.base.short}, over which the job's model is a delta",
            "publish it again: fitchain model publish --base FILE",
        )
    source, id = published
    return PublishedBase(id, source)


def require_same_columns(recipe: Recipe, before: Card, card: Card) -> None:
    """Refuse a dataset in which a model would be given something else than it was trained on.

    Args:
        recipe: of the training before.
        before: the card of its dataset.
        card: of the other dataset.

    Raises:
        InputRefused: a column is missing, or of another kind or shape, or has other categories.
    """
    wanted = (*_inputs(recipe), recipe.target)
    missing = [name for name in wanted if name not in card.model_columns]
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        names = ", ".join(map(repr, missing[:MOST_NAMED]))
        raise InputRefused(
            f"the dataset {card.name!r} lacks {names}{more}, which the model takes or predicts", PUBLISH_HINT
        )
    if card.target != recipe.target:
        raise InputRefused(
            f"the model predicts {recipe.target!r}, and the target of the dataset {card.name!r} is {card.target!r}",
            PUBLISH_HINT,
        )
    for name in wanted:
        for what, old, new in _meaning(name, before, card):
            if old != new:
                raise InputRefused(
                    f"the column {name!r} has {what} {old} where the model was trained, and {new} here", PUBLISH_HINT
                )


def notes_of(recipe: Recipe, before: Card, card: Card) -> Iterator[str]:
    """What differs between two datasets that a model takes alike, in sentences."""
    inputs = _inputs(recipe)
    scaled = [name for name in inputs if before.transform.get(name, {}) != card.transform.get(name, {})]
    if scaled:
        shown = ", ".join(scaled[:MOST_NAMED])
        more = f" and {len(scaled) - MOST_NAMED} more" if len(scaled) > MOST_NAMED else ""
        yield (
            f"preprocessing is each owner's own: {shown}{more} enter by other constants (mean and scale, or range) "
            "than in the training before, so that an equal cell is another number to the model"
        )
    units = [name for name in (*inputs, recipe.target) if before.column(name).unit != card.column(name).unit]
    if units:
        shown = ", ".join(
            f"{name} ({before.column(name).unit!r}, here {card.column(name).unit!r})" for name in units[:MOST_NAMED]
        )
        yield f"units differ by what the owners say: {shown}"


def _inputs(recipe: Recipe) -> list[str]:
    return list(dict.fromkeys(name for columns in recipe.inputs for name in columns))


def _meaning(name: str, before: Card, card: Card) -> Iterator[tuple[str, object, object]]:
    """What has to be equal of a column for a model to take it alike."""
    old, new = before.column(name), card.column(name)
    yield "the kind", _kind(old), _kind(new)
    yield "the shape", list(old.shape), list(new.shape)
    if old.kind in MEANT_BY_UNIT:
        yield "the unit", old.unit, new.unit
    yield "the categories", _categories(before, name), _categories(card, name)


def _kind(column: Column) -> str:
    """What the cells are to a model: numbers are numbers, whole or not."""
    return str(Kind.NUMBER if column.kind in _NUMBERS else column.kind)


def _categories(card: Card, name: str) -> str:
    """A column's categories in their order, which decides what each is to the model."""
    categories = card.transform.get(name, {}).get(CATEGORIES)
    return "none" if categories is None else ", ".join(category_texts(categories))
