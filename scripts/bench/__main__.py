"""`make bench`: the figures that the project promises, measured here and now.

    python -m scripts.bench [NAME ...]      all benches, or the named ones; `--list` names them

Each bench runs in a process of its own and is a file beside this one. Whether a goal is met is
printed and never fails: a busy machine is no error. The exit code is 1 only if a bench could not be
run. The models' ratios are drawn, too: `results/speed.svg`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from scripts.bench.figures import Figure
from scripts.bench.picture import draw
from scripts.host import processor

HERE = Path(__file__).parent
BENCHES = tuple(sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")))
CORES = len(os.sched_getaffinity(0))
WIDTHS = (54, 15, 24)
DRAWN, TITLE = "models", "Time of a training step on one thread, as ratios; red: the goal"
PICTURE = HERE.parents[1] / "results" / "speed.svg"


def main() -> int:
    """Run benches and print their figures."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--list", action="store_true", help="name the benches")
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.list:
        print(*BENCHES, sep="\n")
        return 0
    if args.measure:
        return emit(args.measure)
    if unknown := set(args.names) - set(BENCHES):
        parser.error(f"there is no bench {min(unknown)!r}; there are {', '.join(BENCHES)}")
    print(f"{processor()}, {CORES} cores, load {load():.1f} before the first bench\n")
    print(row("", "measured", "goal", ""))
    failed = [show(name) for name in args.names or BENCHES]
    if load() > CORES + 1:
        print(f"\nThe load is {load():.1f} on {CORES} cores: ratios and gas hold, times say little.")
    return max(failed)


def emit(name: str) -> int:
    """Measure one bench and print each figure as a line of JSON."""
    for figure in import_module(f"scripts.bench.bench_{name}").measure():
        print(json.dumps(asdict(figure)), flush=True)
    return 0


def show(name: str) -> int:
    """Run one bench in a process of its own and print its figures as they come."""
    command = [sys.executable, "-m", "scripts.bench", "--measure", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        figures = []
        for figure in (Figure(**json.loads(line)) for line in process.stdout):
            figures.append(figure)
            for line in lines(figure):
                print(line, flush=True)
    if process.returncode:
        print(f"the bench {name} ended with exit code {process.returncode}", file=sys.stderr)
    elif name == DRAWN:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(draw(TITLE, figures))
        print(f"    drawn: {PICTURE}")
    return int(process.returncode != 0)


def lines(figure: Figure) -> Iterator[str]:
    """A figure as it is printed."""
    goal, met = "", ""
    if figure.goal is not None:
        goal = f"at {'least' if figure.at_least else 'most'} {number(figure.goal, figure)}"
        met = "met" if figure.met else "missed"
    yield row(figure.what, number(figure.value, figure), goal, met)
    if figure.detail:
        yield f"    {figure.detail}"


def number(value: float, figure: Figure) -> str:
    """A value with its unit: counts in full, shares in percent, the rest with three digits."""
    if figure.unit in ("gas", "transactions"):
        return f"{value:,.0f}" + (" gas" if figure.unit == "gas" else "")
    if not figure.unit and value < 0.5:
        return f"{value:.2%}"
    return f"{value:#.3g} {figure.unit}".rstrip()


def row(*cells: str) -> str:
    """Cells in their columns."""
    return "".join(cell.ljust(width) for cell, width in zip(cells, (*WIDTHS, 0), strict=True)).rstrip()


def load() -> float:
    """How many processes wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


if __name__ == "__main__":
    sys.exit(main())
