"""The scientist's side by itself: publishing, asking once, and what is refused before any money
moves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.compute.dataset import Policy
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.owner import replay_job
from fitchain.pod.parties.scientist import (
    AuditOptions,
    JobRequest,
    Scientist,
    accept_result,
    continue_job,
    delivery,
    doubts_of,
    draft_request,
    evaluate,
    fetch_model,
    plan_audit,
    publish_model,
    read_card,
)
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import (
    AccessRefused,
    ChainUnusable,
    ClaimMismatch,
    InputRefused,
    NodeUnreachable,
    NotFound,
    Unusable,
)
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId, DatasetId
from fitchain.pod.values.privacy.ledger import budget
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import model_root, read_safetensors
from tests.chain_fixtures import PASSPHRASE
from tests.node_proxy import proxy
from tests.pods import EXPLODING, PRICE, RECIPE, Party, Workshop, module_file, offer_table, private_table
from tests.policies import open_policy


@contextmanager
def asking_through(workshop: Workshop, judge: Callable[[dict[str, Any]], Any]) -> Iterator[Workshop]:
    """The workshop with its scientist on a node that refuses what the judge refuses."""
    scientist = workshop.scientist
    with (
        proxy(scientist.home.settings.rpc, judge) as url,
        Home.open(replace(scientist.home.settings, rpc=url), lambda: PASSPHRASE) as home,
    ):
        home.chain.node.retry_s = 0.2
        yield replace(workshop, scientist=replace(scientist, home=home))


def requests(workshop: Workshop) -> list[AgreementId]:
    """Every agreement that the scientist asked for."""
    return workshop.scientist.home.agreements.list(scientist=workshop.scientist.address)


def recipe_of(workshop: Workshop, id: AgreementId) -> Recipe:
    """What was asked for, as the scientist's journal has it."""
    return Recipe.parse(workshop.scientist.home.journal.request(id).recipe)


# Publishing


def test_published_model_is_on_chain_and_in_the_home(workshop: Workshop) -> None:
    home, model = workshop.scientist.home, workshop.model
    entry, row = home.registry.model(model.id), home.journal.model(model.id)
    assert (entry.author, entry.graph, entry.root) == (home.keys.address, model.graph, model.initial_model)
    assert Graph.parse((row.folder / "graph.json").read_bytes()).digest == model.graph
    assert model_root(read_safetensors(row.folder / "initial.safetensors")[0]) == model.initial_model


def test_same_model_published_twice_is_one_model(workshop: Workshop) -> None:
    home = workshop.scientist.home
    published = [
        publish_model(home, module_file(home.settings.home), workshop.dataset.id, name="other").id for _ in range(2)
    ]
    assert published[0] == published[1] != workshop.model.id


def test_model_names_its_parents(workshop: Workshop) -> None:
    home = workshop.scientist.home
    child = publish_model(
        home, module_file(home.settings.home), workshop.dataset.id, name="Line", parents=[workshop.model.id]
    )
    assert home.registry.model(child.id).parents == (workshop.model.id,)


def test_module_that_cannot_be_published_leaves_nothing(workshop: Workshop, tmp_path: Path) -> None:
    home, source = workshop.scientist.home, tmp_path / "wrong.py"
    source.write_text(
        "from torch import nn\n\n\nclass Wrong(nn.Module):\n    def forward(self, x):\n        return x.nope()\n"
    )
    before = sorted((home.settings.home / "models").iterdir())
    with pytest.raises(InputRefused, match=r"wrong\.py:6"):
        publish_model(home, source, workshop.dataset.id, name="Wrong")
    assert sorted((home.settings.home / "models").iterdir()) == before


def test_card_about_other_records_than_the_registry_says_is_refuted(workshop: Workshop) -> None:
    owner = workshop.owner.home
    id = owner.registry.register_dataset(Root(sha256(b"other records")), 40, workshop.dataset.card_cid)
    with pytest.raises(ClaimMismatch, match="is about 40 records under"):
        read_card(workshop.scientist.home, id)
    with pytest.raises(NotFound, match="no dataset"):
        read_card(workshop.scientist.home, DatasetId(sha256(b"nowhere")))


def test_request_repeats_the_inputs_that_a_model_was_published_for(workshop: Workshop) -> None:
    home, inputs = workshop.scientist.home, ["x=delta,@rest"]
    file = module_file(home.settings.home)
    model = publish_model(home, file, workshop.dataset.id, name="Turned", inputs=inputs)
    assert [(each.name, each.columns[0]) for each in model.arguments] == [("x", "delta")]
    columns = [["delta", "alpha", "beta", "gamma"]]
    assert recipe_of(workshop, workshop.request(model=model.id)).json()["inputs"] == columns
    assert draft_request(home, JobRequest(workshop.dataset.id, model.id, RECIPE)).json()["inputs"] == columns
    other = RECIPE | {"inputs": [["alpha", "beta", "gamma", "delta"]]}
    id = workshop.request(model=model.id, recipe_overrides=other)
    assert recipe_of(workshop, id).json()["inputs"] == other["inputs"]
    assert home.journal.model(workshop.model.id).inputs == ()  # the usual ones follow from each dataset
    with pytest.raises(InputRefused, match="forward has no parameter 'y': it takes 'x'"):
        publish_model(home, file, workshop.dataset.id, name="Turned", inputs=["y=alpha"])


def test_audit_of_a_model_with_several_inputs_is_planned(workshop: Workshop, tmp_path: Path) -> None:
    """The rehearsal that tells how long a phase takes trains what the request will ask for."""
    home, source = workshop.scientist.home, tmp_path / "two.py"
    source.write_text(
        "from torch import nn\n\n\nclass Two(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a, self.b = nn.Linear(1, 2), nn.Linear(3, 2)\n\n"
        "    def forward(self, x, y):\n        return self.a(x) + self.b(y)\n"
    )
    model = publish_model(home, source, workshop.dataset.id, name="Two", inputs=["x=delta", "y=@rest"])
    planned, _ = plan_audit(home, JobRequest(workshop.dataset.id, model.id, RECIPE), AuditOptions(verifiers=3))
    assert planned.audit is not None and not planned.rehearsed  # it was


ENDS = """from torch import nn
from torch.nn import functional as F


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


class Shares(Scores):
    def forward(self, x):
        return self.layer(x).softmax(1).reshape(-1, 2)


class SharesInTheEnd(Scores):
    def forward(self, x):
        return self.layer(x) if self.training else self.layer(x).softmax(1)


class Logarithms(Scores):
    def forward(self, x):
        return F.log_softmax(self.layer(x), 1)
"""


def test_function_that_the_loss_applies_itself_is_doubted(workshop: Workshop, tmp_path: Path) -> None:
    home, source = workshop.scientist.home, tmp_path / "ends.py"
    source.write_text(ENDS)
    doubted = {
        (name, loss): doubts_of(home, JobRequest(workshop.dataset.id, model.id, RECIPE | {"loss": {"name": loss}}))
        for name in ("Scores", "Shares", "SharesInTheEnd", "Logarithms")
        for model in [publish_model(home, source, workshop.dataset.id, name=name)]
        for loss in ("cross_entropy", "nll_loss")
    }
    assert [kind for kind, doubts in doubted.items() if not doubts] == [
        ("Scores", "cross_entropy"),
        ("Logarithms", "cross_entropy"),
        ("Logarithms", "nll_loss"),
    ]
    assert "applies one itself" in doubted["Shares", "cross_entropy"][0]
    assert "when it is evaluated" in doubted["SharesInTheEnd", "cross_entropy"][0]
    assert "choose cross_entropy" in doubted["Scores", "nll_loss"][0]


def test_draft_refuses_what_the_request_would(workshop: Workshop, tmp_path: Path) -> None:
    source, policy = private_table(tmp_path / "other.csv", seed=3), open_policy(minimum_batch=16)
    here = replace(workshop, dataset=offer_table(workshop.owner, source, policy=policy))
    with pytest.raises(InputRefused, match="batch") as drafted:
        draft_request(here.scientist.home, JobRequest(here.dataset.id, here.model.id, RECIPE))
    with pytest.raises(InputRefused) as requested:
        here.request()
    assert drafted.value.message == requested.value.message


def test_draft_is_of_the_account_that_would_ask(workshop: Workshop, tmp_path: Path) -> None:
    home, source = workshop.scientist.home, private_table(tmp_path / "named.csv", seed=4)
    named = offer_table(workshop.owner, source, policy=Policy(scientists=(home.keys.address.lower(),)))
    assert draft_request(home, JobRequest(named.id, workshop.model.id, RECIPE)).steps
    strangers = offer_table(workshop.owner, source, policy=Policy(scientists=("0x" + "1" * 40,)))
    with pytest.raises(InputRefused, match=f"the account {home.keys.address} may not ask"):
        draft_request(home, JobRequest(strangers.id, workshop.model.id, RECIPE))


def test_request_for_a_dataset_without_the_models_columns_says_so(workshop: Workshop, tmp_path: Path) -> None:
    home, source = workshop.scientist.home, private_table(tmp_path / "other.csv", seed=2)
    source.write_text(source.read_text().replace("delta", "epsilon", 1))
    dataset = offer_table(workshop.owner, source)
    model = publish_model(
        home, module_file(home.settings.home), workshop.dataset.id, name="Turned", inputs=["x=delta,@rest"]
    )
    with pytest.raises(InputRefused, match="published for a column 'delta', and this dataset has none") as refused:
        workshop.request(dataset=dataset.id, model=model.id)
    assert "inputs = [[" in refused.value.hint


# Asking


def test_request_that_never_left_is_taken_up_again(workshop: Workshop) -> None:
    def judge(call: dict[str, Any]) -> Any:
        full = 200, {"code": -32000, "message": "the transaction pool is full"}
        return full if call["method"] == "eth_sendRawTransaction" else None

    before, price = requests(workshop), PRICE + 1
    with asking_through(workshop, judge) as cut_off, pytest.raises(ChainUnusable, match="pool is full"):
        cut_off.request(price=price)
    written = workshop.scientist.home.journal.requests()[-1]
    assert requests(workshop) == before
    assert workshop.request(price=price) == written.agreement
    assert requests(workshop) == [*before, written.agreement]


def test_request_whose_answer_was_lost_is_not_paid_twice(workshop: Workshop) -> None:
    lost = threading.Event()

    def judge(call: dict[str, Any]) -> Any:
        if lost.is_set() and call["method"] == "eth_getTransactionReceipt":
            return 503, None
        if call["method"] == "eth_sendRawTransaction":
            lost.set()
        return None

    before, price = requests(workshop), PRICE + 2
    with asking_through(workshop, judge) as cut_off, pytest.raises(NodeUnreachable):
        cut_off.request(price=price)
    fit = workshop.scientist.fit()
    id = workshop.request(price=price)
    assert requests(workshop) == [*before, id]
    assert workshop.scientist.fit() == fit
    assert workshop.request(price=price) != id  # whoever heard of the first may well want a second


def test_too_little_fit_is_told_before_anything_is_done(workshop: Workshop, open_party: Callable[..., Party]) -> None:
    poor = open_party("poor", units=PRICE - 1)
    model = publish_model(poor.home, module_file(poor.home.settings.home), workshop.dataset.id, name="Tiny")
    with pytest.raises(ChainUnusable, match="the request needs 12 FIT"):
        replace(workshop, scientist=poor, model=model).request()
    assert poor.home.journal.requests() == []


def test_job_that_explodes_on_mock_data_is_never_asked_for(workshop: Workshop, table_path: Path) -> None:
    home, before = workshop.scientist.home, requests(workshop)
    dataset = offer_table(workshop.owner, table_path, policy=open_policy(), mock_records=16)
    line = publish_model(home, module_file(home.settings.home), dataset.id, name="Line")
    faster = EXPLODING | {"segment_steps": 6}
    with pytest.raises(InputRefused, match=r"leaves the finite numbers at step \d+ on mock data"):
        workshop.request(dataset=dataset.id, model=line.id, recipe_overrides=faster, rehearsed=True)
    assert requests(workshop) == before


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"price": PRICE - 1}, "below the policy's minimum"),
        ({"recipe_overrides": RECIPE | {"steps": 101}}, "the policy admits 100"),
        ({"recipe_overrides": RECIPE | {"batch_size": 2}}, "below the policy's minimum 4"),
        ({"recipe_overrides": RECIPE | {"inputs": ["alpha", "patient"]}}, "patient"),
        ({"recipe_overrides": RECIPE | {"target": "outcome"}}, "outcome"),
        ({"recipe_overrides": RECIPE | {"learningrate": 1}}, "unknown"),
        ({"recipe_overrides": RECIPE | {"rows": [0, 41]}}, "rows"),
    ],
)
def test_what_the_card_does_not_admit_is_never_asked_for(
    workshop: Workshop, table_path: Path, terms: dict[str, Any], words: str
) -> None:
    policy = open_policy(minimum_price=PRICE, maximum_steps=100, minimum_batch=4)
    dataset, before = offer_table(workshop.owner, table_path, policy=policy), requests(workshop)
    with pytest.raises(InputRefused, match=words):
        workshop.request(dataset=dataset.id, **terms)
    assert requests(workshop) == before


def test_step_that_takes_more_memory_than_the_policy_admits_is_never_asked_for(
    workshop: Workshop, table_path: Path
) -> None:
    policy, before = open_policy(most_memory_bytes=1000), requests(workshop)
    dataset = offer_table(workshop.owner, table_path, policy=policy)
    with pytest.raises(InputRefused, match="a step takes 1 MiB of memory, and the policy admits 1,000 bytes"):
        workshop.request(dataset=dataset.id)
    assert requests(workshop) == before


def test_retired_dataset_is_named_before_anything_is_rehearsed(workshop: Workshop, table_path: Path) -> None:
    dataset = offer_table(workshop.owner, table_path)
    workshop.owner.home.registry.retire_dataset(dataset.id)
    before = requests(workshop)
    with pytest.raises(Unusable, match=f"the dataset {dataset.id.short} is retired"):
        workshop.request(dataset=dataset.id)
    assert requests(workshop) == before


def test_dataset_that_a_later_ledger_closed_is_named_before_anything_is_asked(
    workshop: Workshop, open_party: Callable[..., Party], table_path: Path
) -> None:
    owner, registry = open_party("later"), workshop.scientist.home.registry
    dataset = offer_table(owner, table_path)
    before = requests(workshop)
    assert not registry.is_outlived(registry.dataset(dataset.id))
    owner.home.registry.open_ledger(budget(3, 1e-4))
    assert registry.is_outlived(registry.dataset(dataset.id))
    with pytest.raises(Unusable, match=f"nobody can ask for the dataset {dataset.id.short} any more") as refused:
        workshop.request(dataset=dataset.id)
    assert "register the records again with a budget" in refused.value.hint and requests(workshop) == before


# Before there is a result


def test_result_that_is_not_there_yet_is_not_found(workshop: Workshop, tmp_path: Path) -> None:
    home, id = workshop.scientist.home, workshop.request(price=PRICE + 3)
    for early in (lambda: fetch_model(home, id), lambda: continue_job(home, id, workshop.dataset.id)):
        with pytest.raises(NotFound, match="is requested and has delivered nothing yet") as refused:
            early()
        assert refused.value.hint == f"wait for it: fitchain job watch {id.short}"
    with pytest.raises(NotFound, match="has not been received"):
        delivery(home, id)
    with pytest.raises(NotFound):
        evaluate(home, id, tmp_path / "none.csv")
    with pytest.raises(Unusable, match="no result to accept"):
        accept_result(home, id)
    with pytest.raises(NotFound, match="no ended training"):
        replay_job(workshop.owner.home, id, 3)
    assert workshop.scientist.state(id) == State.REQUESTED


def test_home_without_its_key_cannot_ask(workshop: Workshop) -> None:
    with Home.open(workshop.scientist.home.settings) as reading:
        assert reading.agreements.list(scientist=workshop.scientist.address) is not None
        with pytest.raises(AccessRefused, match="without its key"):
            _ = reading.keys


def test_second_pod_of_one_home_is_refused(workshop: Workshop) -> None:
    with workshop.scientist.home.exclusive_lock(), pytest.raises(Unusable, match="another pod runs"):
        Scientist(workshop.scientist.home, True, workshop.scientist.say).run(threading.Event())
