"""Bit-identity with eager modules, exports that are refused, attacks on programs:
`fitchain.pod.compute.model`.

Legend: B batch, T time, F features, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.classes import CLASSES, NATIVE, EnvironmentClass
from fitchain.pod.compute.environment.classes import X86_64_V3 as V3
from fitchain.pod.compute.model import Program, dry_run, load_module, restore, tensor_bytes
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.load import module_name, take_module
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import FitchainError, InputRefused, NotFound, OperatorFailed
from fitchain.pod.values.graph import OPERATORS, Graph, Input, Limits, TensorSpec
from fitchain.pod.values.state import TensorBytes, model_root
from tests.own_kernels import own_kernels
from tests.speeds import long_unless

B, K, STEPS = 8, 3, 25


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Modules as people write them


class Residual(nn.Module):
    """Two residual blocks, one of them strided; in-place additions and activations."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True))
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.norm3 = nn.Conv2d(width, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16)
        self.shorten = nn.Sequential(nn.Conv2d(width, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, K)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = self.stem(x_BCHW)
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        y += x
        x = F.relu(y, inplace=True)
        x = F.relu(self.norm3(self.conv3(x)) + self.shorten(x))
        logits_BK: Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits_BK


class Encoder(nn.Module):
    """A transformer encoder with learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.positions_TF = nn.Parameter(torch.randn(6, 8) * 0.1)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(8, K)

    def forward(self, x_BTF: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.encoder(x_BTF + self.positions_TF).mean(1))
        return logits_BK


class Decoder(nn.Module):
    """Tokens, a causal mask, GELU, normalisation first, and an output layer tied to
    the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(K, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)
        self.head = nn.Linear(8, K, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, token_BT: Tensor) -> Tensor:
        mask_TT = nn.Transformer.generate_square_subsequent_mask(token_BT.shape[1])
        logits_BTK: Tensor = self.head(self.layer(self.embedding(token_BT), src_mask=mask_TT, is_causal=True))
        return logits_BTK[:, -1]


class Attention(nn.Module):
    """Causal attention written out: a mask of infinities, split heads, a softmax with dropout."""

    mask_TT: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(K, 8), nn.Embedding(6, 8)
        self.enter, self.leave, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, K)
        self.norm, self.dropout = nn.LayerNorm(8), nn.Dropout(0.1)
        self.register_buffer("mask_TT", torch.ones(6, 6).tril(), persistent=False)

    def forward(self, token_BT: Tensor) -> Tensor:
        size, time = token_BT.size()
        x = self.embedding(token_BT) + self.positions(torch.arange(time, device=token_BT.device))
        parts = self.enter(self.norm(x)).split(8, dim=2)
        q, k, v = (part.view(size, time, 2, 4).transpose(1, 2) for part in parts)
        scores = (q @ k.transpose(-2, -1) / k.size(-1) ** 0.5).masked_fill(self.mask_TT[:time, :time] == 0, -torch.inf)
        mixed = (self.dropout(scores.softmax(-1)) @ v).transpose(1, 2).contiguous().view(size, time, 8)
        logits_BTK: Tensor = self.head(x + self.leave(mixed))
        return logits_BTK[:, -1]


class Segmenting(nn.Module):
    """Down, up by a transposed convolution and by interpolation, and a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU())
        self.deep, self.up = nn.Conv2d(4, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 2, 2)
        self.head = nn.Conv2d(16, K, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        wide = self.down(x_BCHW)
        deep = F.hardswish(self.deep(F.avg_pool2d(wide, 2)))
        grown = F.interpolate(deep, scale_factor=2, mode="bilinear")
        scores_BKHW: Tensor = self.head(torch.cat([wide, self.up(deep), grown], 1))
        return scores_BKHW.mean((2, 3))


class Recurrent(nn.Module):
    """Two recurrent layers with dropout between them."""

    def __init__(self, kind: Callable[..., nn.Module], **options: Any) -> None:
        super().__init__()
        self.layers = kind(5, 7, num_layers=2, batch_first=True, dropout=0.2, **options)
        self.head = nn.Linear(14 if options.get("bidirectional") else 7, K)

    def forward(self, x_BTF: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.layers(x_BTF)[0][:, -1])
        return logits_BK


class Odd(nn.Module):
    """Two inputs, a moving average of a parameter, gradients switched off, noise, a frozen layer,
    constants, arithmetic on the batch size."""

    mean_F: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.mix, self.frozen = nn.Linear(4, 5), nn.Bilinear(5, 3, K), nn.Linear(K, K)
        self.frozen.requires_grad_(False)
        self.register_buffer("mean_F", torch.zeros(3))
        self.scale_K = torch.tensor([1.0, 2.0, 0.5])

    def forward(self, x_BF: Tensor, y_BF: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.mean_F.mul_(0.9).add_(self.mix.weight.mean((0, 1)), alpha=0.1)
        mixed_BK = self.mix(torch.tanh(self.enter(x_BF)), y_BF - self.mean_F)
        noise_B1 = torch.rand(x_BF.shape[0], 1) * torch.tensor(0.01)
        parts = torch.cat([mixed_BK, noise_B1.expand(-1, K)]).view(2, x_BF.shape[0], K).unbind(0)
        logits_BK: Tensor = self.frozen(parts[0] + parts[1]) * self.scale_K / x_BF.shape[0]
        return logits_BK


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Dropout(0.3), nn.LayerNorm(9), nn.Linear(9, K))


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout2d(0.2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, K)),
    )


def activations() -> nn.Module:
    kinds = (nn.GELU, nn.SiLU, nn.Sigmoid, nn.ELU, nn.SELU, nn.Softplus, nn.Mish, nn.Hardswish, nn.LeakyReLU, nn.PReLU)
    return nn.Sequential(
        *(layer for kind in kinds for layer in (nn.Linear(6, 6), kind())), nn.Softmax(1), nn.Linear(6, K)
    )


@dataclass(frozen=True)
class Example:
    make: Callable[[], nn.Module]
    inputs: tuple[Input, ...]


def floats(*shapes: tuple[int, ...]) -> tuple[Input, ...]:
    return tuple(Input(f"x{place}", "F32", shape) for place, shape in enumerate(shapes))


EXAMPLES = {
    "perceptron": Example(perceptron, floats((6,))),
    "convolutional": Example(convolutional, floats((1, 8, 8))),
    "residual": Example(Residual, floats((1, 8, 8))),
    "encoder": Example(Encoder, floats((6, 8))),
    "decoder": Example(Decoder, (Input("tokens", "I64", (6,)),)),
    "attention": Example(Attention, (Input("tokens", "I64", (6,)),)),
    "segmenting": Example(Segmenting, floats((1, 8, 8))),
    "lstm": Example(lambda: Recurrent(nn.LSTM), floats((6, 5))),
    "gru": Example(lambda: Recurrent(nn.GRU, bidirectional=True), floats((6, 5))),
    "odd": Example(Odd, floats((4,), (3,))),
    "activations": Example(activations, floats((6,))),
}

OPTIMIZERS: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda moved: torch.optim.SGD(moved, 0.05, momentum=0.9, weight_decay=1e-3, fused=True),
    "adamw": lambda moved: torch.optim.AdamW(moved, 0.01, fused=True),
}


@cache
def exported(name: str) -> tuple[nn.Module, Graph, dict[str, TensorBytes]]:
    torch.manual_seed(0)
    module = EXAMPLES[name].make()
    return module, *export(module, EXAMPLES[name].inputs, B)


def batch(name: str, step: int, size: int = B) -> tuple[list[Tensor], Tensor]:
    """Inputs [B, ...] and classes [B] of a step."""
    numbers = torch.Generator().manual_seed(step)
    inputs = [
        torch.randint(0, K, (size, *one.shape), generator=numbers)
        if one.dtype == "I64"
        else torch.rand((size, *one.shape), generator=numbers) * 2 - 1
        for one in EXAMPLES[name].inputs
    ]
    return inputs, torch.randint(0, K, (size,), generator=numbers)


def train(
    name: str, compute: Callable[..., Tensor], moved: list[Tensor], optimizer: str
) -> tuple[list[float], torch.optim.Optimizer]:
    """Train as the system does: every generator is seeded before each step."""
    moves, losses = OPTIMIZERS[optimizer](moved), []
    for step in range(STEPS):
        inputs, class_B = batch(name, step)
        torch.manual_seed(step)
        loss = F.cross_entropy(compute(*inputs), class_B)
        moves.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        moves.step()
        losses.append(loss.item())
    return losses, moves


def train_both(name: str, optimizer: str, environment_class: EnvironmentClass) -> tuple[nn.Module, Program, bool]:
    """Train the module and its graph side by side; tells whether losses and optimizer states are
    equal, bit for bit."""
    module, graph, tensors = exported(name)
    eager, program = copy.deepcopy(module).train(), Program(graph, tensors, environment_class)
    named = {key: tensor for key, tensor in eager.named_parameters() if tensor.requires_grad}
    losses, moves = train(name, eager, list(named.values()), optimizer)
    other_losses, other_moves = train(
        name, lambda *x: program(*x, training=True), [program.trainable[key] for key in named], optimizer
    )
    assert named.keys() == program.trainable.keys()
    states = [list(one.state_dict()["state"].values()) for one in (moves, other_moves)]
    equal = all(torch.equal(a[key], b[key]) for a, b in zip(*states, strict=True) for key in a if a[key] is not None)
    return eager, program, equal and losses == other_losses


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def assert_equal(module: nn.Module, program: Program) -> None:
    own = {**program.parameters, **program.buffers}
    for name, tensor in tensors_of(module).items():
        assert torch.equal(tensor, own[name]), name


# Bit-identity


def diagonal(name: str, optimizer: str) -> bool:
    """Whether a pair is of the short form, which has every architecture and every
    optimizer once."""
    order = [*EXAMPLES].index(name)
    return [*OPTIMIZERS].index(optimizer) == order % len(OPTIMIZERS)


@pytest.mark.parametrize(("name", "optimizer"), long_unless(diagonal, product(EXAMPLES, OPTIMIZERS)))
def test_a_program_trains_as_the_module_does(name: str, optimizer: str) -> None:
    eager, program, equal = train_both(name, optimizer, NATIVE)
    assert equal
    assert_equal(eager, program)


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"segmenting"}))
def test_a_program_of_the_default_class_trains_as_the_module_does(name: str) -> None:
    with own_kernels():
        eager, program, equal = train_both(name, "adamw", V3)
    assert equal
    assert_equal(eager, program)


@pytest.mark.parametrize("size", long_unless(lambda size: size == 5, [2, 5, 33]))
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_program_evaluates_as_the_module_does_at_any_batch_size(name: str, size: int) -> None:
    module, graph, tensors = exported(name)
    program, inputs = Program(graph, tensors, NATIVE), batch(name, 1, size)[0]
    eager = copy.deepcopy(module).eval()
    torch.manual_seed(7)
    expected = eager(*inputs)  # with gradients, so that transformers stay off their inference kernels
    if name == "lstm":
        with torch.no_grad():  # oneDNN has other kernels for inference
            expected = eager(*inputs)
    torch.manual_seed(7)
    found = program(*inputs, training=False)
    assert torch.equal(found, expected) and not found.requires_grad


@pytest.mark.parametrize("name", ["convolutional", "odd"])
def test_evaluating_changes_nothing(name: str) -> None:
    _, graph, tensors = exported(name)
    program = Program(graph, tensors)
    program(*batch(name, 1)[0], training=False)
    assert model_root(program.tensors()) == model_root(tensors)


def test_training_twice_gives_one_state() -> None:
    roots = {model_root(train_both("odd", "adamw", V3)[1].tensors()) for _ in range(2)}
    assert len(roots) == 1


def test_frozen_names_what_training_never_changes() -> None:
    _, program, _ = train_both("odd", "sgd", V3)
    before = exported("odd")[2]
    unchanged = {name for name, tensor in program.tensors().items() if tensor.data == before[name].data}
    assert program.graph.frozen == unchanged >= {"frozen.weight", "frozen.bias", "scale_K"}
    assert "mean_F" not in program.graph.frozen


def test_batch_statistics_are_not_frozen() -> None:
    graph = exported("convolutional")[1]
    assert not graph.frozen
    assert dry_run(graph, B).written == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_restore_gives_the_module_what_was_trained() -> None:
    eager, program, _ = train_both("decoder", "adamw", NATIVE)
    module = EXAMPLES["decoder"].make()
    restore(module, program.tensors())
    assert all(torch.equal(tensor, tensors_of(eager)[name]) for name, tensor in tensors_of(module).items())


def test_restore_refuses_another_module() -> None:
    with pytest.raises(InputRefused, match=r"the model has no tensor '0\.weight'"):
        restore(nn.Sequential(nn.Linear(2, 2)), exported("odd")[2])


def test_a_tied_parameter_stands_once() -> None:
    _, graph, tensors = exported("decoder")
    assert "embedding.weight" in tensors and "head.weight" not in tensors and set(tensors) == set(graph.tensors)


def test_exporting_twice_gives_one_graph_and_leaves_the_module_alone() -> None:
    module, graph, tensors = exported("odd")
    module.eval()
    part = module.get_submodule("enter").train()
    again, same = export(module, EXAMPLES["odd"].inputs, B)
    assert again.digest == graph.digest and model_root(same) == model_root(tensors)
    assert not module.training and part.training


def test_the_graph_does_not_depend_on_the_batch_it_was_traced_with() -> None:
    module, graph, _ = exported("encoder")
    assert export(module, EXAMPLES["encoder"].inputs, 5)[0].digest == graph.digest


def test_every_operator_is_one_of_torch() -> None:
    for name in OPERATORS:
        if name.startswith("aten."):
            _, packet, overload = name.split(".")
            assert hasattr(getattr(torch.ops.aten, packet), overload), name


# Exports that are refused


class Refused(nn.Module):
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.count = 0
        self.register_buffer("total", torch.zeros(4))


class Branching(Refused):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # the line
            return x
        return -x


class Masking(Refused):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]  # the line


class Reading(Refused):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()  # the line


class FixedBatch(Refused):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        return x.view(8, -1)  # the line


class BatchBranch(Refused):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 4 else x  # the line


class LargeBatchBranch(Refused):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 1_000_000 else x  # the line


class Raising(Refused):
    def forward(self, x: Tensor) -> Tensor:
        print("noise")
        warnings.warn("noise", stacklevel=1)
        raise ValueError("my own words")  # the line


class WrongShape(Refused):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.layer.weight[:, :3])  # the line


class OwnOperator(Refused):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.special.bessel_j0(x)  # the line
        return y


class Uninitialised(Refused):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.empty(4)  # the line


class Sampling(Refused):
    def forward(self, x: Tensor) -> Tensor:
        image = x.view(-1, 1, 2, 2)
        return F.grid_sample(image, image, align_corners=False)  # the line, in the default class


class DrawingAgain(Refused):
    def forward(self, x: Tensor) -> Tensor:
        drawn: Tensor = torch.distributions.Dirichlet(x.exp()).rsample()  # the line
        return drawn


class Packing(Refused):
    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x[:, :, None], torch.full((B,), 4).to("cpu"), True)  # the line
        return packed.data


class RememberingInAnother(Refused):
    def remember(self, x: Tensor) -> None:
        self.total.data = 0.9 * self.total + x.detach().mean(0)  # the line

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.remember(x)
        return self.layer(x) - self.total  # type: ignore[no-any-return]


class Pair(Refused):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Counting(Refused):
    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * self.count


class ChangingInEvaluation(Refused):
    def forward(self, x: Tensor) -> Tensor:
        self.total += self.layer.bias.detach()
        return x


REFUSED: dict[type[nn.Module], str] = {
    Branching: "depends on a tensor's values",
    Masking: "as many numbers as the mask is true",
    Reading: "depends on a tensor's values",
    FixedBatch: "only for some batch sizes",
    BatchBranch: "only for some batch sizes",
    LargeBatchBranch: "only for some batch sizes",
    Raising: "ValueError: my own words",
    WrongShape: "cannot be traced",
    OwnOperator: "aten.special_bessel_j0.default",
    Uninitialised: "the graph computes the output",
    Sampling: "does not admit the operator aten.grid_sampler.default",
    DrawingAgain: "does not admit the operator aten._sample_dirichlet.default",
    Packing: "a packed sequence has as many rows as its lengths say",
    RememberingInAnother: "writes what it reads of the records into the buffer 'total'",
    Pair: "returns a tuple of 2 tensors",
    Counting: "the attribute 'count' of Counting",
    ChangingInEvaluation: "the evaluation form changes the buffer 'total'",
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_export_refuses_in_one_sentence_that_names_the_line(
    kind: type[nn.Module], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputRefused) as refused:
        export(kind(), floats((4,)), B, V3)
    source = Path(__file__).read_text().splitlines()
    start = source.index(f"class {kind.__name__}(Refused):")
    line = next((n for n in range(start, start + 6) if "# the line" in source[n]), None)
    assert REFUSED[kind] in refused.value.message and "\n" not in refused.value.message
    assert line is None or f"{__file__}:{line + 1} `{source[line].strip()}`: " in refused.value.message
    assert refused.value.__cause__ is None and (refused.value.__suppress_context__ or not refused.value.__context__)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_export_that_succeeds_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    export(Recurrent(nn.LSTM), EXAMPLES["lstm"].inputs, B)  # torch warns of its _flat_weights
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_export_refuses_tensors_that_share_memory() -> None:
    module = nn.Module()
    whole = torch.zeros(4, 4)
    module.a, module.b = nn.Parameter(whole), nn.Parameter(whole[:2])
    with pytest.raises(InputRefused, match="share memory"):
        export(module, floats((4,)), B)


def test_export_refuses_a_buffer_of_half_precision_where_no_case_covers_it() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale_K", torch.ones(4).half())

        def forward(self, x: Tensor) -> Tensor:
            return x * self.get_buffer("scale_K").sum()

    export(Half(), floats((4,)))
    with pytest.raises(InputRefused, match="does not admit F16"):
        export(Half(), floats((4,)), B, V3)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 3).t())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def test_export_writes_tensors_of_another_layout_row_by_row() -> None:
    module = Scaled()
    _, tensors = export(module, floats((3, 4)), B)
    assert bytes(tensors["weight"].data) == module.weight.detach().contiguous().numpy().tobytes()


def test_export_refuses_weights_whose_numbers_are_one_or_of_another_dtype() -> None:
    expanded, half = nn.Linear(4, 3), nn.Linear(4, 3).half()
    expanded.weight = nn.Parameter(torch.rand(4).expand(3, 4))
    with pytest.raises(InputRefused, match="numbers of the tensor 'weight' share memory"):
        export(expanded, floats((4,)), B)
    with pytest.raises(InputRefused, match="'weight' is F16"):
        export(half, floats((4,)), B)


def test_buffers_may_share_memory_that_nothing_writes() -> None:
    module, whole = nn.Linear(4, 3), torch.rand(4, 4)
    module.register_buffer("a", whole)
    module.register_buffer("b", whole[:2])
    assert {"a", "b"} <= export(module, floats((4,)), B)[0].tensors.keys()


class Overlapping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, whole = nn.Linear(4, 4), torch.rand(4)
        self.register_buffer("a", whole)
        self.register_buffer("b", whole[:2])

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.get_buffer("a").add_(1)
        value: Tensor = self.layer(x)
        return value + self.get_buffer("b").sum()


def test_buffers_that_share_memory_which_a_step_writes_are_refused() -> None:
    with pytest.raises(InputRefused, match="otherwise than the module"):
        export(Overlapping(), floats((4,)), B)


# Loading a scientist's file


def written(folder: Path, text: str) -> Path:
    path = folder / "model.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["Net", "make", "net"])
def test_load_module_takes_a_class_a_factory_or_an_instance(tmp_path: Path, name: str) -> None:
    (tmp_path / "beside.py").write_text("WIDTH = 3\n")
    text = "from torch import nn\nfrom beside import WIDTH\nclass Net(nn.Linear):\n    def __init__(self):\n"
    text += "        super().__init__(2, WIDTH)\ndef make():\n    return Net()\nnet = Net()\n"
    module = load_module(written(tmp_path, text), name)
    sys.modules.pop("beside", None)
    assert module.weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n1 / 0\n", "model.py:2 `1 / 0`: ZeroDivisionError"),
        ("def f(:\n", r"model\.py:1 `def f\(:`: SyntaxError"),
        ("from torch import nn\nNat = nn.ReLU\n", "defines no 'Net'"),
        ("Net = 3\n", "Net in .* is a int"),
        ("def Net():\n    return 3\n", "gives a int"),
        ("def Net(width):\n    return 3\n", "takes no arguments here"),
        ("import nowhere_at_all\n", "ModuleNotFoundError"),
    ],
)
def test_load_module_refuses_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputRefused, match=words) as refused:
        load_module(written(tmp_path, text), "Net")
    assert "\n" not in refused.value.message


@pytest.mark.long
def test_what_is_compiled_is_exported_as_it_is_written() -> None:
    compiled_as = partial(torch.compile, backend="eager")  # the default one warns of torch's own code

    @compiled_as
    def doubled(x: Tensor) -> Tensor:
        return torch.relu(x) * 2

    class Compiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(4, 3), compiled_as(nn.Linear(3, 2))

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.head(doubled(self.layer(x)))
            return output

    graph, _ = export(Compiled(), floats((4,)), B)
    assert "aten.relu.default" in {node.operator for node in graph.training.nodes}
    compiled = cast(nn.Module, compiled_as(nn.Sequential(nn.Linear(4, 2))))
    module = take_module(compiled)
    graph, tensors = export(module, floats((4,)), B)
    assert set(graph.tensors) == {"0.weight", "0.bias"} and module_name(compiled) == "Sequential"
    module.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in module.state_dict().items()})
    restore(compiled, tensors)
    assert all(tensor.any() for tensor in module.state_dict().values())


def test_load_module_of_no_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_module(tmp_path / "none.py", "Net")


# Attacks on a program


GIB = 1 << 30


def graph_of(*nodes: dict[str, Any], inputs: tuple[int, ...] = (4,), dtype: str = "F32", **tensors: Any) -> Graph:
    """A graph that an attacker wrote by hand; tensors are given by their shapes."""
    form = {"nodes": list(nodes), "output": {"node": len(nodes) - 1}}
    specs = {
        name: {"kind": "parameter", "dtype": "F32", "shape": shape, "trainable": True}
        for name, shape in tensors.items()
    }
    taken = [{"name": "x", "dtype": dtype, "shape": list(inputs)}]
    forms = {"training": form, "evaluation": form}
    return Graph.parse(canonical_json({"version": "fitchain/graph/v2", "inputs": taken, "tensors": specs, **forms}))


def node(operator: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"operator": operator, "arguments": list(arguments)}
    return {**plain, "options": options} if options else plain


def weights(graph: Graph) -> dict[str, TensorBytes]:
    return {name: tensor_bytes(spec.kind, torch.zeros(spec.shape)) for name, spec in graph.tensors.items()}


def run(graph: Graph, *inputs: Tensor, training: bool = True) -> Tensor:
    return Program(graph, weights(graph), limits=Limits(live_bytes=8 * GIB))(*inputs, training=training)


X = {"input": 0}
HUGE: dict[str, list[dict[str, Any]]] = {
    "expand and copy": [
        node("aten.expand.default", X, [GIB << 6, -1, 4]),
        node("aten.contiguous.default", {"node": 0}),
    ],
    "repeat": [node("aten.repeat.default", X, [1 << 20, 1 << 20])],
    "new zeros": [node("aten.new_zeros.default", X, [1 << 40])],
    "zeros of huge sizes": [node("aten.zeros.default", [1 << 31, 1 << 31, 1 << 31])],
    "arange": [node("aten.arange.default", 1 << 45)],
    "outer": [
        node("aten.repeat.default", X, [1, 1 << 17]),
        node("aten.select.int", {"node": 0}, 0, 0),
        node("aten.outer.default", {"node": 1}, {"node": 1}),
    ],
    "padding": [node("aten.pad.default", X, [1 << 40, 0])],
    "eye": [node("aten.eye.default", 1 << 20)],
    "doubling": [
        node("aten.cat.default", [X, X]),
        *(node("aten.cat.default", [{"node": n}, {"node": n}]) for n in range(60)),
    ],
    "a loop in a kernel": [
        node("aten.expand.default", X, [1 << 21, -1, 4]),
        node("aten.zeros.default", [1, 2, 1]),
        *(node("aten.zeros.default", shape) for shape in ([1, 4], [1, 1], [1], [1])),
        node(
            "aten.rnn_tanh.input",
            *({"node": 0}, {"node": 1}, [{"node": n} for n in range(2, 6)]),
            *(True, 1, {"float": 0}, True, False, False),
        ),
    ],
    "many pieces": [
        node("aten.expand.default", X, [1 << 30, -1, 4]),
        node("aten.unbind.int", {"node": 0}),
        node("aten.relu.default", {"node": 1, "item": 0}),
    ],
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_value_is_refused_before_it_is_made(name: str) -> None:
    with pytest.raises(InputRefused):
        run(graph_of(*HUGE[name]), torch.rand(2, 4))


@pytest.mark.parametrize(
    "nodes",
    [
        [node("aten.gather.default", {"tensor": "w"}, 0, X)],
        [node("aten.index_select.default", {"tensor": "w"}, 0, {"node": 0})],
        [node("aten.index.Tensor", {"tensor": "w"}, [X])],
        [node("aten.embedding.default", {"tensor": "w"}, X)],
    ],
    ids=["gather", "index_select", "index", "embedding"],
)
@pytest.mark.parametrize("index", [5, -6, 1 << 40, -(1 << 62)])
def test_an_index_out_of_bounds_fails(nodes: list[dict[str, Any]], index: int) -> None:
    if nodes[0]["operator"] == "aten.index_select.default":
        nodes = [node("aten.reshape.default", X, [-1]), *nodes]
    graph = graph_of(*nodes, inputs=(2,), dtype="I64", w=[5, 2])
    run(graph, torch.tensor([[1, 0], [4, 2]]))
    with pytest.raises(OperatorFailed, match="cannot compute"):
        run(graph, torch.tensor([[1, 0], [4, index]]))


def lstm(*shapes: list[int], layers: int = 1) -> Graph:
    """A recurrent layer whose weights have the shapes that an attacker likes."""
    names = [f"w{place}" for place in range(len(shapes))]
    weights_by_name: dict[str, Any] = dict(zip(names, shapes, strict=True))
    return graph_of(
        node("aten.zeros.default", [1, 2, 7]),
        node(
            "aten.lstm.input",
            *(X, [{"node": 0}, {"node": 0}], [{"tensor": name} for name in names]),
            *(True, layers, {"float": 0}, True, False, True),
        ),
        node("aten.relu.default", {"node": 1, "item": 0}),
        inputs=(6, 5),
        **weights_by_name,
    )


def test_a_recurrent_layer_of_fitting_shapes_runs() -> None:
    assert run(lstm([28, 5], [28, 7], [28], [28]), torch.rand(2, 6, 5)).shape == (2, 6, 7)


@pytest.mark.parametrize(
    ("shapes", "layers"),
    [
        ([[28, 5], [28, 7], [28], [1]], 1),
        ([[28, 5], [28, 7], [28], [28, 1]], 1),
        ([[28, 5], [28, 1], [28], [28]], 1),
        ([[4, 5], [28, 7], [28], [28]], 1),
        ([[28, 5], [28, 7], [28], [28]], 2),
        ([[28, 5], [28, 7]], 1),
    ],
)
def test_a_recurrent_layer_of_lying_shapes_is_refused(shapes: list[list[int]], layers: int) -> None:
    for environment_class in CLASSES.values():
        graph = lstm(*shapes, layers=layers)
        with pytest.raises(InputRefused):
            Program(graph, weights(graph), environment_class)(torch.rand(2, 6, 5), training=True)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("aten.conv1d.default", X, X)],
        [node("aten.relu.default")],
        [node("aten.relu.default", X, X, X)],
        [node("aten.relu.default", "x")],
        [node("aten.relu.default", X, inplace=True)],
        [node("aten.cat.default", X)],
        [node("aten.view.default", X, [3, 3])],
        [node("aten.select.int", X, 9, 0)],
        [node("aten.slice.Tensor", X, 0, 0, 9, 0)],
        [node("aten.split.Tensor", X, 0)],
        [node("aten.max_pool1d.default", X, [0])],
        [node("aten.mul_.Tensor", {"tensor": "w"}, 2)],
        [node("aten.einsum.default", "ab,bc->ac->", [X, X])],
        [node("int.size", X, 7), node("aten.add.Scalar", X, {"node": 0})],
        [node("int.floordiv", 1, 0), node("aten.add.Scalar", X, {"node": 0})],
        [node("int.mul", 1 << 40, 1 << 40), node("aten.add.Scalar", X, {"node": 0})],
        [node("int.add", X, X), node("aten.add.Scalar", X, {"node": 0})],
        [node("real.div", 1, 0), node("aten.add.Scalar", X, {"node": 0})],
        [node("int.size", X, 0)],
        [node("aten.unbind.int", X)],
        [node("aten.relu.default", X), node("aten.relu.default", {"node": 0, "item": 3})],
        [node("aten.zeros.default", [2], dtype={"dtype": "F32"}, nonsense=3)],
    ],
    ids=lambda nodes: " ".join(one["operator"] for one in nodes),
)
def test_an_operator_that_cannot_compute_is_refused_by_name(nodes: list[dict[str, Any]]) -> None:
    with pytest.raises(InputRefused):
        run(graph_of(*nodes, w=[5, 2]), torch.rand(2, 4))


def test_a_failure_names_operator_and_node() -> None:
    graph = graph_of(node("aten.relu.default", X), node("aten.view.default", {"node": 0}, [3, 3]))
    with pytest.raises(OperatorFailed, match=r"the operator aten.view.default \(node 1\) cannot compute"):
        run(graph, torch.rand(2, 4))


def test_a_graph_that_changes_the_model_in_evaluation_is_refused() -> None:
    graph = graph_of(
        node("gradient.open", False),
        node("aten.mul_.Tensor", {"tensor": "w"}, 2),
        node("gradient.close"),
        node("aten.relu.default", X),
        w=[4],
    )
    graph = replace(graph, tensors={"w": TensorSpec("buffer", "F32", (4,), False)})
    run(graph, torch.rand(2, 4))
    with pytest.raises(InputRefused, match="changes the buffer 'w'"):
        run(graph, torch.rand(2, 4), training=False)


def test_brackets_leave_recording_as_it_was_even_after_a_failure() -> None:
    nodes = [node("gradient.open", False), node("aten.embedding.default", {"tensor": "w"}, X), node("gradient.close")]
    graph = graph_of(*nodes, node("aten.relu.default", {"node": 1}), inputs=(2,), dtype="I64", w=[5, 2])
    program = Program(graph, weights(graph))
    assert not program(torch.tensor([[1, 0]]), training=True).requires_grad and torch.is_grad_enabled()
    with pytest.raises(OperatorFailed):
        program(torch.tensor([[9, 0]]), training=True)
    assert torch.is_grad_enabled()


def test_a_forward_pass_beyond_its_limits_is_refused() -> None:
    _, graph, _ = exported("encoder")
    for limits, words in (
        (Limits(live_bytes=1000), "more than 1000 bytes"),
        (Limits(calls=5), "more than 5 kernels"),
        (Limits(rank=2), "dimensions and the limit is 2"),
    ):
        with pytest.raises(InputRefused, match=words):
            dry_run(graph, B, limits=limits)


def test_a_dry_run_tells_cost_and_output() -> None:
    cost = dry_run(exported("convolutional")[1], 16)
    assert cost.shape == (16, K) and cost.dtype == "F32" and cost.calls > 5
    assert cost.live_bytes >= 16 * 4 * 64 * 4


def test_a_dry_run_leaves_the_generator_alone() -> None:
    graph = exported("odd")[1]
    before = torch.get_rng_state()
    dry_run(graph, B)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("enter.bias"), "'enter.bias' is only in the graph"),
        (lambda tensors: tensors.update(more=tensors["enter.bias"]), "'more' is only in the weights"),
        (lambda tensors: tensors.update({"enter.bias": tensors["mean_F"]}), "is a buffer F32"),
        (
            lambda tensors: tensors.update(
                {"enter.bias": TensorBytes("parameter", "I32", (5,), memoryview(bytes(20)))}
            ),
            r"parameter I32\[5\] in the weights and a parameter F32\[5\]",
        ),
    ],
)
def test_a_program_refuses_tensors_that_are_not_the_graphs(change: Callable[[Any], Any], words: str) -> None:
    _, graph, tensors = exported("odd")
    tensors = dict(tensors)
    change(tensors)
    with pytest.raises(InputRefused, match=words):
        Program(graph, tensors)


@pytest.mark.parametrize(
    "inputs",
    [
        [torch.rand(2, 4)],
        [torch.rand(2, 4), torch.rand(3, 3)],
        [torch.rand(2, 4), torch.rand(2, 4)],
        [torch.rand(2, 4), torch.rand(2, 3).double()],
        [torch.rand(()), torch.rand(2, 3)],
    ],
    ids=["count", "batch", "shape", "dtype", "scalar"],
)
def test_a_program_refuses_inputs_that_are_not_the_graphs(inputs: list[Tensor]) -> None:
    _, graph, tensors = exported("odd")
    program = Program(graph, tensors)
    program(torch.rand(2, 4), torch.rand(2, 3), training=True)
    with pytest.raises(InputRefused, match="input"):
        program(*inputs, training=True)


def test_a_program_owns_its_memory() -> None:
    _, graph, tensors = exported("perceptron")
    program = Program(graph, tensors)
    with torch.no_grad():
        program.parameters["0.weight"].fill_(5)
    assert program.tensors()["0.weight"].data != tensors["0.weight"].data
    program.load(tensors)
    assert model_root(program.tensors()) == model_root(tensors)


def test_lent_bytes_follow_the_tensor_without_a_copy() -> None:
    tensor = torch.zeros(3)
    lent = tensor_bytes("parameter", tensor)
    tensor += 1
    assert lent.data == torch.ones(3).numpy().tobytes()


def test_a_graph_of_another_class_is_refused() -> None:
    graph = graph_of(node("aten.grid_sampler.default", X, X, 0, 0, False))
    with pytest.raises(FitchainError, match=r"does not admit the operator aten\.grid_sampler"):
        Program(graph, {}, V3)
