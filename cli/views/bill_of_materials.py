"""A verified certificate as a bill of materials for machine learning: CycloneDX 1.6 in JSON.

The component is the model's file; its model card holds recipe, dataset and figures, its pedigree
the registered models from which it descends, its external references the certificate. CycloneDX'
own library has no classes for model cards, so the document is built here, and that library's
validator reads it (the extra `bom`).

Source: https://cyclonedx.org/docs/1.6/json/ (ECMA-424); https://cyclonedx.org/capabilities/mlbom/
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from fitchain.cli.licences import is_spdx
from fitchain.cli.views import recipe as recipe_view
from fitchain.cli.views.figures import Figure, figures_of
from fitchain.cli.views.lineage import describe_first, describe_parentage
from fitchain.cli.views.output import printable
from fitchain.cli.views.verdict import ASSURANCES, describe_privacy, not_proven
from fitchain.pod.values.errors import HostUnusable
from fitchain.pod.values.job_folder import CERTIFICATE

if TYPE_CHECKING:
    from fitchain.pod.proof.certificate import Parentage, Verdict
    from fitchain.pod.proof.certificate.statement import Ancestor
    from fitchain.pod.values.digest import Digest

VERSION = "1.6"
NAMESPACE = uuid.UUID("0d3a1c5e-4a0e-5e0c-9a57-5f3d1b6f1a10")
"""Of serial numbers: one certificate has one."""


def bill_of_materials(verdict: Verdict, title: str, license: str, files: Mapping[str, Digest]) -> bytes:
    """Write a bill and have it read.

    Args:
        verdict: of a certificate that holds.
        title: the model's name.
        license: the model's, as somebody named it; empty where nobody did.
        files: SHA-256 of the files in the folder, by name.

    Raises:
        HostUnusable: the library is not here.
    """
    document = json.dumps(_document(verdict, title, license, files), indent=2, ensure_ascii=False) + "\n"
    if (error := validator().validate_str(document)) is not None:
        raise AssertionError(f"the bill of materials is not of CycloneDX {VERSION}: {error}")
    return document.encode()


def validator() -> Any:
    """CycloneDX' own, which admits nothing beyond the schema.

    Raises:
        HostUnusable: the library is not here.
    """
    try:
        import jsonschema  # noqa: F401 - without it the validator has no schema to go by
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError as error:
        raise HostUnusable(
            f"bills of materials are read again by cyclonedx-python-lib, and {error.name} is not installed",
            "install the extra `bom` (in a checkout: pip install -e '.[bom]')",
        ) from None
    return JsonStrictValidator(SchemaVersion.V1_6)


def _document(verdict: Verdict, title: str, license: str, files: Mapping[str, Digest]) -> dict[str, Any]:
    seen = verdict.history.seen_at
    certificate = files[CERTIFICATE]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, str(certificate))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seen.timestamp, UTC).isoformat(),
            "tools": {
                "components": [{"type": "application", "name": "fitchain", "version": metadata.version("fitchain")}]
            },
            "component": _model(verdict, title, files) | _licences(license),
        },
        "components": [_data(verdict)],
        "dependencies": [{"ref": "model", "dependsOn": ["dataset"]}, {"ref": "dataset"}],
    }


def _model(verdict: Verdict, title: str, files: Mapping[str, Digest]) -> dict[str, Any]:
    statement, level = verdict.statement, verdict.assurance.label
    evidence = f"who vouches, as `fitchain proof verify` told it to who exported this: {level}: {ASSURANCES[level]}"
    return {
        "bom-ref": "model",
        "type": "machine-learning-model",
        "name": printable(title),
        "version": str(statement.agreement),
        "hashes": [_hash(statement.subject)],
        "pedigree": {
            "ancestors": [_ancestor(each, verdict.parentages) for each in statement.lineage],
            "notes": "the first is the registered model with which the training began, the others those from which it"
            " is said to descend, each with what is known of that"
            + ("" if verdict.lineage_whole else "; more stand behind them, which the certificate does not list"),
        },
        "externalReferences": [
            {"type": "attestation", "url": CERTIFICATE, "comment": evidence, "hashes": [_hash(files[CERTIFICATE])]},
            *(
                {"type": "distribution", "url": name, "hashes": [_hash(digest)]}
                for name, digest in files.items()
                if name != CERTIFICATE
            ),
        ],
        "modelCard": _card(verdict),
        "properties": _properties(
            {
                "fitchain:agreement": statement.agreement,
                "fitchain:chain": statement.chain_id,
                **{f"fitchain:contract:{name}": address for name, address in statement.contracts.items()},
                "fitchain:owner": statement.owner,
                "fitchain:scientist": statement.scientist,
                "fitchain:final-model": statement.final_model,
                "fitchain:transcript": statement.transcript_root,
                "fitchain:recipe": statement.recipe.digest,
                "fitchain:graph": statement.recipe.graph,
                "fitchain:environment": f"{statement.environment.name}, torch {statement.environment.torch}",
                "fitchain:assurance": level,
                "fitchain:assurance:because": verdict.reason,
                "fitchain:assurance:at-block": verdict.history.seen_at.number,
                "fitchain:privacy": describe_privacy(verdict),
            }
        ),
    }


def _card(verdict: Verdict) -> dict[str, Any]:
    recipe, card = verdict.statement.recipe, verdict.statement.card
    training = {f"fitchain:training:{label}": value for label, value in recipe_view.pairs_of(recipe)}
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            **({"task": str(card.task)} if card.task is not None else {}),
            "datasets": [{"ref": "dataset"}],
            "inputs": [{"format": ", ".join(map(printable, columns))} for columns in recipe.inputs],
            "outputs": [{"format": printable(recipe.target)}],
        },
        "quantitativeAnalysis": {"performanceMetrics": [_metric(figure) for figure in figures_of(verdict)]},
        "considerations": {"technicalLimitations": [f"not proven: {line}" for line in not_proven(verdict)]},
        "properties": _properties(training),
    }


def _metric(figure: Figure) -> dict[str, Any]:
    """A figure on held-out records; CycloneDX has texts where numbers would be."""
    slice = printable(figure.counted) + (f", {printable(figure.part)}" if figure.part else "")
    metric = {
        "type": figure.type,
        "value": json.dumps(figure.value),
        "slice": f"{slice}; {printable(figure.note)}" if figure.note else slice,
    }
    if figure.interval is None:
        return metric
    lower, upper = (json.dumps(bound) for bound in figure.interval)
    return metric | {"confidenceInterval": {"lowerBound": lower, "upperBound": upper}}


def _data(verdict: Verdict) -> dict[str, Any]:
    """The dataset, as its owner's card describes it; its records are nowhere."""
    statement = verdict.statement
    card = statement.card
    return {
        "bom-ref": "dataset",
        "type": "data",
        "name": printable(card.name),
        "version": str(statement.dataset_root),
        "description": printable(card.description),
        **_licences(card.licence),
        "data": [
            {
                "type": "dataset",
                "name": printable(card.name),
                "contents": {
                    "properties": _properties(
                        {
                            "fitchain:dataset": statement.dataset,
                            "fitchain:dataset:root": statement.dataset_root,
                            "fitchain:dataset:records": card.record_count,
                            "fitchain:dataset:owner": statement.owner,
                        }
                    )
                },
                "description": "records that stayed with their owner; what is said of them is the owner's word",
            }
        ],
    }


def _ancestor(ancestor: Ancestor, parentages: Sequence[Parentage]) -> dict[str, Any]:
    """A registered model: whose parent it is, is often the word of an author alone."""
    sentences = [describe_parentage(each) for each in parentages if each.parent == ancestor.id]
    sentences += [describe_parentage(each) for each in parentages if (each.child, each.parent) == (ancestor.id, None)]
    sentences += [] if ancestor.parents else [describe_first(ancestor)]
    properties = _properties({"fitchain:graph": ancestor.graph, "fitchain:root": ancestor.root})
    return {
        "type": "machine-learning-model",
        "name": str(ancestor.id),
        "version": str(ancestor.root),
        "properties": [*properties, *({"name": "fitchain:parentage", "value": printable(text)} for text in sentences)],
    }


def _licences(name: str) -> dict[str, Any]:
    named = {"id": name} if is_spdx(name) else {"name": printable(name)}
    return {"licenses": [{"license": named}]} if name else {}


def _properties(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": printable(value)} for name, value in values.items() if value is not None]


def _hash(digest: Digest) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.value.hex()}
