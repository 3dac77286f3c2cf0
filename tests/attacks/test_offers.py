"""Attacks on an owner's pod by whoever asks for a training: none is accepted, and the pod
lives on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.parties.scientist import follow
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.values.digest import canonical_json, sha256
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.recipe import Environment
from fitchain.pod.values.state import TensorBytes, model_root, read_safetensors, write_safetensors
from tests.dishonest_parties import Offer
from tests.pods import PRICE, Party, Workshop, offer_table, owner_runs
from tests.policies import open_policy

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module", autouse=True)
def pod(workshop: Workshop) -> Iterator[None]:
    """The owner's pod, which all attacks of this file are sent to."""
    with owner_runs(workshop.owner):
        yield


def declined(workshop: Workshop, id: AgreementId) -> str:
    """Wait until a request is declined, and the money is back; the reason."""
    workshop.until(workshop.owner.has(id, "cancelled"))
    assert workshop.scientist.state(id) == State.CANCELLED
    assert "accepted" not in workshop.owner.kinds(id)
    return str(workshop.owner.told(id, "refused")["reason"])


def edited(offer: Offer, edit: Callable[[dict[str, Any]], None]) -> Offer:
    """Register and offer a graph of one's own making."""
    value = json.loads(offer.files["graph.json"])
    edit(value)
    data = canonical_json(value)
    model = offer.home.registry.register_model(sha256(data), offer.recipe.initial_model)
    offer.files["graph.json"] = data
    offer.terms = replace(offer.terms, model=model)
    return offer.with_recipe(graph=sha256(data))


def test_recipe_that_differs_from_the_terms_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.terms = replace(offer.terms, steps=6)
    assert "the terms agree on steps 6 and the recipe on 12" in declined(workshop, offer.send())


def test_environment_that_the_terms_do_not_name_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.terms = replace(offer.terms, environment=sha256(b"another class"))
    assert f"the terms agree on the environment {sha256(b'another class')}" in declined(workshop, offer.send())


def test_work_that_the_terms_do_not_state_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.terms = replace(offer.terms, step_operations=offer.terms.step_operations - 1)
    assert "a step of the graph takes" in declined(workshop, offer.send())


def test_other_recipe_than_agreed_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.files["recipe.json"] = replace(offer.recipe, batch_size=4).encode()
    assert "the agreed recipe is" in declined(workshop, offer.send())


def test_audit_terms_that_differ_are_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.terms = replace(offer.terms, audit=replace(offer.terms.audit, drawn_segments=3))
    assert "the terms agree on the audit" in declined(workshop, offer.send())


def test_other_graph_than_registered_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    model = offer.home.registry.register_model(sha256(b"another graph"), offer.recipe.initial_model)
    offer.terms = replace(offer.terms, model=model)
    assert f"the registered graph is {sha256(b'another graph')}" in declined(workshop, offer.send())


def test_graph_that_the_recipe_does_not_name_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.files["graph.json"] = offer.files["graph.json"].replace(b"relu", b"tanh")
    assert "the recipe's graph is" in declined(workshop, offer.send())


def test_weights_that_do_not_match_are_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    weights = bytearray(offer.files["initial.safetensors"])
    weights[-1] ^= 1
    offer.files["initial.safetensors"] = bytes(weights)
    assert "the recipe's initial model is" in declined(workshop, offer.send())


def test_weights_of_another_shape_than_the_graph_says_are_declined(workshop: Workshop, tmp_path: Path) -> None:
    offer, path = Offer.honest(workshop), tmp_path / "weights"
    path.write_bytes(offer.files["initial.safetensors"])
    tensors = dict(read_safetensors(path)[0])
    name = next(iter(tensors))
    tensors[name] = TensorBytes("parameter", "F32", (1,), memoryview(bytes(4)))
    write_safetensors(path, tensors)
    root = model_root(tensors)
    model = offer.home.registry.register_model(offer.recipe.graph, root)
    offer.files["initial.safetensors"] = path.read_bytes()
    offer.terms = replace(offer.terms, model=model, model_root=root)
    assert name in declined(workshop, offer.with_recipe(initial_model=root).send())


def test_pickled_weights_are_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.files["initial.safetensors"] = b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR." + bytes(64)
    declined(workshop, offer.send())
    assert not Path("/tmp/owned").exists()


def test_scientists_module_never_runs_in_the_owners_process(workshop: Workshop, tmp_path: Path) -> None:
    offer, trace = Offer.honest(workshop), tmp_path / "was-here"
    offer.files["modules.py"] = f"open({str(trace)!r}, 'w')".encode()
    assert "should hold" in declined(workshop, offer.send())
    assert not trace.exists()


@pytest.mark.parametrize(
    "operator", ["aten.empty.memory_format", "aten.from_file.default", "os.system", "__import__('os').abort()"]
)
def test_foreign_operator_is_declined_by_name(workshop: Workshop, operator: str) -> None:
    def smuggle(value: dict[str, Any]) -> None:
        value["training"]["nodes"][1]["operator"] = operator

    assert operator in declined(workshop, edited(Offer.honest(workshop), smuggle).send())


def buffer(*shape: int) -> dict[str, Any]:
    return {"kind": "buffer", "dtype": "F32", "shape": list(shape), "trainable": False}


def call(operator: str, *arguments: Any) -> dict[str, Any]:
    return {"operator": f"aten.{operator}", "arguments": list(arguments)}


def hoard_records(value: dict[str, Any]) -> None:
    """Keep every record as it is, newest first: what brought all records of a dataset home once."""
    nodes, ring = value["training"]["nodes"], {"tensor": "ring"}
    value["tensors"]["ring"], at = buffer(512, 4), len(nodes)
    cut = call("slice.Tensor", {"node": at}, 0, 0, 512)
    nodes += [call("cat.default", [{"input": 0}, ring]), cut, call("copy_.default", ring, {"node": at + 1})]


def hoard_parameters(value: dict[str, Any]) -> None:
    """Keep what each step taught a parameter: a label at a time, with the right loss and rate."""
    nodes, ring = value["training"]["nodes"], {"tensor": "ring"}
    value["tensors"]["ring"], at = buffer(512), len(nodes)
    cut = call("slice.Tensor", {"node": at}, 0, 0, 512)
    answer = {"tensor": "layers.2.bias"}
    nodes += [call("cat.default", [answer, ring]), cut, call("copy_.default", ring, {"node": at + 1})]


def hoard_in_a_frozen_parameter(value: dict[str, Any]) -> None:
    """Add the batch up in a parameter that no gradient moves."""
    nodes = value["training"]["nodes"]
    value["tensors"]["still"] = buffer(4) | {"kind": "parameter"}
    nodes += [
        call("sum.dim_IntList", {"input": 0}, [0]),
        call("add_.Tensor", {"tensor": "still"}, {"node": len(nodes)}),
    ]


@pytest.mark.parametrize(
    ("hoard", "sentence"),
    [
        (hoard_records, "writes what it reads of the records into the buffer 'ring'"),
        (hoard_parameters, "the buffer 'ring' remembers what was learnt"),
        (hoard_in_a_frozen_parameter, "writes into the parameter 'still', and what steps write is a buffer"),
    ],
)
def test_graph_that_would_carry_records_home_is_declined(
    workshop: Workshop, hoard: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    assert sentence in declined(workshop, edited(Offer.honest(workshop), hoard).send())


def test_graph_that_unfolds_like_a_zip_bomb_is_declined(workshop: Workshop) -> None:
    def unfold(value: dict[str, Any]) -> None:
        """Add tensors to themselves with a new dimension each time: [B, 8] grows by 64 at every
        node."""
        for form in ("training", "evaluation"):
            nodes = value[form]["nodes"]
            nodes += [
                {
                    "operator": "aten.expand.default",
                    "arguments": [{"tensor": "layers.0.bias"}, [1 << 30, 1 << 9, 8]],
                },
                {"operator": "aten.mul.Tensor", "arguments": [{"node": len(nodes)}, {"float": 2.0}]},
            ]

    offer = edited(Offer.honest(workshop), unfold)
    Graph.parse(offer.files["graph.json"])  # small and well-formed
    assert declined(workshop, offer.send())


def test_graph_nested_beyond_reason_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    data = b'{"version":' + b"[" * 100_000
    offer.files["graph.json"] = data
    assert declined(workshop, offer.with_recipe(graph=sha256(data)).send())


def test_oversized_part_is_declined_before_it_is_read(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.files["graph.json"] = b" " * ((16 << 20) + 1)
    assert "graph.json has more than 16777216 bytes" in declined(workshop, offer.send())


def test_offer_sealed_to_somebody_else_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.recipients = [new_identity()[1]]
    assert "does not open" in declined(workshop, offer.send())


def test_constants_that_are_not_the_cards_are_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    constants = {name: dict(value) for name, value in offer.recipe.transform.items()}
    constants["alpha"]["mean"] += 1.0
    assert "'alpha'" in declined(workshop, offer.with_recipe(transform=constants).send())


def test_another_dataset_than_the_terms_name_is_declined(workshop: Workshop) -> None:
    offer = Offer.honest(workshop).with_recipe(dataset=sha256(b"another dataset"))
    assert "dataset root" in declined(workshop, offer.send())


def test_host_that_is_of_another_class_declines(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    other = replace(offer.recipe.environment, torch="2.12.0+cpu")
    assert "torch here is" in declined(workshop, offer.with_recipe(environment=other).send())


def test_host_that_fails_the_probe_declines(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    agreed = offer.recipe.environment
    other = Environment(agreed.name, agreed.threads, agreed.torch, sha256(b"another probe"))
    assert "the probe" in declined(workshop, offer.with_recipe(environment=other).send())


def test_policy_is_applied_to_whoever_does_not_apply_it_oneself(workshop: Workshop, table_path: Path) -> None:
    policy = open_policy(minimum_price=PRICE + 1, manual_approval=False)
    strict = replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=policy))
    assert "below the policy's minimum" in declined(strict, Offer.honest(strict).send())


def test_refused_scientist_reads_why(workshop: Workshop) -> None:
    offer = Offer.honest(workshop)
    offer.terms = replace(offer.terms, steps=6)
    id = offer.send()
    declined(workshop, id)
    assert follow(workshop.scientist.home, id, False, workshop.scientist.say) == State.CANCELLED
    assert "the terms agree on steps 6" in workshop.scientist.told(id, "refused")["reason"]


def test_request_by_someone_without_a_pod_waits_for_it(workshop: Workshop, open_party: Callable[..., Party]) -> None:
    id = replace(Offer.honest(workshop), home=open_party("stranger").home).send()
    workshop.until(workshop.owner.has(id, "error"))
    assert "no pod is registered" in workshop.owner.told(id, "error")["message"]
    assert workshop.scientist.state(id) == State.REQUESTED


def test_recipient_that_nothing_can_be_sealed_to_is_declined(
    workshop: Workshop, open_party: Callable[..., Party]
) -> None:
    stranger = open_party("unreachable")
    stranger.home.registry.register_pod(Role.SCIENTIST, "age1nobody")
    id = replace(Offer.honest(workshop), home=stranger.home).send()
    assert "no age recipient" in declined(workshop, id)


def test_importing_the_owners_pod_loads_neither_torch_nor_the_loader_of_modules() -> None:
    unwanted = {"torch", "fitchain.pod.compute.model.load", "fitchain.pod.compute.model.export"}
    program = f"import sys, fitchain.pod.parties.owner; assert not {unwanted} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
