// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {AuditKind, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {CallerIsNotAudits, CallerIsNotScientist, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Where the money of an audit and of a dispute goes, verdict by verdict.
contract VerdictsTest is AuditFixture {
    uint256 private constant FEES = 3 * FEE;

    function burnedSince(uint256 supply) private view returns (uint256) {
        return supply - fit.totalSupply();
    }

    function assertSeat(AgreementId id, uint256 seat, uint256 stake_, uint256 earned) private view {
        assertStake(seatOf(id, seat), stake_);
        assertEarned(seatOf(id, seat), earned);
    }

    /// @dev The release window of a Match, to its end.
    function close(AgreementId id) private {
        release(id);
        advanceLate(id);
        assertPhase(id, Phase.Concluded);
    }

    // --- locking and unlocking the fees

    function test_request_locksPriceAndFees() public {
        requested("salt", auditedTerms(3));

        vm.assertEq(fit.balanceOf(address(agreements)), PRICE + FEES, "price and fees are not locked");
    }

    function test_reject_givesTheFeesBack() public {
        AgreementId id = requested("salt", auditedTerms(3));

        vm.prank(owner);
        agreements.reject(id, "");

        assertOwed(scientist, PRICE + FEES);
    }

    function test_cancel_givesTheFeesBack() public {
        AgreementId id = requested("salt", auditedTerms(3));
        timeOut(id);

        vm.prank(scientist);
        agreements.cancel(id);

        assertOwed(scientist, PRICE + FEES);
    }

    function test_expire_givesTheFeesBack() public {
        AgreementId id = begun(auditedTerms(3));
        timeOut(id);

        agreements.expire(id);

        assertOwed(scientist, PRICE + FEES + BOND / 2);
        assertAllPaid();
    }

    // --- Match

    function test_match_paysTheOwnerWithTheKeyAndTheSeatsAfterTheWindow() public {
        AgreementId id = matched();
        assertOwed(owner, 0);
        assertSeat(id, 0, STAKE, 0);
        vm.assertEq(verifierOf(seatOf(id, 0)).locked, SEAT_STAKE, "the stake is free before the window is over");

        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Settled, PRICE + BOND, 0, 0);
        release(id);
        assertOwed(owner, PRICE + BOND);
        assertSeat(id, 0, STAKE, 0);

        auditTimesOut(id);
        vm.expectEmit(address(agreements));
        emit IAgreements.AuditPaid(id, 0, FEES, 0, 0, 0);
        advance(id);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertSeat(id, seat, STAKE, FEE);
        }
        assertOwed(scientist, 0);
        assertAllPaid();
    }

    function test_match_paysADivergedRunByItsSteps() public {
        AgreementId id = diverged(auditedTerms(3), 4);
        draw(id);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        close(id);

        uint256 due = uint256(PRICE) * 6 / 11;
        assertOwed(owner, due + BOND);
        assertOwed(scientist, PRICE - due);
        assertAllPaid();
    }

    function test_match_slashesMismatchAtOnceAndItsFeeGoesBack() public {
        AgreementId id = evident(3);
        uint256 supply = fit.totalSupply();
        vote(id, [Outcome.Match, Outcome.Mismatch, Outcome.Match]);

        assertSeat(id, 1, STAKE - SEAT_STAKE, 0);
        assertFree(seatOf(id, 1));
        vm.assertEq(burnedSince(supply), SEAT_STAKE, "the seat's stake was not burned");
        close(id);
        assertOwed(scientist, FEE);
        assertSeat(id, 0, STAKE, FEE);
        assertAllPaid();
    }

    /// @dev The owner can seal evidence badly for one verifier to frame it.
    function test_match_neitherPaysNorSlashesWithheld() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Match, Outcome.Withheld, Outcome.Match]);

        assertVerdict(id, Outcome.Match);
        assertSeat(id, 1, STAKE, 0);
        close(id);
        assertAllPaid();
    }

    function test_match_takesATenthOfWhoCannotJudge() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Match, Outcome.Inconclusive, Outcome.Match]);

        assertVerdict(id, Outcome.Match);
        assertSeat(id, 1, STAKE - SEAT_STAKE / 10, 0);
        close(id);
        assertAllPaid();
    }

    function test_match_takesATenthOfWhoIsAbsent() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        advanceLate(id);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Match);
        address absent = seatOf(id, 2);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Penalised(absent, SEAT_STAKE / 10);
        advance(id);

        assertVerdict(id, Outcome.Match);
        assertSeat(id, 2, STAKE - SEAT_STAKE / 10, 0);
        close(id);
        assertOwed(scientist, FEE);
        assertAllPaid();
    }

    function test_match_slashesAnEqualOutcomeOfAnotherTrace() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        commit(id, 2, Outcome.Match, "invented");
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Match);
        reveal(id, 2, Outcome.Match, "invented");
        advance(id);

        assertSeat(id, 2, STAKE - SEAT_STAKE, 0);
    }

    function test_match_thatNobodyReleasesForfeitsTheBondAndPaysTheSeats() public {
        AgreementId id = matched();
        uint256 supply = fit.totalSupply();
        auditTimesOut(id);
        vm.expectEmit(address(audits));
        emit IAudits.Concluded(id, 0, 0, Outcome.Withheld);
        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Forfeited, 0, PRICE + BOND / 2, BOND - BOND / 2);
        advance(id);

        assertVerdict(id, Outcome.Withheld);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertSeat(id, seat, STAKE, FEE);
        }
        assertOwed(scientist, PRICE + BOND / 2);
        assertOwed(owner, 0);
        vm.assertEq(burnedSince(supply), BOND - BOND / 2, "half of the bond was not burned");
        assertAllPaid();
    }

    // --- Mismatch and Withheld

    function test_mismatch_paysTheSeatsOutOfTheBond() public {
        AgreementId id = evident(3);
        uint256 rest = BOND - FEES;
        uint256 supply = fit.totalSupply();
        vote(id, [Outcome.Mismatch, Outcome.Mismatch, Outcome.Mismatch]);

        assertState(id, State.Forfeited);
        assertPhase(id, Phase.Concluded);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertSeat(id, seat, STAKE, FEE);
            assertFree(seatOf(id, seat));
        }
        assertOwed(scientist, PRICE + FEES + rest / 2);
        assertOwed(owner, 0);
        vm.assertEq(burnedSince(supply), rest - rest / 2, "half of the bond's rest was not burned");
        assertAllPaid();
    }

    function test_mismatch_slashesMatch() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Mismatch, Outcome.Mismatch, Outcome.Match]);

        assertSeat(id, 2, STAKE - SEAT_STAKE, 0);
        assertOwed(scientist, PRICE + FEES + (BOND - 2 * FEE) / 2);
        assertAllPaid();
    }

    /// @dev A Withheld vote takes no work, so it earns nothing and slashes nobody.
    function test_withheld_paysAndSlashesNobody() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Withheld, Outcome.Match, Outcome.Withheld]);
        submit(id);
        vote(id, [Outcome.Withheld, Outcome.Match, Outcome.Withheld]);

        assertState(id, State.Forfeited);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertSeat(id, seat, STAKE, 0);
            assertFree(seatOf(id, seat));
        }
        assertOwed(scientist, PRICE + FEES + BOND / 2);
        assertAllPaid();
    }

    /// @dev A colluder, and evidence that one honest verifier cannot open, must not give a cheating owner its bond
    ///      back.
    function test_withheld_ofVotesAgainstTheOwnerThatAreNotEqual() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Mismatch, Outcome.Withheld, Outcome.Match]);
        assertVerdict(id, Outcome.None);
        submit(id);
        vote(id, [Outcome.Mismatch, Outcome.Withheld, Outcome.Match]);

        assertVerdict(id, Outcome.Withheld);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertSeat(id, seat, STAKE, 0);
        }
        assertOwed(scientist, PRICE + FEES + BOND / 2);
        assertAllPaid();
    }

    /// @dev Two traces without a Withheld: somebody lies, but who?
    function test_mismatch_ofTwoTracesIsNoWithheld() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Mismatch);
        commit(id, 1, Outcome.Mismatch, "another");
        commit(id, 2, Outcome.Match);
        reveal(id, 0, Outcome.Mismatch);
        reveal(id, 1, Outcome.Mismatch, "another");
        reveal(id, 2, Outcome.Match);
        advance(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertOwed(owner, BOND);
        assertAllPaid();
    }

    // --- Inconclusive

    function test_inconclusive_paysNobodyAndGivesAllBack() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Mismatch);
        commit(id, 2, Outcome.Match, "another");
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        reveal(id, 2, Outcome.Match, "another");
        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Refunded, BOND, PRICE + FEES, 0);
        advance(id);

        assertState(id, State.Refunded);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertSeat(id, seat, STAKE, 0);
        }
        assertAllPaid();
    }

    /// @dev Whatever three seats say or leave unsaid: the money adds up, and nobody loses more than a seat's stake.
    function testFuzz_verdict_paysAllThereIs(uint8[3] memory votes, bool released, bool complained_, bool disputed_)
        public
    {
        AgreementId id = disputed_ ? disputed(3) : opened(3);
        draw(id);
        joinAll(id);
        submit(id);
        address[] memory seats = audits.seated(id, 0);
        for (uint256 passes = 0; audit(id).phase != Phase.Concluded; passes++) {
            vm.assertLe(passes, 40, "the audit does not end");
            Phase phase = audit(id).phase;
            if (phase == Phase.Joining) joinDrawn(id);
            else if (phase == Phase.Evidence) submit(id);
            else if (phase == Phase.Committing) commitSome(id, votes);
            else if (phase == Phase.Revealing) revealSome(id, votes);
            else if (phase == Phase.Matched && released) release(id);
            else if (phase == Phase.Released && complained_ && !audit(id).complained) complain(id);
            if (audit(id).phase == phase) advanceLate(id);
        }

        assertAllPaid();
        for (uint256 seat = 0; seat < 3; seat++) {
            vm.assertGe(verifierOf(seats[seat]).stake, STAKE - SEAT_STAKE, "a seat lost more than its stake");
        }
    }

    function joinDrawn(AgreementId id) private {
        for (uint8 seat = 0; seat < 3; seat++) {
            bool isOpen = audit(id).phase == Phase.Joining && audit(id).joined >> seat & 1 == 0;
            if (isOpen && seatOf(id, seat) != address(0)) join(id, seat);
        }
    }

    function commitSome(AgreementId id, uint8[3] memory votes) private {
        for (uint8 seat = 0; seat < 3; seat++) {
            if (votes[seat] % 6 < 5 && audit(id).joined >> seat & 1 == 1) commit(id, seat, outcomeOf(votes[seat]));
        }
    }

    function revealSome(AgreementId id, uint8[3] memory votes) private {
        for (uint8 seat = 0; seat < 3; seat++) {
            if (votes[seat] % 6 > 0 && audit(id).committed >> seat & 1 == 1) {
                reveal(id, seat, outcomeOf(votes[seat]));
            }
        }
    }

    function outcomeOf(uint8 vote_) private pure returns (Outcome) {
        return vote_ % 6 == 0 ? Outcome.Match : Outcome((vote_ % 6 - 1) % 4 + 1);
    }

    // --- a dispute

    function test_dispute_locksFeesAndCounterBondAndOpensAnAudit() public {
        AgreementId id = trained(disputableTerms(3));
        uint256 before = fit.balanceOf(address(agreements));
        approve(scientist, FEES + COUNTER_BOND, address(agreements));
        Terms memory terms = termsOf[id];

        vm.expectEmit(address(agreements));
        emit IAgreements.Disputed(id, FEES + COUNTER_BOND);
        vm.prank(scientist);
        agreements.dispute(id, terms, noPermit());

        assertState(id, State.Auditing);
        assertPhase(id, Phase.Awaiting);
        vm.assertEq(uint256(audit(id).kind), uint256(AuditKind.Dispute), "it is no dispute");
        vm.assertEq(fit.balanceOf(address(agreements)) - before, FEES + COUNTER_BOND, "fees and bond are not locked");
        vm.assertEq(agreements.counterBond(id), COUNTER_BOND, "another counter-bond is kept");
    }

    function test_dispute_takesAPermit() public {
        AgreementId id = trained(disputableTerms(3));
        Permit memory permit = signedPermit(SCIENTIST_KEY, FEES + COUNTER_BOND);
        Terms memory terms = termsOf[id];

        vm.prank(scientist);
        agreements.dispute(id, terms, permit);

        assertState(id, State.Auditing);
    }

    function test_dispute_refusesWhereNoneIsAgreedAndOtherTerms() public {
        AgreementId id = trained();
        Terms memory terms = defaultTerms();

        vm.expectRevert(abi.encodeWithSelector(IAgreements.DisputeNotAgreed.selector, id));
        vm.prank(scientist);
        agreements.dispute(id, terms, noPermit());
        terms.audit.disputeVerifiers = 1;
        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(scientist);
        agreements.dispute(id, terms, noPermit());
    }

    function test_dispute_refusesAnybodyElseLateAndTwice() public {
        AgreementId id = trained(disputableTerms(3));
        Terms memory terms = termsOf[id];
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        agreements.dispute(id, terms, noPermit());

        uint256 snapshot = vm.snapshotState();
        timeOut(id);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(scientist);
        agreements.dispute(id, terms, noPermit());
        vm.revertToState(snapshot);

        dispute(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Auditing));
        vm.prank(scientist);
        agreements.dispute(id, terms, noPermit());
    }

    function disputedAndVoted(Outcome outcome) private returns (AgreementId id) {
        id = disputed(3);
        draw(id);
        joinAll(id);
        submit(id);
        voteAll(id, 0, outcome);
    }

    function test_dispute_lostPaysTheOwnerHalfOfTheCounterBondAfterTheWindow() public {
        uint256 supply = fit.totalSupply();
        AgreementId id = disputedAndVoted(Outcome.Match);
        assertPhase(id, Phase.Matched);
        release(id);
        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        auditTimesOut(id);
        vm.expectEmit(address(agreements));
        emit IAgreements.AuditPaid(id, 0, FEES, 0, COUNTER_BOND / 2, COUNTER_BOND - COUNTER_BOND / 2);
        advance(id);

        assertOwed(owner, PRICE + BOND + COUNTER_BOND / 2);
        assertOwed(scientist, 0);
        vm.assertEq(burnedSince(supply), COUNTER_BOND - COUNTER_BOND / 2, "half of the counter-bond was not burned");
        assertAllPaid();
    }

    function test_dispute_wonGivesBackAllAndHalfOfTheBond() public {
        AgreementId id = disputedAndVoted(Outcome.Mismatch);

        assertState(id, State.Forfeited);
        assertOwed(owner, 0);
        assertOwed(scientist, PRICE + FEES + COUNTER_BOND + (BOND - FEES) / 2);
        assertAllPaid();
    }

    function test_dispute_withheldGivesBackAll() public {
        AgreementId id = disputed(3);
        draw(id);
        joinAll(id);
        advanceLate(id);
        advanceLate(id);

        assertState(id, State.Forfeited);
        assertOwed(scientist, PRICE + FEES + COUNTER_BOND + BOND / 2);
        assertAllPaid();
    }

    /// @dev Emptying a jury gains half a price at most.
    function test_dispute_withoutAQuorumHalvesThePrice() public {
        AgreementId id = disputed(3);
        uint256 supply = fit.totalSupply();
        auditTimesOut(id);
        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Halved, BOND + PRICE / 2, PRICE - PRICE / 2 + FEES + COUNTER_BOND, 0);
        advance(id);

        assertState(id, State.Halved);
        assertOwed(owner, BOND + PRICE / 2);
        assertOwed(scientist, PRICE - PRICE / 2 + FEES + COUNTER_BOND);
        vm.assertEq(burnedSince(supply), 0, "something was burned");
        assertAllPaid();
    }

    function test_dispute_ofADivergedRunHalvesWhatIsDue() public {
        AgreementId id = diverged(disputableTerms(3), 4);
        dispute(id);
        advanceLate(id);

        uint256 due = uint256(PRICE) * 6 / 11;
        assertOwed(owner, BOND + due / 2);
        assertOwed(scientist, PRICE - due / 2 + FEES + COUNTER_BOND);
        assertAllPaid();
    }

    // --- reports

    function test_reports_refuseAnybodyButAudits() public {
        AgreementId id = opened(3);
        bytes memory reason = abi.encodeWithSelector(CallerIsNotAudits.selector, owner, address(audits));

        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.concludeAudit(id, 0, AuditKind.First, Outcome.Mismatch, FEE, 3, 3);
        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.settleMatched(id);
        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.closeMatched(id, AuditKind.First, FEE, 3, 3, 3, false, false, address(0));
    }

    function test_reports_refuseARunThatIsNotAudited() public {
        AgreementId id = trained(disputableTerms(3));
        bytes memory reason = abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Trained);

        vm.expectRevert(reason);
        vm.prank(address(audits));
        agreements.concludeAudit(id, 0, AuditKind.First, Outcome.Mismatch, FEE, 3, 3);
        vm.expectRevert(reason);
        vm.prank(address(audits));
        agreements.settleMatched(id);
        vm.expectRevert(reason);
        vm.prank(address(audits));
        agreements.closeMatched(id, AuditKind.First, FEE, 3, 3, 3, false, false, address(0));
    }
}
