"""A delivered model in the formats of others, each read by its own official library."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fitchain
from fitchain.cli.app import run
from fitchain.cli.commands.model_export import ABOUT, BILL, CARD, ONNX, SIGNATURE
from fitchain.cli.views.bill_of_materials import bill_of_materials
from fitchain.cli.views.model_card import TO_FILL_IN, CardTerms, model_card
from fitchain.cli.views.output import text_of
from fitchain.cli.views.verdict import describe_verdict
from fitchain.pod.compute.dataset.preprocessing import preprocessing_of
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.onnx_file import TOLERANCE, require_close, write_onnx
from fitchain.pod.compute.model.program import Program
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import Parentage, Verdict, verify
from fitchain.pod.proof.certificate.verdict import ParentageKind
from fitchain.pod.values.digest import ZERO, Root, sha256, sha256_file
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.ids import ModelId
from fitchain.pod.values.job_folder import DELIVERY_FILES
from fitchain.pod.values.state import TensorBytes
from tests.certified_jobs import Job, played, registered
from tests.chain_fixtures import Account, Devnet, secret_file
from tests.cli_fixtures import Fitchain
from tests.speeds import long_unless

pytestmark = pytest.mark.formats


class Small(nn.Module):
    """One number to two classes, with the tensors of `tests.certified_jobs`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2, bias=False)
        self.layer.register_buffer("seen", torch.tensor(0))

    def forward(self, x_B1: Tensor) -> Tensor:
        logits_BK: Tensor = self.layer(x_B1.expand(-1, 3))
        return logits_BK


class Reading(nn.Module):
    """Tokens, their places, a causal transformer layer, and an output tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(9, 8), nn.Embedding(6, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)
        self.head = nn.Linear(8, 9, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, token_BT: Tensor) -> Tensor:
        mask_TT = nn.Transformer.generate_square_subsequent_mask(token_BT.shape[1])
        x_BTF = self.tokens(token_BT) + self.places(torch.arange(token_BT.shape[1]))
        logits_BTK: Tensor = self.head(self.layer(x_BTF, src_mask=mask_TT, is_causal=True))
        return logits_BTK[:, -1]


class Recurrent(nn.Module):
    """Two recurrent layers in both directions."""

    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.layers = kind(5, 7, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(14, 3)

    def forward(self, x_BTF: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.layers(x_BTF)[0][:, -1])
        return logits_BK


class Mixed(nn.Module):
    """Amounts beside codes, arithmetic on the batch size, writing in place."""

    def __init__(self) -> None:
        super().__init__()
        self.codes, self.head = nn.Embedding(4, 3), nn.Linear(5, 2)

    def forward(self, x_BF: Tensor, code_B: Tensor) -> Tensor:
        both_BF = torch.cat([x_BF, self.codes(code_B[:, 0])], 1).view(x_BF.shape[0], -1)
        both_BF[:, 0] *= 2
        logits_BK: Tensor = self.head(both_BF.relu_())
        return logits_BK


class Noisy(nn.Module):
    """Noise that evaluation draws, too."""

    def forward(self, x_BF: Tensor) -> Tensor:
        return x_BF + torch.rand_like(x_BF)


class Middle(nn.Module):
    """The middle of some numbers, an operator that has no translation."""

    def forward(self, x_BF: Tensor) -> Tensor:
        return x_BF.median(1, keepdim=True).values


FEW, PIXELS, SERIES = (Input("x", "F32", (6,)),), (Input("x", "F32", (1, 8, 8)),), (Input("x", "F32", (6, 5)),)
TEXT, MIXED = (Input("tokens", "I64", (6,)),), (Input("x", "F32", (2,)), Input("code", "I64", (1,)))
KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[Input, ...]]] = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.LayerNorm(9), nn.Linear(9, 3)), FEW),
    "convolutional": (
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2)),
            *(nn.Dropout2d(0.2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 3)),
        ),
        PIXELS,
    ),
    "transformer": (Reading, TEXT),
    "lstm": (lambda: Recurrent(nn.LSTM), SERIES),
    "gru": (lambda: Recurrent(nn.GRU), SERIES),
    "mixed": (Mixed, MIXED),
}


def exported(name: str) -> tuple[Graph, dict[str, TensorBytes]]:
    torch.manual_seed(0)
    make, inputs = KINDS[name]
    return export(make(), inputs)


@pytest.fixture(scope="module")
def job(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job whose delivery lies in a folder: model, certificate, graph."""
    folder = tmp_path_factory.mktemp("delivery")
    graph = export(Small(), (Input("x", "F32", (1,)),))[0]
    parties = registered(open_account(), open_account(), folder.parent / "table.npz")
    recipe = replace(parties.recipe, graph=graph.digest)
    model = Registry(parties.scientist.chain).register_model(recipe.graph, recipe.initial_model)
    parties = replace(parties, recipe=recipe, model=model)
    ended = played(parties, folder / "model.safetensors", b"exports")
    (folder / "certificate.json").write_bytes(ended.certificate)
    (folder / "graph.json").write_bytes(graph.encode())
    (folder / "preprocessing.json").write_bytes(preprocessing_of(recipe, parties.card, graph.inputs))
    return ended


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys") / "key.pem", "SECP256R1")


@pytest.fixture(scope="module")
def folder(job: Job, key: Path, running_devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it, exported and signed."""
    target = tmp_path_factory.mktemp("exports") / "out"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
        home = ["--home", str(job.parties.scientist.chain.settings.home)]
        options = ["--to", str(target), "--sign", str(key), "--license", "apache-2.0", "--title", "Kinds by size"]
        assert run(["model", "export", str(job.model.parent), *options, *home]) == 0
    return target


def key_file(path: Path, curve: str, passphrase: bytes = b"") -> Path:
    """A fresh private key in a file for its owner's eyes."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    form = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = ec.generate_private_key(getattr(ec, curve)())
    data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
    secret_file(path, data.decode())
    form_of_public = serialization.PublicFormat.SubjectPublicKeyInfo
    public = private.public_key().public_bytes(serialization.Encoding.PEM, form_of_public)
    path.with_suffix(".pub.pem").write_bytes(public)
    return path


def verify_signature(folder: Path, key: Path) -> None:
    """As `model_signing verify key` does."""
    from model_signing import hashing, verifying

    config: Any = cast(Any, verifying).Config().use_elliptic_key_verifier(public_key=key.with_suffix(".pub.pem"))
    config.set_hashing_config(cast(Any, hashing).Config().set_ignored_paths(paths=[folder / SIGNATURE]))
    config.verify(folder, folder / SIGNATURE)


# ONNX


@pytest.mark.parametrize("name", long_unless(lambda name: name in ("convolutional", "transformer"), KINDS))
def test_onnx_computes_what_the_graph_computes(name: str, tmp_path: Path) -> None:
    import onnxruntime

    graph, tensors = exported(name)
    check = write_onnx(graph, tensors, tmp_path / ONNX, {"a": "b"})
    session = onnxruntime.InferenceSession(tmp_path / ONNX, providers=["CPUExecutionProvider"])
    inputs = [  # of neither the size that was traced nor one that was compared
        torch.randint(0, 4, (7, *each.shape)) if each.dtype == "I64" else torch.randn(7, *each.shape)
        for each in graph.inputs
    ]
    records = {each.name: x.numpy() for each, x in zip(session.get_inputs(), inputs, strict=True)}
    wanted = Program(graph, tensors)(*inputs, training=False).numpy()
    assert np.abs(session.run(None, records)[0] - wanted).max() <= TOLERANCE * np.abs(wanted).max()
    assert session.get_modelmeta().custom_metadata_map == {"a": "b"} and check.difference <= TOLERANCE
    assert [each.shape[0] for each in session.get_inputs()] == ["batch"] * len(graph.inputs)


def test_an_onnx_file_names_the_delivered_tensors_and_no_file_of_this_host(tmp_path: Path) -> None:
    import onnx

    graph, tensors = exported("perceptron")
    write_onnx(graph, tensors, tmp_path / ONNX, {})
    file = onnx.load(tmp_path / ONNX)
    assert set(tensors) <= {each.name for each in file.graph.initializer}
    assert ".py" not in str(file) and str(Path.home()) not in str(file)


@pytest.mark.long
def test_large_weights_lie_beside_the_onnx_file(tmp_path: Path) -> None:
    graph, tensors = exported("transformer")
    check = write_onnx(graph, tensors, tmp_path / ONNX, {}, most_inline_bytes=0)
    assert [path.name for path in check.files] == [ONNX, f"{ONNX}.data"] and f"{ONNX}.data" in ABOUT
    assert all(path.stat().st_size for path in check.files)


def test_onnx_refuses_a_model_that_draws_random_numbers(tmp_path: Path) -> None:
    graph, tensors = export(Noisy(), FEW)
    with pytest.raises(InputRefused, match="draws random numbers when it is evaluated"):
        write_onnx(graph, tensors, tmp_path / ONNX, {})


def test_onnx_refuses_an_operator_without_translation_by_its_name(tmp_path: Path) -> None:
    graph, tensors = export(Middle(), FEW)
    with pytest.raises(InputRefused, match=r"the operator aten\.median\.dim has no translation into ONNX"):
        write_onnx(graph, tensors, tmp_path / ONNX, {})


@pytest.mark.parametrize("wrong", [1.001, float("nan"), float("inf")])
def test_outputs_that_differ_are_refused_with_both_values(wrong: float) -> None:
    wanted = np.array([[1.0, -1.0], [0.5, 0.25]], np.float32)
    assert require_close(wanted + np.float32(1e-6), wanted, "x") < TOLERANCE
    output = wanted.copy()
    output[0, 0] = wrong
    with pytest.raises(InputRefused, match=r"where the graph computes .*1\.0"):
        require_close(output, wanted, "x")


def test_outputs_without_a_finite_number_are_no_comparison() -> None:
    nothing = np.full((2, 2), np.nan, np.float32)
    with pytest.raises(InputRefused, match="nothing is compared"):
        require_close(nothing, nothing, "x")


def test_an_exported_file_says_where_it_comes_from(folder: Path, job: Job) -> None:
    import onnx

    metadata = {each.key: each.value for each in onnx.load(folder / ONNX).metadata_props}
    assert metadata["fitchain.certificate.sha256"] == sha256_file(folder / "certificate.json").value.hex()
    assert metadata["fitchain.agreement"] == str(job.id)
    assert json.loads(metadata["fitchain.inputs"]) == [["size"]] and metadata["fitchain.target"] == "kind"
    assert metadata["fitchain.preprocessing"] == (job.model.parent / "preprocessing.json").read_text()


# The model card


def test_a_card_has_the_words_of_verify_and_no_stronger_ones(folder: Path, job: Job) -> None:
    text = (folder / CARD).read_text()
    said = re.search(r"```text\n(.*?)\n```", text, re.S)
    verdict = verify(job.model, job.certificate, job.parties.scientist.chain)
    assert said and said[1].startswith("the certificate holds: unaudited\n")
    assert text_of(describe_verdict(verdict, Path("model.safetensors")).views, 110).split("took")[0] in text
    assert "**unaudited: nobody vouches for it but its owner, who committed to it and signed**" in text
    assert TO_FILL_IN in text and str(job.id) in text and str(job.statement["predicate"]["transcript"]["root"]) in text
    assert sha256_file(folder / "certificate.json").value.hex() in text


def test_the_hub_reads_a_card(folder: Path) -> None:
    from huggingface_hub import ModelCard

    data: Any = ModelCard.load(folder / CARD).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "fitchain", "tabular-classification")
    accuracy = next(each for each in data.eval_results if each.metric_type == "accuracy")
    assert accuracy.metric_value == 0.9 and accuracy.dataset_split == "held-out"
    assert "95 % interval" in accuracy.metric_name and "as the owner states" in accuracy.metric_name


def test_no_licence_stands_in_a_card_that_nobody_named(job: Job) -> None:
    verdict = verify(job.model, job.certificate, job.parties.scientist.chain)
    assert "license" not in model_card(verdict, CardTerms("A model", "", {}, ZERO)).split("---")[1]


HOSTILE = 'x"\n---\n<script>alert(1)</script> [a](http://b) | ``` \x1b[2J\u2028 # y'


def test_a_stranger_s_words_are_no_markup_in_a_card(job: Job) -> None:
    from huggingface_hub import ModelCard

    verdict = verify(job.model, job.certificate, job.parties.scientist.chain)
    card = replace(verdict.statement.card, name=HOSTILE, description=HOSTILE, licence=HOSTILE)
    hostile = replace(verdict, statement=replace(verdict.statement, card=card))
    text = model_card(hostile, CardTerms(HOSTILE, HOSTILE, {}, ZERO))
    _, body = text.removeprefix("---\n").split("\n---\n", 1)
    outside = re.sub(r"````text\n.*?\n````\n", "", body, flags=re.S)  # a longer fence than the name has
    assert outside != body and "alert" in outside
    assert not re.search(r"<script|(?<!\\)\]\(|http://|(?<!\\)``` ", outside) and "\x1b" not in text
    data: Any = ModelCard(text).data
    assert data.license == HOSTILE and data.eval_results[0].dataset_name == HOSTILE


def test_a_notebook_writes_the_same_onnx_of_a_folder(job: Job, folder: Path, tmp_path: Path) -> None:
    import onnx

    check = fitchain.export_onnx(job.model.parent, to := tmp_path / "sub/model.onnx")
    assert check.difference < 1e-4
    mine, exported = ({each.key: each.value for each in onnx.load(path).metadata_props} for path in (to, folder / ONNX))
    assert {key: text for key, text in mine.items() if key.startswith("fitchain.")} == {
        key: text for key, text in exported.items() if key.startswith("fitchain.")
    }
    with pytest.raises(InputRefused, match="is there already"):
        fitchain.export_onnx(job.model.parent, to)


# The bill of materials


def test_a_bill_names_files_by_their_hashes_and_models_behind_it(folder: Path, job: Job) -> None:
    bill = json.loads((folder / BILL).read_text())
    model = bill["metadata"]["component"]
    assert (bill["specVersion"], model["type"], model["name"]) == ("1.6", "machine-learning-model", "Kinds by size")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    named = {each["url"]: each["hashes"][0]["content"] for each in model["externalReferences"]}
    assert named == {name: sha256_file(folder / name).value.hex() for name in named}
    assert {*DELIVERY_FILES, ONNX} == set(named)
    assert [each["name"] for each in model["pedigree"]["ancestors"]] == [str(job.parties.model)]
    (accuracy,) = [
        m for m in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] if m["type"] == "accuracy"
    ]
    assert accuracy["value"] == "0.9" and accuracy["confidenceInterval"]["lowerBound"].startswith("0.59")
    assert "as the owner states" in accuracy["slice"]


def with_claimed_parents(verdict: Verdict) -> Verdict:
    """The verdict of a certificate whose model was registered as a child of somebody's famous one."""
    child = verdict.statement.lineage[0]
    famous = replace(child, id=ModelId(sha256(b"famous")), root=Root(sha256(b"famous weights")))
    lineage = (replace(child, parents=(famous.id,)), famous)
    claimed = (Parentage(child.id, famous.id, ParentageKind.CLAIMED),)
    return replace(verdict, statement=replace(verdict.statement, lineage=lineage), parentages=claimed)


def test_bill_and_card_say_of_a_claimed_parent_that_it_is_claimed(
    job: Job, running_devnet: Devnet, tmp_path: Path
) -> None:
    certificate = job.model.with_name("certificate.json")
    verdict = with_claimed_parents(verify(job.model, certificate, running_devnet.settings(tmp_path)))
    bill = json.loads(bill_of_materials(verdict, "Kinds", "", {"certificate.json": sha256_file(certificate)}))
    pedigree = bill["metadata"]["component"]["pedigree"]
    told = [[each["value"] for each in of["properties"] if each["name"] == "fitchain:parentage"]
            for of in pedigree["ancestors"]]  # fmt: skip
    assert told[0] == [] and "(claimed by its author)" in told[1][0] and "nobody checked" in told[1][1]
    assert "is said to descend" in pedigree["notes"]
    card = model_card(verdict, CardTerms("Kinds", "", {}, sha256_file(certificate)))
    assert "claimed by its author" in card


def test_a_bill_is_of_cyclonedx_schema(folder: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (folder / BILL).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"slice"', '"slices"')) is not None


# The signature


def test_the_official_library_verifies_a_signature_over_every_file(folder: Path, key: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    verify_signature(copy, key)
    with (copy / CARD).open("a") as card:
        card.write("better than it was\n")
    with pytest.raises(ValueError, match=r"README\.md"):
        verify_signature(copy, key)


def test_a_key_with_a_passphrase_signs(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    key = key_file(tmp_path / "key.pem", "SECP384R1", b"open")
    secret_file(tmp_path / "passphrase", "open\n")
    secret_file(tmp_path / "wrong", "shut\n")
    command = ("model", "export", str(job.model.parent), "--card", "--sign", str(key), "--to", str(tmp_path / "out"))
    code, told, _ = fitchain(job.parties.scientist, *command, "--key-passphrase-file", str(tmp_path / "wrong"))
    assert (code, told["error"]["kind"]) == (3, "AccessRefused") and not (tmp_path / "out").exists()
    code, told, _ = fitchain(job.parties.scientist, *command, "--key-passphrase-file", str(tmp_path / "passphrase"))
    assert code == 0 and told["signed_by"]["curve"] == "P-384" and ONNX not in told["files"]
    verify_signature(tmp_path / "out", key)


def test_a_key_with_which_nothing_verifies_signs_nothing(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    key = key_file(tmp_path / "key.pem", "SECP256K1")
    command = ("model", "export", str(job.model.parent), "--card", "--to", str(tmp_path / "out"), "--sign", str(key))
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert code == 3 and "is of secp256k1, and signatures verify with P-256" in told["error"]["message"]
    key.chmod(0o644)
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert code == 3 and "is open to others" in told["error"]["message"]
    key.chmod(0o600)
    key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert code == 3 and "is no private key in PEM" in told["error"]["message"] and not (tmp_path / "out").exists()


# What is exported at all


def test_a_job_is_named_in_place_of_a_folder(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    command = ("model", "export", job.id.short, "--card", "--to", str(tmp_path / "out"))
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert code == 3 and "has not been received here" in told["error"]["message"]
    own = job.parties.scientist.chain.settings.home / "jobs" / str(job.id)
    shutil.copytree(job.model.parent, own)
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert (code, told["files"]) == (0, [*DELIVERY_FILES, CARD])


def test_a_certificate_that_does_not_hold_makes_nothing(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    forged = Path(shutil.copytree(job.model.parent, tmp_path / "forged"))
    with (forged / "model.safetensors").open("r+b") as model:
        model.seek(-1, 2)
        model.write(b"\x01")
    code, told, _ = fitchain(job.parties.scientist, "model", "export", str(forged), "--to", str(tmp_path / "out"))
    assert (code, told["error"]["kind"]) == (1, "DigestMismatch")
    assert [path.name for path in tmp_path.iterdir()] == ["forged"]
    assert "model in model.safetensors" in told["error"]["message"]


@pytest.mark.parametrize("name", ["tokenizer.json", "base.safetensors"])
def test_a_link_in_the_place_of_what_came_by_itself_is_not_published(
    fitchain: Fitchain, job: Job, tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(job.model.parent, tmp_path / "delivery"))
    (secret := tmp_path / "secret").write_bytes(job.model.read_bytes())
    (folder / name).symlink_to(secret)
    command = ("model", "export", str(folder), "--to", str(tmp_path / "out"), "--card")
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert (code, told["error"]["kind"]) == (1, "ClaimMismatch") and not (tmp_path / "out").exists()
    assert told["error"]["message"].startswith(f"{name} has the")


def test_another_graph_makes_no_onnx_file(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    other = Path(shutil.copytree(job.model.parent, tmp_path / "other"))
    (other / "graph.json").write_bytes(exported("perceptron")[0].encode())
    command = ("model", "export", str(other), "--to", str(tmp_path / "out"), "--onnx")
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert (code, told["error"]["kind"]) == (1, "ClaimMismatch") and not (tmp_path / "out").exists()
    (other / "graph.json").unlink()
    code, told, _ = fitchain(job.parties.scientist, *command)
    assert (code, told["error"]["kind"]) == (3, "NotFound")


@pytest.mark.parametrize(
    ("library", "extra", "option"),
    [("onnxruntime", "onnx", "--onnx"), ("cyclonedx.schema", "bom", "--bom"), ("model_signing", "signing", "--sign")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    fitchain: Fitchain,
    job: Job,
    key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    extra: str,
    option: str,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as Python marks what it did not find
    command = ("model", "export", str(job.model.parent), "--to", str(tmp_path / "out"), option)
    code, told, _ = fitchain(job.parties.scientist, *command, *([str(key)] if option == "--sign" else []))
    assert (code, told["error"]["kind"]) == (3, "HostUnusable") and not (tmp_path / "out").exists()
    assert (
        library.split(".")[0] in told["error"]["message"].replace("-python-lib", "")
        and f"`{extra}`" in told["error"]["hint"]
    )


def test_nothing_is_overwritten(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    command = ("model", "export", str(job.model.parent), "--card", "--to", str(tmp_path))
    code, told, said = fitchain(job.parties.scientist, *command)
    assert code == 3 and "is there already" in told["error"]["message"]
    assert "checking" not in said


def test_export_is_refused_what_is_neither_job_nor_folder(fitchain: Fitchain, job: Job, tmp_path: Path) -> None:
    for source in (str(tmp_path / "none"), "./none"):
        code, told, _ = fitchain(job.parties.scientist, "model", "export", source, "--to", str(tmp_path / "out"))
        assert code == 3 and "there is no folder" in told["error"]["message"]
