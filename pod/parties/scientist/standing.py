"""What a scientist has said of a result, and stands by where the chain takes it back.

An answer is about one run: behind another order seed there is another result, which it says nothing
of. So it is kept with the root of the transcript.
"""

from __future__ import annotations

from fitchain.pod.jobs.home import Home
from fitchain.pod.values.ids import AgreementId

RESULT_ACCEPTED, RELEASE_ACCEPTED, DISPUTED = "result_accepted", "release_accepted", "disputed"
"""Facts of a job in the journal: the transcript root of the result that was answered so."""


def keep_answer(home: Home, id: AgreementId, answer: str) -> None:
    """Remember an answer that stands on chain.

    Args:
        home: the scientist's.
        id: the agreement.
        answer: which, of the names above.
    """
    home.journal.keep_fact(id, answer, str(home.agreements.run_record(id).transcript_root))


def stands(home: Home, id: AgreementId, answer: str) -> bool:
    """Whether this answer was given to the very result that the chain has now."""
    root = home.journal.fact(id, answer)
    return root is not None and root == str(home.agreements.run_record(id).transcript_root)
