"""The scientist's pod: models that are published, trainings that are asked for, results that are
checked.

    find      datasets that fit what is looked for
    preview   a look at a dataset's made-up records
    publish   a module of the scientist's own becomes a graph and weights
    request   a recipe is drafted, rehearsed, sealed to the owner, requested
    audit_options  what a request leaves open of its audit is filled in
    receive   what was delivered is opened and checked
    merge     what was delivered as a delta is written whole
    evaluation  a delivered model is run over a table of the scientist's own
    predictions  what it predicts, as a CSV file
    accept    what holds is accepted, which pays
    standing  what was said of a result, and still stands
    audit     what an audit asks of the scientist: its draw, and what is released
    complaint  what does not open is complained of on chain
    dispute   a result without verifiers is audited
    messages  what the owner says meanwhile: notes, and why it declined
    pod       the loop that follows the chain
    watch     how a job stands, as it changes
"""

from fitchain.pod.parties.scientist.accept import accept_result
from fitchain.pod.parties.scientist.audit_options import AuditOptions, plan_audit
from fitchain.pod.parties.scientist.complaint import complain_of
from fitchain.pod.parties.scientist.dispute import dispute
from fitchain.pod.parties.scientist.evaluation import Evaluation, OwnTable, evaluate, names_of
from fitchain.pod.parties.scientist.find import ColumnQuery, DatasetQuery, Listing, Search, find_datasets
from fitchain.pod.parties.scientist.merge import MergedModel, merge_model, merge_result
from fitchain.pod.parties.scientist.pod import Scientist, follow
from fitchain.pod.parties.scientist.preview import Preview, preview_of
from fitchain.pod.parties.scientist.publish import PublishedModel, publish_model, read_card
from fitchain.pod.parties.scientist.receive import Delivery, check, delivery, fetch_model
from fitchain.pod.parties.scientist.request import JobRequest, asked_terms, draft_recipe, draft_request, request_job
from fitchain.pod.parties.scientist.watch import watch_job

__all__ = [
    "AuditOptions",
    "ColumnQuery",
    "DatasetQuery",
    "Delivery",
    "Evaluation",
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
    "delivery",
    "dispute",
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
    "watch_job",
]
