"""The scientist's pod: models that are published, trainings that are asked for, results that are checked.

Last but one in the flow.

    publish   a module of the scientist's own becomes a graph and weights
    request   a recipe is drafted, rehearsed, sealed to the owner, requested
    audit_options  what a request leaves open of its audit is filled in
    receive   what was delivered is opened, checked, accepted, evaluated
    dispute   a result without verifiers is audited
    pod       the loop that follows the chain
"""

from fitchain.pod.parties.scientist.audit_options import AuditOptions, plan_audit
from fitchain.pod.parties.scientist.dispute import dispute
from fitchain.pod.parties.scientist.pod import Scientist, follow
from fitchain.pod.parties.scientist.publish import PublishedModel, publish_model, read_card
from fitchain.pod.parties.scientist.receive import (
    Delivery,
    Evaluation,
    accept_result,
    check,
    delivery,
    evaluate,
    receive,
)
from fitchain.pod.parties.scientist.request import JobRequest, draft_recipe, request_job

__all__ = [
    "AuditOptions",
    "Delivery",
    "Evaluation",
    "JobRequest",
    "PublishedModel",
    "Scientist",
    "accept_result",
    "check",
    "delivery",
    "dispute",
    "draft_recipe",
    "evaluate",
    "follow",
    "plan_audit",
    "publish_model",
    "read_card",
    "receive",
    "request_job",
]
