"""Random calls of operators, near the cases of their records, run to their end in this process.

`python -m tests.graph_fuzz CLASS SEED COUNT [FIRST]`, with the class's variables, says each graph
on standard output before it runs it, so that whoever started it knows which one ended the process.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from dataclasses import replace
from typing import Any, NoReturn

import torch

from fitchain.pod.compute.environment import Environment, configure, environment_class, installed_torch
from fitchain.pod.compute.environment.classes import EnvironmentClass
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.tensors import tensor_bytes
from fitchain.pod.compute.operators.cases import make_sample
from fitchain.pod.compute.operators.kernels import overload
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.graph import OPERATORS, Graph, Limits
from fitchain.pod.values.graph.nodes import argument_json
from fitchain.pod.values.graph.operators.record import Case, Operator, Sample
from fitchain.pod.values.state import ITEM_BYTES

SECONDS = 60
LIMITS = Limits(live_bytes=1 << 26, calls=20_000)
SIZES = (0, 1, 2, 3, 5, 17, 40)
INTEGERS: list[Any] = [0, 1, -1, 2, 3, -2, 7, 8, 1000, 65536, 1 << 20, 1 << 31, -(1 << 31), (1 << 32) + 1]
INTEGERS += [1 << 40, -(1 << 40), (1 << 53) - 1, *({"integer": str(x)} for x in (2**63 - 1, -(2**62), 2**62))]
FLOATS = [{"float": x} for x in (0, 0.5, -1.5, 1e30, -1e300, 1e-300, "inf", "-inf", "nan", "-0", 2, 1000)]
WORDS = ("x", "mean", "valid", "same", "reflect", "circular", "constant", "floor", "none", "tanh", "ij")
OTHERS: list[Any] = [None, True, False, *WORDS, {"layout": "strided"}, {"device": "model"}, {"input": 0}]
OTHERS += [{"memory_format": x} for x in ("channels_last", "channels_last_3d", "preserve")]
OTHERS += [{"dtype": dtype} for dtype in ITEM_BYTES]
ANYTHING = [*INTEGERS, *FLOATS, *OTHERS]
NAMES = sorted(name for name, record in OPERATORS.items() if record.cases)


class Call:
    """One call of an operator, as a graph writes it, and the tensors that it is given."""

    def __init__(self, record: Operator, case: Case) -> None:
        self.record = record
        self.samples: dict[str, Sample] = {}
        self.arguments = [self.written(value) for value in case.arguments]
        self.options = {key: self.written(value) for key, value in case.options.items()}

    def written(self, value: Any) -> Any:
        """An argument of a case, as a graph writes it."""
        if isinstance(value, tuple):
            return [self.written(item) for item in value]
        return self.tensor(value) if isinstance(value, Sample) else argument_json(value)

    def tensor(self, sample: Sample) -> dict[str, str]:
        """A tensor of the graph with a sample's numbers."""
        name = f"t{len(self.samples)}"
        in_place = not self.samples and self.record.name.split(".")[1].endswith("_")
        requires_grad = sample.requires_grad and sample.dtype in ("F32", "F64") and not in_place
        self.samples[name] = replace(sample, requires_grad=requires_grad)
        return {"tensor": name}

    def graph(self) -> bytes:
        """A graph of this call alone."""
        node = {"operator": self.record.name, "arguments": self.arguments}
        nodes: list[Any] = [{**node, "options": self.options} if self.options else node]
        output: dict[str, int] = {"node": 0}
        if not self.record.name.startswith("aten."):
            nodes.append({"operator": "aten.full.default", "arguments": [[2], {"node": 0}]})
            output = {"node": 1}
        elif len(returns := overload(self.record.name)._schema.returns) > 1 or "List" in str(returns[0].type):
            output = {"node": 0, "item": 0}
        form = {"nodes": nodes, "output": output}
        inputs = [{"name": "x", "dtype": "F32", "shape": [3]}]
        forms = {"training": form, "evaluation": form}
        specs = {name: self.spec(sample) for name, sample in self.samples.items()}
        return canonical_json({"version": "fitchain/graph/v2", "inputs": inputs, "tensors": specs, **forms})

    @staticmethod
    def spec(sample: Sample) -> dict[str, Any]:
        """What a graph says of a tensor."""
        kind = "parameter" if sample.requires_grad else "buffer"
        return {"kind": kind, "dtype": sample.dtype, "shape": list(sample.shape), "trainable": sample.requires_grad}

    def program(self, graph: bytes, of: EnvironmentClass) -> Program:
        """The graph, with its tensors."""
        tensors = {
            name: tensor_bytes(self.spec(sample)["kind"], make_sample(sample, place).detach())
            for place, (name, sample) in enumerate(self.samples.items(), 1)
        }
        return Program(Graph.parse(graph), tensors, of, LIMITS)


def random_call(chance: random.Random, name: str) -> Call:
    """A call that may be right, near one that is."""
    record = OPERATORS[name]
    call = Call(record, chance.choice([case for case in record.cases if not case.wide]))
    if name.startswith("aten.") and chance.random() < 0.5:
        _add_argument(chance, call)
    for _ in range(chance.choice([1, 1, 2, 3])):
        if call.arguments and chance.random() < 0.85:
            place = chance.randrange(len(call.arguments))
            call.arguments[place] = _changed(chance, call, call.arguments[place])
        elif call.options:
            key = chance.choice(list(call.options))
            call.options[key] = _changed(chance, call, call.options[key])
    used = json.dumps([call.arguments, call.options])
    call.samples = {key: sample for key, sample in call.samples.items() if f'"{key}"' in used}
    return call


def _add_argument(chance: random.Random, call: Call) -> None:
    """Give one more of the operator's arguments."""
    parameters = overload(call.record.name)._schema.arguments
    if rest := parameters[len(call.arguments) :]:
        parameter = chance.choice(rest)
        value = _of_type(chance, str(parameter.real_type))
        if parameter.kwarg_only:
            call.options[parameter.name] = value
        else:
            call.arguments.append(value)


def _of_type(chance: random.Random, wanted: str) -> Any:
    if "List[int]" in wanted:
        return [chance.choice(INTEGERS) for _ in range(chance.randrange(1, 4))]
    for word, values in (("int", INTEGERS), ("bool", [True, False]), ("float", FLOATS), ("number", FLOATS)):
        if word in wanted:
            return chance.choice(values)
    return chance.choice(ANYTHING)


def _changed(chance: random.Random, call: Call, value: Any) -> Any:
    """An argument, changed a little or altogether."""
    kept = chance.random()
    if isinstance(value, list) and value and kept < 0.6:
        return _changed_list(chance, call, list(value))
    if isinstance(value, dict) and "tensor" in value and kept < 0.75:
        return call.tensor(_changed_sample(chance, call.samples[value["tensor"]]))
    if isinstance(value, bool) and kept < 0.6:
        return not value
    if isinstance(value, int) and kept < 0.8:
        return chance.choice(INTEGERS)
    if isinstance(value, dict) and "float" in value and kept < 0.7:
        return chance.choice(FLOATS)
    return chance.choice(ANYTHING) if kept < 0.9 else [chance.choice(ANYTHING) for _ in range(chance.randrange(4))]


def _changed_list(chance: random.Random, call: Call, values: list[Any]) -> list[Any]:
    what, place = chance.random(), chance.randrange(len(values))
    if what < 0.5:
        values[place] = _changed(chance, call, values[place])
    elif what < 0.7:
        values.pop(place)
    elif what < 0.9:
        values.append(values[0] if isinstance(values[0], dict) else chance.choice(INTEGERS))
    else:
        values *= chance.choice([2, 5])
    return values


def _changed_sample(chance: random.Random, sample: Sample) -> Sample:
    shape, what = list(sample.shape), chance.random()
    if what < 0.35 and shape:
        shape[chance.randrange(len(shape))] = chance.choice(SIZES)
    elif what < 0.5 and shape:
        shape.pop(chance.randrange(len(shape)))
    elif what < 0.65:
        shape.insert(chance.randrange(len(shape) + 1), chance.choice(SIZES[:4]))
    elif what < 0.8:
        shape = [chance.choice(SIZES[:5]) for _ in range(chance.randrange(6))]
    dtype = chance.choice(list(ITEM_BYTES)) if chance.random() < 0.4 else sample.dtype
    low, high = (
        chance.choice([(-1000, 1000), (0, 3), (-5, 100)]) if chance.random() < 0.3 else (sample.low, sample.high)
    )
    if dtype in ("U8", "I8", "BOOL"):
        low, high = 0, 2
    return Sample(tuple(shape), low, high, dtype, requires_grad=sample.requires_grad)


def run(call: Call, graph: bytes, of: EnvironmentClass) -> bool:
    """Run a graph forward and backward.

    Returns:
        Whether it ran; refused, or failing as an operator may, it did not.
    """
    try:
        value = call.program(graph, of)(torch.rand(2, 3), training=True)
        if value.requires_grad:
            value.double().sum().backward()  # type: ignore[no-untyped-call]
    except (FitchainError, RuntimeError, LookupError, ValueError, ArithmeticError):
        return False
    return True


def _too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"the graph computes for more than {SECONDS} s")


def main(arguments: list[str]) -> int:
    """Run graphs; the last line says how many of them ran to their end."""
    of = environment_class(arguments[0])
    seed, count, first = (*map(int, arguments[1:]), 0)[:3]
    configure(Environment(of.name, 1, installed_torch()))
    signal.signal(signal.SIGVTALRM, _too_long)
    ran = 0
    for number in range(first, count):
        chance = random.Random(f"{seed}/{number}")
        call = random_call(chance, NAMES[(number * 7 + seed) % len(NAMES)])
        graph = call.graph()
        print(number, graph.decode(), flush=True)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        ran += run(call, graph, of)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print(f"{ran} of {count - first} ran")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
