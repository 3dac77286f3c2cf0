"""`make faults`: a market of real pods under faults that one seed chooses; at its end accounts,
journals and chain agree to the last unit, every job is over, and nothing is left behind.

    make faults                                 fifty kills by a new seed, which is printed
    make faults ARGS="--seed 7 --minutes 3"     what seed 7 plans for three minutes
    make faults ARGS="--seed 7 --plan"          only print that plan
    make faults ARGS="--runs 10"                ten seeds, one after the other; cut off, it goes on

Two owners, two scientists and three verifiers, each a process of its own, on a devnet whose node
they reach through one that lies, drops answers, repeats them and is slow. Pods and the node are
killed, at any time and at chosen steps, pods stand still, blocks are taken back, disks are full or
read-only, the clock jumps, second pods are started on a home and request commands are killed.

Of several runs each that ends adds a line of JSON to `results/faults.jsonl`: commit, changes, and
what it came to. Runs of the same sources that passed are not played again.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.cli.views.output import log
from scripts.nightly import PROGRAM, ROOT, digest_of_paths
from tests.faults.market.plan import Fault, digest, plan
from tests.faults.market.run import Result, play

RESULTS = ROOT / "results" / "faults.jsonl"
KILLS = 50


def main() -> int:
    """Play what is asked for, and print what it came to.

    Returns:
        0 where nothing went wrong, else 1.
    """
    parser = argparse.ArgumentParser(prog="make faults", description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seed", type=int, help="of the plan, or of the first one; default: a new one")
    parser.add_argument("--kills", type=int, help=f"end with so many kills; default: {KILLS}")
    parser.add_argument("--minutes", type=float, help="end after so many minutes of faults instead")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, each one more than the last")
    parser.add_argument("--plan", action="store_true", help="print the plan and play nothing")
    parser.add_argument(
        "--keep", action="store_true", help="keep the folder with homes and logs where all is well, too"
    )
    args = parser.parse_args()
    kills = KILLS if args.minutes is None and args.kills is None else args.kills
    first = secrets.randbelow(10**6) if args.seed is None else args.seed
    length = (kills, None if args.minutes is None else args.minutes * 60)
    if args.plan:
        print("\n".join(map(str, plan(first, *length))))
        return 0
    if args.runs == 1:
        result = played(first, plan(first, *length), args.keep)
        show([result])
        return int(bool(result.wrong))
    series = Series(RESULTS, digest_of_paths(ROOT, PROGRAM), first, args.runs, length)
    return int(series.run(args.keep))


def played(seed: int, faults: Sequence[Fault], keep: bool) -> Result:
    """Play a plan in a folder of its own; where something went wrong, the folder is kept and
    named."""
    folder, began = Path(tempfile.mkdtemp(prefix="fitchain-faults-")), time.monotonic()
    log(f"seed {seed}, plan {digest(faults).short}: {len(faults)} faults in {faults[-1].at_s:.0f} s, in {folder}")
    result = play(folder, seed, faults, lambda text: log(f"{time.monotonic() - began:6.1f}  {text}"))
    for each in result.wrong:
        log(f"WRONG  {each}")
    if result.wrong or keep:
        log(f"homes and logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return result


@dataclass(frozen=True)
class Series:
    """Several seeds over the same sources.

    Args:
        results: a file with a line of JSON for each run that ended.
        sources: their digest.
        seed: the first, where none of these sources is begun.
        runs: how many.
        length: of each plan: kills, seconds.
    """

    results: Path
    sources: str
    seed: int
    runs: int
    length: tuple[int | None, float | None]

    def run(self, keep: bool = False) -> bool:
        """Play the seeds that have not passed; whether something went wrong in one."""
        begun = self._lines()
        first = begun[-1]["first"] if begun and not self._is_over(begun) else self.seed
        for seed in range(first, first + self.runs):
            if seed not in self._passed(first):
                self._write(first, played(seed, plan(seed, *self.length), keep))
        results = [Result(**line["result"]) for line in self._lines() if line["first"] == first]
        newest = {result.seed: result for result in results}
        show(list(newest.values()))
        return any(result.wrong for result in newest.values())

    def _is_over(self, lines: Sequence[dict[str, Any]]) -> bool:
        """Whether the series that was begun last has been played to its end without a fault."""
        return len(self._passed(lines[-1]["first"])) == self.runs

    def _passed(self, first: int) -> set[int]:
        lines = [line for line in self._lines() if line["first"] == first]
        return {line["result"]["seed"] for line in lines if not line["result"]["wrong"]}

    def _lines(self) -> list[dict[str, Any]]:
        text = self.results.read_text() if self.results.exists() else ""
        mine = [self.sources, self.runs, list(self.length)]
        values = [json.loads(line) for line in text.splitlines()]
        return [each for each in values if [each["sources"], each["runs"], each["length"]] == mine]

    def _write(self, first: int, result: Result) -> None:
        line = {"sources": self.sources, "runs": self.runs, "length": self.length, "first": first}
        self.results.parent.mkdir(parents=True, exist_ok=True)
        with self.results.open("a") as file:
            file.write(json.dumps(line | {"result": result.json()}) + "\n")


def show(results: Sequence[Result]) -> None:
    """Print the figures of some runs together."""
    whole: dict[str, Counter[str]] = {name: Counter() for name in ("faults", "missed", "aimed", "jobs")}
    for result in results:
        for name, counter in whole.items():
            counter.update(getattr(result, name))
    print(f"seeds     {', '.join(str(result.seed) for result in results)}")
    print(f"kills     {sum(result.kills for result in results)}, {sum(whole['aimed'].values())} of them aimed")
    for title, name in (("faults", "faults"), ("no hold", "missed"), ("aimed", "aimed"), ("jobs", "jobs")):
        print(f"{title:10}{', '.join(f'{count} {what}' for what, count in whole[name].most_common()) or 'none'}")
    print(f"misled    {sum(result.misled for result in results)} pods did not start since the node lied to them")
    lost = sum(result.lost for result in results)
    print(f"money     {f'{lost} sums are not what they should be' if lost else 'as it should be, to the last unit'}")
    print(f"reverted  {sum(result.refused for result in results)} transactions")
    print(f"wrong     {sum(len(result.wrong) for result in results) or 'nothing'}")
    print(f"time      {sum(result.seconds for result in results) / 60:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
