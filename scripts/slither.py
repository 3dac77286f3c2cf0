"""What Slither finds in the contracts: `python -m scripts.slither`; with `install` it is brought
here alone, for its test.

Slither (https://github.com/crytic/slither) comes from PyPI, pinned, into an environment of its own
under `.tools/slither`, for it wants another web3 than the pods; a second call finds it there. It is
given what `scripts/solc` makes of the sources, so it starts no compiler itself. Every finding of
high or medium impact outside OpenZeppelin stands in EXPLAINED, with the reason why it is none; the
exit code is 1 where one does not, and where an explanation is of a finding that is gone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.ports.chain import node_tools
from fitchain.pod.values.errors import FitchainError, NotFound
from scripts import compile_contracts
from scripts.compile_contracts import ROOT

FOLDER = ROOT / ".tools" / "slither"
STAMP = FOLDER / "requirements.key"
WANTED = ROOT / "tools" / "slither" / "requirements.txt"
GRAVE = ("High", "Medium")
COMPILER = "0.8.37"
TIMEOUT_S = 900

COUNTER = "it counts from zero, which is what a local variable begins with"
ONE_PARTY = "of the two parties one is asked for"
FILLED_LATER = (
    "a mapping to arrays or structs with arrays; written through storage pointers, which Slither does not follow"
)
KNOWN_CALLEE = "the callee is a contract of this deployment, of known code, that calls nobody back"
EXPLAINED: dict[tuple[str, str], str] = {
    ("uninitialized-state", "Audits._seats"): FILLED_LATER,
    ("uninitialized-state", "Audits._fixedHashes"): FILLED_LATER,
    ("uninitialized-state", "Verifiers._tables"): FILLED_LATER,
    ("uninitialized-local", "Audits._winner.count"): COUNTER,
    ("uninitialized-local", "Audits._tally.against"): COUNTER,
    ("uninitialized-local", "Audits._tally.withheld"): COUNTER,
    ("uninitialized-local", "Audits._settle.next"): COUNTER,
    ("uninitialized-local", "Verifiers.settle.burned"): COUNTER,
    (
        "uninitialized-local",
        "Audits.draw.seats_",
    ): "nobody sits in an audit that was not drawn for; else it is read first",
    ("incorrect-equality", "ProofOfTrain._seedHash"): "the one block whose hash is not known yet, and no balance",
    ("incorrect-equality", "SeedBlock._remembered"): "the length of an answer, and no balance",
    ("incorrect-equality", "SeedBlock.requireHistory"): "two hashes of one block, and no balance",
    ("reentrancy-no-eth", "Agreements.accept"): KNOWN_CALLEE,
    ("reentrancy-no-eth", "Agreements.closeMatched"): KNOWN_CALLEE,
    ("reentrancy-no-eth", "ProofOfTrain._end"): f"{KNOWN_CALLEE}; whoever calls here again finds the run ended",
    ("unused-return", "Audits.submit"): ONE_PARTY,
    ("unused-return", "Audits.release"): ONE_PARTY,
    ("unused-return", "Audits.complain"): ONE_PARTY,
    ("unused-return", "Verifiers._keep"): "what stood there before and what stands there now is not asked for",
}
"""By detector and place: why a finding is none."""


@dataclass(frozen=True)
class Finding:
    """What a detector says of one place.

    Args:
        check: the detector.
        impact: High, Medium, Low, Informational or Optimization.
        place: contract and function, and a variable: `Audits._tally.against`.
        says: in Slither's words.
    """

    check: str
    impact: str
    place: str
    says: str

    @property
    def key(self) -> tuple[str, str]:
        """By what it is explained."""
        return self.check, self.place


def command() -> Path | None:
    """The command that was installed from these requirements; None where there is none."""
    path = FOLDER / "bin" / "slither"
    return path if path.is_file() and STAMP.is_file() and STAMP.read_text() == requirements_key() else None


def requirements_key() -> str:
    """What an installation depends on."""
    return hashlib.sha256(WANTED.read_bytes()).hexdigest()


def version() -> str:
    """What is installed, in words; empty where nothing is."""
    pinned = re.search(r"^slither-analyzer==([\w.]+)", WANTED.read_text(), re.MULTILINE)
    assert pinned, "the requirements name it"
    return f"Slither {pinned[1]}" if command() else ""


def provide() -> Path:
    """Find the command, or install it.

    Raises:
        NotFound: it cannot be installed here.
    """
    FOLDER.parent.mkdir(exist_ok=True)
    with (FOLDER.parent / ".slither.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes in two terminals: the second one waits, then has nothing to do
        if (path := command()) is not None:
            return path
        print(f"slither: PyPI brings it into {FOLDER}", flush=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", str(FOLDER / "bin" / "python"), "install", "--quiet"]
        done = subprocess.run(
            [*pip, "--no-input", "--disable-pip-version-check", "--require-hashes", "-r", str(WANTED)],
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise NotFound(
                f"pip ended with status {done.returncode} (see above)", "run this again with a package index"
            )
        STAMP.write_text(requirements_key())
        if (path := command()) is None:
            raise NotFound(f"pip installed Slither without its command in {FOLDER}", "run this again")
        return path


def findings(slither: Path) -> list[Finding]:
    """Let it look at the contracts.

    Args:
        slither: the command.

    Raises:
        NotFound: it could not look at them, or forge is not installed.
        solcx.exceptions.SolcError: the sources do not compile.
    """
    forge = node_tools.binary("forge")  # it says which folders hold dependencies
    environment = os.environ | {"PATH": f"{forge.parent}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory(prefix="fitchain-slither-") as name:
        folder = Path(name)
        lay_out(folder)
        done = subprocess.run(
            [
                slither,
                ".",
                "--foundry-ignore-compile",
                "--foundry-build-info-directory=build-info",
                "--json=findings.json",
            ],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        try:
            answer = json.loads((folder / "findings.json").read_text())
        except FileNotFoundError:
            answer = {"success": False, "error": done.stderr[-2000:]}
    if not answer["success"]:
        raise NotFound(f"slither found nothing out: {answer['error']}", "delete .tools/slither and run this again")
    return [finding for found in answer["results"]["detectors"] if (finding := finding_of(found)) is not None]


def lay_out(folder: Path) -> None:
    """Write the sources into a folder, and beside them what the compiler makes of them, as forge
    keeps it (build info). No code is asked for, which would take the most time: Slither reads the
    syntax trees."""
    request = compile_contracts.standard_input()
    request["settings"]["outputSelection"] = {"*": {"": ["ast"], "*": ["abi"]}}
    answer = compile_contracts.compiled(request)
    none = {"object": "", "sourceMap": ""}
    for contracts in answer["contracts"].values():
        for contract in contracts.values():
            contract["evm"] = {"bytecode": none, "deployedBytecode": none}
    (folder / "foundry.toml").write_text("[profile.default]\n")
    for source, said in request["sources"].items():
        path = folder / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said["content"])
    build = folder / "build-info"
    build.mkdir()
    (build / "all.json").write_text(json.dumps({"solcVersion": COMPILER, "input": request, "output": answer}))


def finding_of(found: dict[str, Any]) -> Finding | None:
    """A finding in the contracts; None for one in what they import."""
    element = found["elements"][0]
    if not element["source_mapping"]["filename_relative"].startswith("contracts/"):
        return None
    return Finding(found["check"], found["impact"], place_of(element), found["description"].strip())


def place_of(element: dict[str, Any]) -> str:
    """Contract, function, variable, as far as the element has them."""
    parent = element.get("type_specific_fields", {}).get("parent")
    above = f"{place_of(parent)}." if parent and parent["type"] in ("contract", "function") else ""
    return f"{above}{element['name']}"


def unexplained(found: list[Finding]) -> list[Finding]:
    """Grave findings without a reason."""
    return [finding for finding in found if finding.impact in GRAVE and finding.key not in EXPLAINED]


def outdated(found: list[Finding]) -> list[tuple[str, str]]:
    """Explanations of what is not found any more."""
    keys = {finding.key for finding in found if finding.impact in GRAVE}
    return [key for key in EXPLAINED if key not in keys]


def main(arguments: Sequence[str]) -> int:
    """Look, and say what is found.

    Args:
        arguments: of the command line: none, or `install`.

    Returns:
        0 where every grave finding is explained, 1 where one is not, 3 where Slither cannot be had.
    """
    try:
        slither = provide()
        if list(arguments) == ["install"]:
            print(f"{version()}, {slither}")
            return 0
        found = findings(slither)
    except FitchainError as error:
        print(f"slither: {error.message}\n hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    for finding in found:
        if finding.impact in GRAVE:
            print(f"{finding.impact}  {finding.check}  {finding.place}: {EXPLAINED.get(finding.key, finding.says)}")
    open_, gone = unexplained(found), outdated(found)
    for check, place in gone:
        print(f"explained and not found: {check}  {place}")
    lesser = sum(finding.impact not in GRAVE for finding in found)
    print(f"{len(found) - lesser} of high or medium impact, {len(open_)} of them unexplained; {lesser} of less")
    return int(bool(open_ or gone))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
