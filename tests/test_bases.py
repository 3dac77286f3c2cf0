"""Jobs whose model is a delta over a base: `fitchain.pod.jobs.bases`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fitchain.cli.app import run
from fitchain.cli.views.review import describe
from fitchain.cli.views.verdict import describe_base
from fitchain.pod.compute.model import restore
from fitchain.pod.jobs import history
from fitchain.pod.jobs.bases import SOURCE_KEY, Bases, BaseSource, OfferedBase
from fitchain.pod.parties.owner import Owner, approve, replay_job
from fitchain.pod.parties.owner.review import review_request
from fitchain.pod.parties.scientist import continue_job, evaluate, merge_result, publish_model
from fitchain.pod.parties.scientist.delivered import load
from fitchain.pod.parties.scientist.receive import delivery
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import (
    AccessRefused,
    ClaimMismatch,
    DigestMismatch,
    HostUnusable,
    InputRefused,
    NotFound,
)
from fitchain.pod.values.ids import AgreementId, ModelId
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.state import model_root, read_safetensors
from tests.chain_fixtures import Devnet
from tests.fine_tuning import Adapted, Other, base_file
from tests.made_tensors import floats
from tests.pods import Party, Workshop, offer_table, owner_runs, private_table, scientist_runs, workshop_of
from tests.policies import open_policy
from tests.source_text import ROOT

BASE = {"weight": floats(1, 2, 3), "bias": floats(0), "mean": floats(4, 5, kind="buffer")}


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
    home, strange = tuned.scientist.home, tmp_path / "strange.safetensors"
    save_file({"weight": torch.full((3, 3), 0.25)}, strange)
    before = home.journal.models()
    with pytest.raises(InputRefused, match="none of the model's 2 tensors is one of the 4"):
        publish_model(home, Other(), tuned.dataset.id, base=base_file(tmp_path))
    with pytest.raises(InputRefused, match=r"is one of the 1 of the base strange\.safetensors"):
        publish_model(home, Other(), tuned.dataset.id, base=strange)
    ones, fresh = tmp_path / "ones.safetensors", Other()
    fresh.layer.weight.data.fill_(1)
    save_file({"weight": torch.ones(2, 4), "more": torch.arange(8.0)}, ones)
    with pytest.raises(InputRefused, match="has 1 tensors, and each of them is one number throughout"):
        publish_model(home, fresh, tuned.dataset.id, base=ones)
    assert home.journal.models() == before  # nothing was registered of what was refused


def test_pickle_is_refused_as_a_base_with_the_lines_that_convert_it(tuned: Workshop, tmp_path: Path) -> None:
    torch.save(Other().state_dict(), tmp_path / "base.pt")
    with pytest.raises(InputRefused, match="is a pickle") as refused:
        publish_model(tuned.scientist.home, Other(), tuned.dataset.id, base=tmp_path / "base.pt")
    assert "save_file" in refused.value.hint


def test_base_alone_is_asked_for_by_no_job(tuned: Workshop) -> None:
    assert tuned.model.base is not None
    with pytest.raises(InputRefused, match="weights alone"):
        tuned.request(model=tuned.model.base.id)


def test_question_about_a_base_is_put_once_however_often_a_pod_ends_before_it_kept_that(tuned: Workshop) -> None:
    pod, id = Owner(tuned.owner.home, tuned.owner.say), AgreementId(sha256(b"asks for a large base"))
    for _ in range(2):  # the second time as after a crash between the two lines that keep it
        pod._ask_about_base(id, "the request", ["a concern"], 1 << 31)
    asked = [each.entry for each in tuned.owner.home.journal.history(id)]
    assert [each.kind for each in asked] == ["approval_needed"]
    assert len([said for said in tuned.owner.said if "asks for approval" in said]) == 1


@pytest.mark.long
def test_large_base_is_fetched_once_a_person_said_yes(
    tuned: Workshop, table_path: Path, running_devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fitchain.pod.parties.owner.pod.UNASKED_BASE_BYTES", 100)
    home, base = tuned.owner.home, tuned.model.base
    assert base is not None and not home.bases.path(base.root).exists()
    asking = replace(tuned, dataset=offer_table(tuned.owner, table_path, policy=open_policy(manual_approval=True)))
    id = asking.request(rehearsed=True)
    with owner_runs(tuned.owner):
        tuned.until(tuned.owner.has(id, "approval_needed"))
        (why,) = home.journal.last(id, history.ApprovalNeeded).why
        assert why.startswith("the base of its model, 1 MiB, is not here: once approved it is fetched")
        assert not home.bases.path(base.root).exists() and not home.journal.happened(id, history.Checked)
        reviewed = review_request(home, id)
        assert reviewed.base is not None and reviewed.base.said == OfferedBase(base.shared_bytes, is_sealed=True)
        shown = dict(describe(reviewed).pairs)
        assert "7.18 kB, sealed to who is offered a model over it" in str(shown["base"])
        approve(home, id)
        tuned.until(tuned.owner.has(id, "accepted"))
    assert home.bases.path(base.root).exists() and home.journal.happened(id, history.Checked)


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
    with pytest.raises(DigestMismatch, match="only the file's bytes differ") as refused:
        verify(merged.path, job.certificate, running_devnet.settings(tmp_path))
    assert "the whole of what was delivered as a delta" in refused.value.hint
    copied = delivery(home, id).copy_into(tmp_path / "result")
    loaded = load(copied.model.parent)
    assert loaded.state_dict()["up.weight"].shape == Adapted().up.weight.shape
    restore(module := Adapted(), job.model)
    restore(other := Adapted(), merged.path)
    assert torch.equal(module.up.weight, other.up.weight) and not torch.equal(module.up.weight, Adapted().up.weight)
    assert evaluate(home, id, private_table(tmp_path / "own.csv", seed=2)).records == 40
    assert replay_job(tuned.owner.home, id, 3).equal
    continued = continue_job(home, id, tuned.dataset.id).published
    entry, file = (
        home.registry.model(continued.id),
        ModelFile.read(home.model_folder(continued.id) / "initial.safetensors"),
    )
    assert (entry.root, entry.base) == (file.root, base.id) and set(entry.parents) == {tuned.model.id, base.id}
    assert sorted(file.own) == ["down.weight", "up.weight"] and file.root == merged.root


# What lies beside a delta


@dataclass(frozen=True)
class Laid:
    """A model over a base that one home put into a store, and another home that has neither."""

    store: LocalStore
    source: BaseSource
    mine: Bases
    theirs: Bases
    folder: JobFolder
    file: ModelFile

    def offer(self, file: ModelFile) -> None:
        """Put a model into the folder."""
        file.write(self.folder.initial)

    def over(self, source: BaseSource) -> ModelFile:
        """The model, with another place of its base."""
        return replace(self.file, metadata=source.metadata)

    def lay(self, **how: Any) -> None:
        """Lay its base beside it, as the other home does."""
        self.theirs.lay(self.folder, **{"agreed": self.source.root} | how)


@pytest.fixture(params=[False, True], ids=["sealed", "public"])
def laid(tmp_path: Path, request: pytest.FixtureRequest) -> Laid:
    store = LocalStore(tmp_path / "store", tmp_path / "mine")
    mine, theirs = Bases(tmp_path / "mine" / "bases", store), Bases(tmp_path / "theirs" / "bases", store)
    root = mine.keep(BASE)
    source = mine.publish(root, ModelId(sha256(b"base")), is_public=request.param)
    file = replace(ModelFile.over(BASE | {"own": floats(9)}, inventory_of(BASE)), metadata=source.metadata)
    laid = Laid(store, source, mine, theirs, JobFolder(tmp_path / "theirs" / "job").create(), file)
    laid.offer(file)
    return laid


def test_base_is_fetched_once_and_lies_beside_each_model(laid: Laid, tmp_path: Path) -> None:
    laid.lay()
    assert laid.file.whole(read_safetensors(laid.folder.base)[0])["own"] == floats(9)
    assert laid.mine.publish(laid.source.root, ModelId(sha256(b"other")), False) == laid.source, "it lies there already"
    laid.store.unpin(laid.source.cid)
    laid.store.gc()
    again = JobFolder(tmp_path / "theirs" / "again").create()
    laid.file.write(again.initial)
    laid.theirs.lay(again, laid.source.root)
    assert again.base.samefile(laid.folder.base)


def test_base_that_is_sealed_is_not_in_the_clear(laid: Laid) -> None:
    data = b"".join(block for _, block in laid.store.blocks(laid.source.cid))
    assert (b"weight" in data) == (laid.source.identity is None)


def test_model_without_a_base_needs_none(laid: Laid) -> None:
    laid.lay(agreed=None)
    assert not laid.folder.base.exists() and not laid.theirs.folder.exists()


def test_base_that_the_store_lost_can_be_had_later(laid: Laid) -> None:
    laid.store.unpin(laid.source.cid)
    laid.store.gc()
    with pytest.raises(NotFound, match=f"the base {laid.source.root.short} of the model cannot be had") as error:
        laid.lay()
    assert "publish it again with --base" in error.value.hint
    laid.offer(laid.over(laid.mine.publish(laid.source.root, ModelId(sha256(b"base")), False)))
    laid.lay()


def test_another_model_in_the_place_of_a_base_is_refused(laid: Laid, tmp_path: Path) -> None:
    other = laid.mine.keep({"weight": floats(1, 2)})
    there = laid.mine.publish(other, ModelId(sha256(b"other")), is_public=laid.source.identity is None)
    laid.offer(laid.over(replace(there, root=laid.source.root)))
    with pytest.raises(DigestMismatch, match=f"and there is the model {other}, not {laid.source.root}"):
        laid.lay()
    assert not laid.theirs.path(laid.source.root).exists() and not laid.folder.base.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not say where that lies"),
        ("{}", "its cid and its identity"),
        ('{"cid":1,"identity":null}', "is a text"),
        ('{"cid":"x","identity":null}', "'x' is no CID"),
        ("[", "is not JSON"),
    ],
)
def test_place_of_a_base_that_is_malformed_is_refused(laid: Laid, text: str | None, said: str) -> None:
    laid.offer(replace(laid.file, metadata={} if text is None else {SOURCE_KEY: text}))
    with pytest.raises(InputRefused, match=said):
        laid.lay()


def test_base_that_the_recipe_does_not_name_is_not_fetched(laid: Laid) -> None:
    with pytest.raises(ClaimMismatch, match="and the recipe's base is"):
        laid.lay(agreed=Root(sha256(b"another")))
    assert not laid.theirs.folder.exists()


def test_what_lies_in_the_place_of_a_base_is_bounded_by_what_the_model_says_of_it(laid: Laid, tmp_path: Path) -> None:
    (large := tmp_path / "large").write_bytes(bytes(20 << 20))
    laid.offer(laid.over(replace(laid.source, cid=laid.store.add(large))))
    with pytest.raises(InputRefused, match="limit"):
        laid.lay()
    assert list(laid.theirs.folder.iterdir()) == []


def test_base_that_is_sealed_to_others_is_refused(laid: Laid) -> None:
    laid.offer(laid.over(replace(laid.source, identity=new_identity()[0])))
    with pytest.raises((AccessRefused, DigestMismatch), match="does not open"):
        laid.lay()


def test_base_that_a_home_has_is_not_lent_to_who_knows_its_root_alone(laid: Laid, tmp_path: Path) -> None:
    laid.lay(is_offered=True)
    (junk := tmp_path / "junk").write_bytes(b"junk")
    again = JobFolder(tmp_path / "theirs" / "again").create()
    laid.over(replace(laid.source, cid=laid.store.add(junk))).write(again.initial)
    with pytest.raises((AccessRefused, DigestMismatch, InputRefused)):
        laid.theirs.lay(again, laid.source.root, is_offered=True)
    assert not again.base.exists() and laid.theirs.path(laid.source.root).samefile(laid.folder.base)


def test_base_that_the_disk_has_no_room_for_is_not_fetched(laid: Laid, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed it lies there twice while it is opened."""
    size = laid.file.inventory_bytes
    free = size - 1 if laid.source.identity is None else 2 * size - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(HostUnusable, match=r"the base .* of the model takes 1 MiB of the disk.*, and 1 MiB are free"):
        laid.lay(is_offered=True)
    assert list(laid.theirs.folder.iterdir()) == []


def test_base_that_is_fetched_is_told_of(laid: Laid) -> None:
    laid.theirs.log = (told := list[str]()).append
    laid.lay()
    assert re.fullmatch("fetches the base .* of the model: 1 MiB, once for all jobs over it", told[0])
    assert re.fullmatch("the base .* of the model is here, after 0 s", told[-1])
    laid.lay()
    assert len(told) == 2


def test_what_would_be_fetched_for_a_model_is_known_before(laid: Laid) -> None:
    assert laid.theirs.unfetched_bytes(laid.folder.initial) == laid.file.inventory_bytes
    laid.lay()
    assert laid.theirs.unfetched_bytes(laid.folder.initial) == 0
    laid.offer(replace(laid.file, shared={}, inventory={}, metadata={}))
    assert laid.theirs.unfetched_bytes(laid.folder.initial) == 0


def test_base_that_lies_elsewhere_too_stays_where_it_was_had_from(laid: Laid, tmp_path: Path) -> None:
    laid.lay(keeps=True, is_offered=True)
    (tmp_path / "other").mkdir()
    other = Bases(tmp_path / "other" / "bases", laid.store)
    elsewhere = other.publish(other.keep(BASE), ModelId(sha256(b"theirs")), is_public=laid.source.identity is not None)
    again = JobFolder(tmp_path / "theirs" / "again").create()
    laid.over(elsewhere).write(again.initial)
    laid.theirs.lay(again, laid.source.root, keeps=True, is_offered=True)
    assert elsewhere != laid.source and again.base.samefile(laid.folder.base)
    laid.theirs.name_place(again.initial)
    assert BaseSource.of(ModelFile.read(again.initial)) == laid.source


def test_fetched_base_goes_when_nothing_needs_it_and_an_own_one_stays(laid: Laid) -> None:
    theirs = LocalStore(laid.store.folder, laid.theirs.folder.parent)
    laid.theirs.store = theirs
    laid.lay(keeps=True)
    laid.theirs.release_unused()
    assert laid.theirs.path(laid.source.root).exists() and theirs.list_pins() == [laid.source.cid]
    laid.folder.base.unlink()
    for bases in (laid.theirs, laid.mine):
        bases.release_unused()
    assert list(laid.theirs.folder.iterdir()) == [] and theirs.list_pins() == []
    assert laid.mine.path(laid.source.root).exists() and laid.store.list_pins() == [laid.source.cid]


# From the command line


def test_published_over_a_base_tells_what_is_shared_and_what_travels(
    tuned: Workshop,
    running_devnet: Devnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    used = tuned.model.base
    assert used is not None
    home = tuned.scientist.home.settings.home
    who = ["--home", str(home), "--passphrase-file", str(tuned.scientist.side.passphrase_file)]
    source = f"{ROOT / 'tests' / 'fine_tuning.py'}:Adapted"
    words = ["model", "publish", source, "--dataset", str(tuned.dataset.id), *who]
    for base in (str(base_file(tmp_path)), used.id.short):
        assert run([*words, "--base", base, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["model"], told["base"]["id"]) == (str(tuned.model.id), str(used.id))
        assert (told["base"]["shared_bytes"], told["base"]["own_bytes"]) == (used.shared_bytes, used.own_bytes)
    assert run([*words, "--base", used.id.short, "--public"]) == 0
    shown = capsys.readouterr().out
    assert "public" in shown and "7.18 kB" in shown and "48 bytes" in shown
    assert run([*words, "--public"]) == 3
    assert run([*words, "--base", str(tmp_path / "gone.safetensors")]) == 3
    assert "there is no file" in capsys.readouterr().err


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
