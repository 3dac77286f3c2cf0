"""A store of its own for the tests of a module that put objects into one."""

from __future__ import annotations

import pytest

from fitchain.pod.ports.store.local import LocalStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    place = tmp_path_factory.mktemp("store")
    return LocalStore(place / "store", place / "home")
