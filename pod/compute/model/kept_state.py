"""Kept state: what a module keeps from call to call outside its parameters and buffers.

It is looked for where Python can keep something: in attributes, of modules, objects and classes, in
containers, closures, default arguments, iterators and generators, in the variables that a module's
functions read, and, by the names that these use, in modules, classes and functions of libraries. A
call that is repeated leaves all of it as it was, once caches are filled; what still changes then is
a count, or a draw.
"""

from __future__ import annotations

import array
import ctypes
import decimal
import functools
import io
import itertools
import os
import random
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from contextvars import ContextVar
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.dataflow import content
from fitchain.pod.compute.model.torch_output import is_foreign
from fitchain.pod.values.digest import sha256

MOST_KEPT = 100_000
"""So many values are looked at."""
DEEPEST_KEPT = 6
"""Containers and objects within one another in which they are looked for."""
MOST_IN_LIBRARIES = 100
"""Values in a container of a library that is looked at."""
GENERATOR = "generator "
"""How the state of a generator of random numbers begins."""
_OF_MODULES = frozenset(vars(nn.Module())) - {
    name for name in vars(nn.Module()) if name.endswith(("_hooks", "_hooks_with_kwargs"))
}
_HOOKS_OF_ALL = frozenset(name for name in vars(nn.modules.module) if name.startswith("_global_"))
_PLAIN = bool | int | float | complex | str | bytes | np.generic | None
_MEMORY: tuple[Any, ...] = (bytearray, memoryview, array.array, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)
_OPAQUE = ModuleType | CodeType | torch.dtype | torch.device | torch.Size
Called = Mapping[CodeType, Mapping[str, Any]]
"""Code that calls have run, with the variables of its module."""


def kept_values(module: nn.Module, called: Called) -> dict[str, str]:
    """What a module keeps outside its parameters and buffers.

    Args:
        module: with all its parts.
        called: code of others than torch that its calls have run.

    Returns:
        By path: numbers and texts as they are, the length of a container with those in it, a digest
        of a tensor's numbers, the state of a generator of random numbers.
    """
    walk = _Walk(module)
    walk.note("", _of_interpreter(), 0)
    walk.note("", {"random": vars(random)["_inst"], "numpy.random": vars(np.random.mtrand)["_rand"]}, 0)
    walk.note("torch.nn", {name: hooks for name, hooks in vars(nn.modules.module).items() if name in _HOOKS_OF_ALL}, 1)
    walk.values |= {f"os.environ.{name}": value for name, value in os.environ.items()}
    for name, part in module.named_modules():
        walk.note(name, {key: kept for key, kept in vars(part).items() if key not in _OF_MODULES}, 0)
        for kind in type(part).__mro__:
            if _is_own(kind):
                walk.note(kind.__name__, dict(vars(kind)), 1)
                walk.read(_read_by(_functions(kind)), vars(sys.modules[kind.__module__]))
    for code, variables in called.items():
        walk.read(_read_by([code]), variables)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        walk.note(name, vars(tensor), 1)
    return walk.values


def _of_interpreter() -> dict[str, Any]:
    """What Python and torch keep for all."""
    return {
        "decimal.getcontext()": repr(decimal.getcontext()),
        "threading.current_thread().name": threading.current_thread().name,
        "os.getcwd()": os.getcwd(),
        "sys.getrecursionlimit()": sys.getrecursionlimit(),
        "sys.getswitchinterval()": sys.getswitchinterval(),
        "torch.get_default_dtype()": str(torch.get_default_dtype()),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
    }


class _Walk:
    """Notes what is held, and what that holds; nothing twice."""

    def __init__(self, module: nn.Module) -> None:
        self.values = dict[str, str]()
        own = [*module.modules(), *module.parameters(), *module.buffers()]
        self.seen = {id(each) for each in own}
        self.classes = {kind.__name__: kind for part in module.modules() for kind in type(part).__mro__}
        self.classes |= {"Tensor": Tensor, "Parameter": nn.Parameter}
        self.alive = list[Any]()  # so that no id is used again

    def note(self, name: str, held: Mapping[Any, Any], depth: int) -> None:
        for key, value in list(held.items()):
            if len(self.values) >= MOST_KEPT:
                return
            if not str(key).startswith("__"):
                self.value(f"{name}.{key}".lstrip("."), value, depth)

    def read(self, names: Set[str], variables: Mapping[str, Any]) -> None:
        """Note variables that code reads, and what is kept by the names that it uses in libraries."""
        held = {name: variables[name] for name in names if name in variables}
        self.note("", held, 1)
        ahead: list[tuple[str, object]] = [*held.items(), *self.classes.items()]
        reached = set[int]()
        while ahead:
            path, holder = ahead.pop()
            if id(holder) not in reached and _is_of_library(holder):
                reached.add(id(holder))
                inside = {name: vars(holder)[name] for name in names if name in vars(holder)}
                self.note(path, {name: value for name, value in inside.items() if _is_small(value)}, 1)
                ahead += [(f"{path}.{name}", value) for name, value in inside.items()]

    def value(self, name: str, value: Any, depth: int) -> None:
        if isinstance(value, _PLAIN | itertools.count):
            self.values[name] = repr(value)
            return
        if id(value) in self.seen or isinstance(value, _OPAQUE):
            return
        self.seen.add(id(value))
        self.alive.append(value)
        if (numbers := _numbers(value)) is not None:
            self.values[name] = numbers
        items = _held_by(value)
        if _is_box(value):
            plain = [item for item in itertools.islice(items.values(), MOST_KEPT) if isinstance(item, _PLAIN)]
            self.values[name] = f"{len(items)} {plain!r}"
            items = {key: item for key, item in items.items() if not isinstance(item, _PLAIN)}
        if depth < DEEPEST_KEPT:
            self.note(name, items, depth + 1)


def _numbers(value: Any) -> str | None:
    """Numbers in memory that is not Python's, and states of generators."""
    if isinstance(value, Tensor):
        strided = (
            value.layout is torch.strided and value.device.type == "cpu" and not torch._is_functional_tensor(value)
        )
        return f"{value.requires_grad} {content(value).hex()}" if strided else None
    if isinstance(value, np.ndarray):
        return None if value.dtype.hasobject else str(sha256(value.tobytes()))
    if isinstance(value, _MEMORY):
        return bytes(value).hex()
    if isinstance(value, io.BytesIO | io.StringIO):
        return f"{value.tell()} {value.getvalue()!r}"
    if isinstance(value, torch.Generator):
        return GENERATOR + content(value.get_state()).hex()
    if isinstance(value, random.Random) and type(value) is not random.SystemRandom:
        return f"{GENERATOR}{hash(value.getstate())}"
    if isinstance(value, np.random.Generator):
        return f"{GENERATOR}{value.bit_generator.state!r}"
    if isinstance(value, np.random.RandomState):
        return (
            f"{GENERATOR}{[hash(part.tobytes()) if isinstance(part, np.ndarray) else part for part in _state(value)]!r}"
        )
    if isinstance(value, functools._lru_cache_wrapper):
        return f"{value.cache_info().currsize} {value.cache_info().misses}"
    return None


def _state(numbers: np.random.RandomState) -> Iterable[Any]:
    state: Any = numbers.get_state(legacy=True)
    return tuple(state)


def _is_box(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset | dict | deque)


def _is_of_library(value: object) -> bool:
    """Whether something is a module, or a class or a function that is nobody's own."""
    if isinstance(value, FunctionType):
        return not is_foreign(value.__code__.co_filename)
    return isinstance(value, ModuleType) or (isinstance(value, type) and not _is_own(value))


def _is_small(value: Any) -> bool:
    """Whether something is what a count is kept in."""
    return isinstance(value, _PLAIN | itertools.count) or (_is_box(value) and len(value) < MOST_IN_LIBRARIES)


def _held_by(value: Any) -> Mapping[Any, Any]:
    """What an object holds, by a name for each."""
    # Iterators, functions and their like keep state in no __dict__; all else is an object.
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple | set | frozenset | deque):
        return dict(enumerate(value))
    if isinstance(value, type):
        return dict(vars(value)) if _is_own(value) else {}
    if isinstance(value, FunctionType):
        if is_foreign(value.__code__.co_filename):
            return _held_by_function(value)
        return {"function": getattr(value, "__wrapped__", None)}  # in a decorator of torch's, or of Python's
    if isinstance(value, MethodType):
        return {"self": value.__self__, "function": value.__func__}
    if isinstance(value, BuiltinMethodType):
        return {"self": value.__self__}
    if isinstance(value, MappingProxyType):
        return dict(value)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return dict(enumerate(value.ravel().tolist()))
    if isinstance(value, property):
        return {"get": value.fget, "set": value.fset}
    if isinstance(value, staticmethod | classmethod):
        return {"function": value.__func__}
    if isinstance(value, functools.partial):
        return {"function": value.func, "arguments": value.args, "options": value.keywords}
    if isinstance(value, functools._lru_cache_wrapper):
        return {"function": getattr(value, "__wrapped__", None)}
    if isinstance(value, ContextVar):
        return {"value": value.get(None)}
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        return {"line": frame.f_lasti, **frame.f_locals} if frame else {}
    if type(value).__module__ in ("builtins", "itertools") and hasattr(value, "__next__"):
        return _held_by_iterator(value)
    return _held_by_object(value)


def _held_by_function(value: FunctionType) -> Mapping[str, Any]:
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    held = {name: cell.cell_contents for name, cell in cells if cell != CellType()}
    return {**held, **vars(value), "defaults": value.__defaults__, "keyword defaults": value.__kwdefaults__}


def _held_by_iterator(value: Any) -> Mapping[str, Any]:
    """Iterators of the standard library say how they would be made again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return {"state": value.__reduce__()}
        except TypeError:
            return {}


def _held_by_object(value: Any) -> Mapping[str, Any]:
    held: Any = getattr(value, "__dict__", None)
    slots = {
        name: getattr(value, name)
        for kind in type(value).__mro__
        for name in _slots(kind)
        if not name.startswith("__") and hasattr(value, name)
    }
    kind = {"class": type(value)} if _is_own(type(value)) else {}
    return {**slots, **(dict(held) if isinstance(held, dict) else {}), **kind}


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_own(kind: type) -> bool:
    """Whether a class is neither torch's nor the standard library's."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ in sys.modules and kind is not object and (file is None or is_foreign(file))


def _functions(kind: type) -> Iterator[CodeType]:
    for function in vars(kind).values():
        if isinstance(code := getattr(function, "__code__", None), CodeType):
            yield code


def _read_by(codes: Iterable[CodeType]) -> set[str]:
    """Names that code reads beside it."""
    names = set[str]()
    for code in codes:
        names.update(code.co_names)
        names |= _read_by(each for each in code.co_consts if isinstance(each, CodeType))
    return names
