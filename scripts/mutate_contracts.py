"""Break the contracts on purpose and see that a test notices:
`python -m scripts.mutate_contracts [NAME ...]`.

Each mutation takes one rule out. The contracts, the tests and the settings are copied to a folder
of their own, one line is replaced there, and forge runs the tests that should fail. A mutation that
no test notices survives; its name is printed, and the exit code is 1. What is tried is a list of
rules, not of operators: every attack that a rule prevents rests on one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.ports.chain import node_tools

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("contracts", "tests/contracts", "foundry.toml", "scripts/solc", "snapshots")
TIMEOUT_S = 1800


@dataclass(frozen=True)
class Mutation:
    """One rule taken out.

    Attributes:
        name: what is missing then.
        source: the file, below `contracts/`.
        old: text that stands there once.
        new: what replaces it.
        tests: pattern of the test contracts that should fail.
    """

    name: str
    source: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    Mutation(
        "empty trace taken",
        "Audits.sol",
        "if (isReplay && trace == _emptyTrace(hearing, known)) revert TraceTakesNoReplay(trace);",
        "",
        "AttacksTest",
    ),
    Mutation(
        "round left out of the empty trace",
        "Audits.sol",
        "return Transcript.emptyTrace(AuditId.unwrap(hearing.key), known.round, known.audited);",
        "return Transcript.emptyTrace(AuditId.unwrap(hearing.key), 0, known.audited);",
        "AttacksTest",
    ),
    Mutation(
        "first Withheld is a verdict",
        "Audits.sol",
        "} else if (isWithheld && known.withheldBefore) {",
        "} else if (isWithheld) {",
        "AttacksTest|PhasesTest",
    ),
    Mutation(
        "first silence of the owner is a verdict",
        "Audits.sol",
        "} else if (!known.withheldBefore) {",
        "} else if (false) {",
        "AttacksTest|PhasesTest",
    ),
    Mutation(
        "replays slashed without a quorum",
        "Audits.sol",
        "if (winner == 0 || !_isReplay(outcome)) continue;",
        "if (!_isReplay(outcome)) continue;",
        "VerdictsTest|HonestTest",
    ),
    Mutation(
        "Inconclusive is no absence",
        "Audits.sol",
        "if (outcome == Outcome.Inconclusive) ruling.absent |= bit;",
        "",
        "VerdictsTest|PhasesTest",
    ),
    Mutation(
        "absence costs nothing",
        "Audits.sol",
        "seatStake / ABSENCE_PART : 0",
        "0 : 0",
        "VerdictsTest|PhasesTest",
    ),
    Mutation(
        "fees of seats that do not answer a complaint",
        "Audits.sol",
        "uint16 paid = known.complained ? matching & released : matching;",
        "uint16 paid = matching;",
        "ReleaseTest",
    ),
    Mutation(
        "every joined seat may release",
        "Audits.sol",
        "if (awaitsKey) known.joined = ruling.paid;",
        "",
        "ReleaseTest|SurvivorsTest",
    ),
    Mutation(
        "nonce left out of the seed",
        "Audits.sol",
        "return keccak256(abi.encode(hearing.key, openedHash, nonce));",
        "return keccak256(abi.encode(hearing.key, openedHash));",
        "DrawTest|AttacksTest",
    ),
    Mutation(
        "nonce draws after the turn",
        "Audits.sol",
        "if (block.number > lastBlock) {",
        "if (block.number > lastBlock && nonce == 0) {",
        "DrawTest|AttacksTest",
    ),
    Mutation(
        "history not asked for",
        "Audits.sol",
        "        SeedBlock.requireHistory();\n",
        "",
        "DirectoryTest",
    ),
    Mutation(
        "who joins in the block of the request is eligible",
        "Verifiers.sol",
        "return known.changed == block.number ? known.lengthBefore : known.length;",
        "return known.length;",
        "AttacksTest|AuditTermsTest",
    ),
    Mutation(
        "who was expelled is forgotten",
        "Verifiers.sol",
        "if (expelled) _keep(table, place, entry, entry & NUMBER_LIMIT);",
        "if (expelled) _keep(table, place, entry, 0);",
        "AttacksTest|PlacesTest",
    ),
    Mutation(
        "who moved away is forgotten",
        "Verifiers.sol",
        "if (entry & NUMBER_LIMIT != 0) _keep(table, place, entry, entry & NUMBER_LIMIT); // who moved away from here",
        "",
        "PlacesTest|StabilityTest",
    ),
    Mutation(
        "who came back may be found",
        "Verifiers.sol",
        "return known.gone || known.joined >= jury.requestBlock;",
        "return known.gone;",
        "PlacesTest|StabilityTest",
    ),
    Mutation(
        "places are not given back",
        "Verifiers.sol",
        "_resize(table, uint16(last));",
        "_resize(table, uint16(last + 1));",
        "AttacksTest|PlacesTest",
    ),
    Mutation(
        "who is away is drawn",
        "Verifiers.sol",
        "if (known.away || isParty) return (0, address(0));",
        "if (isParty) return (0, address(0));",
        "AttacksTest|DrawTest",
    ),
    Mutation(
        "parties are drawn",
        "Verifiers.sol",
        "if (known.away || isParty) return (0, address(0));",
        "if (known.away) return (0, address(0));",
        "DrawTest|AgainTest",
    ),
    Mutation(
        "who sits is drawn again when a draw begins anew",
        "Verifiers.sol",
        "search.mayRepeat = search.seats.beganAnew(count);",
        "",
        "DrawTest",
    ),
    Mutation(
        "one stake for any number of seats",
        "Verifiers.sol",
        "known.locked += seatStake;",
        "known.locked = seatStake;",
        "AttacksTest|VerdictsTest",
    ),
    Mutation(
        "stake not asked for",
        "Verifiers.sol",
        "if (free < seatStake) revert StakeTooSmall(free, seatStake);",
        "",
        "AttacksTest|OriginalFaultsTest",
    ),
    Mutation(
        "whole stake slashed",
        "Verifiers.sol",
        "known.stake -= seat.lost;",
        "known.stake = 0;",
        "AttacksTest|VerdictsTest",
    ),
    Mutation(
        "links in the order of joining",
        "Verifiers.sol",
        "uint256 links = isNew ? opening - position : position - opening;",
        "uint256 links = 1;",
        "StakeTest|AttacksTest",
    ),
    Mutation(
        "chain renewed for audits that are open",
        "Verifiers.sol",
        "if (opening <= from) revert ChainIsYounger(from, opening);",
        "",
        "StakeTest",
    ),
    Mutation(
        "draw begins anew with every redraw",
        "libraries/Seats.sol",
        "if (bitmap >> seat & 1 == 1) put(seats, seat, 0, cursorAt(seats, seat));",
        "if (bitmap >> seat & 1 == 1) put(seats, seat, 0, 0);",
        "SurvivorsTest|DrawTest",
    ),
    Mutation(
        "even numbers of seats",
        "Agreements.sol",
        "if (seats % 2 == 0 || seats > SEAT_LIMIT)",
        "if (seats > SEAT_LIMIT)",
        "AttacksTest|AuditTermsTest",
    ),
    Mutation(
        "no floor for fees",
        "Agreements.sol",
        "if (fee < feeFloor) revert FeeBelowFloor(terms.feePerSeat, feeFloor);",
        "",
        "AttacksTest|AuditTermsTest",
    ),
    Mutation(
        "no spare members",
        "Agreements.sol",
        "uint256 needed = seats + (seats + 1) / 2;",
        "uint256 needed = seats;",
        "AuditTermsTest",
    ),
    Mutation(
        "diverging escapes the deadline",
        "Agreements.sol",
        "if (!isWhole && end.groups == 0 && _seatCount(audit) == 0) {",
        "if (false) {",
        "AttacksTest",
    ),
    Mutation(
        "any terms accepted",
        "Agreements.sol",
        "        _requireTerms(known.digest, terms.digest());\n        if (keyCommitment == 0)",
        "        if (keyCommitment == 0)",
        "AnswerTest",
    ),
    Mutation(
        "a Match settled twice",
        "Agreements.sol",
        "        _requireState(id, known.state == State.Auditing);\n\n        _divide(id, known, State.Settled",
        "\n        _divide(id, known, State.Settled",
        "VerdictsTest",
    ),
    Mutation(
        "counter-bond not returned",
        "Agreements.sol",
        "bool returned = !settled || answered && known.complained;",
        "bool returned = !settled;",
        "ReleaseTest",
    ),
    Mutation(
        "panel numbers cut",
        "Registry.sol",
        "uint32 number = (++_panelCount).toUint32();",
        "uint32 number = uint24(++_panelCount);",
        "AttacksTest",
    ),
    Mutation(
        "budgets not kept",
        "Registry.sol",
        "if (!spent.somewhereWithin(account.budget)) revert PrivacyBudgetExceeded(spent, account.budget);",
        "",
        "LedgerTest",
    ),
    Mutation(
        "free orders",
        "Registry.sol",
        "if (charge_.hasZero()) revert ChargeHasZeroLane(charge_);",
        "",
        "LedgerTest",
    ),
    Mutation(
        "datasets beside the ledger",
        "Registry.sol",
        "if (number == 0 && ledgerCount[msg.sender] != 0) revert LedgerNeeded(msg.sender);",
        "",
        "LedgerTest",
    ),
    Mutation(
        "any last leaf",
        "ProofOfTrain.sol",
        "if (computed != subtree) revert LastLeafDiffers(computed, subtree);",
        "",
        "EndingTest",
    ),
    Mutation(
        "any delivered leaf",
        "ProofOfTrain.sol",
        "if (computed != tree) revert DeliveredLeafDiffers(computed, tree);",
        "",
        "EndingTest",
    ),
    Mutation(
        "delivered leaf not audited",
        "ProofOfTrain.sol",
        "if (delivered > 1 && delivered < count - 1) segments++;",
        "",
        "EndingTest",
    ),
    Mutation(
        "bond given whole to the scientist",
        "libraries/Payouts.sol",
        "toScientist: e.price + e.fees + e.counterBond + half,",
        "toScientist: e.price + e.fees + e.counterBond + e.bond,",
        "PayoutsTest|SettlementTest",
    ),
)


def main() -> int:
    """Try the mutations that are named, or all; say which survive."""
    wanted = set(sys.argv[1:])
    unknown = wanted - {mutation.name for mutation in MUTATIONS}
    if unknown:
        print(f"no such mutation: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    survivors = []
    with tempfile.TemporaryDirectory() as name:
        folder = _copy(Path(name))
        for mutation in MUTATIONS:
            if wanted and mutation.name not in wanted:
                continue
            start = time.monotonic()
            noticed = _is_noticed(folder, mutation)
            print(
                f"{'noticed' if noticed else 'SURVIVED'}  {mutation.name} ({time.monotonic() - start:.0f} s)",
                flush=True,
            )
            if not noticed:
                survivors.append(mutation.name)
    print(f"survivors: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


def _copy(folder: Path) -> Path:
    """The project as far as forge needs it."""
    for item in COPIED:
        source, target = ROOT / item, folder / item
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


def _is_noticed(folder: Path, mutation: Mutation) -> bool:
    """Whether the tests fail, and not merely the compiler."""
    path = folder / "contracts" / mutation.source
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.name}: its text stands {text.count(mutation.old)} times in {mutation.source}")
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        forge = node_tools.binary("forge")
        environment = os.environ | node_tools.variables() | {"FORGE_SNAPSHOT_CHECK": "false"}
        command = [str(forge), "test", "--match-contract", f"^({mutation.tests})$"]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    finally:
        path.write_text(text)
    if "Compiler run failed" in done.stdout + done.stderr or "tests passed" not in done.stdout:
        raise SystemExit(
            f"{mutation.name}: forge did not come to the tests\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
