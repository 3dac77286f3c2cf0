"""Publishing a model: a scientist's module becomes a graph and weights, named on chain by their
digests."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.pod.compute.dataset import Argument, Card, Parameters, chosen_arguments, usual_arguments
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import ModelRow
from fitchain.pod.ports.registry import DatasetEntry
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import DatasetId, ModelId
from fitchain.pod.values.job_folder import GRAPH, INITIAL, part_of
from fitchain.pod.values.limits import CARD
from fitchain.pod.values.recipe import argument_columns
from fitchain.pod.values.state import model_root, write_safetensors

if TYPE_CHECKING:
    from fitchain.pod.compute.model import ModuleSource

MODEL_FILES = (GRAPH, INITIAL)
EXAMPLE_BATCH = 4


@dataclass(frozen=True)
class PublishedModel:
    """A model as it was published; `cid` names its sealed files, which only this pod opens,
    `arguments` say which columns enter it, and `unpublished` are methods of a `LightningModule`
    that say how it is trained: the recipe says that instead."""

    id: ModelId
    graph: Digest
    initial_model: Root
    cid: Cid
    arguments: tuple[Argument, ...] = ()
    unpublished: tuple[str, ...] = ()


def read_card(home: Home, dataset: DatasetId) -> Card:
    """Fetch the card of a dataset and compare it with the registry.

    Raises:
        NotFound: the registry has no such dataset, or the store no such card.
        ClaimMismatch: the card is about other records than the registry says.
    """
    entry = home.registry.dataset(dataset)
    home.add_peer(entry.owner)
    return card_of(entry, home.store.cat(entry.card, CARD.text_bytes))


def card_of(entry: DatasetEntry, data: bytes) -> Card:
    """Read a card, and compare it with the registry.

    Raises:
        InputRefused: it is none.
        ClaimMismatch: it is about other records than the registry says.
    """
    card = Card.parse(data)
    if (card.root, card.count) != (entry.root, entry.count):
        raise ClaimMismatch(f"the card {entry.card} is about {card.count} records under {card.root}, not {entry.root}")
    return card


def publish_model(
    home: Home,
    module: ModuleSource | Path,
    dataset: DatasetId,
    *,
    name: str = "",
    output: str = "",
    parents: Sequence[ModelId] = (),
    inputs: Sequence[str] = (),
) -> PublishedModel:
    """Export a module of the scientist's own and register it.

    Its code runs here, in the scientist's process; what leaves is a graph and weights.

    Args:
        home: the scientist's, opened with its key.
        module: an `nn.Module`, or a class or a factory that makes one without arguments; or a
            Python file.
        dataset: the dataset whose columns give the shapes of the inputs.
        name: of the class, factory or instance in the file; without a file, what the model is
            called in this home, else by its class.
        output: which tensor is trained where the module returns several: a key or an attribute,
            such as `logits`, or a place.
        parents: the registered models that it descends from, at most 64.
        inputs: which columns enter which parameter of forward, `NAME=COLUMNS[:TYPE]` each
            (`fitchain.pod.compute.dataset.arguments`); a job request of this home repeats them.
            None gives all single values together to one, and each column of arrays to another.

    Raises:
        InputRefused: the module cannot be made or exported; the message names its line. Or the
            inputs fit forward or the dataset not.
        NotFound: there is no such file, name or dataset.
    """
    from fitchain.pod.compute.fitting import require_records_apart
    from fitchain.pod.compute.model import load_module, module_name, take_module
    from fitchain.pod.compute.model.export import export
    from fitchain.pod.compute.model.frameworks import unpublished_steps

    if isinstance(module, Path) and not name:
        raise InputRefused(f"{module} may define several modules, and none is named", "name one of them")
    card = read_card(home, dataset)
    taken = load_module(module, name) if isinstance(module, Path) else take_module(module)
    parameters = Parameters.of(taken.forward)
    arguments = chosen_arguments(inputs, card, parameters) if inputs else usual_arguments(card, parameters)
    try:
        graph, tensors = export(taken, [argument.input for argument in arguments], EXAMPLE_BATCH, output=output)
    except InputRefused as error:
        raise InputRefused(error.message, error.hint or f"forward got {'; '.join(map(str, arguments))}") from None
    require_records_apart(graph)
    folder = part_of(home.settings.home / "models")
    folder.mkdir(mode=0o700, parents=True)
    try:
        (folder / GRAPH).write_bytes(graph.encode())
        write_safetensors(folder / INITIAL, tensors)
        root = model_root(tensors)
        cid = send_folder(home.store, folder, MODEL_FILES, [home.keys.recipient])
        id = home.registry.register_model(graph.digest, root, parents=parents)
        target = home.model_folder(id)
        for file in MODEL_FILES:
            (folder / file).replace(target / file)
    finally:
        shutil.rmtree(folder)
    known_as = name if isinstance(module, Path) else name or module_name(module)
    columns = tuple(argument.columns for argument in arguments)
    if columns == argument_columns(card.json()):
        columns = ()  # as every recipe has them that names none, for other datasets and targets, too
    home.journal.keep_model(ModelRow(id, known_as, target, graph.digest, root, str(cid), columns))
    return PublishedModel(id, graph.digest, root, cid, arguments, unpublished_steps(taken))
