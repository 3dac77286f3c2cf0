"""Taking, loading and restoring a scientist's own module, in the scientist's own process.

Beside `export`. This is the only place that runs a module's code, and it never runs anybody else's:
what an owner or verifier gets is a graph.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import nn

from fitchain.pod.compute.model.frameworks import advice, as_written, module_inside, require_forward
from fitchain.pod.compute.model.tensors import fill, tensor_bytes
from fitchain.pod.compute.model.torch_output import Location, raising_location
from fitchain.pod.values.delta import ModelFile, TensorDigest
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.state import Tensors

ModuleSource: TypeAlias = nn.Module | Callable[[], nn.Module]
"""A module, or what makes one without arguments: a class or a factory."""


def load_module(path: Path, name: str) -> nn.Module:
    """Run the scientist's own file and take a module out of it.

    Args:
        path: a Python file of one's own; files beside it can be imported.
        name: of a class or factory without arguments, or of an instance.

    Raises:
        NotFound: there is no such file.
        InputRefused: the file fails (its line is named), has no such name, or the name stands for
            no `nn.Module`.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    return _module(_attribute(path, _run(path), name), name, path)


def take_module(source: ModuleSource) -> nn.Module:
    """Take a module that this process defines: in a notebook's cell, say.

    Args:
        source: an instance, which is taken as it is; or a class or a factory, which is called
            without arguments.

    Raises:
        InputRefused: it is none of these, or making the module fails (the line is named).
    """
    return _module(source, module_name(source), None)


def module_name(source: ModuleSource) -> str:
    """What a module is called: by its class, or by the class or the factory that makes it."""
    if isinstance(source, nn.Module):
        return type(as_written(source)).__name__
    return getattr(source, "__name__", type(source).__name__)


def restore(module: nn.Module, model: Tensors | Path) -> None:
    """Copy trained tensors back into the module that they were exported from.

    Args:
        module: with every parameter and buffer that it had then.
        model: its tensors, or the file of a trained model; tensors that export made out of
            constants are left out. Over a base, the module must have the base's tensors already.

    Raises:
        NotFound: there is no such file.
        InputRefused: a parameter or buffer is missing, or has another shape or dtype; or one that
            is the base's is another.
    """
    file = ModelFile.read(model) if isinstance(model, Path) else ModelFile(model)
    module = as_written(module)
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, tensor in own.items():
        if (shared := file.shared.get(name)) is not None:
            _require_base(name, tensor, file.inventory[shared.name])
            continue
        if name not in file.own:
            raise InputRefused(
                f"the model has no tensor {name!r}, which the module has", "restore the module it was made of"
            )
        with torch.no_grad():
            fill(tensor.detach(), file.own[name])


def _require_base(name: str, tensor: torch.Tensor, held: TensorDigest) -> None:
    """Check that the module has a tensor of its model's base already."""
    with torch.no_grad():
        own = TensorDigest.of(tensor_bytes(held.kind, tensor.detach().contiguous()))
    if own != held:
        raise InputRefused(
            f"the module's tensor {name!r} is not the one of the base that the model is a delta over",
            "load the base's weights into the module first, or restore from the whole: fitchain model merge",
        )


def _run(path: Path) -> ModuleType:
    resolved = path.resolve()
    unique = f"_fitchain_module_{hashlib.sha256(str(resolved).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, resolved)
    if spec is None or spec.loader is None:
        raise InputRefused(f"{path} is no Python file", "name a file that ends in .py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[unique] = loaded  # dataclasses and inspect look a module up by its name
    sys.path.insert(0, str(resolved.parent))
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:  # noqa: BLE001 - it is the user's code, and any error in it is the user's to know
        raise _failure(path, error) from None
    finally:
        sys.path.remove(str(resolved.parent))
    return loaded


def _attribute(path: Path, loaded: ModuleType, name: str) -> Any:
    try:
        return getattr(loaded, name)
    except AttributeError:
        names = [defined for defined in vars(loaded) if not defined.startswith("_")]
        near = get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else ""
        raise InputRefused(f"{path} defines no {name!r}", hint) from None


def _module(source: Any, name: str, path: Path | None) -> nn.Module:
    """Make a module, unless it is one.

    Args:
        source: whatever was named.
        name: its name, for errors.
        path: the file that it comes from; None where this process defines it.
    """
    where = f" in {path}" if path else ""
    if isinstance(source, nn.Module):
        module = as_written(source)
        require_forward(module)
        return module
    if not callable(source) or module_inside(source):
        kind = type(source).__name__
        what = f"{name}{where} is" if name != kind else f"what is given{where} is"
        raise InputRefused(f"{what} a {kind}, neither an nn.Module nor what makes one", advice(source))
    try:
        made = source()
    except Exception as error:  # noqa: BLE001 - as above
        is_call = isinstance(error, TypeError) and error.__traceback__ and error.__traceback__.tb_next is None
        raise _failure(path, error, f"{name}() takes no arguments here: " if is_call else f"{name}(): ") from None
    if not isinstance(made, nn.Module):
        raise InputRefused(f"{name}(){where} gives a {type(made).__name__}, and an nn.Module is needed", advice(made))
    made = as_written(made)
    require_forward(made)
    return made


def _failure(path: Path | None, error: Exception, before: str = "") -> InputRefused:
    if isinstance(error, SyntaxError):
        location = Location(error.filename or str(path), error.lineno or 0, (error.text or "").strip())
    else:
        location = raising_location(error.__traceback__) or Location(str(path or "this process"), 0, "")
    message = str(error.msg if isinstance(error, SyntaxError) else error).strip().splitlines()
    return InputRefused(f"{location}: {before}{type(error).__name__}: {message[0] if message else 'no message'}")
