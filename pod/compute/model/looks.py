"""Looks: where a module's Python learns the value of a tensor, or a size that depends on one.

What Python knows it may branch on, and a trace sees one branch. A look that is taken while a module
is traced is no harm: a trace has no numbers, so it answers with a symbol, and asks before anything
is decided by one. A look that only a run takes decides what no graph has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from fitchain.pod.compute.model.dataflow import Dataflow
from fitchain.pod.compute.model.torch_output import is_foreign, module_place

Look = tuple[tuple[str, int] | None, str]
"""File and line, and the function of torch that is called there."""
_BESIDE_OPERATORS = frozenset(
    {"numpy", "tolist", "data_ptr", "untyped_storage", "storage", "_typed_storage", "__array__", "__dlpack__"}
    | {"__reduce_ex__", "__deepcopy__", "__repr__", "__str__", "__format__"}
)
"""Methods of a tensor that give its numbers away and run no operator that says so."""
_DATA: Any = Tensor.data
_GRADIENT: Any = Tensor.grad
_OF_GRADIENTS = (_GRADIENT.__get__, _GRADIENT.__set__, _GRADIENT.__delete__)
_VERSION: Any = Tensor._version
PAST_FUNCTIONS = "past torch's functions"


class Looks(TorchFunctionMode):
    """Notes looks at what depends on more than constants, in a run, and whether each is a question.

    Args:
        flow: of the run; looks that are operators are its.
        turned: a look whose answer is turned into its opposite.
    """

    def __init__(self, flow: Dataflow, turned: Look | None = None) -> None:
        super().__init__()
        self.flow, self.turned = flow, turned
        self.taken = dict[Look, bool]()
        self.at_gradients = list[tuple[str, int] | None]()
        self.at_versions = list[tuple[str, int] | None]()
        self._noted = set[int]()

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name = _name(function)
        if name in _BESIDE_OPERATORS and isinstance(arguments[0], Tensor) and self.flow.depends(arguments[0]):
            self.taken[module_place(), name] = False
        elif function in _OF_GRADIENTS:
            self.at_gradients.append(module_place())
        elif function == _VERSION.__get__ and is_foreign(sys._getframe(1).f_code.co_filename):
            self.at_versions.append(module_place())
        reads = len(self.flow.reads)
        output = function(*arguments, **(options or {}))
        if len(self.flow.reads) > reads:
            self._noted.update(range(reads, len(self.flow.reads)))
            look = module_place(), name
            self.taken[look] = isinstance(output, bool)
            return not output if look == self.turned and isinstance(output, bool) else output
        return output

    def all_taken(self) -> dict[Look, bool]:
        """All looks; also those at operators that no function of torch's was called for."""
        past = {line for number, line in enumerate(self.flow.reads) if number not in self._noted and line}
        return {**{(line, PAST_FUNCTIONS): False for line in past}, **self.taken}


class Traced(TorchFunctionMode):
    """Notes what is answered while a module is traced; and takes `tensor.data` for what it is, a
    tensor without its history: a trace loses sight of it.

    Args:
        answered: what was.
    """

    def __init__(self, answered: set[Look]) -> None:
        super().__init__()
        self.answered = answered

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if function == _DATA.__get__:
            return arguments[0].detach()
        output = function(*arguments, **(options or {}))
        self.answered.add((module_place(), _name(function)))
        return output


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", function))
