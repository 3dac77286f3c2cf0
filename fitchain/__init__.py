"""Fitchain: train where the data lives, prove what was trained.

This is all of it for a notebook or a program of one's own. Each name is imported when it is first
used, so `import fitchain` costs next to nothing, and whoever only verifies needs no torch.

    who one is     create_keys, open_home; devnet is a chain to try things on
    an owner       register_dataset, list_jobs, approve, reject, replay_job
    a scientist    read_card, publish_model, plan_audit, request_job, watch_job, fetch_model,
                   evaluate, restore, accept_result, dispute; weights_of_file, weights_of_job,
                   weights_of_certificate, to begin with; continue_job
    who uses it    load, state_dict, preprocess; merge_model and merge_result write a delta whole,
                   export_onnx for other runtimes
    anybody        verify
    running pods   serve an Owner, a Scientist or a Verifier beside the notebook

Amounts are in base units: `10 * FIT` is ten FIT. Errors are FitchainError: Refuted (checked, and it
does not hold) or Unusable (could not be checked or done); `errors` has the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card, Policy
    from fitchain.pod.compute.model import ModuleSource, restore
    from fitchain.pod.compute.model.onnx_file import OnnxCheck
    from fitchain.pod.compute.trained_model import TrainedModel
    from fitchain.pod.jobs.home import Home, create_keys, open_home
    from fitchain.pod.jobs.job_status import JobStatus
    from fitchain.pod.jobs.serving import ServedPod, serve
    from fitchain.pod.jobs.watch import list_jobs
    from fitchain.pod.parties.owner import (
        DatasetOffer,
        Owner,
        PrivacyOffer,
        RegisteredDataset,
        Replay,
        approve,
        register_dataset,
        reject,
        replay_job,
    )
    from fitchain.pod.parties.scientist import (
        AuditOptions,
        ContinuedModel,
        Delivery,
        Evaluation,
        InitialWeights,
        JobRequest,
        MergedModel,
        OwnTable,
        PublishedModel,
        Scientist,
        accept_result,
        continue_job,
        evaluate,
        fetch_model,
        merge_model,
        merge_result,
        plan_audit,
        publish_model,
        read_card,
        request_job,
        watch_job,
        weights_of_certificate,
        weights_of_file,
        weights_of_job,
    )
    from fitchain.pod.parties.scientist.delivered import load, preprocess, state_dict
    from fitchain.pod.parties.scientist.dispute import dispute
    from fitchain.pod.parties.scientist.exported import export_onnx
    from fitchain.pod.parties.verifier import Verifier
    from fitchain.pod.ports.agreement import Agreement, AuditTerms, State
    from fitchain.pod.ports.chain import devnet
    from fitchain.pod.ports.keys import KeyInfo
    from fitchain.pod.ports.passphrase import Passphrase
    from fitchain.pod.proof.audit.plan import AuditPlan
    from fitchain.pod.proof.certificate import Assurance, Verdict, verify
    from fitchain.pod.values import errors
    from fitchain.pod.values.amounts import FIT
    from fitchain.pod.values.audit_mode import AuditMode
    from fitchain.pod.values.digest import Digest
    from fitchain.pod.values.errors import FitchainError, Refuted, Unusable
    from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId, PanelId

    __version__: str

__all__ = [
    "FIT",
    "Agreement",
    "AgreementId",
    "Assurance",
    "AuditMode",
    "AuditOptions",
    "AuditPlan",
    "AuditTerms",
    "Card",
    "ContinuedModel",
    "DatasetId",
    "DatasetOffer",
    "Delivery",
    "Digest",
    "Evaluation",
    "FitchainError",
    "Home",
    "InitialWeights",
    "JobRequest",
    "JobStatus",
    "KeyInfo",
    "MergedModel",
    "ModelId",
    "ModuleSource",
    "OnnxCheck",
    "OwnTable",
    "Owner",
    "PanelId",
    "Passphrase",
    "Policy",
    "PrivacyOffer",
    "PublishedModel",
    "Refuted",
    "RegisteredDataset",
    "Replay",
    "Scientist",
    "ServedPod",
    "State",
    "TrainedModel",
    "Unusable",
    "Verdict",
    "Verifier",
    "accept_result",
    "approve",
    "continue_job",
    "create_keys",
    "devnet",
    "dispute",
    "errors",
    "evaluate",
    "export_onnx",
    "fetch_model",
    "list_jobs",
    "load",
    "merge_model",
    "merge_result",
    "open_home",
    "plan_audit",
    "preprocess",
    "publish_model",
    "read_card",
    "register_dataset",
    "reject",
    "replay_job",
    "request_job",
    "restore",
    "serve",
    "state_dict",
    "verify",
    "watch_job",
    "weights_of_certificate",
    "weights_of_file",
    "weights_of_job",
]

_NAMES = {
    "pod.compute.dataset": "Card Policy",
    "pod.compute.model": "ModuleSource restore",
    "pod.jobs.home": "Home create_keys open_home",
    "pod.jobs.job_status": "JobStatus",
    "pod.jobs.serving": "ServedPod serve",
    "pod.jobs.watch": "list_jobs",
    "pod.parties.owner": "DatasetOffer Owner PrivacyOffer RegisteredDataset Replay approve register_dataset reject"
    " replay_job",
    "pod.parties.scientist": "AuditOptions ContinuedModel Delivery Evaluation InitialWeights JobRequest MergedModel"
    " OwnTable PublishedModel Scientist accept_result continue_job evaluate fetch_model merge_model merge_result"
    " plan_audit publish_model read_card request_job watch_job weights_of_certificate weights_of_file weights_of_job",
    "pod.parties.scientist.dispute": "dispute",
    "pod.parties.scientist.exported": "export_onnx",
    "pod.compute.model.onnx_file": "OnnxCheck",
    "pod.compute.trained_model": "TrainedModel",
    "pod.parties.scientist.delivered": "load preprocess state_dict",
    "pod.parties.verifier": "Verifier",
    "pod.ports.agreement": "Agreement AuditTerms State",
    "pod.ports.chain": "devnet",
    "pod.values.amounts": "FIT",
    "pod.ports.keys": "KeyInfo",
    "pod.ports.passphrase": "Passphrase",
    "pod.proof.audit.plan": "AuditPlan",
    "pod.proof.certificate": "Assurance Verdict verify",
    "pod.values": "errors",
    "pod.values.audit_mode": "AuditMode",
    "pod.values.digest": "Digest",
    "pod.values.errors": "FitchainError Refuted Unusable",
    "pod.values.ids": "AgreementId DatasetId ModelId PanelId",
}
"""From where the public names are imported, as above."""

_MODULES = {name: f"fitchain.{module}" for module, names in _NAMES.items() for name in names.split()}


def _import(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("fitchain")
    elif name in _MODULES:
        value = getattr(__import__(_MODULES[name], fromlist=[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # where a type checker sees `__getattr__`, it believes in every name
    __getattr__ = _import


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
