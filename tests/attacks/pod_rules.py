"""Rules of the pods and of the checker that can be taken out, one at a time: an attack that one of
them catches succeeds without it (test_rows.py).

Rules of the contracts are in `scripts.mutation.rules`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fitchain.pod.compute.dataset import Policy
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker import audit, modes
from fitchain.pod.parties.scientist import audit_options
from fitchain.pod.parties.verifier import consent
from fitchain.pod.ports.chain import code
from fitchain.pod.ports.chain.connect import _checked
from fitchain.pod.ports.trust import Trusted
from fitchain.pod.proof.audit import checking, plan
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.audit.pace import Pace
from fitchain.pod.proof.certificate import claims
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.proof.certificate.timing import Timing
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import require_equal
from fitchain.pod.values.graph import document
from fitchain.pod.values.graph.taint import Structure, follow
from fitchain.pod.values.ids import PanelId
from fitchain.pod.values.job_folder import RELEASED_IDENTITY
from fitchain.pod.values.recipe import terms


@dataclass(frozen=True)
class PodRule:
    """A rule that can be taken out of this process.

    Args:
        name: what is missing then.
        changes: what is replaced: whose attribute, its name, by what.
    """

    name: str
    changes: tuple[tuple[Any, str, Any], ...]

    @contextmanager
    def taken_out(self) -> Iterator[None]:
        """Do without it; what was found out by it before is forgotten."""
        with ExitStack() as stack:
            stack.enter_context(patch.dict(_checked, clear=True))
            for whose, name, instead in self.changes:
                stack.enter_context(patch.object(whose, name, instead))
            yield


_keep_secret = Home.keep_secret


def _forget_the_key(home: Home, path: Path, secret: str) -> None:
    """Keep every secret but the job's identity of who voted Match."""
    if path.name != RELEASED_IDENTITY:
        _keep_secret(home, path, secret)


def _any_panel(policy: Policy, panel: Digest) -> bool:
    return True


def _anybody(trusted: Trusted, panel: PanelId, account: str) -> bool:
    return True


def _whoever_joined(trusted: Trusted, panel: PanelId, account: str) -> bool:
    return panel in trusted.panels


def _members_anywhere(trusted: Trusted, panel: PanelId, account: str) -> bool:
    return any(account in members for members in trusted.panels.values())


def _nobody(*given: object) -> bool:
    return False


def _for_the_work(price: int, bond: int, sampling: Sampling, seats: int, floor: int = 0) -> int:
    """The fee of a seat without what bribes ask for."""
    return max(math.ceil(price * sampling.work), floor)


_check_leaves = claims.check_leaves


def _any_outline(statement: Statement, most_leaves: int = 0) -> None:
    """Check leaves, and take an outline for a transcript of any length."""
    _check_leaves(statement, most_leaves)


def _shown_states(statement: Statement) -> None:
    """Check the states of those leaves alone that are shown."""
    for leaf in statement.shown:
        if leaf.index in statement.states:
            require_equal("a state", leaf.state, statement.states[leaf.index].digest)


def _results_as_told(statement: Statement) -> dict[int, Digest]:
    """Take the word of a certificate for what the last leaf names beside a risk report."""
    named = {leaf.index: leaf.held_out for leaf in statement.shown}
    if statement.risk is not None:
        named[statement.shown[-1].index] = statement.risk.held_out
    return named


def unchecked(*given: object) -> None:
    """Find nothing wrong."""


def _any_host(*given: object) -> str:
    """Find every host fit."""
    return ""


def _but_the_environment(what: str, *values: Any) -> None:
    """Compare everything but the environment."""
    if "environment" not in what:
        require_equal(what, *values)


def _whatever_it_takes(*given: Any, has_reference: bool = False) -> Any:
    """Replay without a look at what a step takes."""
    folder, context, segments, on_event, *_ = given
    return audit(folder, context, segments, on_event, has_reference=has_reference)


def _whatever_moves(*given: Any) -> Structure:
    """Refuse nothing that a training form writes."""
    return replace(follow(*given), refusal=None)


_metrics = terms._metrics


def _any_metrics(fields: Any, loss: Any, privacy: Any) -> Any:
    """Read metrics as of a recipe without terms of privacy."""
    return _metrics(fields, loss, None)


def _whenever(fields: Any, *given: Any) -> tuple[str, str | None]:
    """Read when a model is evaluated as of a recipe without terms of privacy."""
    return str(fields.value["evaluate"]), fields.value["best"]


def _alike(*given: object) -> str:
    """Find a replay equal to what was recorded."""
    return ""


OWNER_EXAMINES = import_module("fitchain.pod.parties.owner.examine")
VERIFIER_EXAMINES = import_module("fitchain.pod.parties.verifier.examine")
"""Modules whose names their packages give to functions."""

_CREATION = (code, "_require_created", unchecked)

PANELS = PodRule(
    "panels that the owner's policy does not name, or not as they stand",
    ((Policy, "accepts_panel", _any_panel), (OWNER_EXAMINES, "panel_of", unchecked)),
)
KEY = PodRule("the key that who voted Match keeps", ((Home, "keep_secret", _forget_the_key),))
WORK = PodRule("most work against the time to vote", ((consent, "REPLAY_SHARE", 1e9),))
CLASS = PodRule("the environment of the terms, before a seat is taken", ((consent, "unfit_host", _any_host),))
NAMED_CLASS = PodRule("the sealed recipe's environment compared", ((checking, "require_equal", _but_the_environment),))
STATED_WORK = PodRule("the work of a step compared", ((VERIFIER_EXAMINES, "audit", _whatever_it_takes),))
TRUST = PodRule("the checker's trust list", ((Trusted, "names", _anybody),))
TRUSTED_THEN = PodRule("a panel as it stood when it was trusted", ((Trusted, "names", _whoever_joined),))
TRUSTED_THERE = PodRule("a trusted panel in its own draws alone", ((Trusted, "names", _members_anywhere),))
WIRING = PodRule("every contract compared", ((code, "_require_wired", unchecked), _CREATION))
CREATION = PodRule("what created a contract", (_CREATION,))
ONE_BLOCK = PodRule("what stands in one block", ((Timing, "in_one_block", property(lambda timing: False)),))
OUTLINE = PodRule("short transcripts listed", ((claims, "check_leaves", _any_outline),))
FIRST_LEAF = PodRule("the first leaf shown", ((claims, "_check_states", _shown_states),))
REPORT = PodRule("a risk report that the last leaf names", ((claims, "_results_named", _results_as_told),))
STATE = PodRule("state that moves as statistics do", ((document, "follow", _whatever_moves),))
_REPLAYED = (modes, "difference", _alike)
REPLAY = PodRule("the replay compared", (_REPLAYED,))
SECRET_ORDER = PodRule("the secret order compared, and the replay", ((checking, "_check_order", unchecked), _REPLAYED))
NOISE_KEY = PodRule("noise keys committed to", ((checking, "_check_noise", unchecked),))
CHARGE = PodRule("the charge compared by verifiers", ((checking, "check_charge", unchecked),))
NO_METRICS = PodRule("metrics of leaves compared, and the replay", ((checking, "check_leaves", unchecked), _REPLAYED))
METRICS_ASKED = PodRule("no metrics beside terms of privacy", ((terms, "_metrics", _any_metrics),))
EVALUATED_ONCE = PodRule("one evaluation beside terms of privacy", ((terms, "_evaluation", _whenever),))
BEST_LEAF = PodRule("the delivered leaf compared with the results", ((claims, "_check_delivered", unchecked),))
CERTIFIED_CHARGE = PodRule("the charge compared by who checks", ((claims, "check_recipe", unchecked),))
COURT = PodRule("a panel for a dispute that nobody named", ((audit_options, "_name_a_court", _nobody),))
BRIBES = PodRule("a fee that holds bribes off", ((plan, "seat_fee", _for_the_work),))
WINDOW = PodRule(
    "a phase by the length of the replay, rehearsed and stated",
    ((audit_options, "REPLAY_MARGIN", 0), (audit_options, "SLOW_HOST", Pace(math.inf, 0, 0))),
)
