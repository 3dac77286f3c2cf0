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
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.digest import ZERO, Root, sha256
from fitchain.pod.values.errors import InputRefused, NodeUnreachable, NotFound, Reverted
from fitchain.pod.values.ids import NO_MODEL, DatasetId, ModelId, PanelId
from tests.chain_fixtures import ETHER, Account

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


def test_node_that_contradicts_itself_about_a_pod_is_waited_for(
    registry: Registry, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no reason to end: of the nodes behind one address some lag."""
    registry.register_pod(Role.OWNER, account.keys.recipient)

    def lagging(self: Registry, address: str) -> Pod:
        raise NotFound(f"no pod is registered for the account {address}")

    monkeypatch.setattr(Registry, "pod", lagging)
    with pytest.raises(NodeUnreachable, match="contradicts itself"):
        registry.register_pod(Role.OWNER, account.keys.recipient)
    assert len(registrations(account.chain, account)) == 1


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
    account.chain.send("Registry", "registerDataset", ROOT, 1, 0, b"garbage")
    assert [entry.id for entry in registry.datasets(owner=account.address)] == [id]


def test_model_is_read_back_with_what_it_came_from(registry: Registry, account: Account) -> None:
    base, other = registry.register_model(GRAPH, WEIGHTS), registry.register_model(GRAPH, Root(sha256(b"other")))
    root, derivation = Root(sha256(b"aggregate")), sha256(b"mean of both")
    derived = registry.register_model(GRAPH, root, base=base, parents=(base, other), derivation=derivation)
    assert registry.model(base) == ModelEntry(base, account.address, GRAPH, WEIGHTS, NO_MODEL, (), ZERO, True)
    entry = ModelEntry(derived, account.address, GRAPH, root, base, (base, other), derivation, True)
    assert registry.models(author=account.address)[-1] == entry
    assert registry.register_model(GRAPH, root, base=base, parents=(base, other), derivation=derivation) == derived


def test_same_weights_of_another_origin_are_another_model(registry: Registry) -> None:
    first = registry.register_model(GRAPH, WEIGHTS)
    assert registry.register_model(GRAPH, WEIGHTS, parents=[first]) != first


def test_retired_model_is_registered_no_more(registry: Registry) -> None:
    id = registry.register_model(GRAPH, WEIGHTS)
    registry.retire_model(id)
    assert not registry.model(id).active
    with pytest.raises(Reverted, match="ModelAlreadyRegistered"):
        registry.register_model(GRAPH, WEIGHTS)


def test_model_that_is_none_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no model"):
        registry.model(ModelId(GRAPH))


def test_stranger_cannot_retire(registry: Registry, open_account: Callable[..., Account]) -> None:
    id = registry.register_model(GRAPH, WEIGHTS)
    with pytest.raises(Reverted, match="CallerIsNotOwner"):
        Registry(open_account().chain).retire_model(id)
    assert registry.model(id).active


def test_panel_has_who_joined_it_and_when(registry: Registry, open_account: Callable[..., Account]) -> None:
    id = registry.create_panel("neighbours")
    members = [open_account() for _ in range(2)]
    Verifiers(registry.chain).invite(id, [member.address for member in members])
    assert registry.panel(id).members == ()
    for member in members:
        Verifiers(member.chain).stake(ETHER, bytes(range(26)))
    blocks = tuple(Verifiers(member.chain).join_panel(id).block for member in members)
    panel = registry.panel(id)
    assert (panel.creator, panel.name) == (registry.chain.address, "neighbours")
    assert (panel.members, panel.joined) == (tuple(member.address for member in members), blocks)
    assert registry.panel(id, blocks[0]).members == (members[0].address,)
    assert registry.panels_of([id, PanelId(ROOT)]) == [panel, None]


def test_panel_that_is_none_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no panel"):
        registry.panel(PanelId(ROOT))
