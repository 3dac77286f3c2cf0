"""Operators: each record has its evidence, each call is what torch's schema says, and no graph ends
the process."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fitchain.pod.compute.environment import Environment, clean_variables, installed_torch
from fitchain.pod.compute.environment.classes import CLASSES, NATIVE, X86_64_V3
from fitchain.pod.compute.environment.probing import operator_works
from fitchain.pod.compute.model import dry_run, step_work
from fitchain.pod.compute.operators.arguments import check_arguments
from fitchain.pod.compute.operators.cases import case_digest, case_name, make_sample, run_case
from fitchain.pod.compute.operators.guards import CHECKS, GATES, SHAPES
from fitchain.pod.values.errors import InputRefused, OperatorFailed
from fitchain.pod.values.graph import OPERATORS, Graph
from fitchain.pod.values.graph.operators import elementwise, layers, products, reductions, shapes
from fitchain.pod.values.graph.operators.record import Case, Guard, Layout, Sample, case, constant, unit
from tests.graph_fuzz import Call
from tests.speeds import long_unless

ROOT = Path(__file__).parent.parent
KINDS = [products, layers, elementwise, reductions, shapes]


@pytest.mark.parametrize("name", CLASSES)
def test_every_admitted_operator_has_a_case_of_its_class(name: str) -> None:
    admits = CLASSES[name].admits
    without = [
        record.name
        for record in OPERATORS.values()
        if record not in shapes.BRACKETS
        and admits.has(record.name)
        and not any(admits.admits(record, case) and not case.wide for case in record.cases)
    ]
    assert without == []


def test_every_case_is_in_some_class() -> None:
    beyond = [
        case_name(record, case)
        for record in OPERATORS.values()
        for case in record.cases
        if not any(each.admits.admits(record, case) for each in CLASSES.values())
    ]
    assert beyond == []


def test_every_case_of_an_operator_across_processors_is_compared_across_them() -> None:
    beyond = [
        case_name(record, case)
        for record in OPERATORS.values()
        for case in record.cases
        if X86_64_V3.admits.has(record.name) and not X86_64_V3.admits.admits(record, case)
    ]
    assert beyond == []


def test_an_operator_has_one_record_and_a_case_one_name() -> None:
    records = list(chain.from_iterable(kind.RECORDS for kind in KINDS))
    names = [case_name(record, case) for record in records for case in record.cases]
    assert len(records) == len(OPERATORS) and len(names) == len(set(names))


def test_every_guard_is_bound_and_used() -> None:
    used = {record.guard for record in OPERATORS.values()} - {None}
    assert used == set(Guard) == {*CHECKS, *GATES, *SHAPES, Guard.ONE_ORDER}


def test_a_class_across_processors_probes_none_of_what_parts() -> None:
    parts = [record.name for record in OPERATORS.values() if record.not_portable]
    works = operator_works(X86_64_V3, wide=False)
    assert not [name for name in works if name.split("(")[0] in parts]


def test_every_operator_of_floats_has_a_case_of_doubles() -> None:
    without = [
        record.name
        for record in OPERATORS.values()
        if record.name.startswith("aten.")
        and record not in products.GROUPS  # which torch has of floats alone
        and any("F32" in case.dtypes for case in record.cases)
        and not any("F64" in case.dtypes for case in record.cases)
    ]
    assert without == []


RESHAPING = ("aten.unsqueeze_.default", "aten.squeeze_.dim")
COMPARING = tuple(
    f"aten.{name}_.{'Tensor' if name.startswith('bitwise_') and name != 'bitwise_not' else 'default'}"
    for name in (
        *("sign", "sgn", "logical_and", "logical_or", "logical_xor", "logical_not"),
        *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"),
    )
)


def require_metered(graph: Graph) -> None:
    """A worker meters where torch must compute in order, which some meta kernels refuse. What is
    written to here is a buffer, which no evaluation may change: its training alone is metered."""
    torch.use_deterministic_algorithms(True)
    try:
        if graph.structure.written:
            dry_run(graph, 2)
        else:
            step_work(graph, 2)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.split(".")[-1])
def test_a_case_written_as_a_graph_gives_what_the_case_gives(kind: ModuleType) -> None:
    for record in kind.RECORDS:
        for one in record.cases:
            if one.wide or any(sample.layout is not Layout.ROWS for sample in one.samples):
                continue
            call = Call(record, one)
            if record.name in RESHAPING:  # of a buffer, which must be what it was for the next step
                with pytest.raises(InputRefused, match="in another shape"):
                    call.program(call.graph(), NATIVE)(torch.rand(2, 3), training=True)
                continue
            if record.name in COMPARING:  # a buffer with itself, which what is learnt goes by then
                with pytest.raises(InputRefused, match="what a buffer keeps, chooses by comparison"):
                    call.program(call.graph(), NATIVE)
                continue
            program = call.program(call.graph(), NATIVE)
            if one is record.cases[0]:
                require_metered(program.graph)
            torch.manual_seed(1)
            value = program(torch.rand(2, 3, generator=torch.Generator()), training=True)
            (expected, *_) = run_case(record, one)
            assert expected is not None
            expected = expected if isinstance(expected, torch.Tensor) else torch.full((2,), expected)
            assert case_digest("", [value]) == case_digest("", [expected]), case_name(record, one)


@pytest.mark.parametrize("layout", Layout)
def test_a_sample_has_the_same_numbers_in_every_layout(layout: Layout) -> None:
    plain, laid = make_sample(Sample((5, 7, 3)), 1), make_sample(Sample((5, 7, 3), layout=layout), 1)
    assert torch.equal(plain, laid) and laid.is_contiguous() == (layout is Layout.ROWS) and laid.is_leaf


@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_odd_numbers_are_among_a_sample_that_wants_them(dtype: str) -> None:
    odd = make_sample(Sample((100,), dtype=dtype, odd=True), 1)[::7].detach()
    assert odd.isnan().any() and odd.isposinf().any() and odd.isneginf().any()
    assert ((odd != 0) & (odd.abs() < torch.finfo(odd.dtype).smallest_normal)).any()


X = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("name", "arguments", "options", "words"),
    [
        ("aten.zeros.default", [[2]], {"layout": 5}, "'layout' of aten.zeros.default is of type Optional.Layout., not"),
        ("aten.zeros.default", [[2]], {"dtype": 6}, "'dtype'"),
        ("aten.zeros.default", [[2]], {"device": "cuda"}, "'device'"),
        ("aten.zeros.default", [[2]], {"pin_memory": True}, "pin memory"),
        ("aten.zeros.default", [[2.5]], {}, "'size'"),
        ("aten.zeros.default", [[True]], {}, "'size'"),
        ("aten.zeros.default", [2], {}, "'size'"),
        ("aten.clone.default", [X], {"memory_format": 7}, "'memory_format'"),
        ("aten.contiguous.default", [X], {"memory_format": 1 << 40}, "'memory_format'"),
        ("aten.to.dtype", [X, 99], {}, "'dtype'"),
        ("aten._to_copy.default", [X], {"layout": torch.float32}, "'layout'"),
        ("aten.bernoulli.default", [X], {"generator": 1}, "'generator'"),
        ("aten.sum.dim_IntList", [X, [0], 1], {}, "'keepdim'"),
        ("aten.select.int", [X, X, 0], {}, "'dim'"),
        ("aten.add.Scalar", [X, X], {}, "'other'"),
        ("aten.gelu.default", [X], {"approximate": None}, "'approximate'"),
        ("aten.cat.default", [[X, 1]], {"dim": "0"}, "'dim'"),
        ("aten.linear.default", [X], {}, "needs the argument 'weight'"),
        ("aten.relu.default", [X, X], {}, "takes 1 arguments by place, not 2"),
        ("aten.relu.default", [X], {"self": X}, "takes no argument 'self'"),
        ("aten.relu.default", [X], {"out": X}, "takes no argument 'out'"),
        ("aten.add.Tensor", [X, X, 2], {}, "takes 2 arguments by place, not 3"),
        ("aten.mul.Tensor", [2, 3], {}, "numbers alone"),
        ("aten.to.dtype_layout", [0.5], {}, "numbers alone"),
        ("int.size", [X, 0], {"x": 1}, "by place"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_argument_of_another_type_is_refused(
    name: str, arguments: list[Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputRefused, match=words):
        check_arguments(name, arguments, options)


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("aten.mul.Tensor", [X, 2], {}),
        ("aten.sum.dim_IntList", [X, 1], {}),
        ("aten.conv2d.default", [X, X, None, [1, 1]], {}),
        ("aten.index.Tensor", [X, [None, X]], {}),
        ("aten.to.dtype", [X, torch.float64], {"copy": True}),
        ("aten.dropout.default", [X, 1, True], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_argument_of_its_type_is_taken(name: str, arguments: list[Any], options: dict[str, Any]) -> None:
    check_arguments(name, arguments, options)


@pytest.mark.parametrize("seed", long_unless(lambda seed: seed == 1, [1, 2, 3, 4]))
def test_no_graph_ends_the_process(tmp_path: Path, seed: int) -> None:
    """A stranger's graph is refused, fails, or runs: whatever else it does, the worker is gone."""
    environment = Environment([*CLASSES][seed % 2], 1, installed_torch())
    command = [sys.executable, "-m", "tests.graph_fuzz", environment.name, str(seed), "400" if seed < 3 else "4000"]
    variables = clean_variables(environment, tmp_path)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    *_, last = done.stdout.strip().splitlines() or [""]
    assert done.returncode == 0, f"{done.stderr[-500:]}\n{last}"
    ran, _, count = last.split()[:3]
    assert int(ran) > int(count) / 10  # else it would try refusals alone


@pytest.mark.parametrize(
    "call",
    [
        case(unit(60), unit(33, 1)),
        case(unit(33, 60), unit(33, 1), 1),
        case(unit(33, 60), unit(1, 1), 0),
        case(unit(33, 60), unit(33, 1), -2),
        case(unit(33, 60), unit(33, 1), -1),
    ],
    ids=str,
)
def test_norms_that_are_not_one_for_each_slice_are_refused(call: Case) -> None:
    """Torch's kernel read and wrote beyond them."""
    written = Call(OPERATORS["aten._weight_norm.default"], call)
    with pytest.raises(InputRefused, match="norm"):
        written.program(written.graph(), NATIVE)(torch.rand(2, 3), training=True)


FIXED = constant(unit(4, 3))
WINDOW = (3, 2), (1, 1), (0, 0), (1, 1)


@pytest.mark.parametrize(
    ("name", "call", "words"),
    [
        ("im2col.default", case(unit(2, 3, 9, 9), (3, 2), (1, 1), (1 << 62, 0), (1, 1)), "a window"),
        ("im2col.default", case(unit(2, 3, 9, 9), (3, 2), (1, 1), (-1, 0), (1, 1)), "a window"),
        ("col2im.default", case(unit(2, 18, 56), (1 << 40, 9), *WINDOW), "a window"),
        ("upsample_bilinear2d.vec", case(unit(2, 3, 9, 9), (1 << 40, 1), False, None), "a new size"),
        ("upsample_nearest2d.vec", case(unit(2, 3, 9, 9), None, (float("nan"), 2.0)), "a new size"),
        ("upsample_bicubic2d.vec", case(unit(2, 3, 9, 9), None, True, (1e300, 2.0)), "a new size"),
        ("grid_sampler.default", case(unit(2, 3, 9, 9), unit(2, 4, 4, 2), 3, 0, False), "interpolates"),
        ("grid_sampler.default", case(unit(2, 3, 9, 9), unit(2, 4, 4, 2), 0, -1, False), "interpolates"),
        ("_grouped_mm.default", case(unit(8, 4), unit(2, 4, 4), Sample((3,), 8, 9, "I32")), "ends of groups"),
        ("_grouped_mm.default", case(unit(8, 4), unit(4, 8), Sample((1,), 8, 9, "I32")), "grouped products"),
        ("index_put_.default", case(unit(5, 3), (Sample((4,), 0, 5, "I64"),), FIXED, True), "adds up"),
        ("index_put.default", case(unit(5, 3), (Sample((5,), 0, 2, "BOOL"),), unit(3)), "a mask"),
    ],
    ids=str,
)
def test_sizes_and_indices_that_are_hostile_are_refused(name: str, call: Case, words: str) -> None:
    written = Call(OPERATORS[f"aten.{name}"], call)
    with pytest.raises(InputRefused, match=words):
        written.program(written.graph(), NATIVE)(torch.rand(2, 3), training=True)


@pytest.mark.parametrize("ends", [Sample((2,), 7, 8, "I32"), Sample((2,), 9, 10, "I32"), Sample((2,), -9, -8, "I32")])
def test_groups_that_end_elsewhere_than_with_the_last_row_fail(ends: Sample) -> None:
    """Torch's kernel leaves the rows behind as memory was."""
    written = Call(OPERATORS["aten._grouped_mm.default"], case(unit(8, 4), unit(2, 4, 4), ends))
    with pytest.raises(OperatorFailed, match="the last with row 8"):
        written.program(written.graph(), NATIVE)(torch.rand(2, 3), training=True)


BEYOND = Sample((4, 3), 7, 9, "I64")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("scatter.value", case(unit(5, 3), 0, BEYOND, 0.3)),
        ("scatter_.value", case(unit(5, 3), 0, BEYOND, 0.3)),
        ("scatter.src", case(unit(5, 3), 0, BEYOND, unit(4, 3))),
        ("scatter_.src", case(unit(5, 3), 0, BEYOND, constant(unit(4, 3)))),
        ("scatter_add.default", case(unit(5, 3), 0, BEYOND, unit(4, 3))),
        ("scatter_add_.default", case(constant(unit(5, 3)), 0, BEYOND, constant(unit(4, 3)))),
        ("index_add.default", case(unit(5, 3), 0, Sample((4,), 7, 9, "I64"), unit(4, 3))),
        ("index_add.default", case(unit(5, 3), 0, Sample((4,), -9, -8, "I64"), unit(4, 3))),
        ("index_copy.default", case(unit(5, 3), 0, Sample((4,), 7, 9, "I64"), unit(4, 3))),
        ("masked_scatter.default", case(unit(5, 3), Sample((5, 3), 1, 2, "BOOL"), unit(4))),
        ("multi_margin_loss.default", case(unit(4, 3), Sample((4,), 7, 9, "I64"))),
        ("take.default", case(unit(2, 3), BEYOND)),
        ("index_fill.int_Scalar", case(unit(5, 3), 0, Sample((4,), 7, 9, "I64"), 0.3)),
        ("nll_loss_nd.default", case(unit(4, 3), Sample((4,), 7, 9, "I64"))),
        ("cross_entropy_loss.default", case(unit(4, 3), Sample((4,), 7, 9, "I64"))),
        ("cross_entropy_loss.default", case(unit(4, 3), Sample((4,), -9, -7, "I64"), None, 1, -100, 0.1)),
    ],
    ids=str,
)
def test_an_index_beyond_what_it_looks_up_fails(name: str, call: Case) -> None:
    written = Call(OPERATORS[f"aten.{name}"], call)
    with pytest.raises(OperatorFailed, match=r"out of bounds|out of range|must be|expected|elements of source"):
        written.program(written.graph(), NATIVE)(torch.rand(2, 3), training=True)


@pytest.mark.parametrize("name", ["index_put_.default", "index_put.default"])
def test_an_index_beyond_a_tensor_fails(name: str) -> None:
    written = Call(OPERATORS[f"aten.{name}"], case(unit(5, 3), (Sample((4,), 7, 9, "I64"),), FIXED))
    with pytest.raises(OperatorFailed, match=r"out of bounds|out of range"):
        written.program(written.graph(), NATIVE)(torch.rand(2, 3), training=True)
