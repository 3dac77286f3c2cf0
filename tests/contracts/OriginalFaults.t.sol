// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
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
                joinAll(id);
                submit(id);
            }
        }

        assertVerdict(id, Outcome.Inconclusive);
        assertState(id, State.Refunded);
        assertOwed(owner, BOND);
        assertOwed(scientist, PRICE + 3 * FEE);
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
        uint256 deadline = audit(id).deadline;
        vm.warp(deadline);

        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, deadline));
        advance(id);
    }

    function test_fault_refundTwice() public {
        AgreementId id = opened(3);
        advanceLate(id);
        assertState(id, State.Refunded);

        vm.warp(block.timestamp + 365 days);
        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Concluded));
        advance(id);
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
        advanceLate(id);
        assertOwed(owner, PRICE + BOND);
        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Concluded));
        advance(id);
        assertAllPaid();
    }

    /// @dev It compared with > where it had to compare with >=, so that who had just the stake could not be slashed.
    function test_fault_slashOfTheExactStake() public {
        AgreementId id = drawn(3);
        address liar = seatOf(id, 2);
        vm.prank(liar);
        verifiers.leavePool();
        vm.prank(liar);
        verifiers.unstake(STAKE - SEAT_STAKE);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Mismatch]);

        assertVerdict(id, Outcome.Match);
        assertStake(liar, 0);
    }

    /// @dev A penalty beyond the stake: there is none, for each seat has reserved what it can lose.
    function test_fault_penaltyBeyondTheStake() public {
        AgreementId id = drawn(3);
        address poor = seatOf(id, 2);
        bytes26 link = linkAt(poor, audit(id).opening);
        vm.prank(poor);
        verifiers.leavePool();
        vm.prank(poor);
        verifiers.unstake(STAKE - SEAT_STAKE + 1);

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.StakeTooSmall.selector, SEAT_STAKE - 1, SEAT_STAKE));
        vm.prank(poor);
        audits.join(id, 0, 2, link, "recipient");
    }

    /// @dev It took the first K that came. (DrawTest tests that the draw is uniform.)
    function test_fault_firstComersAreNotSeated() public {
        AgreementId id = drawn(3);
        address sits = seatOf(id, 0);

        for (uint256 i = 0; i < MEMBERS; i++) {
            if (members[i] == sits) continue;
            vm.expectRevert(abi.encodeWithSelector(IVerifiers.CallerIsNotDrawn.selector, members[i], sits));
            vm.prank(members[i]);
            audits.join(id, 0, 0, "link", "recipient");
        }
    }

    /// @dev It let a verifier send another's commitment, wait for the reveal and reveal the same.
    function test_fault_copiedCommit() public {
        AgreementId id = evident(3);
        (address honest, address copyist) = (seatOf(id, 0), seatOf(id, 1));
        bytes32 copied = voteOf(id, 0, honest, Outcome.Match, TRACE);
        commit(id, 0, Outcome.Match);
        vm.prank(copyist);
        audits.commit(id, 0, 1, copied);
        commit(id, 2, Outcome.Match);
        reveal(id, 0, Outcome.Match);

        bytes32 computed = voteOf(id, 0, copyist, Outcome.Match, TRACE);
        vm.expectRevert(abi.encodeWithSelector(IAudits.VoteDiffers.selector, computed, copied));
        vm.prank(copyist);
        audits.reveal(id, 0, 1, Outcome.Match, TRACE, SALT);
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
        advance(id);

        assertVerdict(id, Outcome.Match);
        assertStake(absent, STAKE - SEAT_STAKE / 10);
        assertEarned(absent, 0);
    }

    /// @dev It closed the vote with the one before the last.
    function test_fault_lastVoteDropped() public {
        AgreementId id = committed([Outcome.Mismatch, Outcome.Match, Outcome.Match]);
        reveal(id, 0, Outcome.Mismatch);
        reveal(id, 1, Outcome.Match);
        uint256 deadline = audit(id).deadline;
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, block.timestamp));
        advance(id);

        reveal(id, 2, Outcome.Match);
        advance(id);

        assertVerdict(id, Outcome.Match);
    }

    /// @dev It counted a tie for the owner. Seats are odd now; a tie among those that voted is no quorum of all.
    function test_fault_tie() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Mismatch);
        advanceLate(id);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        advance(id);

        assertVerdict(id, Outcome.None);
        assertPhase(id, Phase.Joining);
        assertStake(seatOf(id, 0), STAKE);
        assertStake(seatOf(id, 1), STAKE);
        assertOwed(owner, 0);
    }

    /// @dev What it slashed lay in the contract for ever.
    function test_fault_slashedTokensStranded() public {
        AgreementId id = evident(3);
        uint256 supply = fit.totalSupply();
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Mismatch]);

        vm.assertEq(supply - fit.totalSupply(), SEAT_STAKE, "the slashed stake was not burned");
    }
}
