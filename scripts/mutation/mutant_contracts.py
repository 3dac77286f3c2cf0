"""Contracts without a rule, deployed and believed by pods: what an attack comes to without it.

Forge's tests see a rule's absence by themselves (`scripts.mutation.rules`). Where pods play, they
have to deploy the broken contracts, and to take their code for the one that ships.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from fitchain.pod.ports.chain import abi
from scripts.compile_contracts import ARTIFACTS, artifacts, built_from
from scripts.mutation.rules import Rule


@dataclass(frozen=True)
class _Package:
    """Where artifacts are read from, in the place of the package that ships them."""

    folder: Path

    def files(self, package: str) -> Path:
        del package
        return self.folder


@contextmanager
def contracts_without(rule: Rule, folder: Path) -> Iterator[None]:
    """Let this process know, deploy and believe contracts without a rule, and no others.

    Args:
        rule: what is taken out. Compiling what it stands in takes about a minute.
        folder: an empty one, for the artifacts.
    """
    source = f"contracts/{rule.source}"
    shutil.copytree(ARTIFACTS, folder / ARTIFACTS.name)
    for name, text in artifacts(built_from(source), {source: rule.broken()}).items():
        (folder / ARTIFACTS.name / f"{name}.json").write_text(text)
    _forget()
    try:
        with patch.object(abi, "resources", _Package(folder)):
            yield
    finally:
        _forget()


def _forget() -> None:
    """Read the artifacts anew from now on."""
    abi.interface.cache_clear()
    abi._errors.cache_clear()
