"""The recovery, in the order in which a cut leaves the home as it was, or whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fitchain.pod.jobs.home import Home, pod_lock
from fitchain.pod.jobs.journal import JOURNAL_FILE, MARK_FILE, Journal
from fitchain.pod.parties.recovery.asked_for import recover_models, recover_questions, recover_requests
from fitchain.pod.parties.recovery.files import copy_aside, damage_of, put_aside
from fitchain.pod.parties.recovery.owned import recover_datasets, recover_owned
from fitchain.pod.parties.recovery.report import Recovery
from fitchain.pod.parties.recovery.seats import recover_seats
from fitchain.pod.ports.chain import answers, connect
from fitchain.pod.ports.chain.known import KNOWN_FILE
from fitchain.pod.ports.chain.queue import LAYOUT, QUEUE_FILE
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.database import create
from fitchain.pod.ports.keys import unlock
from fitchain.pod.ports.settings import Settings
from fitchain.pod.ports.store import open_store
from fitchain.pod.values.errors import NotMinedYet, Unusable, host_errors
from fitchain.pod.values.ids import DatasetId
from fitchain.pod.values.state import sync_folder

MADE = ".recovered"
"""The folder in which a journal is made, until it is whole."""
ON_THEIR_WAY_S, LOOK_S = 60.0, 2.0
"""How long transactions are waited for of which nothing is known any more; between two looks."""


# As many parameters as a home is opened with, and what only a person knows.
def recover(
    settings: Settings,
    passphrase: Callable[[], str],
    sources: Mapping[DatasetId, Path] | None = None,
    again: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> Recovery:
    """Recover a home.

    Damaged files are put aside and made anew; nothing is deleted. Cut off at any moment, the home
    is as damaged as before, or whole, and the same may be done again.

    Args:
        settings: which home, node, store and key.
        passphrase: asked once for the key's passphrase.
        sources: where the files of datasets lie, where the home does not say.
        again: add what a sound journal lacks, too.
        log: told what takes long.

    Returns:
        what was recovered, what was not, and what that means.

    Raises:
        Unusable: a pod runs from the home, or nothing of it is damaged.
        InputRefused: another version of Fitchain made the home.
        HostUnusable: the home cannot be written now.
        FitchainError: as `Home.open`.
    """
    with pod_lock(settings.home):
        recovery = Recovery(damage_of(settings.home))
        if not (recovery.damage or again or sources):
            raise Unusable(
                f"nothing of the home {settings.home} is damaged, and nothing was moved",
                "`fitchain pod recover --again` adds what its journal lacks and the chain has",
            )
        keys = unlock(settings.home, settings.key, passphrase())
        adopt = KNOWN_FILE in recovery.damage
        if QUEUE_FILE in recovery.damage:
            recovery.moved += put_aside(settings.home, [QUEUE_FILE])
            _make_queue(settings, adopt, keys.address, log)
        if adopt:
            recovery.moved.append(copy_aside(settings.home, KNOWN_FILE))
        chain = connect(settings, keys, adopt)
        _tell_of_files(recovery)
        store = open_store(chain.settings, log)
        try:
            if JOURNAL_FILE in recovery.damage:
                _make_journal(
                    Home(chain.settings, chain, store, _new_journal(settings.home), keys), recovery, sources or {}
                )
            else:
                with Home(chain.settings, chain, store, Journal(settings.home / JOURNAL_FILE), keys) as home:
                    _fill(home, recovery, sources or {})
        finally:
            store.close()
        return recovery


def _make_queue(settings: Settings, adopt: bool, account: str, log: Callable[[str], None]) -> None:
    """Make an empty list of transactions, once nothing is on its way of which nobody knows any
    more.

    Raises:
        NotMinedYet: something still is.
    """
    node, deadline = connect(settings, adopt=adopt).node, time.monotonic() + ON_THEIR_WAY_S
    while left := _on_their_way(node, account):
        if time.monotonic() > deadline:
            raise NotMinedYet(
                f"{left} of the account's transactions are on their way, and this home does not know any more what "
                "they do",
                "run it again once they are mined: whatever they do might else be done twice",
            )
        log(f"waits for {left} of the account's transactions, of which this home knows nothing any more")
        time.sleep(LOOK_S)
    create(settings.home / QUEUE_FILE, LAYOUT)


def _on_their_way(node: Node, account: str) -> int:
    """How many transactions of an account the node has that are not mined."""
    pending, mined = node.batch([answers.transaction_count(account, block) for block in ("pending", "latest")])
    return max(0, int(pending) - int(mined))


def _new_journal(home: Path) -> Journal:
    """An empty journal beside the damaged one; what a cut-off recovery left is made anew."""
    folder = home / MADE
    with host_errors(f"{folder} cannot be written"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    return Journal(folder / JOURNAL_FILE)


def _make_journal(home: Home, recovery: Recovery, sources: Mapping[DatasetId, Path]) -> None:
    """Make the journal, then put it in the damaged one's place; its mark first, since a mark
    without its journal is damage, and a journal without its mark would not be."""
    folder, made = home.settings.home, home.settings.home / MADE
    try:
        _fill(home, recovery, sources)
    finally:
        home.journal.close()
    _tell_of_journal(recovery)
    recovery.moved += put_aside(folder, [JOURNAL_FILE])
    with host_errors(f"{folder / JOURNAL_FILE} cannot be put in its place"):
        for name in (MARK_FILE, JOURNAL_FILE):
            (made / name).replace(folder / name)
            sync_folder(folder)
        shutil.rmtree(made)


def _fill(home: Home, recovery: Recovery, sources: Mapping[DatasetId, Path]) -> None:
    """Write into the journal what it lacks and the chain has, for whatever this account is."""
    home.chain.catch_up()  # what was sent and is not mined yet would be told as not done
    recover_datasets(home, recovery, sources)
    recover_owned(home, recovery)
    recover_models(home, recovery)
    recover_requests(home, recovery)
    recover_questions(home, recovery)
    recover_seats(home, recovery)


def _tell_of_journal(recovery: Recovery) -> None:
    """What a journal alone knew."""
    recovery.lacks(
        "journal",
        "",
        "what a person said of requests and of other audits",
        "whatever is still open is asked about again, also where the policy asks nobody",
    )
    recovery.lacks(
        "journal",
        "",
        "requests that were written down and never sent",
        "they have cost nothing: ask for them again",
    )
    recovery.lacks(
        "journal",
        "",
        "reasons, errors and metrics of the histories",
        "notes and results are read again; the rest stays in the damaged file, if in any",
    )


def _tell_of_files(recovery: Recovery) -> None:
    """What the other damaged files alone knew."""
    if QUEUE_FILE in recovery.damage:
        recovery.lacks(
            "transactions",
            "",
            "transactions that were signed and not sent, or sent and not mined",
            "what the chain does not have yet is done again, after the chain was asked for it",
        )
    if KNOWN_FILE in recovery.damage:
        recovery.lacks(
            "chain",
            "",
            "which chain the home belonged to",
            "it belongs to the one that was connected to now: compare it with what you expect",
        )
