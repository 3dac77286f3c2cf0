"""Attacks on the contracts that forge plays: whoever writes the blocks, keeps time and holds every
account is an attacker that a real node lets nobody be.

Each row names the forge test that plays it and the rule of the contracts on which it rests.
`python -m scripts.mutation.rules` takes that rule out and sees the test fail: the row is caught by
the rule, and not by chance.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache

from fitchain.pod.ports.chain import node_tools
from tests.attacks.attack_lab import AttackLab, Caught
from tests.attacks.on_chain import CONTRACT, DEADLINE, DRAW, RELEASE, TALLY

ROOT = node_tools.ROOT
TIMEOUT_S = 600


@dataclass(frozen=True)
class ForgeAttack:
    """An attack that a forge test plays.

    Args:
        name: what it is called, also in docs/trust.md.
        tried: how it is tried.
        caught: what catches it, where, and how it ends.
        test: the test's contract and name.
        rule: of `scripts.mutation.rules`: without it the test fails.
    """

    name: str
    tried: str
    caught: Caught
    test: str
    rule: str

    def play(self, lab: AttackLab) -> Caught:
        """What catches it, if the test passes; else nobody does."""
        del lab  # forge has a chain of its own
        failed = results()[self.test]
        return Caught("nobody", "nowhere", failed) if failed else self.caught


@cache
def results() -> dict[str, str]:
    """Let forge play all of them, once.

    Returns:
        for each test why it failed; empty where it passed.
    """
    names = sorted({row.test for row in FORGE_ATTACKS})
    pattern = "|".join(name.partition(".")[2] for name in names)
    done = subprocess.run(
        [node_tools.binary("forge"), "test", "--json", "--match-test", rf"^({pattern})\b"],
        cwd=ROOT,
        env=node_tools.variables() | {"FORGE_SNAPSHOT_CHECK": "false"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stdout[-2000:] + done.stderr[-2000:]
    played = {
        f"{suite.rpartition(':')[2]}.{test.partition('(')[0]}": failure(told)
        for suite, found in json.loads(done.stdout).items()
        for test, told in found["test_results"].items()
    }
    return {name: played.get(name, "there is no such test") for name in names}


def failure(told: dict[str, str | None]) -> str:
    """Why a test failed; empty where it passed."""
    return "" if told["status"] == "Success" else told["reason"] or "it failed"


FORGE_ATTACKS = (
    # Votes that take no replay
    ForgeAttack(
        "the trace of zeros",
        "Mismatch by two of three that never opened the evidence, with the trace that everybody can compute",
        Caught(CONTRACT, "reveal: TraceTakesNoReplay", "both count as absent, and the honest seat loses nothing"),
        "AttacksTest.test_attack_twoThatNeverLookAgreeOnTheTraceOfZeros",
        "empty trace taken",
    ),
    ForgeAttack(
        "the trace of zeros of another round",
        "the same in a second vote, with the trace of zeros that is that round's",
        Caught(CONTRACT, "reveal: TraceTakesNoReplay", "each round has one of its own, which is refused"),
        "AttacksTest.test_attack_theTraceOfZerosIsThatOfTheRound",
        "round left out of the empty trace",
    ),
    ForgeAttack(
        "Withheld at the first time",
        "Withheld by a majority that never looked, to take the bond at once",
        Caught(TALLY, "Revealing", "the same seats vote once more; nobody is paid or slashed"),
        "AttacksTest.test_attack_aMajorityThatSaysWithheldEarnsNothing",
        "first Withheld is a verdict",
    ),
    # The jury
    ForgeAttack(
        "a panel stuffed after the request",
        "sixty accounts of the panel's creator moved into its members' places once both parties are bound",
        Caught(DRAW, "Awaiting", "in twenty draws none of them has a seat"),
        "AttacksTest.test_attack_theCreatorStuffsTheAgreedPanelAfterTheRequest",
        "who stood is read as it is now",
    ),
    ForgeAttack(
        "a panel stuffed in the block of the request",
        "thirty accounts appended in that very block, before it",
        Caught(CONTRACT, "request", "the jury is who stood at the end of the block before"),
        "AttacksTest.test_attack_theCreatorStuffsThePanelInTheBlockOfTheRequest",
        "who joins in the block of the request is eligible",
    ),
    ForgeAttack(
        "members expelled before the draw",
        "all members expelled once the seed is known, so that the wanted ones are left",
        Caught(DRAW, "Awaiting", "the same members are drawn, and may join"),
        "AttacksTest.test_attack_theCreatorExpelsHonestMembersBeforeTheDraw",
        "who was expelled is forgotten",
    ),
    ForgeAttack(
        "members named against their will",
        "a panel of strangers who never joined it, to be made liable",
        Caught(CONTRACT, "request: TooFewEligible", "who has not joined by its own transaction is no member"),
        "PlacesTest.test_joinPanel_refusesWhoIsNotInvited",
        "anybody joins any panel",
    ),
    ForgeAttack(
        "a panel of too few to spare one",
        "exactly as many members as seats, so that one that stays away vetoes",
        Caught(CONTRACT, "request: TooFewEligible", "m + (m + 1) / 2 have to be eligible"),
        "AuditTermsTest.test_request_needsSpareMembers",
        "no spare members",
    ),
    ForgeAttack(
        "a panel of thousands of dead members",
        "1,500 members without stake, to make a request too large for a block",
        Caught(CONTRACT, "request", "its cost does not grow with the panel"),
        "AttacksTest.test_attack_aPanelOfThousandsOfDeadMembers",
        "a request counts members",
    ),
    ForgeAttack(
        "a panel's number that is cut",
        "so many panels that a later one has an earlier one's number",
        Caught(CONTRACT, "createPanel: SafeCastOverflowedUintDowncast", "numbers are cast with a check"),
        "AttacksTest.test_attack_aPanelNumberThatIsCut",
        "panel numbers cut",
    ),
    # Stake
    ForgeAttack(
        "a verifier away for a joining window",
        "silence of ten minutes punished with the whole stake",
        Caught(DEADLINE, "Joining", "it is out of draws until it says that it is there, and loses nothing"),
        "AttacksTest.test_attack_whoIsOfflineInAJoiningWindowLosesNothing",
        "silence in a joining window burns the stake",
    ),
    ForgeAttack(
        "a loss beyond the seat",
        "a seat of little stake, taken by a verifier that has much",
        Caught(TALLY, "Revealing", "a false vote loses what the seat reserved, and no more"),
        "AttacksTest.test_attack_aLieCostsTheSeatsStakeAndNotAll",
        "whole stake slashed",
    ),
    ForgeAttack(
        "a vote without stake",
        "a seat joined by a verifier that has none left",
        Caught(CONTRACT, "join: StakeTooSmall", "it does not sit"),
        "AttacksTest.test_attack_aVerifierSlashedToNothingHasNoVote",
        "stake not asked for",
    ),
    ForgeAttack(
        "one stake for many seats",
        "one stake's worth of several audits at once",
        Caught(CONTRACT, "join: StakeTooSmall", "each seat reserves its own"),
        "AttacksTest.test_attack_oneStakeDoesNotCoverTwoSeats",
        "one stake for any number of seats",
    ),
    ForgeAttack(
        "reserved stake taken back",
        "a false vote committed, and the stake withdrawn before it counts",
        Caught(CONTRACT, "unstake: StakeTooSmall", "what a seat reserved stays until it is settled"),
        "AttacksTest.test_attack_aLiarLeavesWithItsStakeBeforeItsVoteCounts",
        "reserved stake may be taken back",
    ),
    # Seeds
    ForgeAttack(
        "a builder's choice of the opening block",
        "400 headers tried for three colluding seats",
        Caught(DRAW, "Awaiting", "the asker's nonce is not known to whoever builds; seats fall as by chance"),
        "AttacksTest.test_attack_aBuilderPicksTheHeaderOfTheOpening",
        "nonce left out of the seed",
    ),
    ForgeAttack(
        "an asker that chooses between two seeds",
        "its nonce kept back until the turn is over, and revealed if it suits better",
        Caught(CONTRACT, "draw", "after the turn only the hash of its last block draws"),
        "AttacksTest.test_attack_theAskerChoosesBetweenTwoSeeds",
        "nonce draws after the turn",
    ),
    ForgeAttack(
        "segments aimed at by the last to join",
        "links of other openings and a new chain tried, until no faked segment is drawn",
        Caught(CONTRACT, "join: LinkDiffers, ChainIsYounger", "each verifier has one link for an audit"),
        "AttacksTest.test_attack_theLastToJoinAimsAtTheSegments",
        "links in the order of joining",
    ),
    ForgeAttack(
        "segments drawn again",
        "a redraw, in the hope of other segments",
        Caught(CONTRACT, "join", "segments are fixed when joining first closes"),
        "PhasesTest.test_redraw_leavesTheSegments",
        "segments drawn anew in every round",
    ),
    # The pool, and time
    ForgeAttack(
        "a pool choked by stakes that leave",
        "200 refundable stakes that take places and give them up",
        Caught(DRAW, "Awaiting", "places are used again: forty draws of five find everybody"),
        "AttacksTest.test_attack_refundableStakesChokeThePool",
        "places are not given back",
    ),
    ForgeAttack(
        "stakes that are drawn and silent",
        "seats that nobody takes, in one audit after the other",
        Caught(DEADLINE, "Joining", "who was silent is not drawn again: it stalls once"),
        "AttacksTest.test_attack_silentStakesStallOnce",
        "who is silent is not away",
    ),
    ForgeAttack(
        "joining prolonged by declining",
        "one that declines after the other, window by window",
        Caught(CONTRACT, "draw: DeadlinePassed", "after the wait nobody is drawn"),
        "DrawTest.test_decline_afterTheWaitLeavesTheSeatEmpty",
        "draws in joining after the wait",
    ),
    ForgeAttack(
        "an owner cut off for a window",
        "the owner's line cut until the time for evidence is over, to take its bond",
        Caught(DEADLINE, "Evidence", "the same seats wait one window more"),
        "AttacksTest.test_attack_cuttingTheOwnersLineForAWindow",
        "first silence of the owner is a verdict",
    ),
    ForgeAttack(
        "a redraw without end",
        "seats that join and stay away in every round",
        Caught(DEADLINE, "Committing", "each loses a tenth; after two redraws the audit ends"),
        "PhasesTest.test_redraw_happensTwiceAtMost",
        "redraws without end",
    ),
    # Fees and votes
    ForgeAttack(
        "an even number of seats",
        "two seats, of which the lazy one blocks",
        Caught(CONTRACT, "request: SeatCountRefused", "a vote has a majority or none"),
        "AttacksTest.test_attack_aLazyVerifierOfTwo",
        "even numbers of seats",
    ),
    ForgeAttack(
        "seats that cost nothing",
        "a fee and a stake of zero, so that blocking is free",
        Caught(CONTRACT, "request: FeeBelowFloor", "a deployment has a floor"),
        "AttacksTest.test_attack_seatsThatCostNothing",
        "no floor for fees",
    ),
    ForgeAttack(
        "honest seats slashed without a quorum",
        "three different votes, to have the honest one slashed",
        Caught(TALLY, "Revealing", "without a quorum of equal votes nobody is paid or slashed"),
        "VerdictsTest.test_inconclusive_paysNobodyAndGivesAllBack",
        "replays slashed without a quorum",
    ),
    # Keys
    ForgeAttack(
        "garbage released, and then nothing",
        "garbage released by the winning owner, which is paid; the key of the seats refused after it",
        Caught(RELEASE, "Released", "every seat of the Match releases too, and is paid for it"),
        "AttacksTest.test_attack_anOwnerThatReleasesGarbage",
        "nothing released after the first release",
    ),
    ForgeAttack(
        "seats that keep the key",
        "a complaint that no seat answers, whose fees are due all the same",
        Caught(DEADLINE, "Released", "after a complaint only seats that release are paid"),
        "ReleaseTest.test_complain_paysOnlySeatsThatReleaseWithinATurn",
        "fees of seats that do not answer a complaint",
    ),
    ForgeAttack(
        "a complaint to shorten the window",
        "a complaint right after the Match, to halve the time in which the owner has to release",
        Caught(CONTRACT, "complain", "no complaint moves the deadline forward"),
        "ReleaseTest.test_complain_shortensNobodysWindow",
        "a complaint shortens the release window",
    ),
    # Money
    ForgeAttack(
        "a deadline escaped by diverging",
        "diverge at leaf 0 in the last second, nothing trained, where nobody can dispute it",
        Caught(CONTRACT, "diverge", "the bond is forfeited as for a missed deadline"),
        "AttacksTest.test_attack_escapingTheDeadlineByDiverging",
        "diverging escapes the deadline",
    ),
    ForgeAttack(
        "a permit used by somebody else",
        "another's permit sent first, to make its call fail",
        Caught(CONTRACT, "request", "a permit may fail; the allowance decides"),
        "RequestTest.test_request_standsWhenSomebodyElseUsedThePermit",
        "a permit that somebody else used stops the call",
    ),
    ForgeAttack(
        "fees of another audit taken back twice",
        "fees that nobody consented to, taken back once more",
        Caught(CONTRACT, "takeBack: NothingAsked", "a question is answered once"),
        "AgainTest.test_takeBack_givesTheFeesBackOnce",
        "fees taken back twice",
    ),
    ForgeAttack(
        "fees of another audit taken back after consent",
        "consent waited for, and the fees taken back before the seats are paid",
        Caught(CONTRACT, "takeBack: NothingAsked", "what is consented to is the seats'"),
        "AgainTest.test_takeBack_refusesWhatWasConsentedTo",
        "fees taken back of what was consented to",
    ),
    ForgeAttack(
        "other terms than were asked for",
        "consent to another audit by other terms than whoever asked for it has paid",
        Caught(CONTRACT, "consent: TermsDiffer", "the chain keeps the hash of what was asked"),
        "AgainTest.test_consent_isTheOwnersOnceInTimeAndToWhatWasAsked",
        "consent to other terms than were asked",
    ),
    ForgeAttack(
        "another audit as a second verdict",
        "a Mismatch of another audit, to take the bond of a job that is settled",
        Caught(CONTRACT, "concludeAudit", "the asker pays its seats, and no money of the parties moves"),
        "AgainTest.test_again_mismatchIsPaidByTheAskerAndTakesNoBond",
        "another audit settles the job again",
    ),
    # Transcripts, budgets, deployments
    ForgeAttack(
        "another leaf delivered than was trained",
        "a delivered leaf that is none of the transcript's tree",
        Caught(CONTRACT, "finish: DeliveredLeafDiffers", "its path leads to another root"),
        "EndingTest.test_finish_refusesAForgedDeliveredLeaf",
        "any delivered leaf",
    ),
    ForgeAttack(
        "jobs beyond the privacy budget",
        "one more training on records whose budget is spent",
        Caught(CONTRACT, "accept: PrivacyBudgetExceeded", "no lane of the ledger holds it"),
        "LedgerTest.test_accept_refusesBeyondTheBudget",
        "budgets not kept",
    ),
    ForgeAttack(
        "two jobs that race for the last of a budget",
        "two requests that fit alone, both accepted",
        Caught(CONTRACT, "accept: PrivacyBudgetExceeded", "the second is not charged"),
        "LedgerTest.test_accept_refusesTheSecondOfTwoThatRaceForTheLastOfABudget",
        "budgets not kept",
    ),
    ForgeAttack(
        "a budget raised after a request",
        "more epsilon for a job that is asked for, beyond what patients were told",
        Caught(CONTRACT, "lowerBudget: BudgetRises", "a budget is set once, and may only fall"),
        "LedgerTest.test_lowerBudget_refusesToRaiseItForAJobThatIsAskedFor",
        "budgets that rise",
    ),
    ForgeAttack(
        "a charge escaped by diverging",
        "a private job that diverges, to be asked for again as if it had cost nothing",
        Caught(CONTRACT, "accept: PrivacyBudgetExceeded", "the charge stays, and the next job does not fit"),
        "LedgerTest.test_charge_isNotEscapedByDiverging",
        "charges not kept",
    ),
    ForgeAttack(
        "records registered beside their ledger",
        "a dataset without a ledger, by an account that has one",
        Caught(CONTRACT, "registerDataset: LedgerNeeded", "every dataset of the account names a ledger"),
        "LedgerTest.test_registerDataset_namesALedgerOnceThereIsOne",
        "datasets beside the ledger",
    ),
    ForgeAttack(
        "records asked for beside a later ledger",
        "a dataset that is older than its owner's ledger, and so is charged to none",
        Caught(CONTRACT, "request: LedgerNeeded", "it is on offer no more once the ledger is open"),
        "LedgerTest.test_request_refusesADatasetThatIsOlderThanTheLedger",
        "datasets from before the ledger",
    ),
    ForgeAttack(
        "two jobs of one transaction beyond a budget",
        "an account that runs code accepts two requests that fit alone, at once",
        Caught(CONTRACT, "accept: PrivacyBudgetExceeded", "the second is not charged"),
        "LedgerTest.test_accept_refusesTwoOfOneTransactionThatAreTooMuchTogether",
        "budgets not kept",
    ),
    ForgeAttack(
        "a contract beside the listed one",
        "a second contract Audits, with a turn of its own, for the same deployment",
        Caught(CONTRACT, "constructor: ListedElsewhere", "only what stands where the list says is created"),
        "DirectoryTest.test_create_refusesAContractThatStandsElsewhere",
        "a contract that is not the listed one",
    ),
)
