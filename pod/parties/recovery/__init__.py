"""Recovering a home whose journal, or list of transactions, was cut, overwritten or lost: keys and
chain suffice.

    files      what is damaged; put aside, never deleted
    report     what was recovered, what was not, and what that means
    owned      an owner's datasets, its jobs, what audits may open of them
    asked_for  a scientist's models and requests; questions for other audits
    seats      a verifier's seats, and the votes that it committed to
    lines      a job's history, which says that it was recovered
    recover    all of it, in the order in which a cut leaves the home as it was

Nothing is guessed: what the chain does not tell is named, with what it costs.
"""

from fitchain.pod.parties.recovery.recover import recover
from fitchain.pod.parties.recovery.report import Lost, Recovery, Restored

__all__ = ["Lost", "Recovery", "Restored", "recover"]
