"""Export: from a scientist's `nn.Module` to a graph and its tensors.

`torch.export` traces the module twice, in training and in evaluation mode, with the batch size left
open, into the operators that eager mode itself would call, in the same order, in place where it
works in place. They are written down as they are: nothing is decomposed, so a program computes, and
differentiates, exactly what the module does.

What is refused here is what a graph cannot say: branches and shapes that depend on values, a batch
size that is not free, state outside parameters and buffers, more than one tensor as output. The one
error names the line of the module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import UnsupportedOperatorException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from fitchain.pod.compute.environment.classes import EnvironmentClass
from fitchain.pod.compute.model.constants import Constants
from fitchain.pod.compute.model.decisions import decided, without_checks
from fitchain.pod.compute.model.fidelity import NOT_BY_ROWS, require_fidelity
from fitchain.pod.compute.model.frameworks import without_compiler, without_trainer
from fitchain.pod.compute.model.looks import Look, Traced
from fitchain.pod.compute.model.lowering import DATA_DEPENDENT, Writer, at
from fitchain.pod.compute.model.masks import Masks
from fitchain.pod.compute.model.output import giving_one
from fitchain.pod.compute.model.shape_check import dry_run
from fitchain.pod.compute.model.sizes import FEW_ROWS, Distances, tried_out
from fitchain.pod.compute.model.tensors import dtype_name, require_plain, tensor_bytes
from fitchain.pod.compute.model.torch_output import Heard, Location, quiet, raising_location
from fitchain.pod.compute.model.transforms import WRITTEN_OUT, Transformed, in_plain_operators, untransformed
from fitchain.pod.compute.model.witness import Witness, fresh_copy, observe, observe_unwatched
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import FitchainError, InputRefused
from fitchain.pod.values.graph import Form, Graph, Input, TensorSpec
from fitchain.pod.values.graph.admission import ANY, Admission
from fitchain.pod.values.recipe.terms import MOST_BATCH
from fitchain.pod.values.state import TensorBytes

CONSTRAINED = ("Constraints violated", "Expected op to be")
"""How torch says that a trace holds for some batch sizes."""
LEARNING = ("data-dependent", "Dynamo", "DataDependent", ".numpy() is not supported for tensor subclasses")
"""Words of torch's about a module whose Python learns a tensor's values."""
ASKING = {
    "cdist": f"torch.cdist asks whether there are more than {FEW_ROWS} rows: say which way it goes by compute_mode",
    "cov": "torch.cov asks its numbers: of h, centred by its mean, write h @ h.T / (h.shape[1] - 1)",
    "corrcoef": "torch.corrcoef asks its numbers: normalise the rows of h, centred by their means, and write h @ h.T",
    "fill_diagonal_": "write x.masked_fill(torch.eye(x.shape[0], dtype=torch.bool), value)",
}
"""Functions of torch that ask for sizes or numbers where nobody would think so, and what to write."""
UNFOLLOWED = "does not require grad"
"""Words of torch's about a gradient of what was computed without."""


@dataclass
class _Notes:
    """What is known beside a module when it is traced, and after.

    Args:
        moving: tensors that its calls write, which are no constants.
        answered: where a trace learnt a value.
    """

    moving: Collection[Tensor]
    answered: set[Look] = field(default_factory=set)


def export(
    module: nn.Module,
    inputs: Sequence[Input],
    batch: int = 2,
    environment_class: EnvironmentClass | None = None,
    output: str = "",
) -> tuple[Graph, dict[str, TensorBytes]]:
    """Write a module down as a graph and tensors.

    Args:
        module: on the CPU; it is left as it was.
        inputs: its arguments; the batch dimension stands before each shape.
        batch: a batch size to trace with; the graph holds for others.
        environment_class: which must admit it; None for any.
        output: which tensor of what it returns is the graph's (`one_tensor`); empty where it
            returns one.

    Returns:
        The graph, and the bytes of all parameters, buffers and constants: copies.

    Raises:
        InputRefused: it cannot be written down; the message names the line.
    """
    _refuse_quantised(module)
    _named_tensors(module)  # what is refused of them is said before anything runs
    _refuse_whole_averages(module)
    admits = ANY if environment_class is None else environment_class.admits
    modes = [(part, part.training) for part in module.modules()]
    try:
        with without_trainer(module), without_compiler():
            witness, require_run = _observed(module, inputs, max(2, batch), output)
            tensors, notes = _named_tensors(module), _Notes([] if witness is None else witness.moving)
            with giving_one(module, output), without_checks():
                (training, writer), (evaluation, _) = (
                    _trace(module, inputs, batch, mode, tensors, admits, notes) for mode in (True, False)
                )
    finally:
        for part, mode in modes:
            part.training = mode
    specs = {name: _spec(name, tensor) for name, tensor in tensors.items()}
    written = Graph(tuple(inputs), specs, training, evaluation, *_state_names(module, tensors))
    graph = Graph.parse(written.encode())
    if refused := graph.structure.refusal:
        raise InputRefused(at(writer.location(refused.node), refused.sentence), refused.hint)
    graph.check(admits)
    for mode in (True, False):
        dry_run(graph, max(2, batch), mode)
    written_down = {name: _copied(graph.tensors[name].kind, tensors[name]) for name in graph.tensors}
    require_run()
    if witness is not None:
        if writer.empty:
            witness.causes.setdefault("torch.empty gives memory that nobody has written", writer.empty[0])
        for name, tensor in tensors.items():
            if not tensor.is_contiguous():
                witness.causes.setdefault(f"the tensor {name!r} {NOT_BY_ROWS}", None)
        require_fidelity(graph, written_down, witness, notes.answered)
    return graph, written_down


def _refuse_quantised(module: nn.Module) -> None:
    """Layers of quantised numbers keep them outside parameters and buffers."""
    for name, part in module.named_modules():
        if ".quantized." in f"{type(part).__module__}.":
            raise InputRefused(
                f"the layer {name!r} ({type(part).__name__}) is quantised, and training moves F32",
                "publish the module as it was before",
            )


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, one that has several names by its first."""
    named: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, tensor in named.items():
        require_plain(name, tensor)
        if any(size > 1 and not stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
            raise InputRefused(f"numbers of the tensor {name!r} share memory", "replace it by its .contiguous()")
    _refuse_shared_memory(named)
    return named


def _state_names(module: nn.Module, tensors: dict[str, Tensor]) -> tuple[dict[str, str], tuple[str, ...]]:
    """How the module's state dict differs from the graph's tensors: further names of tensors that
    it has, and tensors that it lacks."""
    names: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    for prefix, part in module.named_modules(remove_duplicate=False):
        kept = {name: buffer for name, buffer in part._buffers.items() if name not in part._non_persistent_buffers_set}
        names |= {f"{prefix}.{name}" if prefix else name: buffer for name, buffer in kept.items() if buffer is not None}
    own = {id(tensor): name for name, tensor in tensors.items()}
    tied = {name: own[id(tensor)] for name, tensor in names.items() if name not in tensors and id(tensor) in own}
    return tied, tuple(sorted(name for name in tensors if name not in names))


def _refuse_shared_memory(named: dict[str, Tensor]) -> None:
    """Parts of one memory that do not overlap are as good as two, and so are buffers that nothing
    writes: what writes one is found out by `require_fidelity`. What training moves lies alone."""
    of_any, of_trained = (0, ""), (0, "")
    for name, tensor in sorted(named.items(), key=lambda item: item[1].data_ptr()):
        before = of_any if tensor.requires_grad else of_trained
        if tensor.numel() and tensor.data_ptr() < before[0]:
            raise InputRefused(
                f"the tensors {name!r} and {before[1]!r} share memory without being one", "clone one of them"
            )
        last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        end = tensor.data_ptr() + (last + 1) * tensor.element_size() if tensor.numel() else 0, name
        of_any = max(of_any, end)
        if tensor.requires_grad:
            of_trained = max(of_trained, end)


def _refuse_whole_averages(module: nn.Module) -> None:
    """A batch norm that averages over all steps divides by their count, which it reads back."""
    for name, part in module.named_modules():
        if getattr(part, "momentum", 0) is None and getattr(part, "num_batches_tracked", None) is not None:
            raise InputRefused(
                f"{type(part).__name__} {name!r} has momentum=None: it averages over all steps by a number that it"
                " reads back from a buffer, which no graph can say",
                "give it a momentum: 0.1 is torch's own",
            )


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    dtype = dtype_name(f"the tensor {name!r}", tensor.dtype)
    trainable = kind == "parameter" and tensor.requires_grad
    if trainable and dtype != "F32":
        raise InputRefused(
            f"the parameter {name!r} is {dtype}, and training moves F32", "convert the module with .float()"
        )
    return TensorSpec(kind, dtype, tuple(tensor.shape), trainable)


def _copied(kind: str, tensor: Tensor) -> TensorBytes:
    lent = tensor_bytes(kind, tensor.detach().contiguous())
    return TensorBytes(kind, lent.dtype, lent.shape, memoryview(bytes(lent.data)))


def _trace(
    module: nn.Module,
    inputs: Sequence[Input],
    batch: int,
    training: bool,
    tensors: dict[str, Tensor],
    admits: Admission,
    notes: _Notes,
) -> tuple[Form, Writer]:
    """Trace one mode; constants that the trace finds are added to the tensors. Beside the form
    comes what wrote it, which knows the module's lines."""
    module.train(training)
    if module.training != training:
        raise InputRefused(f"{type(module).__name__}.train({training}) leaves the module in the other mode")
    examples = tuple(_example(spec, max(2, batch)) for spec in inputs)
    program: torch.export.ExportedProgram | None = None
    failure: BaseException | None = None
    transformed = False
    export_once = partial(_export, module, examples, notes)

    def is_same(*programs: torch.export.ExportedProgram) -> bool:
        kept = [{**tensors} for _ in programs]
        forms = [Writer(each, module, of, admits).form() for each, of in zip(programs, kept, strict=True)]
        return forms[0] == forms[1] and kept[0].keys() == kept[1].keys()

    with quiet() as heard, _slow_path():
        try:
            try:
                program = export_once(strict=False)
            except Transformed:
                transformed = True
                with in_plain_operators(module, examples):
                    program = export_once(strict=False)
        except FitchainError:
            raise
        except Exception as error:  # noqa: BLE001 - the module's code is the user's, and may raise anything
            failure = error
    if isinstance(failure, GuardOnDataDependentSymNode):
        with quiet(), _slow_path(), contextlib.suppress(Exception):  # as below
            program = decided(lambda: export_once(strict=False), is_same)
    if failure is not None and any(word in str(failure) for word in CONSTRAINED):
        with quiet(), _slow_path(), tried_out(), contextlib.suppress(Exception):  # as below
            program = export_once(strict=False)
    if failure is not None and program is None:
        with quiet(), _slow_path(), contextlib.suppress(Exception):  # the first attempt says more of why
            program = export_once(strict=True)
    if program is None:
        if isinstance(failure, UnsupportedOperatorException):
            _refuse_operator(failure, admits)
        _refuse(failure or RuntimeError(), heard)
    writer = Writer(program, module, tensors, admits)
    try:
        return writer.form(), writer
    except InputRefused as refusal:
        if not transformed:
            raise
        sentence = f"torch.func, or autograd.grad, runs here what no graph says: {refusal.message}"
        raise InputRefused(sentence, WRITTEN_OUT) from None


def _observed(
    module: nn.Module, inputs: Sequence[Input], batch: int, output: str
) -> tuple[Witness | None, Callable[[], None]]:
    """What the module itself does, before anything is traced: what it makes at its first call and
    keeps is there then. Beside it comes what says that it could not be run; a trace that fails,
    too, says more of why."""
    failure: BaseException | None = None
    witness: Witness | None = None
    with quiet() as heard, _slow_path():
        try:
            fresh = fresh_copy(module)
            with giving_one(module, output):
                witness = observe(module, inputs, batch)
            if witness is not None:
                observe_unwatched(module, fresh, output, witness)
        except InputRefused:
            raise
        except Exception as error:  # noqa: BLE001 - as in `_trace`
            failure = error

    def require_run() -> None:
        if failure is not None:
            _refuse(failure, heard, "run")

    return witness, require_run


def _example(spec: Input, batch: int) -> Tensor:
    return torch.zeros((batch, *spec.shape), dtype=DTYPES[spec.dtype])


@contextlib.contextmanager
def _following(module: nn.Module, notes: _Notes) -> Iterator[list[Constants]]:
    """Have a module's forward follow constants and masks, and note what a trace answers; it is
    exchanged already (`giving_one`)."""
    runs = list[Constants]()
    forward, changed = vars(module)["forward"], {id(tensor) for tensor in notes.moving}
    held = {name: tensor for name, tensor in _held(module) if not tensor.requires_grad and id(tensor) not in changed}

    def followed(*arguments: Tensor) -> Tensor:
        stand_ins = [(traced, held[name]) for name, traced in _held(module) if name in held]
        with (
            Constants(stand_ins, notes.moving) as constants,
            Masks(constants) as masks,
            Traced(notes.answered),
            Distances(),
        ):
            runs.append(constants)
            value: Tensor = masks.counted(forward(*arguments))
            return value

    vars(module)["forward"] = followed
    try:
        yield runs
    finally:
        vars(module)["forward"] = forward


def _held(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _export(
    module: nn.Module, examples: tuple[Tensor, ...], notes: _Notes, strict: bool
) -> torch.export.ExportedProgram:
    """Trace a module; strictly, its Python is read instead of run, which finds the batch size free
    in some that compare sizes.

    Args:
        module: whose `forward` takes tensors by place.
        examples: its arguments, `[batch, *shape]` each.
        notes: where the trace learns a value is added to them.
        strict: whether its Python is read.
    """
    dimension = torch.export.Dim("batch", min=2, max=max(MOST_BATCH, examples[0].shape[0]))
    shapes = tuple({0: dimension} for _ in examples)  # of `giving_one`'s `*arguments`
    if strict:
        with torch.compiler.set_stance("default"):  # which reads its Python
            return torch.export.export(module, examples, dynamic_shapes=(shapes,), strict=True)
    with _following(module, notes) as runs, untransformed():
        try:
            return torch.export.export(module, examples, dynamic_shapes=(shapes,), strict=False)
        finally:
            if any(run.transforms for run in runs):
                raise Transformed


@contextlib.contextmanager
def _slow_path() -> Iterator[None]:
    """Keep transformer layers off their inference kernels, which training never runs."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _refuse_operator(error: UnsupportedOperatorException, admits: Admission) -> None:
    """Say of an operator that torch cannot trace what is said of any that no class admits."""
    if refused := admits.operator_refusal(str(error.func)):
        raise InputRefused(at(raising_location(error.__traceback__), refused[0]), refused[1]) from None


def _refuse(error: BaseException, heard: Heard, what: str = "traced") -> NoReturn:
    """Say in one sentence why the module could not be run or traced."""
    message = (str(error).strip().splitlines() or ["no message"])[0]
    if any(word in message for word in CONSTRAINED):
        location = next((location for what, location in reversed(heard.guards) if what.startswith("Eq(")), None)
        location = location or (heard.guards[0][1] if heard.guards else None)
        hint = _hint_at(location, "write x.shape[0] or -1 in place of a number, and do not branch on it")
        raise InputRefused(
            at(location, "the computation holds only for some batch sizes, and a graph must hold for all"), hint
        ) from None
    location = raising_location(error.__traceback__)
    if any(word in f"{message} {type(error).__name__}" for word in LEARNING):
        hint = _hint_at(location, "compute both cases and choose with torch.where")
        raise InputRefused(at(location, DATA_DEPENDENT), hint) from None
    hint = "an evaluation follows no gradients: ask for one within torch.enable_grad()" if UNFOLLOWED in message else ""
    raise InputRefused(at(location, f"the module cannot be {what}: {type(error).__name__}: {message}"), hint) from None


def _hint_at(location: Location | None, otherwise: str) -> str:
    """What to write in place of a function of torch's own that asks, where the line calls one."""
    line = "" if location is None else location.source
    return next((hint for name, hint in ASKING.items() if f"{name}(" in line), otherwise)
