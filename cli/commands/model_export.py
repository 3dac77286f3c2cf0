"""`fitchain model export`: a delivered model in the formats of others."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import find_agreement
from fitchain.cli.licences import is_spdx, read_licence
from fitchain.cli.passphrase import ask_passphrase
from fitchain.cli.views.output import KeyValues, Report, Rows, log
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.job_folder import BASE, CERTIFICATE, GRAPH, MODEL, PREPROCESSING, TOKENIZER

if TYPE_CHECKING:
    from fitchain.pod.compute.model.onnx_file import OnnxCheck
    from fitchain.pod.parties.scientist.exported import Exported
    from fitchain.pod.ports.model_signature import SigningKey
    from fitchain.pod.proof.certificate import Verdict
    from fitchain.pod.values.ids import AgreementId

WEIGHTS = "model.onnx.data"
ONNX, CARD, BILL, SIGNATURE = "model.onnx", "README.md", "bom.cdx.json", "model.sig"
ABOUT = {
    MODEL: "the delivered weights; that they are the certified ones says the certificate",
    CERTIFICATE: "the certificate: what fitchain proof verify compares with the chain; everything else rests on it",
    GRAPH: "the model's computation; the certificate's recipe names its digest",
    PREPROCESSING: "how raw cells enter the model; it follows from the certificate's card and recipe, as verify checks",
    TOKENIZER: "by which its free texts are read; the card in the certificate names its digest",
    BASE: "over which the delivered weights are a delta; the certificate names its model root",
    ONNX: "the same computation for other runtimes, close to it and not bit-equal; no certificate is about this file",
    WEIGHTS: "the weights of model.onnx, where they are large",
    CARD: "a description for people; it repeats what verify said to who exported it, and proves nothing",
    BILL: "a bill of materials for tools; likewise it proves nothing",
    SIGNATURE: "who holds the signing key had these files together; nothing of how they came about",
}
"""What each file may be trusted for."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "export")(export)


# Many parameters: they are the options of the command line.
def export(
    session: Session,
    source: Annotated[
        str,
        typer.Argument(metavar="JOB|FOLDER", help="A job that was fetched, or a folder with a model and certificate."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A new folder.", show_default=False)],
    onnx: Annotated[bool, typer.Option("--onnx", help=f"Write {ONNX}, and compare it with the graph.")] = False,
    card: Annotated[bool, typer.Option("--card", help=f"Write {CARD}, a model card of Hugging Face.")] = False,
    bom: Annotated[bool, typer.Option("--bom", help=f"Write {BILL}, a CycloneDX bill of materials.")] = False,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign",
            metavar="KEY.pem",
            help=f"Write {SIGNATURE}, an OpenSSF model signature by this key (P-256, P-384 or P-521).",
            show_default=False,
        ),
    ] = None,
    key_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--key-passphrase-file",
            metavar="FILE",
            help="Its first line is the signing key's passphrase; else you are asked.",
            show_default=False,
        ),
    ] = None,
    license: Annotated[
        str,
        typer.Option(
            "--license", metavar="ID", help="The model's licence, by SPDX: Apache-2.0, say.", show_default=False
        ),
    ] = "",
    title: Annotated[
        str, typer.Option("--title", metavar="NAME", help="What the model is called; else by its job.")
    ] = "",
) -> Report:
    """Write a delivered model in the formats of others.

    The certificate is checked first, on your node and trust list; nothing is written where it does
    not hold. Without --onnx, --card or --bom all three are written.
    """
    from fitchain.cli.views.model_card import default_title
    from fitchain.pod.parties.scientist.exported import exported, require_new
    from fitchain.pod.ports.chain.witness import connect_witnessed

    if license and not is_spdx(license := read_licence(license)):
        log(f"{license} is no SPDX identifier that is known here: it stands in card and bill as you wrote it")
    if not (onnx or card or bom):
        onnx = card = bom = True
    key = None if sign is None else _key(sign, key_passphrase_file)
    _require_libraries(onnx, bom)
    require_new(to)  # before all that takes long
    folder, job = _delivery(session, source)
    log("checking the certificate")
    with exported(folder, to, connect_witnessed(session.settings), job) as copy:
        title = title or default_title(copy.verdict)
        check = _write_onnx(copy) if onnx else None
        _write_documents(copy, title, license, card, bom, key is not None)
        if key is not None:
            key.sign(copy.folder, copy.folder / SIGNATURE)
        written = files_of(copy.folder)
        verdict = copy.verdict
    return _report(to, written, verdict, check, key)


def files_of(folder: Path) -> list[str]:
    """The names of what lies in an export, in the order in which they are told."""
    return [name for name in ABOUT if (folder / name).exists()]


def _require_libraries(onnx: bool, bom: bool) -> None:
    """What is missing is said before anything is done."""
    if onnx:
        from fitchain.pod.compute.model.onnx_file import onnx_libraries

        onnx_libraries()
    if bom:
        from fitchain.cli.views.bill_of_materials import validator

        validator()


def _key(path: Path, passphrase_file: Path | None) -> SigningKey:
    from fitchain.pod.ports.model_signature import SigningKey
    from fitchain.pod.ports.passphrase import read_passphrase

    def passphrase() -> str:
        if passphrase_file is not None:
            return read_passphrase(passphrase_file)
        log(f"the signing key {path} has a passphrase")
        return ask_passphrase()

    return SigningKey(path, passphrase)


def _delivery(session: Session, source: str) -> tuple[Path, AgreementId | None]:
    """Where a delivery lies, and of which job it has to be."""
    from fitchain.pod.parties import scientist

    if Path(source).is_dir():
        return Path(source), None
    if "/" in source or source.startswith("."):
        raise InputRefused(f"there is no folder {source}", "name one with a model and its certificate, or a job")
    id = find_agreement(session.reader, source)
    return scientist.delivery(session.reader, id).model.parent, id


def _write_onnx(copy: Exported) -> OnnxCheck:
    from fitchain.pod.compute.model.onnx_file import write_onnx

    log("translating the graph, then computing random batches by both")
    graph = copy.graph()
    return write_onnx(graph, copy.tensors(), copy.folder / ONNX, copy.metadata(graph))


def _write_documents(copy: Exported, title: str, license: str, card: bool, bom: bool, signed: bool) -> None:
    from fitchain.cli.views.bill_of_materials import bill_of_materials
    from fitchain.cli.views.model_card import CardTerms, model_card
    from fitchain.pod.values.digest import sha256_file

    if bom:
        digests = {name: sha256_file(copy.folder / name) for name in files_of(copy.folder)}
        (copy.folder / BILL).write_bytes(bill_of_materials(copy.verdict, title, license, digests))
    if card:
        names = [*files_of(copy.folder), CARD, *([SIGNATURE] if signed else [])]
        about = {name: ABOUT[name] for name in names}
        terms = CardTerms(title, license, about, copy.certificate_digest)
        (copy.folder / CARD).write_text(model_card(copy.verdict, terms), encoding="utf-8")


def _report(to: Path, written: list[str], verdict: Verdict, check: OnnxCheck | None, key: SigningKey | None) -> Report:
    values: dict[str, Any] = {
        "folder": to,
        "files": written,
        "assurance": verdict.assurance.label,
        "onnx": check
        and {"batches": list(check.batches), "largest_difference": check.difference, "runtime": check.runtime},
        "signed_by": key and {"fingerprint": key.fingerprint, "curve": key.curve},
    }
    pairs: list[tuple[str, Any]] = [("folder", to), ("assurance", verdict.assurance)]
    if check is not None:
        pairs.append(("onnx", describe_check(check)))
    if key is not None:
        public = shlex.quote(str(key.path.with_suffix(".pub.pem")))
        folder = shlex.quote(str(to))
        pairs += [
            ("signed by", f"the key of SHA-256 {key.fingerprint} ({key.curve})"),
            ("public key", f"openssl pkey -in {shlex.quote(str(key.path))} -pubout -out {public}"),
            (
                "check it",
                f"python -m model_signing verify key {folder} --signature {folder}/{SIGNATURE} --public_key {public}",
            ),
        ]
    return Report(
        values,
        [
            KeyValues(pairs),
            Rows(("file", "what it may be trusted for"), [(name, ABOUT[name]) for name in written]),
        ],
    )


def describe_check(check: OnnxCheck) -> str:
    """How close an ONNX file comes to its graph, in a sentence."""
    from fitchain.pod.compute.model.onnx_file import TOLERANCE

    sizes = " and ".join(map(str, check.batches))
    return (
        f"{check.runtime} computes random batches of {sizes} records as the graph does to {check.difference:.1e} of the"
        f" largest output ({TOLERANCE:g} is admitted); close, not bit-equal"
    )
