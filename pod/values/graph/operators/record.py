"""What is said of an operator, once: its name, where its bits part, its checks, its kernel, its
cases.

Everything else derives from it: what a class admits (`Admission`), what a dry run checks, what
computes, what the probe and the conformance suite run. A record is data: what computes is bound to
it by the names in `Guard` and `OwnKernel`, in `fitchain.pod.compute.operators`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from fitchain.pod.values.graph.nodes import Argument, Symbol, TensorRef


class Guard(Enum):
    """A check before an operator that could misread memory, flood Python with objects, or change
    what its schema does not say; the value says what it holds."""

    UNBIND = "as many pieces as the dimension is long"
    SPLIT = "as many pieces as fit into the dimension"
    PIECES = "as many pieces as the argument says"
    DENSE = "no sparse gradient"
    ONE_HOT = "a number of classes"
    STATISTICS = "running statistics are changed in training"
    NORMS = "one norm for each slice"
    WINDOWS = "windows of moderate sizes, cut out of an image or put together"
    RESIZED = "moderate sizes and scales"
    WRITTEN_ONCE = "numbers are written, and not added up, by index"
    COUNTED = "a moderate number of bins"
    ONE_ORDER = "one order on a CPU, of which torch's meta kernel is not told"
    MARGINS = "a gradient, which torch has no meta kernel of"
    SAMPLED = "a known way to interpolate, and to go on beyond an image"
    GROUPS = "rows of a matrix in groups, each multiplied by a matrix of its own"
    LSTM = "four gates, two hidden states"
    GRU = "three gates, one hidden state"
    RNN = "one gate, one hidden state"


class OwnKernel(Enum):
    """What computes an operator in place of torch's stock kernel, in a process of a class that asks
    for it."""

    PRODUCT = "OpenBLAS' matrix products"
    EXACT_ROOT = "the square root rounded to nearest"
    COMPOSED = "functions made of those that do not part"
    LSTM = "a layer of products and elementwise operators"


class Flow(Enum):
    """How numbers go from an operator's arguments into what it makes; what a training form may keep
    in a buffer follows from it (`fitchain.pod.values.graph.taint`)."""

    MIXES = "any number may enter any other"
    ARITHMETIC = "each number stays where it is, in sums, products, quotients and choices"
    SHAPES = "the same numbers in the same order"
    CUTS = "some of the numbers, or all in another order"
    MEASURES = "a number's function, or how large numbers are together"
    PRODUCTS = "sums of products, as of a matrix and a vector"
    COMPARES = "truths and choices out of numbers"
    SIZES = "of its first argument the sizes alone"


class Layout(Enum):
    """How a sample lies in memory; its numbers are the same."""

    ROWS = "row by row"
    TRANSPOSED = "the last two dimensions exchanged"
    SLICED = "every second element of rows twice as long"
    OFFSET = "rows that begin at an odd element of a longer one"
    CHANNELS = "the second dimension last: torch's channels_last, where there are four dimensions"


@dataclass(frozen=True, slots=True)
class Sample:
    """A tensor of a case; its numbers follow from its place among the arguments alone.

    Args:
        shape: its sizes.
        low, high: its numbers are uniform in [low, high); integers where its dtype is one.
        dtype: a key of `fitchain.pod.values.state.ITEM_BYTES`.
        layout: how it lies in memory.
        odd: whether every seventh number is one of the odd ones: denormals, infinities, NaNs with
            payloads, zeros of both signs, the largest.
        requires_grad: whether a gradient is taken with respect to it, where it is a float.
        ascending: whether its numbers, in one dimension, stand in order; of integers the highest is
            there.
    """

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    dtype: str = "F32"
    layout: Layout = Layout.ROWS
    odd: bool = False
    requires_grad: bool = True
    ascending: bool = False

    def __str__(self) -> str:
        sizes = "x".join(map(str, self.shape)) or "scalar"
        span = "" if (self.low, self.high) == (-1, 1) else f" {self.low:g}..{self.high:g}"
        dtype = "" if self.dtype == "F32" else f" {self.dtype}"
        layout = "" if self.layout is Layout.ROWS else f" {self.layout.name.lower()}"
        words = [(self.odd, " odd"), (not self.requires_grad, " constant"), (self.ascending, " ascending")]
        return f"{sizes}{span}{dtype}{layout}{''.join(word for said, word in words if said)}"


CaseArgument = Argument | Sample | tuple["CaseArgument", ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One call of an operator, with all its numbers.

    Args:
        arguments: by place; a sample stands for a tensor.
        options: by name.
        wide: whether it takes too long for a probe and runs in the conformance suite alone.
    """

    arguments: tuple[CaseArgument, ...] = ()
    options: Mapping[str, CaseArgument] = field(default_factory=lambda: MappingProxyType({}))
    wide: bool = False

    def __str__(self) -> str:
        options = [f"{name}={_written(value)}" for name, value in self.options.items()]
        return ", ".join([*map(_written, self.arguments), *options])

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Its tensors, in the order of the arguments, then of the options."""
        return tuple(_samples((*self.arguments, *self.options.values())))

    @property
    def dtypes(self) -> frozenset[str]:
        """The dtypes that it names."""
        return frozenset(sample.dtype for sample in self.samples) | named_dtypes(
            (*_plain(self.arguments), *_plain(tuple(self.options.values())))
        )


def _written(value: CaseArgument) -> str:
    if isinstance(value, tuple):
        return f"[{' '.join(map(_written, value))}]"
    return value.name if isinstance(value, Symbol) else str(value)


def _samples(values: Iterable[CaseArgument]) -> Iterable[Sample]:
    for value in values:
        if isinstance(value, tuple):
            yield from _samples(value)
        elif isinstance(value, Sample):
            yield value


def _plain(values: tuple[CaseArgument, ...]) -> tuple[Argument, ...]:
    """Arguments as a graph holds them: a sample is a tensor of some name."""
    plain: list[Argument] = []
    for value in values:
        if isinstance(value, tuple):
            plain.append(_plain(value))
        else:
            plain.append(TensorRef("sample") if isinstance(value, Sample) else value)
    return tuple(plain)


def named_dtypes(values: Iterable[Argument]) -> frozenset[str]:
    """The dtypes that arguments of a graph name."""
    named: set[str] = set()
    for value in values:
        if isinstance(value, tuple):
            named |= named_dtypes(value)
        elif isinstance(value, Symbol) and value.what == "dtype":
            named.add(value.name)
    return frozenset(named)


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator.

    Args:
        name: in full, overload included.
        cases: calls that show what it does, forward and backward.
        not_portable: why its bits part between processors, or were not shown not to, and what to
            use instead; empty where they were shown equal.
        guard: what a dry run checks of it beyond torch's own schema.
        own_kernel: what computes it in classes that ask for it; its bits were shown equal with that
            one alone.
        flow: how numbers go through it; what is not said mixes them.
        aliases: whether what it makes may lie in the memory of what it takes: of its first tensor,
            or of each in a list.
        chosen_by: the place of the argument whose numbers choose which others enter the result;
            None where none does.
    """

    name: str
    cases: tuple[Case, ...] = ()
    not_portable: str = ""
    guard: Guard | None = None
    own_kernel: OwnKernel | None = None
    flow: Flow = Flow.MIXES
    aliases: bool = False
    chosen_by: int | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes its first argument in place, as torch's names say it: `add_`. Running
        statistics are changed besides."""
        base = self.name.split(".")[1]
        return base.endswith("_") and not base.startswith("__") and self.flow is not Flow.SHAPES


# Many parameters: what a record says, of several operators at once.
def operators(
    names: str,
    *cases: Case,
    not_portable: str = "",
    guard: Guard | None = None,
    own: OwnKernel | None = None,
    flow: Flow = Flow.MIXES,
    aliases: bool = False,
    chosen_by: int | None = None,
) -> tuple[Operator, ...]:
    """Records of operators of which the same is said.

    Args:
        names: of torch's operators, between blanks; one without an overload has the overload
            `default`.
        cases: of each; those of floats are cases of doubles, too.
        not_portable, guard, own, flow, aliases, chosen_by: as in `Operator`.
    """
    full = (f"aten.{name}" if "." in name else f"aten.{name}.default" for name in names.split())
    doubles = [double for double in map(of_doubles, cases) if double is not None and double not in cases]
    said = not_portable, guard, own, flow, aliases, chosen_by
    return tuple(Operator(name, (*cases, *doubles), *said) for name in full)


def of_doubles(case: Case) -> Case | None:
    """The same call of doubles instead of floats; None where it has no float, is laid out in a way
    of its own, or scans."""
    if case.wide or any(each.layout is not Layout.ROWS for each in case.samples):
        return None
    if not any(each.dtype == "F32" for each in case.samples) or "F64" in case.dtypes:
        return None
    options = {key: _doubled(value) for key, value in case.options.items()}
    return Case(tuple(map(_doubled, case.arguments)), MappingProxyType(options))


def _doubled(value: CaseArgument) -> CaseArgument:
    if isinstance(value, tuple):
        return tuple(map(_doubled, value))
    return replace(value, dtype="F64") if isinstance(value, Sample) and value.dtype == "F32" else value


def case(*arguments: CaseArgument, **options: CaseArgument) -> Case:
    """A case of a probe."""
    return Case(arguments, MappingProxyType(options))


def wide(*arguments: CaseArgument, **options: CaseArgument) -> Case:
    """A case that only the conformance suite runs."""
    return Case(arguments, MappingProxyType(options), wide=True)


def unit(*shape: int) -> Sample:
    """Numbers in [-1, 1)."""
    return Sample(shape)


def spread(*shape: int) -> Sample:
    """Numbers in [-6, 6)."""
    return Sample(shape, -6, 6)


def positive(*shape: int) -> Sample:
    """Numbers in [0.01, 1)."""
    return Sample(shape, 0.01, 1)


def constant(sample: Sample) -> Sample:
    """The same numbers, with respect to which no gradient is taken."""
    return replace(sample, requires_grad=False)


def laid(sample: Sample, layout: Layout) -> Sample:
    """The same numbers, laid out otherwise."""
    return replace(sample, layout=layout)


def below(high: int, *shape: int) -> Sample:
    """Integers in [0, high)."""
    return Sample(shape, 0, high, "I64")


def mask(*shape: int) -> Sample:
    """Truth values."""
    return Sample(shape, 0, 2, "BOOL")


FLAT, TABLE, IMAGES, SEQUENCE = (5003,), (37, 129), (4, 6, 12, 12), (4, 16, 32)
SIGNAL, BODY, SCANNED = (4, 6, 40), (2, 3, 6, 6, 6), (1 << 20,)
"""Shapes of many cases: odd sizes where a vector's end matters; a function of a vendor's library
may differ in one value of a hundred thousand, so it is scanned over a million."""
