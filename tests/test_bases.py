"""Jobs whose model is a delta over a base: `fitchain.pod.jobs.bases`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fitchain.cli.app import run
from fitchain.cli.views.verdict import describe_base
from fitchain.pod.compute.model import restore
from fitchain.pod.parties.owner import replay_job
from fitchain.pod.parties.scientist import evaluate, merge_result, publish_model
from fitchain.pod.ports.agreement import State
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.state import model_root, read_safetensors
from tests.chain_fixtures import Devnet
from tests.fine_tuning import Adapted, Other, base_file
from tests.pods import Party, Workshop, owner_runs, private_table, scientist_runs, workshop_of
from tests.test_state import floats


@pytest.fixture(scope="module")
def tuned(open_party: Callable[..., Party], table_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    workshop = workshop_of(open_party("owner"), open_party("scientist"), table_path)
    base = base_file(tmp_path_factory.mktemp("base"))
    return replace(workshop, model=publish_model(workshop.scientist.home, Adapted(), workshop.dataset.id, base=base))


def test_model_over_a_base_is_published_as_what_the_base_has_not(tuned: Workshop) -> None:
    home, model = tuned.scientist.home, tuned.model
    entry, base = home.registry.model(model.id), model.base
    assert base is not None and (entry.base, entry.parents) == (base.id, (base.id,))
    file = ModelFile.read(home.journal.model(model.id).folder / "initial.safetensors")
    assert sorted(file.own) == ["down.weight", "up.weight"]
    assert (file.root, file.base) == (entry.root, home.registry.model(base.id).root)
    assert (base.shared_bytes, base.own_bytes) == (4 * (5 * 256 + 2 * 257), 4 * (8 + 4))


def test_model_that_shares_nothing_with_its_base_is_refused(tuned: Workshop, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="none of the model's 2 tensors is one of the 4"):
        publish_model(tuned.scientist.home, Other(), tuned.dataset.id, base=base_file(tmp_path))


def test_base_alone_is_asked_for_by_no_job(tuned: Workshop) -> None:
    assert tuned.model.base is not None
    with pytest.raises(InputRefused, match="weights alone"):
        tuned.request(model=tuned.model.base.id)


@pytest.mark.long
def test_job_over_a_base_comes_to_a_certificate(tuned: Workshop, running_devnet: Devnet, tmp_path: Path) -> None:
    id = tuned.request(rehearsed=True)
    with owner_runs(tuned.owner), scientist_runs(tuned.scientist):
        tuned.until_state(id, State.SETTLED, State.CANCELLED)
        assert tuned.scientist.state(id) is State.SETTLED, tuned.owner.said
        tuned.until(tuned.scientist.has(id, "received"))
    home, base = tuned.scientist.home, tuned.model.base
    job = home.job_folder(id)
    file = ModelFile.read(job.model)
    assert base is not None and sorted(file.own) == ["down.weight", "up.weight"] and file.base == base.root
    verdict = verify(job.model, job.certificate, running_devnet.settings(tmp_path))
    assert verdict.statement.base is not None and verdict.statement.base.id == base.id
    whole = file.whole(read_safetensors(home.bases.path(base.root))[0])
    assert model_root(whole) == home.agreements.run_record(id).model_root
    comparing = verify(job.model, job.certificate, running_devnet.settings(tmp_path), base=base_file(tmp_path))
    assert comparing.base_compared and not verdict.base_compared
    assert "is a delta over" in str(describe_base(comparing))
    with pytest.raises(DigestMismatch, match="the base has no tensor"):
        verify(job.model, job.certificate, running_devnet.settings(tmp_path), base=job.model)
    merged = merge_result(home, id, tmp_path / "whole.safetensors")
    assert merged.root == home.agreements.run_record(id).model_root
    assert ModelFile.read(merged.path).own.keys() == whole.keys()
    restore(module := Adapted(), job.model)
    restore(other := Adapted(), merged.path)
    assert torch.equal(module.up.weight, other.up.weight) and not torch.equal(module.up.weight, Adapted().up.weight)
    assert evaluate(home, id, private_table(tmp_path / "own.csv", seed=2)).records == 40
    assert replay_job(tuned.owner.home, id, 3).equal


# From the command line


def test_merge_writes_the_whole_of_a_file_and_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, whole = base_file(tmp_path), {name: floats(1) for name in ("a", "b")}
    held = read_safetensors(base)[0]
    file = ModelFile.over(whole | {"base": held["0.weight"]}, inventory_of(held))
    file.write(delta := tmp_path / "model.safetensors")
    monkeypatch.setenv("FITCHAIN_HOME", str(tmp_path / "home"))
    words = ["--json", "model", "merge", str(delta), "--to", str(tmp_path / "whole.safetensors")]
    assert run(words) == 3 and "name the base's file with --base" in capsys.readouterr().out
    assert run([*words, "--base", str(delta)]) == 3 and "a base is whole" in capsys.readouterr().out
    assert run([*words, "--base", str(base)]) == 0
    assert json.loads(capsys.readouterr().out)["root"] == str(file.root)
    assert model_root(read_safetensors(tmp_path / "whole.safetensors")[0]) == file.root
    assert run([*words, "--base", str(base)]) == 3 and "is there already" in capsys.readouterr().out
