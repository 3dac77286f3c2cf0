"""The registry's bindings on a real node: what is registered is read back, again is harmless,
garbage stops nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.base import Event
from fitchain.pod.ports.registry import DatasetEntry, ModelEntry, Pod, Registry, Role
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store.base import RAW, Cid
from fitchain.pod.values.digest import ZERO, Root, sha256
from fitchain.pod.values.errors import InputRefused, NotFound, Reverted
from fitchain.pod.values.ids import NO_MODEL, DatasetId, ModelId
from tests.chain_fixtures import Account

CARD = Cid.of(RAW, bytes(sha256(b"card")))
ROOT, GRAPH, WEIGHTS = Root(sha256(b"root")), sha256(b"graph"), Root(sha256(b"weights"))


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture
def registry(account: Account) -> Registry:
    return Registry(account.chain)


def registrations(chain: Chain, account: Account) -> list[Event]:
    return chain.events("Registry", "PodRegistered", account=account.address)


def test_pod_is_read_back(registry: Registry, account: Account) -> None:
    registry.register_pod(Role.OWNER, account.keys.recipient, b"tcp://here")
    assert registry.pod(account.address) == Pod(account.address, Role.OWNER, account.keys.recipient, b"tcp://here")


def test_pod_registered_twice_is_registered_once(registry: Registry, account: Account) -> None:
    for _ in range(2):
        registry.register_pod(Role.SCIENTIST, account.keys.recipient)
    assert len(registrations(registry.chain, account)) == 1
    assert registry.chain.events("Registry", "PodUpdated", account=account.address) == []


def test_pod_with_a_new_recipient_is_updated(registry: Registry, account: Account) -> None:
    recipient = new_identity()[1]
    registry.register_pod(Role.SCIENTIST, account.keys.recipient)
    registry.register_pod(Role.SCIENTIST, recipient, b"there")
    assert registry.pod(account.address) == Pod(account.address, Role.SCIENTIST, recipient, b"there")


def test_pod_never_changes_its_role(registry: Registry, account: Account) -> None:
    registry.register_pod(Role.SCIENTIST, account.keys.recipient)
    with pytest.raises(InputRefused, match="is registered as scientist, not as owner"):
        registry.register_pod(Role.OWNER, account.keys.recipient)


def test_pod_that_is_none_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no pod"):
        registry.pod("0x" + "11" * 20)


def test_endpoint_beyond_the_limit_is_refused_by_name(registry: Registry, account: Account) -> None:
    with pytest.raises(Reverted, match=r"EndpointTooLong\(length=513, limit=512\)"):
        registry.register_pod(Role.OWNER, account.keys.recipient, bytes(513))


def test_dataset_is_read_back_until_it_is_retired(registry: Registry, account: Account) -> None:
    id = registry.register_dataset(ROOT, 455, CARD)
    entry = DatasetEntry(id, account.address, ROOT, 455, CARD, True)
    assert registry.dataset(id) == entry
    assert registry.datasets(owner=account.address) == [entry]
    registry.retire_dataset(id)
    assert not registry.dataset(id).active


def test_dataset_registered_twice_is_the_same_unless_retired(registry: Registry) -> None:
    id = registry.register_dataset(ROOT, 455, CARD)
    assert registry.register_dataset(ROOT, 455, CARD) == id
    registry.retire_dataset(id)
    with pytest.raises(Reverted, match="DatasetAlreadyRegistered"):
        registry.register_dataset(ROOT, 455, CARD)


def test_dataset_that_is_none_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no dataset"):
        registry.dataset(DatasetId(ROOT))


def test_dataset_with_a_card_that_is_no_cid_hides_only_itself(registry: Registry, account: Account) -> None:
    id = registry.register_dataset(ROOT, 1, CARD)
    account.chain.send("Registry", "registerDataset", ROOT, 1, b"garbage")
    assert [entry.id for entry in registry.datasets(owner=account.address)] == [id]


def test_model_is_read_back_with_its_parent(registry: Registry, account: Account) -> None:
    parent = registry.register_model(GRAPH, WEIGHTS)
    registry.register_model(GRAPH, Root(sha256(b"trained")), parent)
    assert registry.model(parent) == ModelEntry(parent, account.address, GRAPH, WEIGHTS, NO_MODEL, True)
    assert [entry.parent for entry in registry.models(author=account.address)] == [ZERO, parent]
    assert registry.register_model(GRAPH, WEIGHTS) == parent


def test_model_that_is_none_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no model"):
        registry.model(ModelId(GRAPH))


def test_stranger_cannot_retire(registry: Registry, open_account: Callable[..., Account]) -> None:
    id = registry.register_model(GRAPH, WEIGHTS)
    with pytest.raises(Reverted, match="CallerIsNotOwner"):
        Registry(open_account().chain).retire_model(id)
    assert registry.model(id).active
