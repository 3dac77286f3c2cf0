"""Take one rule out of the contracts at a time and see that a test notices:
`python -m scripts.mutation.rules [NAME ...]`.

The contracts, the tests and the settings are copied to a folder of their own, one text is replaced
there, and forge runs the tests that should fail. A rule whose absence no test notices survives; its
name is printed, and the exit code is 1. What is tried is a list of rules, not of operators
(`scripts.mutation.operators`): every attack that a contract prevents rests on one of them
(`tests/attacks/on_forge.py` names it). Without a name, what was tried over these sources is not
tried again (`scripts.mutation.fates`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial

from scripts.mutation.fates import Fates, digest_of_sources
from scripts.mutation.forge_copy import ROOT, Fate, ForgeCopy


@dataclass(frozen=True)
class Rule:
    """One rule that can be taken out.

    Args:
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

    def broken(self) -> str:
        """The file without the rule.

        Raises:
            ValueError: its text does not stand there exactly once.
        """
        text = (ROOT / "contracts" / self.source).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: its text stands {text.count(self.old)} times in {self.source}")
        return text.replace(self.old, self.new)


RULES = (
    Rule(
        "empty trace taken",
        "Audits.sol",
        "if (isReplay && trace == _emptyTrace(hearing, known)) revert TraceTakesNoReplay(trace);",
        "",
        "AttacksTest",
    ),
    Rule(
        "round left out of the empty trace",
        "Audits.sol",
        "return Transcript.emptyTrace(AuditId.unwrap(hearing.key), known.round, known.audited);",
        "return Transcript.emptyTrace(AuditId.unwrap(hearing.key), 0, known.audited);",
        "AttacksTest",
    ),
    Rule(
        "first Withheld is a verdict",
        "Audits.sol",
        "} else if (isWithheld && known.withheldBefore) {",
        "} else if (isWithheld) {",
        "AttacksTest|PhasesTest",
    ),
    Rule(
        "first silence of the owner is a verdict",
        "Audits.sol",
        "} else if (!known.withheldBefore) {",
        "} else if (false) {",
        "AttacksTest|PhasesTest",
    ),
    Rule(
        "replays slashed without a quorum",
        "Audits.sol",
        "if (winner == 0 || !_isReplay(outcome)) continue;",
        "if (!_isReplay(outcome)) continue;",
        "VerdictsTest|HonestTest",
    ),
    Rule(
        "Inconclusive is no absence",
        "Audits.sol",
        "if (outcome == Outcome.Inconclusive) ruling.absent |= bit;",
        "",
        "VerdictsTest|PhasesTest",
    ),
    Rule(
        "absence costs nothing",
        "Audits.sol",
        "seatStake / ABSENCE_PART : 0",
        "0 : 0",
        "VerdictsTest|PhasesTest",
    ),
    Rule(
        "fees of seats that do not answer a complaint",
        "Audits.sol",
        "uint16 paid = known.complained ? matching & released : matching;",
        "uint16 paid = matching;",
        "ReleaseTest",
    ),
    Rule(
        "every joined seat may release",
        "Audits.sol",
        "if (awaitsKey) known.joined = ruling.paid;",
        "",
        "ReleaseTest|SurvivorsTest",
    ),
    Rule(
        "nonce left out of the seed",
        "Audits.sol",
        "return keccak256(abi.encode(hearing.key, openedHash, nonce));",
        "return keccak256(abi.encode(hearing.key, openedHash));",
        "DrawTest|AttacksTest",
    ),
    Rule(
        "nonce draws after the turn",
        "Audits.sol",
        "if (block.number > lastBlock) {",
        "if (block.number > lastBlock && nonce == 0) {",
        "DrawTest|AttacksTest",
    ),
    Rule(
        "history not asked for",
        "Audits.sol",
        "        SeedBlock.requireHistory();\n",
        "",
        "DirectoryTest",
    ),
    Rule(
        "who joins in the block of the request is eligible",
        "Verifiers.sol",
        "return known.changed == block.number ? known.lengthBefore : known.length;",
        "return known.length;",
        "AttacksTest|AuditTermsTest",
    ),
    Rule(
        "who was expelled is forgotten",
        "Verifiers.sol",
        "if (expelled) _keep(table, place, entry, entry & NUMBER_LIMIT);",
        "if (expelled) _keep(table, place, entry, 0);",
        "AttacksTest|PlacesTest",
    ),
    Rule(
        "who moved away is forgotten",
        "Verifiers.sol",
        "if (entry & NUMBER_LIMIT != 0) _keep(table, place, entry, entry & NUMBER_LIMIT); // who moved away from here",
        "",
        "PlacesTest|StabilityTest",
    ),
    Rule(
        "who came back may be found",
        "Verifiers.sol",
        "return known.gone || known.joined >= jury.requestBlock;",
        "return known.gone;",
        "PlacesTest|StabilityTest",
    ),
    Rule(
        "places are not given back",
        "Verifiers.sol",
        "_resize(table, uint16(last));",
        "_resize(table, uint16(last + 1));",
        "AttacksTest|PlacesTest",
    ),
    Rule(
        "who is away is drawn",
        "Verifiers.sol",
        "if (known.away || isParty) return (0, address(0));",
        "if (isParty) return (0, address(0));",
        "AttacksTest|DrawTest",
    ),
    Rule(
        "parties are drawn",
        "Verifiers.sol",
        "if (known.away || isParty) return (0, address(0));",
        "if (known.away) return (0, address(0));",
        "DrawTest|AgainTest",
    ),
    Rule(
        "who sits is drawn again when a draw begins anew",
        "Verifiers.sol",
        "search.mayRepeat = search.seats.beganAnew(count);",
        "",
        "DrawTest",
    ),
    Rule(
        "one stake for any number of seats",
        "Verifiers.sol",
        "known.locked += seatStake;",
        "known.locked = seatStake;",
        "AttacksTest|VerdictsTest",
    ),
    Rule(
        "stake not asked for",
        "Verifiers.sol",
        "if (free < seatStake) revert StakeTooSmall(free, seatStake);",
        "",
        "AttacksTest|OriginalFaultsTest",
    ),
    Rule(
        "whole stake slashed",
        "Verifiers.sol",
        "known.stake -= seat.lost;",
        "known.stake = 0;",
        "AttacksTest|VerdictsTest",
    ),
    Rule(
        "too little stake holds a place in the pool",
        "Verifiers.sol",
        "        if (known.stake < poolStake && _stands(POOL, account)) _leave(POOL, account);\n",
        "",
        "SurvivorsTest",
    ),
    Rule(
        "who left the pool leaves it again when it is penalised",
        "Verifiers.sol",
        "if (known.stake < poolStake && _stands(POOL, account)) _leave(POOL, account);",
        "if (known.stake < poolStake) _leave(POOL, account);",
        "SurvivorsTest",
    ),
    Rule(
        "who stakes more stands from then on",
        "Verifiers.sol",
        "        if (link != 0) _commitTo(known, link);\n",
        """        if (link != 0) _commitTo(known, link);
        for (uint32 panel = 0; panel < 2; panel++) {
            uint16 place = _memberships[panel][msg.sender].place;
            if (place != 0) _write(_tables[panel], place - 1, number);
        }
""",
        "SurvivorsTest",
    ),
    Rule(
        "links in the order of joining",
        "Verifiers.sol",
        "uint256 links = isNew ? opening - position : position - opening;",
        "uint256 links = 1;",
        "StakeTest|AttacksTest",
    ),
    Rule(
        "chain renewed for audits that are open",
        "Verifiers.sol",
        "if (opening <= from) revert ChainIsYounger(from, opening);",
        "",
        "StakeTest",
    ),
    Rule(
        "draw begins anew with every redraw",
        "libraries/Seats.sol",
        "if (bitmap >> seat & 1 == 1) put(seats, seat, 0, cursorAt(seats, seat));",
        "if (bitmap >> seat & 1 == 1) put(seats, seat, 0, 0);",
        "SurvivorsTest|DrawTest",
    ),
    Rule(
        "even numbers of seats",
        "Agreements.sol",
        "if (seats % 2 == 0 || seats > SEAT_LIMIT)",
        "if (seats > SEAT_LIMIT)",
        "AttacksTest|AuditTermsTest",
    ),
    Rule(
        "no floor for fees",
        "Agreements.sol",
        "if (fee < feeFloor) revert FeeBelowFloor(terms.feePerSeat, feeFloor);",
        "",
        "AttacksTest|AuditTermsTest",
    ),
    Rule(
        "no spare members",
        "Agreements.sol",
        "uint256 needed = seats + (seats + 1) / 2;",
        "uint256 needed = seats;",
        "AuditTermsTest",
    ),
    Rule(
        "diverging escapes the deadline",
        "Agreements.sol",
        "if (!isWhole && end.groups == 0 && _seatCount(audit) == 0) {",
        "if (false) {",
        "AttacksTest",
    ),
    Rule(
        "any terms accepted",
        "Agreements.sol",
        "        _requireTerms(known.digest, terms.digest());\n        if (keyCommitment == 0)",
        "        if (keyCommitment == 0)",
        "AnswerTest",
    ),
    Rule(
        "a Match settled twice",
        "Agreements.sol",
        "        _requireState(id, known.state == State.Auditing);\n\n        _divide(id, known, State.Settled",
        "\n        _divide(id, known, State.Settled",
        "VerdictsTest",
    ),
    Rule(
        "counter-bond not returned",
        "Agreements.sol",
        "bool returned = !settled || answered && known.complained;",
        "bool returned = !settled;",
        "ReleaseTest",
    ),
    Rule(
        "panel numbers cut",
        "Registry.sol",
        "uint32 number = (++_panelCount).toUint32();",
        "uint32 number = uint24(++_panelCount);",
        "AttacksTest",
    ),
    Rule(
        "budgets not kept",
        "Registry.sol",
        "if (!spent.somewhereWithin(budget)) revert PrivacyBudgetExceeded(spent, budget);",
        "",
        "LedgerTest",
    ),
    Rule(
        "charges not kept",
        "Registry.sol",
        "        account.spent = spent;\n",
        "",
        "LedgerTest",
    ),
    Rule(
        "free orders",
        "Registry.sol",
        "if (charge_.hasZero()) revert ChargeHasZeroLane(charge_);",
        "",
        "LedgerTest",
    ),
    Rule(
        "datasets beside the ledger",
        "Registry.sol",
        "if (number == 0 && ledgerCount[msg.sender] != 0) revert LedgerNeeded(msg.sender);",
        "",
        "LedgerTest",
    ),
    Rule(
        "datasets from before the ledger",
        "Registry.sol",
        "if (number == 0 && ledgerCount[owner] != 0) revert LedgerNeeded(owner);",
        "",
        "LedgerTest",
    ),
    Rule(
        "any last leaf",
        "ProofOfTrain.sol",
        "if (computed != subtree) revert LastLeafDiffers(computed, subtree);",
        "",
        "EndingTest",
    ),
    Rule(
        "any delivered leaf",
        "ProofOfTrain.sol",
        "if (computed != tree) revert DeliveredLeafDiffers(computed, tree);",
        "",
        "EndingTest",
    ),
    Rule(
        "delivered leaf not audited",
        "ProofOfTrain.sol",
        "if (delivered > 1 && delivered < count - 1) segments++;",
        "",
        "EndingTest",
    ),
    Rule(
        "bond given whole to the scientist",
        "libraries/Payouts.sol",
        "toScientist: e.price + e.fees + e.counterBond + half,",
        "toScientist: e.price + e.fees + e.counterBond + e.bond,",
        "PayoutsTest|SettlementTest",
    ),
    Rule(
        "a complaint shortens the release window",
        "Audits.sol",
        "known.deadline = uint40(Math.max(known.deadline, block.timestamp + known.window / 2));",
        "known.deadline = uint40(block.timestamp + known.window / 2);",
        "ReleaseTest",
    ),
    Rule(
        "draws in joining after the wait",
        "Audits.sol",
        "            _requireInTime(known.waitDeadline); // else whoever declines could prolong joining without end\n",
        "",
        "DrawTest",
    ),
    Rule(
        "who declines draws for every empty seat",
        "Audits.sol",
        "else _drawInto(hearing, known, seats_, bit);",
        "else _drawInto(hearing, known, seats_, _emptySeats(known, seats_));",
        "DrawTest",
    ),
    Rule(
        "who stood is read as it is now",
        "Verifiers.sol",
        "if (entry >> SINCE_SHIFT < number) return (entry & NUMBER_LIMIT, place < length);",
        "if (place < length) return (entry & NUMBER_LIMIT, true);",
        "AttacksTest|PlacesTest",
    ),
    Rule(
        "who is silent is not away",
        "Audits.sol",
        "if (silent >> seat & 1 == 1) verifiers.dismiss(seats_.numberAt(seat));",
        "",
        "AttacksTest|PhasesTest",
    ),
    Rule(
        "reserved stake may be taken back",
        "Verifiers.sol",
        "        uint256 free = known.stake - known.locked;\n        if (amount > free)",
        "        uint256 free = known.stake;\n        if (amount > free)",
        "AttacksTest|StakeTest",
    ),
    Rule(
        "anybody joins any panel",
        "Verifiers.sol",
        "if (!_memberships[number][msg.sender].invited) revert NotInvited(panel, msg.sender);",
        "",
        "PlacesTest|AuditTermsTest",
    ),
    Rule(
        "who joins is not asked whether it was drawn",
        "Verifiers.sol",
        "if (number == 0 || known.account != account) revert CallerIsNotDrawn(account, known.account);",
        "",
        "PhasesTest|OriginalFaultsTest",
    ),
    Rule(
        "segments drawn anew in every round",
        "Audits.sol",
        "if (!known.segmentsFixed) {",
        "if (true) {",
        "PhasesTest",
    ),
    Rule(
        "redraws of who reveals nothing without end",
        "Audits.sol",
        "bool mayRedraw = ruling.absent != 0 && known.redraws < REDRAW_LIMIT;",
        "bool mayRedraw = ruling.absent != 0;",
        "PhasesTest",
    ),
    Rule(
        "redraws without end",
        "types/Audit.sol",
        "uint8 constant REDRAW_LIMIT = 2;",
        "uint8 constant REDRAW_LIMIT = 200;",
        "PhasesTest",
    ),
    Rule(
        "commitments that anybody may reveal",
        "Audits.sol",
        "abi.encode(hearing.key, round, msg.sender, outcome, trace, salt)",
        "abi.encode(hearing.key, round, address(0), outcome, trace, salt)",
        "OriginalFaultsTest|PhasesTest",
    ),
    Rule(
        "votes of an earlier round",
        "Audits.sol",
        "abi.encode(hearing.key, round, msg.sender, outcome, trace, salt)",
        "abi.encode(hearing.key, uint8(0), msg.sender, outcome, trace, salt)",
        "PhasesTest",
    ),
    Rule(
        "Withheld counted without Mismatch",
        "Audits.sol",
        "isWithheld = _isQuorum(known, against) && (withheld > 0 || known.withheldBefore);",
        "isWithheld = _isQuorum(known, withheld);",
        "VerdictsTest|PhasesTest",
    ),
    Rule(
        "seats release before their turn",
        "Audits.sol",
        "if (!known.complained && block.timestamp <= until) revert ReleaseIsOwners(until, block.timestamp);",
        "",
        "ReleaseTest",
    ),
    Rule(
        "any other seat releases",
        "Audits.sol",
        "if (matching & bit == 0 || _ballots[hearing.key][seat].accountOf() != msg.sender) continue;",
        "if (matching & bit == 0) continue;",
        "ReleaseTest",
    ),
    Rule(
        "anybody ends the release window",
        "Agreements.sol",
        "if (accepting != address(0) && accepting != known.scientist) {",
        "if (false) {",
        "ReleaseTest",
    ),
    Rule(
        "a complaint that the scientist takes back by accepting",
        "Audits.sol",
        "if (known.complained) revert ComplainedAlready(id, ordinal); // else the seats would lose their turn",
        "",
        "ReleaseTest",
    ),
    Rule(
        "no bounds for a seat's stake",
        "Agreements.sol",
        "if (terms.seatStake < LEAST_STAKE_IN_FEES * fee || terms.seatStake > MOST_STAKE_IN_FEES * fee) {",
        "if (false) {",
        "AuditTermsTest",
    ),
    Rule(
        "a bond that does not cover the fees",
        "Agreements.sol",
        "if (terms.bond < fees) revert BondBelowFees(terms.bond, fees);",
        "",
        "AuditTermsTest",
    ),
    Rule(
        "no quorum, and the price is not halved",
        "libraries/Payouts.sol",
        "uint256 half = kind == AuditKind.Dispute ? e.price / 2 : 0;",
        "uint256 half = kind == AuditKind.Dispute ? e.price : 0;",
        "PayoutsTest|VerdictsTest",
    ),
    Rule(
        "a permit that somebody else used stops the call",
        "libraries/Payment.sol",
        "try fitCoin.permit(msg.sender, address(this), p.value, p.deadline, p.v, p.r, p.s) {} catch {}",
        "fitCoin.permit(msg.sender, address(this), p.value, p.deadline, p.v, p.r, p.s);",
        "RequestTest|AnswerTest",
    ),
    Rule(
        "the asker of another audit is drawn",
        "Verifiers.sol",
        "bool isParty = account == jury.owner || account == jury.scientist || account == jury.asker;",
        "bool isParty = account == jury.owner || account == jury.scientist;",
        "AgainTest",
    ),
    Rule(
        "consent to other terms than were asked",
        "Agreements.sol",
        "        _requireTerms(question.digest, keccak256(abi.encode(terms, nonceCommitment)));\n",
        "",
        "AgainTest",
    ),
    Rule(
        "another audit of what was not delivered",
        "Agreements.sol",
        "        _requireState(id, known.state == State.Settled || known.state == State.Halved);\n",
        "",
        "AgainTest",
    ),
    Rule(
        "fees taken back twice",
        "Agreements.sol",
        "        question.fees = 0;\n        _credit(question.asker, fees);",
        "        _credit(question.asker, fees);",
        "AgainTest",
    ),
    Rule(
        "fees taken back of what was consented to",
        "Agreements.sol",
        "        question.consented = true;\n",
        "",
        "AgainTest",
    ),
    Rule(
        "another audit waits for a key",
        "Audits.sol",
        "bool awaitsKey = ruling.verdict == Outcome.Match && known.kind != AuditKind.Again;",
        "bool awaitsKey = ruling.verdict == Outcome.Match;",
        "AgainTest",
    ),
    Rule(
        "silence in a dispute window keeps the price",
        "Agreements.sol",
        "        _requireEnded(id, known);\n        _requireTimedOut(known.deadline);\n",
        "        _requireEnded(id, known);\n",
        "SettlementTest",
    ),
    Rule(
        "late anchors",
        "ProofOfTrain.sol",
        "if (ended != 0) revert RunHasEnded(id);\n        if (block.timestamp > deadline)",
        "if (ended != 0) revert RunHasEnded(id);\n        if (block.timestamp > deadline + 1 days)",
        "AnchorTest|EndingTest",
    ),
    Rule(
        "any nonce begins the run",
        "Agreements.sol",
        "_requireTerms(known.digest, keccak256(abi.encode(terms, keyCommitment)));",
        "",
        "SeedTest",
    ),
    Rule(
        "peaks of another transcript",
        "ProofOfTrain.sol",
        "if (given != bytes28(run_.progress)) revert PeaksDiffer(given, bytes28(run_.progress));",
        "",
        "AnchorTest|EndingTest",
    ),
    Rule(
        "an anchor of another run",
        "ProofOfTrain.sol",
        "bytes28(keccak256(abi.encode(msg.sender, seed, groups, peaks)))",
        "bytes28(keccak256(abi.encode(msg.sender, groups, peaks)))",
        "AnchorTest",
    ),
    Rule(
        "a contract that is not the listed one",
        "Audits.sol",
        "if (listed.audits != address(this)) revert ListedElsewhere(address(this), listed.audits);",
        "",
        "DirectoryTest",
    ),
    Rule(
        "anybody fills a directory",
        "Directory.sol",
        "if (msg.sender != deployer) revert CallerIsNotDeployer(msg.sender, deployer);",
        "",
        "DirectoryTest",
    ),
    Rule(
        "budgets that rise",
        "Registry.sol",
        "if (!budget.nowhereAbove(known.budget)) revert BudgetRises(budget, known.budget);",
        "",
        "LedgerTest",
    ),
    Rule(
        "a charge beside the ledger",
        "Agreements.sol",
        "if ((terms.charge == 0) != (ledger == 0)) revert ChargeRefused(terms.charge, ledger);",
        "",
        "LedgerTest|RequestTest",
    ),
    Rule(
        "nobody is drawn for who is silent",
        "Audits.sol",
        "if (mayWait && joined != _everySeat(known) && !_isExhausted(hearing, seats_)) {",
        "if (false) {",
        "PhasesTest|DrawTest",
    ),
    Rule(
        "who is invited is a member",
        "Verifiers.sol",
        "            _memberships[number][accounts[i]].invited = true;\n",
        """            _memberships[number][accounts[i]].invited = true;
            if (numberOf[accounts[i]] == 0 || _memberships[number][accounts[i]].place != 0) continue;
            Table storage table = _tables[number];
            uint256 place = table.places.length;
            _write(table, place, numberOf[accounts[i]]);
            _resize(table, uint16(place + 1));
            (_memberships[number][accounts[i]].place, _memberships[number][accounts[i]].joined) =
                (uint16(place + 1), block.number.toUint40());
""",
        "AttacksTest|PlacesTest",
    ),
    Rule(
        "silence in a joining window burns the stake",
        "Verifiers.sol",
        "        known.away = true;\n",
        "        known.away = true;\n        known.stake = 0;\n",
        "AttacksTest|PhasesTest",
    ),
    Rule(
        "nothing released after the first release",
        "Audits.sol",
        "if (phase != Phase.Matched && phase != Phase.Released) {",
        "if (phase != Phase.Matched) {",
        "AttacksTest|ReleaseTest",
    ),
    Rule(
        "a request counts members",
        "Verifiers.sol",
        "        eligible = length;\n",
        "        for (uint256 i = 0; i < length; i++) {\n"
        "            if (_tables[panel].entries[i] != 0) eligible++;\n"
        "        }\n",
        "AttacksTest",
    ),
    Rule(
        "another audit settles the job again",
        "Agreements.sol",
        "if (kind == AuditKind.Again) {",
        "if (false) {",
        "AgainTest",
    ),
)


def main() -> int:
    """Take out the rules that are named, or all; say which survive."""
    wanted = set(sys.argv[1:])
    if unknown := wanted - {rule.name for rule in RULES}:
        print(f"no such rule: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    survivors, fates = [], Fates(digest_of_sources())
    with ForgeCopy.made() as copy:
        for rule in RULES:
            if wanted and rule.name not in wanted:
                continue
            change = rule.source, rule.old, rule.new
            if not wanted and (known := fates.known(rule.tests).get(change)) is not None:
                fate, how = known, "known"
            else:
                fate, seconds = fates.tried(
                    change, partial(copy.fate, rule.source, rule.broken(), rule.tests), rule.tests
                )
                how = f"{seconds:.0f} s"
            print(f"{fate.value}  {rule.name} ({how})", flush=True)
            if fate is not Fate.NOTICED:
                survivors.append(rule.name)
    print(f"survivors: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
