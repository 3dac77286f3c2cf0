"""The verifier's pod: a seat in each audit that it is drawn for, from joining to the vote.

ballot    what it votes, until that is shown
consent   which seats it takes, before it owes anything
examine   from evidence to an outcome; it needs neither keys nor transactions
explain   the same, step by step, for whoever disagrees
pod       the loop that follows the chain
"""

from __future__ import annotations

from fitchain.pod.parties.verifier.consent import ConsentPolicy
from fitchain.pod.parties.verifier.examine import Examination, examine
from fitchain.pod.parties.verifier.explain import explain_evidence, seats_of
from fitchain.pod.parties.verifier.pod import Verifier

__all__ = ["ConsentPolicy", "Examination", "Verifier", "examine", "explain_evidence", "seats_of"]
