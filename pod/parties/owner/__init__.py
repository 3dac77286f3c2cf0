"""The owner's pod: data that stay, requests that are examined, trainings that are anchored, delivered and settled.

Last but two in the flow.

    data      registering a dataset, and reading it again as it was registered
    examine   everything that is checked before a request is accepted
    anchors   groups of leaves to the chain, while training runs
    run       one job, from acceptance to delivery
    replay    segments of an ended job trained again
    evidence  what the verifiers of an ended job are shown
    answer    what an audit asks of the owner
    pod       the loop that follows the chain
"""

from fitchain.pod.parties.owner.data import RegisteredDataset, read_registered, register_dataset
from fitchain.pod.parties.owner.pod import Owner, approve, reject
from fitchain.pod.parties.owner.replay import Replay, replay_job
from fitchain.pod.parties.owner.run import TrainingSession

__all__ = [
    "Owner",
    "RegisteredDataset",
    "Replay",
    "TrainingSession",
    "approve",
    "read_registered",
    "register_dataset",
    "reject",
    "replay_job",
]
