"""Certificates: one file that says where a model comes from, and the check that needs no key, no
torch and no data.

`statement` is what is claimed (an in-toto statement), `envelope` how it is signed (DSSE, by the
owner's account), `claims` compares what is claimed with the chain, the leaves and the file,
`results` a result with what recipe and card let count, `risk` is what it says of an attack on the
model, `early_end` of a training that did not come to its last step, `jury` reads who was drawn for
its audits, `assurance` what they come to for a checker, `lineage` from which models the initial one
descends and what of that the chain says, `timing` how long it took; `issuing` and `verifying` put
them together, `verdict` is the answer.
What only time can tell (settlement, times, other agreements) is never in the file: it is read from
the checker's own chain. Nothing here imports torch.
"""

from __future__ import annotations

from fitchain.pod.proof.certificate.issuing import issue
from fitchain.pod.proof.certificate.jury import Jury, JurySeat
from fitchain.pod.proof.certificate.statement import HeldOutClaim, Statement
from fitchain.pod.proof.certificate.timing import Milestone, Timing
from fitchain.pod.proof.certificate.verdict import (
    Assurance,
    Parentage,
    ParentageKind,
    ParentageTraining,
    Repeat,
    Verdict,
)
from fitchain.pod.proof.certificate.verifying import verify

__all__ = [
    "Assurance",
    "HeldOutClaim",
    "Jury",
    "JurySeat",
    "Milestone",
    "Parentage",
    "ParentageKind",
    "ParentageTraining",
    "Repeat",
    "Statement",
    "Timing",
    "Verdict",
    "issue",
    "verify",
]
