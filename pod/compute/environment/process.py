"""A process of a class: its variables, torch's settings in it, and whether this host may try at
all."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from fitchain.pod.compute.environment.classes import CLASSES, environment_class
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.recipe import Environment


def clean_variables(environment: Environment, home: Path) -> dict[str, str]:
    """The whole environment of a process that trains: the class's variables and hardly anything
    else.

    Nothing of the caller's environment is passed on, so no secret is, and nothing in it can change
    a result.

    Args:
        environment: the class and its threads.
        home: folder for whatever a library wants to write.

    Raises:
        EnvironmentRefused: there is no such class.
    """
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OPENBLAS_NUM_THREADS": "1",  # numpy's own pool, which a training never uses
        **environment_class(environment.name).variables(environment.threads),
    }


def configure(environment: Environment) -> None:
    """Bring torch in this process into the class; call it once, right after torch is imported.

    Args:
        environment: the class and its threads; its variables must have been set before torch was
            imported.

    Raises:
        EnvironmentRefused: a variable is not set, torch is another build, or its kernels are not
            those of the class.
    """
    of = environment_class(environment.name)
    for name, value in of.variables(environment.threads).items():
        if os.environ.get(name) != value:
            raise EnvironmentRefused(
                f"{name} is {os.environ.get(name)!r} in this process, and {of.name} needs {value!r}",
                "start the process with the class's variables: they count only when set before torch is imported",
            )
    import torch

    if torch.__version__ != environment.torch:
        raise EnvironmentRefused(*_other_torch(str(torch.__version__), environment.torch))
    of.configure(environment.threads)


def refuse_other_host(environment: Environment) -> None:
    """Refuse what no probe needs to run for: another system, another processor level, another
    torch.

    Raises:
        EnvironmentRefused: the host, its processor or its torch is not of the class.
    """
    environment_class(environment.name).refuse_host()
    if (torch := installed_torch()) != environment.torch:
        raise EnvironmentRefused(*_other_torch(torch, environment.torch))


def expected_probe(environment: Environment) -> Digest:
    """The digest that a host of the class must reproduce: the shipped one, else the recipe's.

    Raises:
        EnvironmentRefused: neither is there, or they differ.
    """
    shipped = shipped_probe(environment)
    if shipped and environment.probe and shipped != environment.probe:
        raise EnvironmentRefused(
            f"the recipe says that {environment.name} has the probe {environment.probe},"
            f" and this release ships {shipped}"
        )
    if not (expected := environment.probe or shipped):
        raise EnvironmentRefused(
            f"no probe is known for {environment.name} with torch {environment.torch}"
            f" and {environment.threads} threads",
            "put the owner's probe (`python -m fitchain.pod.compute.environment probe CLASS THREADS`)"
            " into the recipe's environment",
        )
    return expected


def shipped_probe(environment: Environment) -> Digest | None:
    """The probe that ships for a class, its torch build and its threads; None where none does."""
    return environment_class(environment.name).shipped_probe(environment.torch, environment.threads)


def shipped_environments() -> list[Environment]:
    """The environments whose probes ship, as recipes name them: without a probe, or with it."""
    pairs = [
        (Environment(of.name, threads, torch), Digest.parse(probe))
        for of in CLASSES.values()
        for (torch, threads), probe in of.shipped.items()
    ]
    return [each for plain, probe in pairs for each in (plain, replace(plain, probe=probe))]


def installed_torch() -> str:
    """The exact version and build of the torch that would be imported, read without importing it.

    Raises:
        EnvironmentRefused: torch is not installed.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise EnvironmentRefused("torch is not installed here", "install the extra `train`")
    text = (Path(spec.origin).parent / "version.py").read_text()
    version = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if version is None:
        raise EnvironmentRefused("the installed torch does not say which version it is", "install it anew")
    return version[1]


def _other_torch(installed: str, agreed: str) -> tuple[str, str]:
    hint = "install the agreed build, or agree on this one: the exact build is part of the environment class"
    return f"torch here is {installed}, and the recipe says {agreed}", hint
