"""Play every attack of the suite for real, and measure how often the draw of segments finds a fake.

Cheating owners train in worker processes, their evidence is sealed, fetched, checked and replayed
as a verifier does it; attacks on draws, votes and deadlines run against the contracts on a devnet
of their own. The second table is 1,000 draws for each share of faked segments against the exact
formula. `leaks` instead trains modules that would carry records home, without and with differential
privacy, and counts what comes back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.table import Table

from fitchain.cli.views.output import console, log, print_json, printable
from fitchain.pod.values.errors import FitchainError
from tests.attacks import detection
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import AttackLab, Caught
from tests.attacks.leak_lab import EPSILON, Found, LeakLab, Measured
from tests.attacks.leaks import LEAKS, MEMBERS
from tests.attacks.rows import ATTACKS, SECTIONS, UNCAUGHT

TROUBLE = (FitchainError, AssertionError, OSError, KeyError, ValueError)
"""What a play may end with; it is a row that is not caught as it says, and the others are still
played."""


@dataclass(frozen=True)
class Played:
    """An attack as it was played: what caught it, how the table differs from that, how often a draw
    finds it."""

    attack: Attack
    caught: Caught
    differs: str
    rate: detection.Rate | None

    @property
    def holds(self) -> bool:
        """Whether it is caught as its row says, as often as the formula says."""
        return not self.differs and (self.rate is None or self.rate.holds)


def main() -> int:
    """Play and print.

    Returns:
        0 where every attack is caught as its row says and every rate lies in its interval, else 1.
    """
    parser = argparse.ArgumentParser(prog="make attacks", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--here", action="store_true", help="replay in this process: quicker, and less like a verifier")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="WORD",
        help="only attacks whose name holds one of these words; leaks: what modules carry home",
    )
    args = parser.parse_args()
    if args.names == ["leaks"]:
        return leaks(args.json)
    with tempfile.TemporaryDirectory(prefix="fitchain-attacks-") as scratch:
        lab = AttackLab(Path(scratch), processes=not args.here)
        started, wanted = time.monotonic(), [*chosen(ATTACKS, args.names), *chosen(UNCAUGHT, args.names)]
        try:
            rows = list(played(lab, wanted))
        finally:
            lab.close()
    caught, uncaught = ([row for row in rows if (row.attack in UNCAUGHT) is held] for held in (False, True))
    rates = [] if args.names else detection.table()
    holds = all(each.holds for each in (*caught, *uncaught)) and all(rate.holds for rate in rates)
    if args.json:
        print_json(
            {
                "attacks": [as_values(each) for each in caught],
                "not_caught": [as_values(each) for each in uncaught],
                "detection": [as_rate(rate) for rate in rates],
                "holds": holds,
            }
        )
    else:
        show(caught, uncaught, rates)
        console().print(f"in {(time.monotonic() - started) / 60:.1f} minutes", style="dim")
    return int(not holds)


def leaks(as_json: bool) -> int:
    """Measure what modules bring home, and print it.

    Returns:
        0 where nothing of a private training comes home beyond chance, and every other leak is
        refused or has as many records as the corpus says; else 1.
    """
    with tempfile.TemporaryDirectory(prefix="fitchain-leaks-") as scratch:
        lab, rows = LeakLab(Path(scratch)), []
        for number, leak in enumerate(LEAKS, 1):
            rows.append(lab.measured(leak))
            log(f"{number:2} of {len(LEAKS)}  {leak.name}")
    holds = all(row.holds for row in rows)
    if as_json:
        print_json({"leaks": [row.json() for row in rows], "members": MEMBERS, "epsilon": EPSILON, "holds": holds})
        return int(not holds)
    heads = ("module", "structure", "recovered", f"at epsilon {EPSILON:g}", "near at it", "by chance")
    console().print(folded("", heads, [leak_cells(row) for row in rows]))
    console().print(
        f"of {MEMBERS} records that are trained on; near at it: of these, and of 227 that never were; by chance:"
        f" that many of the former, but once in 1,000 times\n{sum(row.holds for row in rows)} of {len(rows)} as the"
        f" corpus says"
    )
    return int(not holds)


def leak_cells(row: Measured) -> list[str]:
    """What became of a module, for people."""
    if row.refused:
        where, _, why = row.refused.partition(" `")
        return [row.leak.name, f"refused, {Path(where).name}: {short(why.partition('`: ')[2])}", *("-",) * 4]
    recovered = str(row.plain.recovered) if row.plain else "-"
    if row.private is None:
        return [row.leak.name, "trained", recovered, "refused", "-", "-"]
    return [row.leak.name, "trained", recovered, *private_cells(row.private)]


def private_cells(found: Found) -> list[str]:
    """What a private training brings home."""
    near = f"{found.near} and {found.others_near}"
    return [str(found.recovered), near, f"{found.most_recovered}; near {found.most_near}"]


def chosen(attacks: Sequence[Attack], words: Sequence[str]) -> list[Attack]:
    """The attacks that somebody wants to see."""
    return [attack for attack in attacks if not words or any(word in attack.name for word in words)]


def played(lab: AttackLab, attacks: Sequence[Attack]) -> Iterator[Played]:
    """Play one after another."""
    for number, attack in enumerate(attacks, 1):
        started = time.monotonic()
        try:
            caught = attack.play(lab)
            differs = attack.differs(caught)
        except TROUBLE as error:
            caught, differs = Caught("nobody", "-", "-"), f"it could not be played: {type(error).__name__}: {error}"
        rate = detection.of_attack(caught.faked) if caught.faked else None
        which = f"{number:{len(str(len(attacks)))}} of {len(attacks)}"
        log(f"{which}  {attack.name}: {differs or 'as its row says'} ({time.monotonic() - started:.1f} s)")
        yield Played(attack, caught, differs, rate)


def show(caught: Sequence[Played], uncaught: Sequence[Played], rates: Sequence[detection.Rate]) -> None:
    """Print the tables, folded to the terminal, and what does not hold."""
    out, wide = console(), console().width >= WIDE
    heads = ("attack", "how it is tried", "what catches it", "at which step", "found", *(["it says"] if wide else []))
    titles = {attack: title for title, attacks in SECTIONS.items() for attack in attacks}
    out.print(folded("", heads, [cells(each, wide) for each in caught], [titles[each.attack] for each in caught]))
    if uncaught:
        title = "Not caught, and what happens then"
        out.print(folded(title, heads, [cells(each, wide) for each in uncaught]))
    out.print(
        f"found: of {detection.DRAWS:,} draws of {detection.PLAYED_DRAWN} inner segments "
        f"of the {detection.PLAYED_SEGMENTS} that are played, those that find it; in brackets the formula\n",
        style="dim",
    )
    if rates:
        title = f"{detection.DRAWS:,} draws for each share of faked segments, against the formula"
        out.print(folded(title, DETECTION, [rate_cells(rate) for rate in rates]))
    for each in (*caught, *uncaught):
        if not each.holds:
            out.print(f"{each.attack.name}: {reason(each)}", style="bold")
    out.print(f"{sum(each.holds for each in caught)} of {len(caught)} attacks are caught as their rows say")
    if rates:
        out.print(f"{sum(rate.holds for rate in rates)} of {len(rates)} rates lie in the formula's 99 % interval")


def folded(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], sections: Sequence[str] = ()) -> Table:
    """A table without rules whose cells are folded; `sections` names the one of each row, if there
    are any."""
    table = Table(box=None, pad_edge=False, title=title or None, title_justify="left", header_style="dim")
    for head in heads:
        table.add_column(head, overflow="fold")
    before = ""
    for row, section in zip_longest(rows, sections, fillvalue=""):
        if section != before:
            table.add_row()
            table.add_row(section, style="bold")
            before = section
        table.add_row(*map(printable, row))
    table.caption = " "
    return table


def cells(row: Played, wide: bool) -> list[str]:
    """A row for people."""
    always = "never" if row.caught.by == "nobody" else "always"
    share = found_share(row.rate) if row.rate else always
    texts = [row.attack.name, row.attack.tried, row.caught.by, row.caught.step, share]
    return [*texts, short(row.caught.says)] if wide else texts


def rate_cells(rate: detection.Rate) -> list[str]:
    """A rate for people."""
    draws = detection.DRAWS
    interval = f"{rate.low / draws:.1%} to {rate.high / draws:.1%}"
    counts = [str(rate.segments), str(rate.drawn), str(rate.faked)]
    return [*counts, f"{rate.hits / draws:.1%}", f"{float(rate.chance):.2%}", interval, "" if rate.holds else "outside"]


DETECTION = ("N", "q", "faked", "found", "formula", "99 % interval", "")
WIDE = 130
"""Columns from which on a terminal has room for what catches an attack says."""


def found_share(rate: detection.Rate) -> str:
    """Measured, and by the formula."""
    return f"{rate.hits / detection.DRAWS:.1%} ({float(rate.chance):.1%})"


def reason(row: Played) -> str:
    """Why a row does not hold."""
    return row.differs or f"{row.rate.hits if row.rate else 0} hits lie outside the interval"


def short(text: str, words: int = 14) -> str:
    """The beginning of a sentence; digests are cut."""
    parts = [part if len(part) <= 42 else f"{part[:10]}…" for part in text.split()]
    return " ".join(parts[:words]) + (" …" if len(parts) > words else "")


def as_values(row: Played) -> dict[str, Any]:
    """A row for `--json`."""
    said = {"name": row.attack.name, "tried": row.attack.tried, "holds": row.holds, "differs": row.differs}
    return said | asdict(row.caught) | {"detection": as_rate(row.rate) if row.rate else None}


def as_rate(rate: detection.Rate) -> dict[str, Any]:
    """A rate for `--json`."""
    return asdict(rate) | {"draws": detection.DRAWS, "chance": float(rate.chance), "holds": rate.holds}


if __name__ == "__main__":
    sys.exit(main())
