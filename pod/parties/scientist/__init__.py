"""The scientist's pod: models that are published, trainings that are asked for, results that are
checked.

    find      datasets that fit what is looked for
    preview   a look at a dataset's made-up records
    publish   a module of the scientist's own becomes a graph and weights
    weights   initial weights from a file, or from what a job delivered
    continuing  what a job delivered becomes a model for another owner's dataset
    request   a recipe is drafted, rehearsed, sealed to the owner, requested
    doubts    what a recipe and a model allow together, and hardly anybody means
    audit_options  what a request leaves open of its audit is filled in
    receive   what was delivered is opened and checked
    merge     what was delivered as a delta is written whole
    delivered  what was delivered as a module, its weights, and what it takes of raw rows
    evaluation  a delivered model is run over a table of the scientist's own
    exported  a delivery's files are copied and verified, for what other formats are made of
    accept    what holds is accepted, which pays
    standing  what was said of a result, and still stands
    audit     what an audit asks of the scientist: its draw, and what is released
    complaint  what does not open is complained of on chain
    dispute   a result without verifiers is audited
    messages  what the owner says meanwhile: notes, and why it declined
    pod       the loop that follows the chain
    watch     how a job stands, as it changes
"""

from fitchain.pod.compute.dataset.own_table import OwnTable
from fitchain.pod.parties.scientist.accept import accept_result
from fitchain.pod.parties.scientist.audit_options import AuditOptions, plan_audit
from fitchain.pod.parties.scientist.complaint import complain_of
from fitchain.pod.parties.scientist.continuing import ContinuedModel, continue_job
from fitchain.pod.parties.scientist.dispute import dispute
from fitchain.pod.parties.scientist.doubts import doubts_of
from fitchain.pod.parties.scientist.evaluation import Evaluation, evaluate, names_of
from fitchain.pod.parties.scientist.find import ColumnQuery, DatasetQuery, Listing, Search, find_datasets
from fitchain.pod.parties.scientist.merge import MergedModel, merge_model, merge_result
from fitchain.pod.parties.scientist.pod import Scientist, follow
from fitchain.pod.parties.scientist.preview import Preview, preview_of
from fitchain.pod.parties.scientist.publish import PublishedModel, publish_model, read_card
from fitchain.pod.parties.scientist.receive import Delivery, check, delivery, fetch_model, require_folder
from fitchain.pod.parties.scientist.request import JobRequest, asked_terms, draft_recipe, draft_request, request_job
from fitchain.pod.parties.scientist.watch import watch_job
from fitchain.pod.parties.scientist.weights import (
    InitialWeights,
    weights_of_certificate,
    weights_of_file,
    weights_of_job,
)

__all__ = [
    "AuditOptions",
    "ColumnQuery",
    "ContinuedModel",
    "DatasetQuery",
    "Delivery",
    "Evaluation",
    "InitialWeights",
    "JobRequest",
    "Listing",
    "MergedModel",
    "OwnTable",
    "Preview",
    "PublishedModel",
    "Scientist",
    "Search",
    "accept_result",
    "asked_terms",
    "check",
    "complain_of",
    "continue_job",
    "delivery",
    "dispute",
    "doubts_of",
    "draft_recipe",
    "draft_request",
    "evaluate",
    "fetch_model",
    "find_datasets",
    "follow",
    "merge_model",
    "merge_result",
    "names_of",
    "plan_audit",
    "preview_of",
    "publish_model",
    "read_card",
    "request_job",
    "require_folder",
    "watch_job",
    "weights_of_certificate",
    "weights_of_file",
    "weights_of_job",
]
