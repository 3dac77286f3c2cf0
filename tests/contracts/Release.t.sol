// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Outcome, Phase} from "../../contracts/types/Audit.sol";
import {CallerIsNotScientist, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice After a Match: who hands over the job's identity, when, and what it is worth to whom.
contract ReleaseTest is AuditFixture {
    uint256 private constant FEES = 3 * FEE;

    function half(AgreementId id) private {
        vm.warp(uint256(audit(id).deadline) - WINDOW / 2 + 1);
    }

    // --- release

    function test_release_settlesAndHandsOverTheKey() public {
        AgreementId id = matched();
        assertState(id, State.Auditing);

        vm.expectEmit(address(audits));
        emit IAudits.Released(id, 0, owner, cid("identity"));
        release(id);

        assertPhase(id, Phase.Released);
        assertState(id, State.Settled);
    }

    function test_release_isTheOwnersFirst() public {
        AgreementId id = matched();
        address account = seatOf(id, 1);
        uint256 until = uint256(audit(id).deadline) - WINDOW / 2;
        vm.warp(until);

        vm.expectRevert(abi.encodeWithSelector(IAudits.ReleaseIsOwners.selector, until, block.timestamp));
        vm.prank(account);
        audits.release(id, 0, cid("identity"));
        vm.warp(until + 1);
        releaseBySeat(id, 1);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
    }

    function test_release_isEverySeatsUntilTheWindowEndsAndOnce() public {
        AgreementId id = matched();
        release(id);
        half(id);
        releaseBySeat(id, 0);
        address account = seatOf(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0));
        vm.prank(account);
        audits.release(id, 0, cid("identity"));
        vm.warp(audit(id).deadline);
        releaseBySeat(id, 2);
        release(id);

        vm.assertEq(audit(id).released, 5, "other seats released");
        auditTimesOut(id);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        release(id);
    }

    /// @dev A seat that voted otherwise, or not at all, has nothing to lose by a key of its own making.
    function test_release_isNotForASeatThatDidNotVoteForTheMatch() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Match, Outcome.Withheld, Outcome.Match]);
        address other = seatOf(id, 1);
        half(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerHasNoKey.selector, other));
        vm.prank(other);
        audits.release(id, 0, cid("identity"));
        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerHasNoKey.selector, scientist));
        vm.prank(scientist);
        audits.release(id, 0, cid("identity"));
    }

    function test_release_countsTheVotesItself() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Withheld, Outcome.Match]);

        vm.expectEmit(address(audits));
        emit IAudits.Concluded(id, 0, 0, Outcome.Match);
        vm.expectEmit(address(audits));
        emit IAudits.Released(id, 0, owner, cid("identity"));
        release(id);

        assertPhase(id, Phase.Released);
        assertState(id, State.Settled);
    }

    function test_release_countsTheVotesAlsoWhenNobodyDidInTime() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Match, Outcome.Match]);
        auditTimesOut(id);

        release(id);

        assertPhase(id, Phase.Released);
    }

    function test_release_refusesWhileAVoteIsHidden() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Match);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Revealing));
        release(id);
    }

    function test_release_refusesVotesThatAreNoMatch() public {
        AgreementId id = revealed([Outcome.Mismatch, Outcome.Match, Outcome.Mismatch]);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Concluded));
        release(id);
    }

    // --- acceptRelease

    function test_acceptRelease_paysTheSeatsAtOnce() public {
        AgreementId id = matched();
        release(id);
        vm.expectEmit(address(audits));
        emit IAudits.ReleaseClosed(id, 0, 7);
        acceptRelease(id);

        assertPhase(id, Phase.Concluded);
        assertVerdict(id, Outcome.Match);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertEarned(seatOf(id, seat), FEE);
            assertFree(seatOf(id, seat));
        }
        assertAllPaid();
    }

    function test_acceptRelease_settlesWhatNobodyReleased() public {
        AgreementId id = matched();
        acceptRelease(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        assertAllPaid();
    }

    function test_acceptRelease_isTheScientistsAndOnce() public {
        AgreementId id = matched();
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        audits.acceptRelease(id, 0);
        acceptRelease(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Concluded));
        acceptRelease(id);
    }

    function test_acceptRelease_refusesAfterTheWindow() public {
        AgreementId id = matched();
        auditTimesOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        acceptRelease(id);
    }

    // --- complain

    function test_complain_paysOnlySeatsThatReleaseWithinATurn() public {
        AgreementId id = matched();
        release(id);
        uint256 supply = fit.totalSupply();
        vm.warp(audit(id).deadline);
        vm.expectEmit(address(audits));
        emit IAudits.Complained(id, 0, block.timestamp + WINDOW / 2);
        complain(id);
        releaseBySeat(id, 0);
        vm.warp(audit(id).deadline);
        releaseBySeat(id, 1);
        auditTimesOut(id);
        address late = seatOf(id, 2);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(late);
        audits.release(id, 0, cid("identity"));
        advance(id);

        assertEarned(seatOf(id, 0), FEE);
        assertEarned(seatOf(id, 1), FEE);
        assertEarned(late, 0);
        assertStake(late, STAKE);
        vm.assertEq(supply - fit.totalSupply(), FEE, "the fee that a complaint cost was not burned");
        assertAllPaid();
    }

    function test_complain_countsReleasesBeforeIt() public {
        AgreementId id = matched();
        half(id);
        releaseBySeat(id, 2);
        complain(id);
        advanceLate(id);

        assertEarned(seatOf(id, 2), FEE);
        assertEarned(seatOf(id, 0), 0);
    }

    function test_complain_movesNoMoneyOfTheParties() public {
        AgreementId id = matched();
        release(id);
        (uint256 before, uint256 ownerBefore) = (wealth(scientist), wealth(owner));
        complain(id);
        advanceLate(id);

        vm.assertEq(wealth(scientist), before, "a complaint pays the scientist");
        vm.assertEq(wealth(owner), ownerBefore, "a complaint costs the owner");
        assertAllPaid();
    }

    /// @dev A scientist that complains before anybody could have released would halve the time in which the owner has
    ///      to, and take half its bond. Mutation: the window ends half a window after the complaint.
    function test_complain_shortensNobodysWindow() public {
        AgreementId id = matched();
        uint256 deadline = audit(id).deadline;
        vm.expectEmit(address(audits));
        emit IAudits.Complained(id, 0, deadline);
        complain(id);
        vm.warp(deadline);
        release(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
    }

    function test_complain_isTheScientistsOnceAndInTime() public {
        AgreementId id = matched();
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        audits.complain(id, 0);
        uint256 snapshot = vm.snapshotState();
        auditTimesOut(id);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        complain(id);
        vm.revertToState(snapshot);
        complain(id);
        bytes memory reason = abi.encodeWithSelector(IAudits.ComplainedAlready.selector, id, 0);

        vm.expectRevert(reason);
        complain(id);
        vm.expectRevert(reason);
        acceptRelease(id);
    }

    function test_complain_refusesBeforeTheVerdict() public {
        AgreementId id = evident(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Committing));
        complain(id);
    }

    // --- disputes

    function disputedMatch(bool complains) private returns (AgreementId id) {
        id = trained(disputableTerms(3));
        if (complains) {
            vm.expectEmit(address(agreements));
            emit IAgreements.Complained(id);
            vm.prank(scientist);
            agreements.complain(id);
        }
        dispute(id);
        draw(id);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
    }

    function test_dispute_afterAComplaintThatASeatAnswersReturnsTheCounterBond() public {
        AgreementId id = disputedMatch(true);
        releaseBySeat(id, 1);
        advanceLate(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        assertOwed(scientist, COUNTER_BOND);
        assertEarned(seatOf(id, 1), FEE);
        assertEarned(seatOf(id, 0), 0);
        assertAllPaid();
    }

    function test_dispute_afterAComplaintThatOnlyTheOwnerAnswersIsLost() public {
        AgreementId id = disputedMatch(true);
        release(id);
        advanceLate(id);

        assertOwed(scientist, 0);
        assertOwed(owner, PRICE + BOND + COUNTER_BOND / 2);
        assertAllPaid();
    }

    function test_dispute_withoutAComplaintIsLostWhoeverReleases() public {
        AgreementId id = disputedMatch(false);
        half(id);
        releaseBySeat(id, 1);
        advanceLate(id);

        assertOwed(scientist, 0);
        assertOwed(owner, PRICE + BOND + COUNTER_BOND / 2);
        assertAllPaid();
    }

    function test_dispute_thatNobodyReleasesForfeitsTheBondAndReturnsTheCounterBond() public {
        AgreementId id = disputedMatch(false);
        advanceLate(id);

        assertState(id, State.Forfeited);
        assertOwed(scientist, PRICE + BOND / 2 + COUNTER_BOND);
        assertOwed(owner, 0);
        for (uint256 seat = 0; seat < 3; seat++) {
            assertEarned(seatOf(id, seat), FEE);
        }
        assertAllPaid();
    }

    function test_complain_beforeADisputeIsTheScientistsOnceAndInTime() public {
        AgreementId id = trained(disputableTerms(3));
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        agreements.complain(id);
        vm.prank(scientist);
        agreements.complain(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.ComplainedAlready.selector, id));
        vm.prank(scientist);
        agreements.complain(id);
        timeOut(id);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(scientist);
        agreements.complain(id);
        agreements.settle(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Settled));
        vm.prank(scientist);
        agreements.complain(id);
    }
}
