"""`make zoo`: public architectures, exported and trained to the bit.

    python -m scripts.zoo [FAMILY | NAME ...]      all, or those whose family or name begins so
    python -m scripts.zoo --list                   name them
    python -m scripts.zoo --results FILE           where a line of JSON each goes

Each architecture is built by its library, in its smallest variant and with random weights, exported
as `fitchain model publish` does, and trained three steps in the default class beside the eager
module, under the same settings: losses, parameters and buffers are equal to the bit, or it counts
as different. What is refused is named with its reason; a model that fails on such numbers without
us, too, is no refusal and is counted apart, out of the shares. Nothing is downloaded but the
libraries, at the versions of `requirements.txt`, into a folder of their own: `.zoo`, or
`$ZOO_LIBRARIES`.

Each is tried in a process of its own, with limits of time and memory. The exit code is 1 where one
differs, or where fewer than the promised share are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, installed_torch
from scripts.host import processor

ROOT = Path(__file__).parents[2]
LIBRARIES = Path(os.environ.get("ZOO_LIBRARIES") or ROOT / ".zoo")
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PROMISED_EQUAL, PROMISED_DELIVERED = 0.95, 0.80
ENVIRONMENT = Environment(DEFAULT.name, 1, installed_torch())
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
WIDTHS = (26, 8, 14, 10, 10, 10)
OWN_FAILURES = ("not built", "fails itself")
"""Outcomes in which the library itself fails: they say nothing of what we carry."""


def main() -> int:
    """Try what is named, print a line each and a table by family."""
    parser = argparse.ArgumentParser(prog="make zoo", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="families or models, by how they begin; default: all")
    parser.add_argument("--list", action="store_true", help="name families and models")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "zoo.jsonl", metavar="FILE")
    args = parser.parse_args()
    install()
    if args.list:
        for line in lines(["--list", *args.names]):
            print(line)
        return 0
    print(f"{processor()}, torch {ENVIRONMENT.torch}, class {DEFAULT.name}\n")
    args.results.parent.mkdir(parents=True, exist_ok=True)
    results = []
    with args.results.open("w") as file:
        for line in lines(args.names):
            results.append(json.loads(line))
            print(json.dumps(results[-1]), file=file, flush=True)
            print(described(results[-1]), flush=True)
    print(f"\n{table(results)}\n\nA line each: {args.results}")
    return failed(results)


def install() -> None:
    """Bring the libraries, unless those of this list are here; torch is the environment's own."""
    mark = LIBRARIES / "requirements.txt"
    if mark.is_file() and mark.read_bytes() == REQUIREMENTS.read_bytes():
        return
    command = ["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target", str(LIBRARIES)]
    subprocess.run([sys.executable, *command, "--requirement", str(REQUIREMENTS)], check=True)
    mark.write_bytes(REQUIREMENTS.read_bytes())


def lines(arguments: Sequence[str]) -> Iterator[str]:
    """What the process of the class prints."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "scripts.zoo.trials", str(LIBRARIES), *arguments]
        variables = clean_variables(ENVIRONMENT, Path(home)) | OFFLINE
        with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield line.rstrip("\n")
    if process.returncode:
        raise SystemExit(f"the process that tries models ended with exit code {process.returncode}")


def described(result: Mapping[str, Any]) -> str:
    """A result as a line."""
    reason = f": {result['reason']}" if result["reason"] else ""
    return f"{result['family']:26}{result['name']:44}{result['outcome']}{reason}"


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Results by family: how many export, are equal, and are so as their library delivers them."""
    families = dict.fromkeys(result["family"] for result in results)
    rows = [(family, [result for result in results if result["family"] == family]) for family in families]
    return "\n".join(
        [
            row("family", "models", "as delivered", "export", "equal", "fail themselves"),
            *(row(family, *counts(each)) for family, each in rows),
            row("all", *counts(results)),
            row("", "", *(f"{share:.0%}" for share in shares(results)), ""),
        ]
    )


def counts(results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """How many train without us, are equal as they are delivered, export, are equal; and how many
    more fail by themselves."""
    built = [result for result in results if result["outcome"] not in OWN_FAILURES]
    equal = [result for result in built if result["outcome"] == "equal"]
    exported = [result for result in built if result["outcome"] in ("equal", "differs")]
    delivered, failing = [each for each in equal if not each["wrapped"]], len(results) - len(built)
    return (*(str(len(each)) for each in (built, delivered, exported, equal)), str(failing))


def shares(results: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """The second to the fourth of these, over the first."""
    built, *rest = map(int, counts(results)[:4])
    return tuple(each / max(built, 1) for each in rest)


def failed(results: Sequence[Mapping[str, Any]]) -> int:
    """1 where one differs or fails by itself, since its entry in the catalogue is then at fault, or
    fewer than promised are equal."""
    delivered, _, equal = shares(results)
    wrong = any(result["outcome"] in ("differs", *OWN_FAILURES) for result in results)
    return int(wrong or equal < PROMISED_EQUAL or delivered < PROMISED_DELIVERED)


def row(*cells: str) -> str:
    """Cells in their columns."""
    return "".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
