"""Own kernels: they compute what torch's stock computes, and all that torch makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fitchain.pod.compute.environment.classes import X86_64_V3
from fitchain.pod.compute.operators import openblas
from fitchain.pod.compute.operators.lstm import PADDING
from fitchain.pod.compute.operators.own_kernels import KERNELS
from fitchain.pod.compute.operators.products import step_products
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.graph import OPERATORS
from fitchain.pod.values.graph.admission import Admission
from fitchain.pod.values.graph.operators.record import OwnKernel
from tests.own_kernels import own_kernels


@pytest.fixture
def own() -> Iterator[None]:
    with own_kernels():
        yield


def uniform(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5


def recurrent(kind: type[nn.RNNBase], **options: bool) -> nn.RNNBase:
    torch.manual_seed(1)
    make: Callable[..., nn.RNNBase] = kind
    return make(5, 7, 2, batch_first=True, **options).double()


def cell_step(step: nn.RNNCellBase, x: Tensor, h: Tensor) -> Tensor:
    value: Any = step(x, (h, h.cos()) if isinstance(step, nn.LSTMCell) else h)
    first: Tensor = value[0] if isinstance(value, tuple) else value
    return first


def layer_output(layer: nn.RNNBase, x: Tensor) -> Tensor:
    output, ends = layer(x)
    return torch.cat([output.flatten(), *(end.flatten() * 2 for end in (ends if isinstance(ends, tuple) else [ends]))])


FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "mm": (torch.mm, ((5, 7), (7, 3))),
    "addmm": (partial(torch.addmm, beta=0.5, alpha=2), ((3,), (5, 7), (7, 3))),
    "bmm": (torch.bmm, ((2, 5, 7), (2, 7, 3))),
    "baddbmm": (torch.baddbmm, ((1, 5, 1), (2, 5, 7), (2, 7, 3))),
    "linear": (F.linear, ((4, 5, 7), (3, 7), (3,))),
    "matmul": (torch.matmul, ((2, 1, 5, 7), (3, 7, 3))),
    "transposed": (lambda x, y: x.mT @ y.mT, ((7, 5), (3, 7))),
    "einsum": (partial(torch.einsum, "bhid,bhjd->bhij"), ((2, 3, 5, 4), (2, 3, 6, 4))),
    "attention": (F.scaled_dot_product_attention, ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 4))),
    "sqrt": (lambda x: (x * x + 0.1).sqrt(), ((5, 7),)),
    "asin": (torch.asin, ((5, 7),)),
    "acos": (torch.acos, ((5, 7),)),
    "atan": (torch.atan, ((5, 7),)),
    "tan": (torch.tan, ((5, 7),)),
    "log2": (lambda x: (x * x + 0.1).log2(), ((5, 7),)),
    "log10": (lambda x: (x * x + 0.1).log10(), ((5, 7),)),
    "lstm_cell": (partial(cell_step, nn.LSTMCell(5, 7).double()), ((4, 5), (4, 7))),
    "gru_cell": (partial(cell_step, nn.GRUCell(5, 7).double()), ((4, 5), (4, 7))),
    "gru": (layer_output, ()),
    "lstm": (layer_output, ()),
}
LAYERS: dict[str, Callable[[], nn.RNNBase]] = {
    "gru": partial(recurrent, nn.GRU),
    "rnn": partial(recurrent, nn.RNN),
    "lstm": partial(recurrent, nn.LSTM),
    "lstm both ways": partial(recurrent, nn.LSTM, bidirectional=True),
    "lstm without biases": partial(recurrent, nn.LSTM, bias=False),
}


def taken(name: str) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """A function, and arguments to take gradients of."""
    function, shapes = FUNCTIONS[name]
    if name in LAYERS:
        function, shapes = partial(function, LAYERS[name]()), ((3, 4, 5),)
    return function, [uniform(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]


def derivatives(function: Callable[..., Tensor], arguments: list[Tensor], orders: int) -> list[Tensor]:
    """The value, its gradients, and those of their sum of squares, and so on."""
    value = function(*arguments)
    results, found = [value], [value]
    for order in range(orders):
        total = torch.stack([each.square().sum() for each in found]).sum()
        found = list(torch.autograd.grad(total, arguments, create_graph=order + 1 < orders))
        results += found
    return results


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_of_every_order_are_those_of_stock(name: str) -> None:
    function, arguments = taken(name)
    orders = 1 if name in ("attention", "lstm") else 2  # stock has fused kernels, which have no second one
    expected = derivatives(function, arguments, orders)
    with own_kernels():
        found = derivatives(function, arguments, orders)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"lstm", "gru", "lstm_cell", "gru_cell", "attention"}))
def test_a_gradient_for_each_record_is_that_of_stock(name: str) -> None:
    function, arguments = taken(name)
    records = [torch.stack([argument.detach(), argument.detach().cos()]) for argument in arguments]

    def of_each(*several: Tensor) -> Tensor:
        found: Tensor = vmap(grad(lambda *one: function(*one).square().sum()))(*several)
        return found

    expected = of_each(*records)
    with own_kernels():
        found = of_each(*records)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_recurrent_layer_has_the_values_and_gradients_of_stock(name: str, dtype: torch.dtype) -> None:
    def of_all() -> list[Tensor]:
        layer, x = LAYERS[name]().to(dtype), uniform(3, 4, 5).to(dtype).requires_grad_()
        value = layer_output(layer, x)
        return [value, *torch.autograd.grad(value.square().sum(), [x, *layer.parameters()])]

    expected = of_all()
    with own_kernels():
        found = of_all()
    torch.testing.assert_close(found, expected)


def test_a_layers_dropout_draws_what_stock_draws() -> None:
    def trained() -> Tensor:
        torch.manual_seed(3)
        return layer_output(recurrent(nn.LSTM, dropout=0.5), uniform(3, 4, 5))  # type: ignore[arg-type]

    expected = trained()
    with own_kernels():
        torch.testing.assert_close(trained(), expected)


@pytest.mark.long
def test_a_layers_second_gradient_is_right(own: None) -> None:
    layer, x = LAYERS["lstm both ways"](), uniform(3, 4, 5).requires_grad_()
    assert torch.autograd.gradgradcheck(partial(layer_output, layer), [x])
    first, again = (
        torch.autograd.grad(layer_output(layer, x).square().sum(), [x, *layer.parameters()], create_graph=graph)
        for graph in (False, True)
    )
    torch.testing.assert_close(first, again)


@pytest.mark.parametrize("name", ["lstm", "lstm both ways", "lstm without biases"])
def test_a_layers_gradient_for_each_record_is_that_of_the_record_alone(own: None, name: str) -> None:
    """Torch's own layer fails there."""
    layer, x_BTI = LAYERS[name](), uniform(3, 1, 4, 5)
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = functional_call(layer, weights, (x,))[0]
        return output.square().sum()

    found = vmap(grad(loss), (None, 0))(weights, x_BTI)
    for index, x in enumerate(x_BTI):
        torch.testing.assert_close({key: each[index] for key, each in found.items()}, grad(loss)(weights, x))


def carried(layer: Callable[..., Any], x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    """Two calls with the same weights, the second with the states of the first."""
    y, *states = layer(x, h, h * 2, weights)
    return torch.cat([each.flatten() for each in layer(y * 2, *states, weights)])


def tied(layer: Callable[..., Any], x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    """What enters and what is kept have the same weights, and depend on each other."""
    first: Tensor = layer(x + h, h, h, (weights[0], weights[0], weights[2], weights[2]))[0]
    return first


def of_torch(x: Tensor, h: Tensor, c: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    y, h_1BH, c_1BH = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, True, False, False)
    return y, h_1BH[0], c_1BH[0]


def of_cells(x: Tensor, h: Tensor, c: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    states = []
    for entering in x:
        h, c = torch.lstm_cell(entering, (h, c), *weights)
        states.append(h)
    return torch.stack(states), h, c


@pytest.mark.parametrize("used", [carried, tied])
@pytest.mark.parametrize("again", [False, True])
def test_a_layer_whose_inputs_depend_on_one_another_has_the_gradients_of_its_cells(
    own: None, used: Callable[..., Tensor], again: bool
) -> None:
    shapes = (4, 2, 3), (2, 3), (12, 3), (12, 3), (12,), (12,)
    arguments = [uniform(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]

    def of(layer: Callable[..., Any]) -> list[Tensor]:
        value = used(layer, *arguments).square().sum()
        options: Any = {"create_graph": again, "allow_unused": True}
        first = [each for each in torch.autograd.grad(value, arguments, **options) if each is not None]
        if not again:
            return first
        total = torch.stack([each.square().sum() for each in first]).sum()
        return first + [each for each in torch.autograd.grad(total, arguments, allow_unused=True) if each is not None]

    torch.testing.assert_close(of(of_torch), of(of_cells))


def test_a_layer_is_computed_again_under_a_checkpoint(own: None) -> None:
    layer, x = LAYERS["lstm"](), uniform(3, 4, 5).requires_grad_()
    expected = torch.autograd.grad(layer_output(layer, x).sum(), x)
    found = torch.autograd.grad(checkpoint(layer_output, layer, x, use_reentrant=False).sum(), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # of torch's own, which it loads for tangents
def test_a_layer_takes_several_gradients_at_once_and_tangents(own: None) -> None:
    layer, x = LAYERS["lstm"](), uniform(1, 2, 5).requires_grad_()
    value = layer_output(layer, x)
    one_by_one = [torch.autograd.grad(each, x, retain_graph=True)[0] for each in value]
    (at_once,) = torch.autograd.grad(value, x, torch.eye(len(value)).double(), is_grads_batched=True)
    torch.testing.assert_close(at_once, torch.stack(one_by_one))
    tangent = jvp(partial(layer_output, layer), (x.detach(),), (torch.ones_like(x),))[1]
    torch.testing.assert_close(tangent, at_once.flatten(1).sum(1))


def test_a_layer_whose_sizes_do_not_fit_is_stocks_to_refuse(own: None) -> None:
    x, state = uniform(4, 2, 5), uniform(1, 2, 3)
    for width in (2, 0):
        weights = [uniform(12, width), uniform(12, 3), uniform(12), uniform(12)]
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            torch.lstm(x, (state, state), weights, True, 1, 0.0, True, False, False)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT,
    "every second": lambda x: torch.stack([x, x], -1).flatten(-2)[..., ::2],
    "an odd beginning": lambda x: F.pad(x, (1, 0))[..., 1:],
    "a row for all": lambda x: x[..., :1, :].expand_as(x),
    "a column for all": lambda x: x[..., :1].expand_as(x),
    "overlapping": lambda x: x.flatten()[: x.shape[-1] + x.shape[-2] - 1].unfold(0, x.shape[-1], 1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("other", VIEWS)
def test_a_product_reads_every_view(own: None, view: str, other: str, dtype: torch.dtype) -> None:
    for rows, summed, columns in ((5, 7, 3), (1, 7, 3), (5, 1, 3), (5, 7, 1), (1, 1, 1)):
        x, y = VIEWS[view](uniform(rows, summed).to(dtype)), VIEWS[other](uniform(summed, columns).to(dtype))
        expected = (x.double()[:, :, None] * y.double()[None]).sum(1).to(dtype)
        torch.testing.assert_close(torch.mm(x, y), expected)
        batch = torch.stack([x, x * 2])
        torch.testing.assert_close(torch.bmm(batch, y.expand(2, -1, -1)), torch.stack([expected, expected * 2]))


def test_what_is_not_its_own_goes_on_to_stock(own: None) -> None:
    whole = torch.arange(6).reshape(2, 3)
    assert torch.mm(whole, whole.t()).tolist() == [[5, 14], [14, 50]]
    assert torch.mm(uniform(0, 3), uniform(3, 2)).shape == (0, 2)
    assert torch.addmm(torch.ones(2, 2).double(), uniform(2, 0), uniform(0, 2)).tolist() == [[1, 1], [1, 1]]
    assert torch.mm(uniform(2, 3).bfloat16(), uniform(3, 2).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: torch.mm(uniform(2, 3), uniform(2, 3)), "cannot be multiplied"),
        (lambda: torch.mm(uniform(2, 3), uniform(3, 2).float()), "same dtype"),
        (lambda: torch.bmm(uniform(2, 3, 4), uniform(3, 4, 5)), "to be"),
        (lambda: torch.addmm(uniform(5), uniform(2, 3), uniform(3, 2)), "must match|not match|expand"),
        (lambda: torch.addmm(uniform(1, 2, 2), uniform(2, 3), uniform(3, 2)), "expand|dimension"),
        (lambda: torch.addmm(uniform(5), uniform(2, 3), uniform(3, 2), beta=0), "must match|not match|expand"),
        (lambda: torch.addmm(uniform(2), uniform(2, 3), uniform(3, 2), alpha=1j), "cannot be converted"),
    ],
    ids=["sizes", "dtypes", "batches", "start", "start of more dimensions", "unread start", "factor"],
)
def test_what_does_not_multiply_is_refused(own: None, call: Callable[[], Tensor], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        call()


def test_what_a_factor_of_zero_leaves_out_is_not_read(own: None) -> None:
    start, x, y = torch.full((2, 2), torch.nan).double(), uniform(2, 3), uniform(3, 2)
    assert torch.equal(torch.addmm(start, x, y, beta=0), torch.mm(x, y))


def test_denormals_are_not_flushed_and_nan_comes_through(own: None) -> None:
    smallest = torch.full((1, 1), 1e-45)
    assert torch.mm(smallest, torch.ones(1, 1)) == smallest
    assert torch.mm(torch.full((2, 3), torch.nan), torch.zeros(3, 2)).isnan().all()
    assert torch.mm(torch.full((1, 3), torch.inf), torch.ones(3, 1)).isinf().all()


def test_a_root_is_the_nearest_float(own: None) -> None:
    x = uniform(5003).float().abs()
    assert torch.equal(x.sqrt(), x.double().sqrt().float())
    assert torch.equal(torch.arange(50).sqrt(), torch.arange(50.0).double().sqrt().float())
    assert x.reshape(-1, 1).expand(-1, 3).t().sqrt().equal(x.sqrt().expand(3, -1))
    assert torch.tensor(-1.0).sqrt().isnan()


@pytest.mark.parametrize("name", ["asin", "acos", "atan", "tan", "log2", "log10"])
def test_a_composed_function_is_nearer_than_stock_and_like_it_at_the_edges(name: str) -> None:
    x = uniform(5003).abs()
    edges = torch.tensor([0.0, -0.0, 1, -1, 2, -2, 8, 1000, torch.inf, -torch.inf, torch.nan])
    whole = torch.arange(-3, 9)
    function: Callable[[Tensor], Tensor] = getattr(torch, name)
    exact = function(x.float().double())
    stock = [function(each) for each in (x.float(), edges, whole)]
    with own_kernels():
        own = [function(each) for each in (x.float(), edges, whole)]
        assert torch.equal(getattr(x.float(), f"{name}_")(), own[0])
        assert torch.equal(function(x.float().reshape(-1, 1).expand(-1, 3).t()), own[0].expand(3, -1))
    assert (own[0] - exact).abs().max() <= (stock[0] - exact).abs().max()
    for found, expected in zip(own, stock, strict=True):
        torch.testing.assert_close(found, expected, equal_nan=True)


OTHER_FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mm.out": lambda x, y: torch.mm(x, y, out=torch.empty(0, dtype=x.dtype)),
    "mm.out of its shape": lambda x, y: torch.mm(x, y, out=torch.empty(5, 3, dtype=x.dtype)),
    "mm.out transposed": lambda x, y: torch.mm(x, y, out=torch.empty(3, 5, dtype=x.dtype).t()),
    "addmm.out": lambda x, y: torch.addmm(x.new_zeros(3), x, y, out=torch.empty(5, 3, dtype=x.dtype)),
    "addmm_": lambda x, y: x.new_zeros(5, 3).addmm_(x, y),
    "addmm_ of no beginning": lambda x, y: torch.full((5, 3), torch.nan, dtype=x.dtype).addmm_(x, y, beta=0),
    "bmm.out": lambda x, y: torch.bmm(x[None], y[None], out=torch.empty(1, 5, 3, dtype=x.dtype))[0],
    "baddbmm_": lambda x, y: x.new_zeros(1, 5, 3).baddbmm_(x[None], y[None])[0],
    "addbmm": lambda x, y: torch.addbmm(x.new_zeros(5, 3), x[None], y[None]),
}


@pytest.mark.parametrize("form", sorted(OTHER_FORMS.keys() - {"mm.out"}))
def test_every_form_of_a_product_has_the_same_bits(own: None, form: str) -> None:
    x, y = uniform(5, 700).float(), uniform(700, 3).float()
    assert torch.equal(OTHER_FORMS[form](x, y), torch.mm(x, y))


def test_a_result_of_another_shape_is_stocks_to_resize(own: None) -> None:
    torch.testing.assert_close(OTHER_FORMS["mm.out"](uniform(5, 7), uniform(7, 3)), uniform(5, 7) @ uniform(7, 3))


def test_every_form_of_a_root_is_the_nearest_float(own: None) -> None:
    x = uniform(5003).float().abs()
    nearest = x.double().sqrt().float()
    assert torch.equal(x.clone().sqrt_(), nearest) and torch.equal(torch.sqrt(x, out=torch.empty(0)), nearest)
    assert torch.equal(x**0.5, nearest) and torch.equal(x.clone().pow_(0.5), nearest)
    assert torch.equal(torch.pow(x, 0.5, out=torch.empty(5003)), nearest)
    assert torch.equal(torch.arange(5) ** 0.5, torch.arange(5.0).double().sqrt().float())
    with pytest.raises(RuntimeError, match="more than one element"):
        torch.ones(1).expand(3).sqrt_()
    assert (torch.ones(2) ** complex(0.5)).is_complex()


def test_a_result_may_be_what_it_is_computed_of(own: None) -> None:
    for compute in (torch.sqrt, partial(torch.pow, exponent=0.5)):
        x = torch.tensor([16.0, 81.0])
        assert compute(x, out=x).tolist() == [4, 9] and x.tolist() == [4, 9]
    square = uniform(4, 4)
    expected = square @ square
    torch.testing.assert_close(torch.mm(square, square, out=square), expected)


def test_products_of_steps_are_products_and_stay_within_what_they_were_given(own: None) -> None:
    x_MIK, out_NIJ = uniform(3, 4, 5), torch.zeros(2, 4, 6 + PADDING, dtype=torch.float64)[..., :6]
    add = step_products(x_MIK, uniform(6, 5).t().contiguous(), out_NIJ)  # kept for as long as `add` is
    _other = [torch.full((5, 6), torch.nan) for _ in range(100)]
    add(2, 0)
    add(1, 0)
    torch.testing.assert_close(out_NIJ[0], (x_MIK[2] + x_MIK[1]) @ uniform(6, 5).t())
    assert not out_NIJ[1].any()
    for m, n in ((3, 0), (-1, 0), (0, 2), (0, -1)):
        with pytest.raises(ValueError, match="there is no step"):
            add(m, n)
    for x, y, out in (
        (x_MIK, uniform(6, 6), out_NIJ),
        (x_MIK, uniform(5, 6), out_NIJ.float()),
        (x_MIK, uniform(5, 6), uniform(2, 4, 7)),
        (x_MIK, uniform(5, 6), uniform(1, 4, 6).expand(2, 4, 6)),
        (x_MIK.transpose(0, 1), uniform(5, 6), uniform(4, 3, 6)),
    ):
        with pytest.raises(ValueError, match="do not multiply into"):
            step_products(x, y, out)


def test_the_output_of_a_layer_may_be_changed_and_not_behind_its_gradient(own: None) -> None:
    layer, x = LAYERS["lstm"](), uniform(3, 4, 5)
    y = layer(x)[0]
    with torch.no_grad():
        expected = layer(x)[0] + 1
    torch.testing.assert_close(y.add_(1), expected)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_every_own_kernel_stands_in_the_record_of_what_it_replaces() -> None:
    recorded = {(record.own_kernel, name) for name, record in OPERATORS.items() if record.own_kernel}
    replaced = {
        (own, f"aten.{name}" if "." in name else f"aten.{name}.default")
        for own, kernels in KERNELS.items()
        for name, *_ in kernels
    }
    assert recorded == {(own, name) for own, name in replaced if name in OPERATORS}
    assert KERNELS.keys() == set(OwnKernel) == X86_64_V3.admits.own_kernels


def test_a_class_without_an_own_kernel_has_not_what_it_makes_equal() -> None:
    without = Admission("it does not admit", portable=True, own_kernels=frozenset({OwnKernel.PRODUCT}))
    assert without.operator_refusal("aten.mm.default") is None
    assert without.operator_refusal("aten.sqrt.default") == (
        "it does not admit the operator aten.sqrt.default",
        "it was shown equal with the square root rounded to nearest alone",
    )


def test_another_build_or_core_is_refused() -> None:
    with pytest.raises(EnvironmentRefused, match=r"0\.0\.1 is needed"):
        openblas.load("0.0.1", "Haswell", 1)
    with pytest.raises(EnvironmentRefused, match="those for Nehalem"), own_kernels():
        openblas.load(openblas.installed_build(), "Nehalem", 1)
