// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {
    CID_LIMIT,
    CallerIsNotOwner,
    CidLengthRefused,
    DeadlineNotPassed,
    DeadlinePassed
} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Ending} from "../../contracts/types/Run.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Each step of an audit: who may take it when, and where the phase leads, in time and on time-out.
contract PhasesTest is AuditFixture {
    function refusesPhase(AgreementId id) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, audits.audit(id).phase));
    }

    function refusesAsLate() private {
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
    }

    function refusesAsEarly(AgreementId id) private {
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, audits.audit(id).deadline, block.timestamp));
    }

    function assertRound(AgreementId id, uint256 expected) private view {
        vm.assertEq(audits.audit(id).round, expected, "the round is another");
    }

    // --- the end of the run

    function test_finish_opensAnAudit() public {
        AgreementId id = opened(3);

        assertState(id, State.Auditing);
        assertPhase(id, Phase.Awaiting);
        vm.assertEq(agreements.agreement(id).stepsDone, 11, "the steps are not all done");
    }

    function test_diverge_opensAnAudit() public {
        AgreementId id = begun(auditedTerms(3));
        anchor(id, auditedTerms(3), 4);
        Ending memory end = ending(id, auditedTerms(3), 4);
        vm.prank(owner);
        proof.diverge(id, end);

        assertState(id, State.Auditing);
        vm.assertEq(agreements.agreement(id).stepsDone, 6, "other steps are proven");
    }

    function test_finish_refusesAKeyBeforeTheVerdict() public {
        AgreementId id = anchored(auditedTerms(3));
        Ending memory end = ending(id, auditedTerms(3));
        end.keyCid = cid("key");

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.KeyBeforeVerdict.selector, id));
        finish(id, end);
    }

    function test_settle_refusesAnAuditedRun() public {
        AgreementId id = opened(3);
        vm.warp(block.timestamp + 365 days);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Auditing));
        agreements.settle(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Auditing));
        vm.prank(scientist);
        agreements.acceptResult(id);
    }

    function test_expire_refusesAnAuditedRun() public {
        AgreementId id = opened(3);
        vm.warp(block.timestamp + 365 days);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Auditing));
        agreements.expire(id);
    }

    // --- Awaiting

    function test_awaiting_endsInconclusive() public {
        AgreementId id = opened(3);
        refusesAsEarly(id);
        audits.advance(id);

        advanceLate(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertPhase(id, Phase.Concluded);
    }

    function test_advance_refusesWhereThereIsNoAudit() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, Phase.None));
        audits.advance(id);
    }

    // --- Joining

    function test_join_takesTheSeatAndNamesARecipient() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 1);

        vm.expectEmit(address(audits));
        emit IAudits.Joined(id, 1, account, keccak256("recipient"));
        join(id, 1);

        vm.assertEq(audits.audit(id).joined, 2, "other seats joined");
        assertPhase(id, Phase.Joining);
    }

    function test_join_ofAllOpensTheEvidence() public {
        AgreementId id = drawn(3);
        vm.warp(audits.audit(id).deadline);

        joinAll(id);

        assertPhase(id, Phase.Evidence);
        vm.assertEq(audits.audit(id).deadline, block.timestamp + WINDOW, "the window did not begin anew");
    }

    function test_join_refusesAnothersSeat() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, account, 1));
        vm.prank(account);
        audits.join(id, 1, "recipient");
    }

    function testFuzz_join_refusesASeatThatIsNone(uint8 seat) public {
        vm.assume(seat > 2);
        AgreementId id = drawn(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, stranger, seat));
        vm.prank(stranger);
        audits.join(id, seat, "recipient");
    }

    function test_join_refusesNoRecipient() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);

        vm.expectRevert(IAudits.RecipientIsZero.selector);
        vm.prank(account);
        audits.join(id, 0, 0);
    }

    function test_join_refusesToJoinOrDeclineAfterwards() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);
        join(id, 0);
        bytes memory reason = abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0);

        vm.expectRevert(reason);
        vm.prank(account);
        audits.join(id, 0, "recipient");
        vm.expectRevert(reason);
        vm.prank(account);
        audits.decline(id, 0);
    }

    function test_join_refusesAfterTheDeadline() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);
        auditTimesOut(id);

        refusesAsLate();
        vm.prank(account);
        audits.join(id, 0, "recipient");
    }

    function test_decline_isReplacedAtOnceAndWithoutPenalty() public {
        AgreementId id = drawn(3);
        address other = seatOf(id, 1);
        join(id, 0);
        join(id, 2);
        refusesAsEarly(id);
        audits.advance(id);
        decline(id, 1);

        audits.advance(id);

        assertRound(id, 1);
        assertPhase(id, Phase.Joining);
        assertStake(other, STAKE);
        vm.assertTrue(seatOf(id, 1) != other, "who declined was drawn again");
        vm.assertEq(audits.audit(id).joined, 5, "who joined did not stay");
        join(id, 1);
        assertPhase(id, Phase.Evidence);
    }

    function test_joining_replacesTheAbsentWhoLoseAFee() public {
        AgreementId id = drawn(3);
        (address stays, address absent) = (seatOf(id, 0), seatOf(id, 2));
        join(id, 0);
        decline(id, 1);

        auditTimesOut(id);
        vm.expectEmit(address(audits));
        emit IAudits.Penalised(absent, id, feePerSeat(3));
        audits.advance(id);

        vm.assertEq(seatOf(id, 0), stays, "who joined lost its seat");
        assertStake(absent, STAKE - feePerSeat(3));
        assertBalanced();
    }

    function test_joining_replacesASeatTwiceAtMost() public {
        AgreementId id = drawn(3);
        address[] memory sat = new address[](3);
        join(id, 0);
        join(id, 1);
        for (uint256 round = 0; round < 3; round++) {
            assertRound(id, round);
            sat[round] = seatOf(id, 2);
            advanceLate(id);
        }

        vm.assertTrue(sat[0] != sat[1] && sat[1] != sat[2] && sat[0] != sat[2], "an absent seat was drawn again");
        assertRound(id, 2);
        assertPhase(id, Phase.Evidence);
        for (uint256 round = 0; round < 3; round++) {
            assertStake(sat[round], STAKE - feePerSeat(3));
        }
        assertBalanced();
    }

    function test_joining_withoutAQuorumEndsInconclusive() public {
        AgreementId id = drawn(3);
        join(id, 0);
        for (uint256 round = 0; round < 3; round++) {
            advanceLate(id);
        }

        assertVerdict(id, Outcome.Inconclusive);
        assertState(id, State.Refunded);
        assertBalanced();
    }

    // --- Evidence

    function test_submit_opensTheCommitments() public {
        AgreementId id = joined(3);

        vm.expectEmit(address(audits));
        emit IAudits.EvidenceSubmitted(id, 0, cid("evidence"));
        submit(id);

        assertPhase(id, Phase.Committing);
    }

    function test_submit_refusesAnybodyElse() public {
        AgreementId id = joined(3);

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, scientist, owner));
        vm.prank(scientist);
        audits.submit(id, cid("evidence"));
    }

    function test_submit_refusesNoEvidence() public {
        AgreementId id = joined(3);

        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
        vm.prank(owner);
        audits.submit(id, "");
    }

    function test_submit_refusesOutsideItsPhaseAndTime() public {
        AgreementId id = drawn(3);
        refusesPhase(id);
        submit(id);
        joinAll(id);
        auditTimesOut(id);

        refusesAsLate();
        submit(id);
    }

    function test_evidence_thatDoesNotComeIsWithheld() public {
        AgreementId id = joined(3);
        refusesAsEarly(id);
        audits.advance(id);

        advanceLate(id);

        assertVerdict(id, Outcome.Withheld);
        assertState(id, State.Forfeited);
    }

    // --- Committing

    function test_commit_ofAllOpensTheReveals() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        assertPhase(id, Phase.Committing);

        vm.expectEmit(address(audits));
        emit IAudits.RevealingBegan(id, 0);
        commit(id, 2, Outcome.Match);

        assertPhase(id, Phase.Revealing);
    }

    function test_commit_refusesTwice() public {
        AgreementId id = evident(3);
        address account = seatOf(id, 0);
        commit(id, 0, Outcome.Match);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0));
        vm.prank(account);
        audits.commit(id, 0, "another");
    }

    function test_commit_refusesNothing() public {
        AgreementId id = evident(3);
        address account = seatOf(id, 0);

        vm.expectRevert(IAudits.CommitmentIsZero.selector);
        vm.prank(account);
        audits.commit(id, 0, 0);
    }

    function test_commit_refusesWhoDidNotJoin() public {
        AgreementId id = withoutLastSeat();
        address account = seatOf(id, 2);
        submit(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatHasNotJoined.selector, id, 2));
        vm.prank(account);
        audits.commit(id, 2, "commitment");
    }

    function test_committing_withAQuorumOpensTheReveals() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        refusesAsEarly(id);
        audits.advance(id);

        advanceLate(id);

        assertPhase(id, Phase.Revealing);
    }

    function test_committing_withoutAQuorumReplacesTheSilent() public {
        AgreementId id = evident(3);
        (address stays, address silent) = (seatOf(id, 1), seatOf(id, 2));
        commit(id, 1, Outcome.Match);

        advanceLate(id);

        Audit memory known = audits.audit(id);
        assertPhase(id, Phase.Joining);
        vm.assertEq(known.round, 1, "the round is another");
        vm.assertEq(known.joined, 2, "who committed did not stay");
        vm.assertEq(known.committed, 0, "commitments of the round before stand");
        vm.assertEq(seatOf(id, 1), stays, "who committed lost its seat");
        assertStake(silent, STAKE - feePerSeat(3));
        assertBalanced();
    }

    // --- Revealing

    function test_reveal_keepsWhatWasCommitted() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Withheld]);
        address account = seatOf(id, 1);

        vm.expectEmit(address(audits));
        emit IAudits.Revealed(id, 0, 1, account, Outcome.Mismatch, TRACE);
        reveal(id, 1, Outcome.Mismatch);

        vm.assertEq(audits.audit(id).revealed, 2, "other seats revealed");
    }

    function test_reveal_refusesAnotherVote() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        address account = seatOf(id, 0);
        bytes32 hash = commitment(id, account, Outcome.Match);
        bytes32 other = commitment(id, account, Outcome.Mismatch);

        vm.expectRevert(abi.encodeWithSelector(IAudits.VoteDiffers.selector, other, hash));
        revealAs(account, id, 0, Outcome.Mismatch);
    }

    function test_reveal_refusesTwice() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        address account = seatOf(id, 0);
        reveal(id, 0, Outcome.Match);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0));
        revealAs(account, id, 0, Outcome.Match);
    }

    function test_reveal_refusesWhoDidNotCommit() public {
        AgreementId id = evident(3);
        address account = seatOf(id, 2);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        advanceLate(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatHasNotCommitted.selector, id, 2));
        revealAs(account, id, 2, Outcome.Match);
    }

    function test_reveal_refusesATraceWithoutAReplayAndAReplayWithoutATrace() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        address account = seatOf(id, 0);
        Outcome[5] memory outcomes =
            [Outcome.None, Outcome.Match, Outcome.Mismatch, Outcome.Withheld, Outcome.Inconclusive];

        for (uint256 i = 0; i < 5; i++) {
            bytes32 wrong = traceOf(outcomes[i]) == 0 ? TRACE : bytes32(0);
            vm.expectRevert(abi.encodeWithSelector(IAudits.TraceRefused.selector, outcomes[i], wrong));
            vm.prank(account);
            audits.reveal(id, 0, outcomes[i], wrong, SALT);
        }
    }

    function test_revealing_withoutAQuorumReplacesTheSilentAndVotesAgain() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Match]);
        address silent = seatOf(id, 2);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);

        advanceLate(id);

        assertPhase(id, Phase.Joining);
        assertStake(silent, STAKE - feePerSeat(3));
        join(id, 2);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        assertRound(id, 1);
        assertVerdict(id, Outcome.Match);
        assertEarned(silent, 0);
        assertBalanced();
    }

    /// @dev A commitment names its round, so that one of an earlier round says nothing.
    function test_revealing_inANewRoundRefusesAnOldCommitment() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Match]);
        address account = seatOf(id, 0);
        bytes32 old = commitment(id, account, Outcome.Match);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        advanceLate(id);
        join(id, 2);
        submit(id);
        vm.prank(account);
        audits.commit(id, 0, old);
        commit(id, 1, Outcome.Match);
        commit(id, 2, Outcome.Match);

        bytes32 computed = commitment(id, account, Outcome.Match);
        vm.expectRevert(abi.encodeWithSelector(IAudits.VoteDiffers.selector, computed, old));
        revealAs(account, id, 0, Outcome.Match);
    }

    function test_revealing_withoutAQuorumAndWithoutSilenceEndsInconclusive() public {
        AgreementId id = evident(3);

        vote(id, [Outcome.Match, Outcome.Mismatch, Outcome.Inconclusive]);

        assertRound(id, 0);
        assertVerdict(id, Outcome.Inconclusive);
    }

    // --- Matched

    function test_release_settlesAndHandsOverTheKey() public {
        AgreementId id = matched();
        assertPhase(id, Phase.Matched);
        assertState(id, State.Auditing);

        vm.expectEmit(address(audits));
        emit IAudits.Released(id, owner, cid("key"));
        release(id);

        assertPhase(id, Phase.Released);
        assertState(id, State.Settled);
    }

    function test_release_isAJoinedSeatsToo() public {
        AgreementId id = matched();
        address account = seatOf(id, 2);

        vm.prank(account);
        audits.release(id, cid("key"));

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
    }

    function test_release_mayBeRepeatedUntilTheDeadline() public {
        AgreementId id = matched();
        address account = seatOf(id, 0);
        release(id);
        vm.warp(audits.audit(id).deadline);

        vm.expectEmit(address(audits));
        emit IAudits.Released(id, account, cid("the true key"));
        vm.prank(account);
        audits.release(id, cid("the true key"));

        auditTimesOut(id);
        refusesAsLate();
        release(id);
    }

    function test_release_countsTheVotesItself() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Withheld, Outcome.Match]);

        vm.expectEmit(address(audits));
        emit IAudits.Concluded(id, 0, Outcome.Match);
        vm.expectEmit(address(audits));
        emit IAudits.Released(id, owner, cid("key"));
        release(id);

        assertPhase(id, Phase.Released);
        assertVerdict(id, Outcome.Match);
        assertState(id, State.Settled);
    }

    function test_release_ofAJoinedSeatCountsTheVotesToo() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Match, Outcome.Match]);
        address account = seatOf(id, 1);

        vm.prank(account);
        audits.release(id, cid("key"));

        assertPhase(id, Phase.Released);
        assertState(id, State.Settled);
    }

    function test_release_countsTheVotesAlsoWhenNobodyDidInTime() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Match, Outcome.Match]);
        auditTimesOut(id);

        release(id);

        assertPhase(id, Phase.Released);
        assertState(id, State.Settled);
    }

    function test_release_refusesWhileAVoteIsHidden() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Match);

        refusesPhase(id);
        release(id);
    }

    function test_release_refusesVotesThatAreNoMatch() public {
        AgreementId id = revealed([Outcome.Mismatch, Outcome.Match, Outcome.Mismatch]);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, Phase.Concluded));
        release(id);
    }

    function test_release_ofVotesRefusesWhoHasNoKey() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Match, Outcome.Match]);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerHasNoKey.selector, scientist));
        vm.prank(scientist);
        audits.release(id, cid("key"));

        assertPhase(id, Phase.Revealing);
    }

    function test_release_isNoPartOfADispute() public {
        AgreementId id = disputed(3);
        draw(id);
        joinAll(id);
        submit(id);
        cast(id, [Outcome.Match, Outcome.Match, Outcome.Match]);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, Phase.Concluded));
        release(id);
    }

    function test_release_refusesWhoHasNoKey() public {
        AgreementId id = matched();

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerHasNoKey.selector, scientist));
        vm.prank(scientist);
        audits.release(id, cid("key"));
    }

    function test_release_refusesBeforeTheVerdict() public {
        AgreementId id = evident(3);

        refusesPhase(id);
        release(id);
    }

    function test_matched_withoutReleaseIsWithheld() public {
        AgreementId id = matched();
        refusesAsEarly(id);
        audits.advance(id);

        advanceLate(id);

        assertVerdict(id, Outcome.Withheld);
        assertState(id, State.Forfeited);
    }

    /// @dev Two of three seats joined after two redraws; the third did not.
    function withoutLastSeat() private returns (AgreementId id) {
        id = drawn(3);
        join(id, 0);
        join(id, 1);
        for (uint256 round = 0; round < 3; round++) {
            advanceLate(id);
        }
    }
}
