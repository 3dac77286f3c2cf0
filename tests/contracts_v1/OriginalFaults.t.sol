// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Outcome, Phase} from "../../contracts/types/Audit.sol";
import {DeadlineNotPassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Each fault of the original system, and that it is gone.
contract OriginalFaultsTest is AuditFixture {
    /// @dev It paid the owner for a model that nobody had voted on.
    function test_fault_paymentWithZeroVotes() public {
        AgreementId id = evident(3);
        for (uint256 round = 0; round < 3; round++) {
            advanceLate(id);
            if (round < 2) {
                joinMissing(id);
                submit(id);
            }
        }

        assertVerdict(id, Outcome.Inconclusive);
        assertState(id, State.Refunded);
        assertOwed(owner, BOND);
        assertOwed(scientist, PRICE + FEE);
    }

    /// @dev It refunded whoever asked, before anything was late.
    function test_fault_refundBeforeTheTimeOut() public {
        AgreementId id = requested("salt", auditedTerms(3));
        uint256 deadline = agreements.agreement(id).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, deadline));
        vm.prank(scientist);
        agreements.cancel(id);

        accept(id);
        deadline = agreements.agreement(id).deadline;
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, block.timestamp));
        agreements.expire(id);
    }

    function test_fault_refundBeforeTheTimeOutOfAnAudit() public {
        AgreementId id = evident(3);
        uint256 deadline = audits.audit(id).deadline;
        vm.warp(deadline);

        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, deadline));
        audits.advance(id);
    }

    function test_fault_refundTwice() public {
        AgreementId id = opened(3);
        advanceLate(id);
        assertState(id, State.Refunded);

        vm.warp(block.timestamp + 365 days);
        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, Phase.Concluded));
        audits.advance(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Refunded));
        agreements.expire(id);
    }

    function test_fault_paymentTwice() public {
        AgreementId id = matched();
        release(id);
        assertOwed(owner, PRICE + BOND);

        release(id);
        assertOwed(owner, PRICE + BOND);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Settled));
        agreements.settle(id);
        auditTimesOut(id);
        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, Phase.Released));
        audits.advance(id);
    }

    /// @dev It compared with > where it had to compare with >=, so that who had just the stake could not be slashed.
    function test_fault_slashOfTheExactStake() public {
        AgreementId id = evident(3);
        address liar = seatOf(id, 2);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Mismatch]);

        assertVerdict(id, Outcome.Match);
        assertStake(liar, 0);
        assertBalanced();
    }

    /// @dev And a penalty takes what is left: here nothing, for another audit took it all.
    function test_fault_penaltyBeyondTheStake() public {
        (AgreementId first, AgreementId second) = (opened(10), another(10));
        draw(first);
        draw(second);
        address liar = seatOf(first, 9);
        joinAll(first);
        submit(first);
        for (uint8 seat = 0; seat < 10; seat++) {
            commit(first, seat, seat == 9 ? Outcome.Mismatch : Outcome.Match);
        }
        for (uint8 seat = 0; seat < 10; seat++) {
            reveal(first, seat, seat == 9 ? Outcome.Mismatch : Outcome.Match);
        }
        audits.advance(first);
        assertStake(liar, 0);

        advanceLate(second);

        assertPhase(second, Phase.Joining);
        assertStake(liar, 0);
        assertBalanced();
    }

    /// @dev It took the first K that came. (DrawTest tests that the draw is uniform.)
    function test_fault_firstComersAreNotSeated() public {
        AgreementId id = drawn(3);

        for (uint256 i = 0; i < MEMBERS; i++) {
            if (members[i] == seatOf(id, 0)) continue;
            vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, members[i], 0));
            vm.prank(members[i]);
            audits.join(id, 0, "recipient");
        }
    }

    /// @dev It let a verifier send another's commitment, wait for the reveal and reveal the same.
    function test_fault_copiedCommit() public {
        AgreementId id = evident(3);
        (address honest, address copyist) = (seatOf(id, 0), seatOf(id, 1));
        bytes32 copied = commitment(id, honest, Outcome.Match);
        commit(id, 0, Outcome.Match);
        vm.prank(copyist);
        audits.commit(id, 1, copied);
        commit(id, 2, Outcome.Match);
        reveal(id, 0, Outcome.Match);

        bytes32 computed = commitment(id, copyist, Outcome.Match);
        vm.expectRevert(abi.encodeWithSelector(IAudits.VoteDiffers.selector, computed, copied));
        vm.prank(copyist);
        audits.reveal(id, 1, Outcome.Match, TRACE, SALT);
    }

    /// @dev One that never came kept the others from their verdict.
    function test_fault_oneAbsentVerifierBlocks() public {
        AgreementId id = evident(3);
        address absent = seatOf(id, 2);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        advanceLate(id);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Match);
        audits.advance(id);

        assertVerdict(id, Outcome.Match);
        assertStake(absent, STAKE - feePerSeat(3));
        assertEarned(absent, 0);
        assertBalanced();
    }

    /// @dev It closed the vote with the one before the last.
    function test_fault_lastVoteDropped() public {
        AgreementId id = committed([Outcome.Mismatch, Outcome.Match, Outcome.Match]);
        reveal(id, 0, Outcome.Mismatch);
        reveal(id, 1, Outcome.Match);
        uint256 deadline = audits.audit(id).deadline;
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, block.timestamp));
        audits.advance(id);

        reveal(id, 2, Outcome.Match);
        audits.advance(id);

        assertVerdict(id, Outcome.Match);
    }

    /// @dev It counted a tie for the owner.
    function test_fault_tie() public {
        AgreementId id = evident(2);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Mismatch);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        audits.advance(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertEarned(seatOf(id, 0), feePerSeat(2));
        assertEarned(seatOf(id, 1), feePerSeat(2));
        assertStake(seatOf(id, 0), STAKE);
        assertStake(seatOf(id, 1), STAKE);
        assertOwed(owner, BOND);
        assertOwed(scientist, PRICE + FEE - 2 * feePerSeat(2));
    }

    /// @dev What it slashed lay in the contract for ever.
    function test_fault_slashedTokensStranded() public {
        AgreementId id = evident(3);
        uint256 supply = fit.totalSupply();
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Mismatch]);

        vm.assertEq(supply - fit.totalSupply(), STAKE, "the slashed stake was not burned");
        assertBalanced();
    }

    function joinMissing(AgreementId id) private {
        uint256 joined = audits.audit(id).joined;
        for (uint8 seat = 0; seat < 3; seat++) {
            if (joined >> seat & 1 == 0) join(id, seat);
        }
    }

    function another(uint8 verifiers) private returns (AgreementId id) {
        id = requested("another", auditedTerms(verifiers));
        accept(id);
        begin(id);
        anchor(id, auditedTerms(verifiers), 7);
        finish(id, ending(id, auditedTerms(verifiers)));
    }
}
