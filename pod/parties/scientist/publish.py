"""Publishing a model: a scientist's module becomes a graph and weights, named on chain by their
digests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.pod.compute.dataset import Argument, Card, Parameters, chosen_arguments, usual_arguments
from fitchain.pod.jobs.bases import BaseSource
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import ModelRow
from fitchain.pod.parties.scientist.weights import InitialWeights, Origin
from fitchain.pod.ports.registry import DatasetEntry
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.delta import WEIGHTS, ModelFile, inventory_of
from fitchain.pod.values.digest import Digest, Root, sha256
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import NO_MODEL, DatasetId, ModelId
from fitchain.pod.values.job_folder import GRAPH, INITIAL, JobFolder, part_of
from fitchain.pod.values.limits import CARD
from fitchain.pod.values.recipe import argument_columns
from fitchain.pod.values.state import ITEM_BYTES, TensorBytes, Tensors, read_safetensors
from fitchain.pod.values.weights_file import read_weights, weights_in

if TYPE_CHECKING:
    from fitchain.pod.compute.model import ModuleSource
    from fitchain.pod.compute.model.weights import Loaded

MODEL_FILES = (GRAPH, INITIAL)
EXAMPLE_BATCH = 4
LOAD_BASE = "load the base's weights where the module is made, in the type in which the base has them"


@dataclass(frozen=True)
class UsedBase:
    """The base of a published model.

    Args:
        id, root: as it is registered.
        cid: of its file in the store, sealed unless `is_public`.
        shared_bytes, own_bytes: of the model's tensors, those that are the base's, and those that
            travel with each job.
    """

    id: ModelId
    root: Root
    cid: Cid
    is_public: bool
    shared_bytes: int
    own_bytes: int


@dataclass(frozen=True)
class PublishedModel:
    """A model as it was published; `cid` names its sealed files, which only this pod opens,
    `arguments` say which columns enter it, `base` over which model it is a delta, `loaded` which
    weights were not the module's own, and `unpublished` are methods of a `LightningModule` that say
    how it is trained: the recipe says that instead."""

    id: ModelId
    graph: Digest
    initial_model: Root
    cid: Cid
    arguments: tuple[Argument, ...] = ()
    base: UsedBase | None = None
    loaded: Loaded | None = None
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


# Many parameters: what a module does not say of itself, each of which has a default.
def publish_model(
    home: Home,
    module: ModuleSource | Path,
    dataset: DatasetId,
    *,
    name: str = "",
    output: str = "",
    parents: Sequence[ModelId] = (),
    inputs: Sequence[str] = (),
    base: ModelId | Path | None = None,
    is_public: bool = False,
    weights: InitialWeights | None = None,
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
            such as `logits`, or a source.
        parents: the registered models that it descends from, at most 64.
        inputs: which columns enter which parameter of forward, `NAME=COLUMNS[:TYPE]` each
            (`fitchain.pod.compute.dataset.arguments`); a job request of this home repeats them.
            None gives all single values together to one, and each column of arrays to another.
        base: the model whose tensors need not travel again: one that this home published, or a
            safetensors file, the index of its shards, or a folder with either of them, which is
            registered on the way. It becomes a parent, too.
        is_public: whether everybody may read the base; else it is sealed to those who are offered a
            model over it.
        weights: with which it begins instead of its own, and from which models these come
            (`weights_of_file`, `weights_of_job`, `weights_of_certificate`); they are loaded into
            the module.

    Raises:
        InputRefused: the module cannot be made or exported; the message names its line. Or the
            inputs fit forward or the dataset not, or the weights not the module.
        NotFound: there is no such file, name, dataset or base.
    """
    from fitchain.pod.compute.fitting import require_records_apart
    from fitchain.pod.compute.model import load_module, module_name, take_module
    from fitchain.pod.compute.model.export import export
    from fitchain.pod.compute.model.frameworks import unpublished_steps
    from fitchain.pod.compute.model.weights import load_weights

    if isinstance(module, Path) and not name:
        raise InputRefused(f"{module} may define several modules, and none is named", "name one of them")
    if isinstance(base, Path):
        base = weights_in(base)
    card = read_card(home, dataset)
    taken = load_module(module, name) if isinstance(module, Path) else take_module(module)
    loaded = None
    if weights is not None:
        how = {"is_partial": weights.takes_part, "may_differ": weights.may_differ}
        loaded = load_weights(taken, weights.tensors, weights.source, **how)
    parameters = Parameters.of(taken.forward)
    arguments = chosen_arguments(inputs, card, parameters) if inputs else usual_arguments(card, parameters)
    try:
        graph, tensors = export(taken, [argument.input for argument in arguments], EXAMPLE_BATCH, output=output)
    except InputRefused as error:
        raise InputRefused(error.message, error.hint or f"forward got {'; '.join(map(str, arguments))}") from None
    require_records_apart(graph)
    under = None if base is None else publish_base(home, base, tensors, is_public)
    origin = Origin(tuple(parents)) if weights is None else weights.origin.beside(parents)
    registered = register_files(home, graph.encode(), tensors, origin, under)
    known_as = name if isinstance(module, Path) else name or module_name(module)
    columns = tuple(argument.columns for argument in arguments)
    if columns == argument_columns(card.json()):
        columns = ()  # as every recipe has them that names none, for other datasets and targets, too
    id, cid, root = registered.id, registered.cid, registered.file.root
    home.journal.keep_model(ModelRow(id, known_as, home.model_folder(id), graph.digest, root, str(cid), columns))
    used = None if under is None else under.used_by(registered.file)
    return PublishedModel(id, graph.digest, root, cid, arguments, used, loaded, unpublished_steps(taken))


@dataclass(frozen=True)
class Registered:
    """A model as the registry and the store have it: its id, the CID of its sealed files, and the
    content of its weights' file."""

    id: ModelId
    cid: Cid
    file: ModelFile


def register_files(
    home: Home, graph: bytes, tensors: Tensors, origin: Origin, base: PublishedBase | None
) -> Registered:
    """Register a model, seal its files to this pod, and keep them in its folder.

    Args:
        home: the scientist's, opened with its key.
        graph: the model's, encoded.
        tensors: all of the model.
        origin: what the registry says of where it comes from.
        base: over which its file is a delta; a parent of its, too. None writes it whole.

    Raises:
        InputRefused: it shares no tensor with the base.
    """
    file = ModelFile(tensors) if base is None else delta_over(home, tensors, base)
    above = NO_MODEL if base is None else base.id
    origin = origin if base is None else origin.beside([above])
    folder = part_of(home.settings.home / "models")
    folder.mkdir(mode=0o700, parents=True)
    try:
        (folder / GRAPH).write_bytes(graph)
        file.write(folder / INITIAL)
        cid = send_folder(home.store, folder, MODEL_FILES, [home.keys.recipient])
        id = home.registry.register_model(
            sha256(graph), file.root, base=above, parents=origin.parents, derivation=origin.derivation
        )
        target = home.model_folder(id)
        for each in MODEL_FILES:
            (folder / each).replace(target / each)
    finally:
        shutil.rmtree(folder)
    return Registered(id, cid, file)


@dataclass(frozen=True)
class PublishedBase:
    """A base as it was published: its registered id, and where it lies."""

    id: ModelId
    source: BaseSource

    def used_by(self, file: ModelFile) -> UsedBase:
        """What a model makes of it."""
        source = self.source
        return UsedBase(self.id, source.root, source.cid, source.identity is None, file.shared_bytes, file.own_bytes)


def publish_base(home: Home, base: ModelId | Path, tensors: Tensors, is_public: bool = False) -> PublishedBase:
    """Register the base of a model and put it into the store, unless that is done.

    Args:
        home: the scientist's, opened with its key.
        base: a model that this home published, or a safetensors file, or the index of its shards.
        tensors: of the model over it; nothing is registered for one that shares none.
        is_public: whether it lies there in the clear.

    Raises:
        NotFound: there is no such model or file.
        InputRefused: the file is no file of tensors, or a delta itself, or the model shares none.
    """
    row = None if isinstance(base, Path) else home.journal.model(base)
    path = base if isinstance(base, Path) else home.model_folder(base) / INITIAL
    file = read_weights(path) if row is None else ModelFile.read(path)
    if not file.is_whole and row is None:
        raise InputRefused(
            f"{path} is a delta over {file.base}, and a base is whole", "write the whole file: fitchain model merge"
        )
    home.bases.lay(beside := JobFolder(path.parent), file.base)  # a model that has a base of its own
    held = file.whole(read_safetensors(beside.base)[0] if file.shared else {})
    _over(tensors, held, path.name if row is None else row.id.short)
    root = home.bases.keep(held)
    if row is None:
        row = next((row for row in home.journal.models() if row.initial_model == root), None)
    if row is None:
        id = home.registry.register_model(WEIGHTS, root)
        folder = home.model_folder(id)
        if not (folder / INITIAL).exists():
            os.link(home.bases.path(root), folder / INITIAL)
        source = home.bases.publish(root, id, is_public)
        home.journal.keep_model(ModelRow(id, path.stem, folder, WEIGHTS, root, str(source.cid)))
        return PublishedBase(id, source)
    return PublishedBase(row.id, home.bases.publish(root, row.id, is_public))


def delta_over(home: Home, tensors: Tensors, base: PublishedBase) -> ModelFile:
    """A model as a delta over a base of this home, which says where the base lies.

    Raises:
        InputRefused: it shares no tensor with the base.
    """
    file = _over(tensors, read_safetensors(home.bases.path(base.source.root))[0], base.id.short)
    return replace(file, metadata=base.source.metadata)


def _over(tensors: Tensors, held: Tensors, base: str) -> ModelFile:
    """A model as a delta over the tensors of a base."""
    file = ModelFile.over(tensors, inventory_of(held))
    if not file.shared:
        raise InputRefused(
            f"none of the model's {len(tensors)} tensors is one of the {len(held)} of the base {base}:"
            " no values, shape and type are the same",
            LOAD_BASE,
        )
    if not any(_varies(held[each.name]) for each in file.shared.values()):
        raise InputRefused(
            f"of the base {base} the model has {len(file.shared)} tensors, and each of them is one number throughout,"
            " as fresh ones are: it is not made of that base",
            LOAD_BASE,
        )
    return file


def _varies(tensor: TensorBytes) -> bool:
    """Whether a tensor has more than one number."""
    data, width = tensor.data, ITEM_BYTES[tensor.dtype]
    return data[width:] != data[:-width]
