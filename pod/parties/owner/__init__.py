"""The owner's pod: data that stay, requests that are examined, trainings that are anchored,
delivered and settled.

    data       registering a dataset, and reading it again as it was registered
    examine    everything that is checked before a request is accepted
    anchors    groups of leaves to the chain, while training runs
    run        one job, from acceptance to delivery
    replay     segments of an ended job trained again
    explain    the same, step by step, for whoever disagrees
    evidence   what the verifiers of an ended job are shown
    answer     what an audit asks of the owner
    asked      audits that others ask for again: consent, or silence
    disclosed  how many records audits of a dataset have opened, or still may
    risk       what an attack on a trained model finds, before it leaves
    reassess   the same of an ended job, made again
    removal    what is kept of an ended job, deleted once nobody can need it
    review     what a person sees before it says yes
    pod        the loop that follows the chain
"""

from fitchain.pod.parties.owner.asked import consent, refuse
from fitchain.pod.parties.owner.data import (
    DatasetOffer,
    PreparedDataset,
    PrivacyOffer,
    RegisteredDataset,
    prepare_dataset,
    read_registered,
    register_dataset,
    register_prepared,
    usual_step_bytes,
)
from fitchain.pod.parties.owner.explain import explain_training, has_training, kept_state_digests
from fitchain.pod.parties.owner.pod import Owner, approve, reject
from fitchain.pod.parties.owner.reassess import certified_digest, report_again, require_same
from fitchain.pod.parties.owner.removal import kept_of, remove_later, require_removable
from fitchain.pod.parties.owner.replay import Replay, replay_job
from fitchain.pod.parties.owner.risk import deliver_held, kept_report, require_held, why_it_is_held
from fitchain.pod.parties.owner.run import TrainingSession

__all__ = [
    "DatasetOffer",
    "Owner",
    "PreparedDataset",
    "PrivacyOffer",
    "RegisteredDataset",
    "Replay",
    "TrainingSession",
    "approve",
    "certified_digest",
    "consent",
    "deliver_held",
    "explain_training",
    "has_training",
    "kept_of",
    "kept_report",
    "kept_state_digests",
    "prepare_dataset",
    "read_registered",
    "refuse",
    "register_dataset",
    "register_prepared",
    "reject",
    "remove_later",
    "replay_job",
    "report_again",
    "require_held",
    "require_removable",
    "require_same",
    "usual_step_bytes",
    "why_it_is_held",
]
