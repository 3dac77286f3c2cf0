"""A pod as a process of its own that ends by SIGKILL at a given point: `python -m
tests.faults.killable_pod ORDER`, the order as JSON.

A point is `<call>:<name>:before` or `:after`, where the call is `send` (name: a contract's
function), `keep_fact` or `record` (name: what is written to the journal), `attack` (the model that
was trained; no name), `bind` (the report of that in the last leaf; no name), `write` (the plain
evidence; no name), `replay` (what a verifier does with it; no name), or of registering a dataset
`fit` (its constants), `tree` (its leaves), `mock` and `keep` (its row; no names). After a send, the
transaction is in the queue and on its way, and nobody has waited for it. An order may name the
agreement that it is about: what the pod does for others does not end it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.jobs.turns import Turns
from fitchain.pod.parties.asker import Question, ask_again, follow, terms_of
from fitchain.pod.parties.owner import Owner
from fitchain.pod.parties.scientist import Scientist
from fitchain.pod.parties.verifier import Verifier
from fitchain.pod.ports import settings
from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId, PanelId
from tests.chain_fixtures import PASSPHRASE


def say(id: AgreementId, text: str) -> None:
    print(f"{id.short} {text}", flush=True)


def concerns(args: Sequence[Any], agreement: str) -> bool:
    """Whether arguments of a call name an agreement, or one of its audits."""
    return any(agreement in (str(arg), str(getattr(arg, "agreement", None))) for arg in args)


def killable(
    call: str, place: int | None, made: Callable[..., Any], point: str, agreement: str | None
) -> Callable[..., Any]:
    """A call that ends this process before or after it is made, where its argument at a place is
    the one named, and another is the agreement that is meant, if any."""

    def called(*args: Any, **named: Any) -> Any:
        if agreement is not None and not concerns(args, agreement):
            return made(*args, **named)
        what = "" if place is None else args[place]
        here = f"{call}:{getattr(what, 'kind', what)}"  # an entry of a history, by its word
        if point == f"{here}:before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = made(*args, **named)
        if point == f"{here}:after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return called


QUESTION = "question.json"
"""In an asker's home: the agreement and the panel that it asks about."""


class Asker:
    """Whoever asks for another audit, as its command goes on until it is stopped."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def run(self, stop: threading.Event) -> None:
        """Ask, unless that is done, and follow."""
        words = json.loads((self.home.settings.home / QUESTION).read_text())
        id = AgreementId(Digest.parse(words["agreement"]))
        question = Question(PanelId(Digest.parse(words["panel"])), verifiers=1, drawn_segments=1, window=3600)
        turns, ref = Turns(self.home), ask_again(self.home, id, terms_of(self.home, id, question), 3600)
        while not stop.wait(0.2):
            if follow(self.home, turns, ref, lambda text: say(id, text)).over:
                self.home.journal.keep_fact(ref, "over", "yes")
                stop.wait()


def aim(point: str, agreement: str | None) -> None:
    """Let this process end at a point, of this agreement if one is named."""
    Chain.submit = killable("send", 2, Chain.submit, point, agreement)  # type: ignore[method-assign]
    Journal.keep_fact = killable("keep_fact", 2, Journal.keep_fact, point, agreement)  # type: ignore[method-assign]
    Journal.record = killable("record", 2, Journal.record, point, agreement)  # type: ignore[method-assign]
    for call, place, name in (
        ("attack", "fitchain.pod.parties.owner.risk", "assess_folder"),
        ("bind", "fitchain.pod.parties.owner.risk", "replace_last_leaf"),
        ("write", "fitchain.pod.parties.owner.evidence", "write_evidence"),
        ("replay", "fitchain.pod.parties.verifier.examine", "audit"),
        ("fit", "fitchain.pod.parties.owner.data", "fit_transform"),
        ("tree", "fitchain.pod.parties.owner.data", "register"),
        ("mock", "fitchain.pod.parties.owner.data", "mock_table"),
        ("keep", "fitchain.pod.parties.owner.data", "keep_row"),
    ):
        module = importlib.import_module(place)
        setattr(module, name, killable(call, None, getattr(module, name), point, agreement))


def main(order: dict[str, str]) -> None:
    """Run the pod until it is killed, or asked to stop."""
    stop = threading.Event()
    aim(order["point"], order.get("agreement"))
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    chosen = settings.load(home=Path(order["home"]), devnet=Path(order["devnet"]), environ={})
    with Home.open(chosen, lambda: PASSPHRASE) as home:
        pods: dict[str, Callable[[], Owner | Scientist | Verifier | Asker]] = {
            "owner": lambda: Owner(home, say, retry_s=0.2, turn_s=0, final_blocks=2),
            "scientist": lambda: Scientist(home, True, say, retry_s=0.2),
            "verifier": lambda: Verifier(home, say, retry_s=0.2, final_blocks=2),
            "asker": lambda: Asker(home),
        }
        pods[order["role"]]().run(stop)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
