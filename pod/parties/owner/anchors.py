"""Anchors: each full group of leaves goes to the chain while the training runs, with a note to the
scientist.

A group is anchored once the leaf after it, or the end of the training, is there: the run may
diverge in the segment after a group's last leaf, which is the transcript's last leaf then and is
written anew, unsalted; and the last leaf of a whole training is written anew with its risk report.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import Note, send_note
from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import RunRecord
from fitchain.pod.ports.chain import Pending, Receipt
from fitchain.pod.proof.transcript import grow
from fitchain.pod.values.digest import ZERO, Digest, tree_root
from fitchain.pod.values.errors import ClaimMismatch, InputRefused, Unusable, require_equal
from fitchain.pod.values.files import open_plain
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import LEAVES, JobFolder
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.limits import LEAF_LINE

METRIC_DIGITS = 3


class Anchors:
    """Takes checkpoints in order and anchors each group that is complete and will not change any
    more, unless the chain has it already.

    Args:
        home: the owner's.
        id: the agreement.
        run: what the chain has of it.
        group_leaves: leaves that an anchor covers, A.
        recipient: the scientist's age recipient, for the notes.
        metrics_leave: whether the owner's policy lets rounded metrics out.
    """

    def __init__(
        self, home: Home, id: AgreementId, run: RunRecord, group_leaves: int, recipient: str, metrics_leave: bool
    ) -> None:
        self.home, self.id, self.run, self.group_leaves = home, id, run, group_leaves
        self.recipient, self.metrics_leave = recipient, metrics_leave
        self._open: list[Checkpoint] = []
        self._peaks: list[Digest] = []
        self._groups = 0
        self._pending: deque[tuple[Pending, int]] = deque()

    def take(self, checkpoint: Checkpoint) -> None:
        """Take the next checkpoint, and anchor the group that was complete before it.

        Raises:
            ClaimMismatch: the chain has another root for that group.
            ChainUnusable, StoreUnusable: chain or store do not answer.
        """
        self._anchor_complete()
        self._open.append(checkpoint)

    def end(self, last: Checkpoint) -> None:
        """Take the last checkpoint as it stands at the end of the training, and anchor its group if
        that is complete.

        Args:
            last: the last that was taken; its state may be unsalted since, and a risk report bound.

        Raises:
            ClaimMismatch: it is another, or the chain has another root for its group.
            ChainUnusable, StoreUnusable: chain or store do not answer.
        """
        taken = self._open.pop()
        own, recorded = (each.unsalted().with_report(None).leaf for each in (last, taken))
        require_equal("the last leaf on disk is", own, recorded, "the training recorded")
        self._open.append(last)
        self._anchor_complete()

    def _anchor_complete(self) -> None:
        if len(self._open) < self.group_leaves:
            return
        leaves = tuple(each.leaf.digest(self.run.ctx, self.run.seed) for each in self._open)
        root = tree_root(leaves)
        if self._groups < len(self.run.anchors):
            self._compare(root)
        else:
            self._submit(leaves, root)
        self._peaks = grow(self._peaks, root, self._groups)
        self._groups, self._open = self._groups + 1, []

    def wait(self) -> None:
        """Wait until every anchor that was sent is mined.

        Raises:
            ChainUnusable: one was reverted; its reason is in the message.
        """
        while self._pending:
            pending, count = self._pending[0]
            self._record(count, self.home.chain.wait(pending))
            self._pending.popleft()

    def _look(self) -> None:
        """Record what is mined by now; a refused anchor ends a long training here and not only at
        its end."""
        while self._pending and (mined := self.home.chain.receipt(self._pending[0][0].transaction)) is not None:
            self._record(self._pending.popleft()[1], mined)

    def _record(self, count: int, receipt: Receipt) -> None:
        entry = history.Anchored(count, receipt.block, **history.paid(receipt))
        self.home.journal.record(self.id, entry, once=str(count))

    def _submit(self, leaves: tuple[Digest, ...], root: Digest) -> None:
        require_same_run(self.home, self.id, self.run)
        last = self._open[-1].leaf
        note = Note(self.id, self._open[0].leaf.index, last.step, leaves, self._metrics())
        cid = send_note(self.home.store, note, self.recipient)
        pending = self.home.agreements.submit_anchor(self.id, self.run.seed, tuple(self._peaks), root, cid)
        self._pending.append((pending, last.index + 1))
        self._look()

    def _compare(self, root: Digest) -> None:
        anchor = self.run.anchors[self._groups]
        if anchor.root != root:
            raise ClaimMismatch(
                f"group {self._groups} of the leaves on disk has the root {root} and the chain anchored {anchor.root}",
                "the job's folder is not the one that trained this agreement: restore it",
            )
        if (mined := self.home.chain.receipt(anchor.transaction)) is not None:
            self._record(anchor.count, mined)  # the process that sent it may not have come to that

    def _metrics(self) -> dict[str, float] | None:
        """Mean of each metric over the group, rounded: what the policy lets out."""
        if not self.metrics_leave:
            return None
        rows = [each.metrics for each in self._open if each.metrics]
        names = rows[0].keys() if rows else ()
        return {name: _rounded(sum(row[name] for row in rows) / len(rows)) for name in names}


def require_same_run(home: Home, id: AgreementId, run: RunRecord) -> None:
    """Check that the chain has still the run that is trained: what is anchored, or ended, under
    another order seed nobody can prove any more.

    Raises:
        Unusable: the chain took the beginning back.
    """
    if (seed := home.agreements.seed(id)) != run.seed:
        raise Unusable(
            f"the chain was reorganised: the run under the order seed {run.seed.short} is not there any more, "
            f"{f'but one under {seed.short}' if seed != ZERO else 'and none is begun'}",
            "what was trained is set aside, and the training begins anew",
        )


class LeafFile:
    """A growing `leaves.jsonl`, read on from where it was left.

    Args:
        folder: the job's folder; the file may not be there yet.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder, self._offset = folder.path, 0

    def more(self) -> Iterator[Checkpoint]:
        """The whole lines that came since the last call.

        Raises:
            InputRefused: one is no checkpoint.
            Unusable: there is something else in the file's place.
        """
        with suppress(FileNotFoundError), open_plain(self._folder, LEAVES) as file:
            file.seek(self._offset)
            while (line := file.readline(LEAF_LINE.text_bytes + 1)).endswith(b"\n"):
                self._offset += len(line)
                yield Checkpoint.from_line(line)
            if len(line) > LEAF_LINE.text_bytes:
                raise InputRefused(f"a line of {LEAVES} has more than {LEAF_LINE.text_bytes} bytes")


def _rounded(number: float) -> float:
    return float(f"{number:.{METRIC_DIGITS}g}")
