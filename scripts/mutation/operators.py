"""Change the contracts' code by chance, one place at a time, and name the changes that no test
notices: `python -m scripts.mutation.operators [--sample N] [--seed N] [--list] [SOURCE ...]`.

A change swaps an operator, moves a number by one, turns a condition round, or leaves a statement
out. Each is tried in a copy of the project with all of forge's tests, half a minute each, so a call
tries a sample, and what was tried over these sources is not tried again
(`scripts.mutation.fates`). A change that survives is named by file, line, and what the line
becomes; one that makes no difference stands in EQUIVALENT, with the reason. The exit code is 1
while any other survives.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from scripts.mutation.equivalent import EQUIVALENT
from scripts.mutation.fates import Change, Fates, digest_of_sources
from scripts.mutation.forge_copy import ROOT, Fate, ForgeCopy

CONTRACTS = ROOT / "contracts"
SAMPLE = 30
"""Changes that a call tries unless it is told otherwise: a quarter of an hour."""

SWAPS = {
    "<": ("<=", ">="),
    "<=": ("<",),
    ">": (">=", "<="),
    ">=": (">",),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "%": ("/",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "&&": ("||",),
    "||": ("&&",),
    "+=": ("-=", "="),
    "-=": ("+=",),
    "|=": ("=", "&="),
}
"""Binary operators, between blanks as forge formats them, and what replaces each."""

BINARY = re.compile(r" ([-+*/%<>=!&|]{1,2}) ")
NEGATION = re.compile(r"(?<![\w)])[!~](?=[\w(])")
TRUTH = re.compile(r"\b(true|false)\b")
NUMBER = re.compile(r"(?<![\w.\[])(\d+)(?![\w.])|(?<=\w\[)(\d+)(?=\](?! (?:memory|storage|calldata|private)))")
BRANCH = re.compile(r"^\s*(?:\} else )?if \((.*)\) \{$")
STATEMENT = re.compile(r"^\s+[\w(].*;$")
NO_STATEMENT = re.compile(
    r"^\s+(?:(?:return|else|case|using|import|for|revert)\b|[\w.]+(?:\[\w*\])*(?: \w+)* \w+(?:;| =)|\([A-Za-z]+\d* \w+)"
)
"""Lines without which a contract would not compile: declarations and results."""
FUNCTION = re.compile(r"^( *)(?:function )?((?<=function )\w+|constructor\b)")
"""Where a function begins: its indentation, at which it also ends, and its name."""
UNTOUCHED = re.compile(r"^\s*(?:pragma|import|error|event|using|mapping|//|\*)")
MASKED = re.compile(r'//.*|"[^"]*"')


@dataclass(frozen=True)
class Mutant:
    """One change of one line.

    Args:
        source: the file, below `contracts/`.
        line: its number, from 1.
        old: the line, without its indentation.
        new: what it becomes; empty where it is left out.
        function: the name of the function in which it stands; empty where it stands in none.
    """

    source: str
    line: int
    old: str
    new: str
    function: str = ""

    @property
    def key(self) -> Change:
        """The change by what it changes, wherever in its function the line stands: what makes no
        difference in one function may make one in another."""
        return f"{self.source}:{self.function}", self.old, self.new

    @property
    def tried_as(self) -> Change:
        """The change in its place: lines that read the same have fates of their own."""
        return f"{self.source}:{self.line}", self.old, self.new

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.old}  ->  {self.new or '(left out)'}"

    def applied(self, text: str) -> str:
        """The file with the change."""
        lines = text.splitlines(keepends=True)
        line = lines[self.line - 1]
        lines[self.line - 1] = line.replace(self.old, self.new) if self.new else "\n"
        return "".join(lines)


def sources() -> list[str]:
    """The files with code: all but interfaces."""
    found = sorted(CONTRACTS.rglob("*.sol"))
    return [path.relative_to(CONTRACTS).as_posix() for path in found if path.parent.name != "interfaces"]


def mutants_of(source: str, text: str) -> Iterator[Mutant]:
    """Every change of a file, in the order of its lines.

    Args:
        source: the file's name.
        text: what stands in it.
    """
    before = function = indentation = ""
    for number, line in enumerate(text.splitlines(), 1):
        code = MASKED.sub(lambda found: " " * len(found.group()), line)
        if named := FUNCTION.match(code):
            indentation, function = named.groups()
        elif code.rstrip() == indentation + "}":
            function = ""
        if code.strip() and not UNTOUCHED.match(line):
            seen = set[str]()
            for changed in changed_lines(line, code, whole=before.rstrip().endswith((";", "{", "}")) or not before):
                if changed not in seen:
                    seen.add(changed)
                    yield Mutant(source, number, line.strip(), changed.strip(), function)
        if code.strip():
            before = code


def changed_lines(line: str, code: str, whole: bool) -> Iterator[str]:
    """What a line may become.

    Args:
        line: as it stands.
        code: the same without comments and texts, which are blanks.
        whole: whether a statement begins there.
    """
    for found in BINARY.finditer(code):
        for new in SWAPS.get(found.group(1), ()):
            yield spliced(line, *found.span(1), new)
    for found in NEGATION.finditer(code):
        yield spliced(line, *found.span(), "")
    for found in TRUTH.finditer(code):
        yield spliced(line, *found.span(), "false" if found.group() == "true" else "true")
    for found in NUMBER.finditer(code):
        yield spliced(line, *found.span(), str(int(found.group()) + 1))
    if branch := BRANCH.match(code):
        for new in ("true", "false"):
            yield spliced(line, *branch.span(1), new)
    if whole and STATEMENT.match(code.rstrip()) and (not NO_STATEMENT.match(code) or code.lstrip().startswith("emit ")):
        yield ""


def spliced(line: str, start: int, end: int, new: str) -> str:
    """A line with something else in one place."""
    return line[:start] + new + line[end:]


def all_mutants(names: Sequence[str]) -> list[Mutant]:
    """Every change of the named files, or of all."""
    return [
        mutant
        for source in sources()
        if not names or source in names
        for mutant in mutants_of(source, (CONTRACTS / source).read_text())
    ]


def try_all(mutants: Iterable[Mutant], copy: ForgeCopy, fates: Fates) -> None:
    """Try changes one after the other and write down what became of each."""
    for mutant in mutants:
        text = mutant.applied((CONTRACTS / mutant.source).read_text())
        fate, seconds = fates.tried(mutant.tried_as, partial(copy.fate, mutant.source, text))
        print(f"{fate.value:16}  {mutant} ({seconds:.0f} s)", flush=True)


def report(mutants: Sequence[Mutant], fates: Mapping[Change, Fate]) -> list[Mutant]:
    """Say what became of all that was tried; the survivors that nothing explains."""
    tried = [mutant for mutant in mutants if mutant.tried_as in fates]
    counts = {fate: sum(fates[mutant.tried_as] is fate for mutant in tried) for fate in Fate}
    survivors = [mutant for mutant in tried if fates[mutant.tried_as] is Fate.SURVIVED]
    unexplained = [mutant for mutant in survivors if mutant.key not in EQUIVALENT]
    print(f"\nof {len(mutants)} changes {len(tried)} were tried over these sources: ", end="")
    print(", ".join(f"{count} {fate.value}" for fate, count in counts.items()))
    for mutant in survivors:
        print(f"survivor  {mutant}{because(mutant)}")
    print(f"unexplained survivors: {len(unexplained)}")
    return unexplained


def because(mutant: Mutant) -> str:
    """Why a survivor may survive."""
    reason = EQUIVALENT.get(mutant.key, "")
    return f"  ({reason})" if reason else ""


def main() -> int:
    """Try a sample of what was not tried yet; say which changes survive.

    Returns:
        0 where every survivor is explained, else 1.
    """
    parser = argparse.ArgumentParser(prog="scripts.mutation.operators", description=(__doc__ or "").split(":", 1)[0])
    parser.add_argument("--sample", type=int, default=SAMPLE, help="how many changes to try; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--list", action="store_true", help="name the changes and try none")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="files below contracts/")
    args = parser.parse_args()
    if unknown := set(args.sources) - set(sources()):
        parser.error(f"there is no {min(unknown)!r} below contracts/")
    mutants, fates = all_mutants(args.sources), Fates(digest_of_sources())
    if args.list:
        print("\n".join(map(str, mutants)))
        return 0
    sample = random.Random(args.seed).sample(mutants, min(args.sample or len(mutants), len(mutants)))
    known = fates.known()
    with ForgeCopy.made() as copy:
        try_all((mutant for mutant in sample if mutant.tried_as not in known), copy, fates)
    return 1 if report(mutants, fates.known()) else 0


if __name__ == "__main__":
    sys.exit(main())
