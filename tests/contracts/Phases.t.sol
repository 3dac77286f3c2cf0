// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit, Opening, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {
    CID_LIMIT,
    CallerIsNotAgreements,
    CallerIsNotOwner,
    CidLengthRefused,
    DeadlineNotPassed,
    DeadlinePassed
} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Ending} from "../../contracts/types/Run.sol";
import {AuditFixture} from "./AuditFixture.sol";
import {Vm} from "./Vm.sol";

/// @notice Each step of an audit: who may take it when, and where the phase leads, in time and on time-out.
contract PhasesTest is AuditFixture {
    function refusesPhase(AgreementId id) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, audit(id).phase));
    }

    function refusesAsLate() private {
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
    }

    function refusesAsEarly(AgreementId id) private {
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, audit(id).deadline, block.timestamp));
    }

    function assertRound(AgreementId id, uint256 expected) private view {
        vm.assertEq(audit(id).round, expected, "the round is another");
    }

    function linkOf(AgreementId id, address account) private view returns (bytes26) {
        return linkAt(account, audit(id).opening);
    }

    // --- the end of the run

    function test_finish_opensAnAudit() public {
        AgreementId id = anchored(auditedTerms(3));
        Ending memory end = ending(id);
        vm.expectEmit(address(audits));
        emit IAudits.AuditOpened(id, 0, 1, block.timestamp + WAIT);
        finish(id, end);

        assertState(id, State.Auditing);
        assertPhase(id, Phase.Awaiting);
        Audit memory known = audit(id);
        vm.assertEq(known.seats, 3, "the seats are others");
        vm.assertEq(known.opening, 1, "it is another opening");
        vm.assertEq(known.openedBlock, block.number, "it was opened in another block");
        vm.assertEq(known.audited, 4, "other segments are audited");
        vm.assertEq(known.seed, keccak256(abi.encode(ASKER_NONCE)), "the asker is bound to nothing");
    }

    function test_diverge_opensAnAudit() public {
        AgreementId id = diverged(auditedTerms(3), 4);

        assertState(id, State.Auditing);
        vm.assertEq(audit(id).audited, 4, "other segments are audited"); // 0, 2, the one after the last leaf, one drawn
        assertOwed(scientist, PRICE - uint256(PRICE) * 6 / 11);
    }

    function test_open_refusesAnybodyButAgreements() public {
        Opening memory opening;

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotAgreements.selector, owner, address(agreements)));
        vm.prank(owner);
        audits.open(AgreementId.wrap(0), 0, opening);
    }

    function test_finish_refusesAnIdentityBeforeTheVerdict() public {
        AgreementId id = anchored(auditedTerms(3));
        Ending memory end = ending(id);
        end.identityCid = cid("identity");

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.IdentityBeforeVerdict.selector, id));
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
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Auditing));
        agreements.expire(id);
    }

    // --- Awaiting

    function test_awaiting_endsInconclusive() public {
        AgreementId id = opened(3);
        refusesAsEarly(id);
        advance(id);

        advanceLate(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertPhase(id, Phase.Concluded);
        assertState(id, State.Refunded);
    }

    function test_advance_refusesWhereThereIsNoAudit() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.None));
        advance(id);
    }

    // --- Joining

    function test_join_takesTheSeatNamesARecipientAndRevealsALink() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 1);

        vm.expectEmit(address(audits));
        emit IAudits.Joined(id, 0, 1, account, linkOf(id, account), keccak256("recipient"));
        join(id, 1);

        vm.assertEq(audit(id).joined, 2, "other seats joined");
        assertPhase(id, Phase.Joining);
    }

    function test_join_ofAllOpensTheEvidence() public {
        AgreementId id = drawn(3);
        vm.warp(audit(id).deadline);

        joinAll(id);

        assertPhase(id, Phase.Evidence);
        vm.assertEq(audit(id).deadline, block.timestamp + WINDOW, "the window did not begin anew");
    }

    /// @dev seed, then twelve bytes of each link in the order of seats, in whatever order they joined.
    function test_join_ofTheLastFixesTheSegments() public {
        AgreementId id = drawn(3);
        bytes memory preimages = abi.encodePacked(audit(id).seed);
        for (uint256 seat = 0; seat < 3; seat++) {
            preimages = bytes.concat(preimages, bytes12(linkOf(id, seatOf(id, seat))));
        }
        join(id, 2);
        join(id, 0);

        vm.expectEmit(address(audits));
        emit IAudits.SegmentsFixed(id, 0, keccak256(preimages));
        vm.expectEmit(address(audits));
        emit IAudits.EvidenceAwaited(id, 0, 0, 7, block.timestamp + WINDOW);
        join(id, 1);
    }

    function test_join_refusesAnothersSeat() public {
        AgreementId id = drawn(3);
        (address account, address other) = (seatOf(id, 0), seatOf(id, 1));
        bytes26 link = linkOf(id, account);

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.CallerIsNotDrawn.selector, account, other));
        vm.prank(account);
        audits.join(id, 0, 1, link, "recipient");
    }

    function testFuzz_join_refusesASeatThatIsNone(uint8 seat) public {
        vm.assume(seat > 2);
        AgreementId id = drawn(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, stranger, seat));
        vm.prank(stranger);
        audits.join(id, 0, seat, "link", "recipient");
    }

    function test_join_refusesNoRecipient() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);
        bytes26 link = linkOf(id, account);

        vm.expectRevert(IAudits.RecipientIsZero.selector);
        vm.prank(account);
        audits.join(id, 0, 0, link, 0);
    }

    function test_join_refusesToJoinOrDeclineAfterwards() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);
        bytes26 link = linkOf(id, account);
        join(id, 0);
        bytes memory reason = abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0);

        vm.expectRevert(reason);
        vm.prank(account);
        audits.join(id, 0, 0, link, "recipient");
        vm.expectRevert(reason);
        vm.prank(account);
        audits.decline(id, 0, 0);
    }

    function test_join_refusesAfterTheDeadline() public {
        AgreementId id = drawn(3);
        address account = seatOf(id, 0);
        bytes26 link = linkOf(id, account);
        auditTimesOut(id);

        refusesAsLate();
        vm.prank(account);
        audits.join(id, 0, 0, link, "recipient");
        refusesAsLate();
        vm.prank(account);
        audits.decline(id, 0, 0);
    }

    function test_joining_drawsAnewForTheSilentWhoLoseNothingButTheirTurn() public {
        AgreementId id = drawn(3);
        (address stays, address silent) = (seatOf(id, 0), seatOf(id, 2));
        join(id, 0);
        join(id, 1);
        refusesAsEarly(id);
        advance(id);

        auditTimesOut(id);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.WentAway(silent);
        advance(id);

        vm.assertEq(seatOf(id, 0), stays, "who joined lost its seat");
        vm.assertNotEq(seatOf(id, 2), silent, "who was silent was drawn again");
        vm.assertNotEq(seatOf(id, 2), address(0), "nobody was drawn");
        assertStake(silent, STAKE);
        assertFree(silent);
        assertPhase(id, Phase.Joining);
        assertRound(id, 0);
        join(id, 2);
        assertPhase(id, Phase.Evidence);
    }

    /// @dev After the wait nobody is drawn any more; a quorum goes on.
    function test_joining_withAQuorumGoesOnAfterTheWait() public {
        AgreementId id = withoutLastSeat();

        assertPhase(id, Phase.Evidence);
        vm.assertEq(audit(id).joined, 3, "others joined");
    }

    function test_joining_withoutAQuorumIsInconclusiveAfterTheWait() public {
        AgreementId id = drawn(3);
        join(id, 0);
        address stays = seatOf(id, 0);
        vm.warp(audit(id).waitDeadline + 1);
        advance(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertState(id, State.Refunded);
        assertFree(stays);
        assertStake(stays, STAKE);
        assertAllPaid();
    }

    /// @dev Two of three seats joined, the wait is over.
    function withoutLastSeat() private returns (AgreementId id) {
        id = drawn(3);
        join(id, 0);
        join(id, 1);
        vm.warp(audit(id).waitDeadline + 1);
        advance(id);
    }

    // --- Evidence

    function test_submit_opensTheCommitments() public {
        AgreementId id = joined(3);

        vm.expectEmit(address(audits));
        emit IAudits.EvidenceSubmitted(id, 0, 0, cid("evidence"));
        submit(id);

        assertPhase(id, Phase.Committing);
    }

    function test_submit_refusesAnybodyElse() public {
        AgreementId id = joined(3);

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, scientist, owner));
        vm.prank(scientist);
        audits.submit(id, 0, cid("evidence"));
    }

    function test_submit_refusesNoEvidence() public {
        AgreementId id = joined(3);

        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
        vm.prank(owner);
        audits.submit(id, 0, "");
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

    /// @dev Whoever cuts an owner's line for a window would take its bond.
    function test_evidence_thatDoesNotComeIsAwaitedOnceMore() public {
        AgreementId id = joined(3);
        refusesAsEarly(id);
        advance(id);

        advanceLate(id);

        assertPhase(id, Phase.Evidence);
        vm.assertTrue(audit(id).withheldBefore, "the first window is forgotten");
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        assertVerdict(id, Outcome.Match);
    }

    function test_evidence_thatDoesNotComeTwiceIsWithheld() public {
        AgreementId id = joined(3);
        advanceLate(id);

        advanceLate(id);

        assertVerdict(id, Outcome.Withheld);
        assertState(id, State.Forfeited);
        assertAllPaid();
    }

    // --- Committing

    function test_commit_ofAllOpensTheReveals() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        (address account, bytes32 vote_) = (seatOf(id, 1), voteOf(id, 0, seatOf(id, 1), Outcome.Match, TRACE));
        vm.expectEmit(address(audits));
        emit IAudits.Committed(id, 0, 0, 1);
        vm.prank(account);
        audits.commit(id, 0, 1, vote_);
        assertPhase(id, Phase.Committing);

        vm.expectEmit(address(audits));
        emit IAudits.RevealingBegan(id, 0, 0);
        commit(id, 2, Outcome.Match);

        assertPhase(id, Phase.Revealing);
    }

    function test_commit_refusesTwiceNothingAndAnybodyElse() public {
        AgreementId id = evident(3);
        address account = seatOf(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, account, 1));
        vm.prank(account);
        audits.commit(id, 0, 1, "commitment");
        vm.expectRevert(IAudits.CommitmentIsZero.selector);
        vm.prank(account);
        audits.commit(id, 0, 0, 0);
        commit(id, 0, Outcome.Match);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0));
        vm.prank(account);
        audits.commit(id, 0, 0, "another");
    }

    function test_commit_refusesWhoDidNotJoin() public {
        AgreementId id = withoutLastSeat();
        submit(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatHasNotJoined.selector, id, 2));
        audits.commit(id, 0, 2, "commitment");
    }

    function test_commit_refusesAfterTheDeadline() public {
        AgreementId id = evident(3);
        auditTimesOut(id);
        address account = seatOf(id, 0);

        refusesAsLate();
        vm.prank(account);
        audits.commit(id, 0, 0, "commitment");
    }

    function test_committing_withAQuorumOpensTheReveals() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        refusesAsEarly(id);
        advance(id);

        advanceLate(id);

        assertPhase(id, Phase.Revealing);
    }

    function test_committing_withoutAQuorumReplacesTheAbsentWhoLoseATenth() public {
        AgreementId id = evident(3);
        (address stays, address absent) = (seatOf(id, 1), seatOf(id, 2));
        commit(id, 1, Outcome.Match);

        advanceLate(id);

        Audit memory known = audit(id);
        assertPhase(id, Phase.Joining);
        vm.assertEq(known.round, 1, "the round is another");
        vm.assertEq(known.joined, 2, "who committed did not stay");
        vm.assertEq(known.committed, 0, "commitments of the round before stand");
        vm.assertEq(seatOf(id, 1), stays, "who committed lost its seat");
        vm.assertNotEq(seatOf(id, 2), absent, "who was absent was drawn again");
        assertStake(absent, STAKE - SEAT_STAKE / 10);
        assertFree(absent);
        assertStake(stays, STAKE);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        assertVerdict(id, Outcome.Match);
        assertEarned(stays, 0);
    }

    // --- Revealing

    function test_reveal_keepsWhatWasCommitted() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Withheld]);
        address account = seatOf(id, 1);

        vm.expectEmit(address(audits));
        emit IAudits.Revealed(id, 0, 0, 1, account, Outcome.Mismatch, TRACE);
        reveal(id, 1, Outcome.Mismatch);

        vm.assertEq(audit(id).revealed, 2, "other seats revealed");
    }

    function test_reveal_refusesAnotherVote() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        address account = seatOf(id, 0);
        bytes32 hash = voteOf(id, 0, account, Outcome.Match, TRACE);
        bytes32 other = voteOf(id, 0, account, Outcome.Mismatch, TRACE);

        vm.expectRevert(abi.encodeWithSelector(IAudits.VoteDiffers.selector, other, hash));
        vm.prank(account);
        audits.reveal(id, 0, 0, Outcome.Mismatch, TRACE, SALT);
    }

    function test_reveal_refusesTwiceAndAfterTheDeadline() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Match]);
        (address account, address other) = (seatOf(id, 0), seatOf(id, 1));
        reveal(id, 0, Outcome.Match);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatActedAlready.selector, id, 0));
        vm.prank(account);
        audits.reveal(id, 0, 0, Outcome.Match, TRACE, SALT);
        auditTimesOut(id);
        refusesAsLate();
        vm.prank(other);
        audits.reveal(id, 0, 1, Outcome.Match, TRACE, SALT);
    }

    function test_reveal_refusesWhoDidNotCommit() public {
        AgreementId id = evident(3);
        address account = seatOf(id, 2);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        advanceLate(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.SeatHasNotCommitted.selector, id, 2));
        vm.prank(account);
        audits.reveal(id, 0, 2, Outcome.Match, TRACE, SALT);
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
            audits.reveal(id, 0, 0, outcomes[i], wrong, SALT);
        }
    }

    function test_revealing_withoutAQuorumReplacesTheAbsentAndVotesAgain() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Match]);
        (address liar, address absent) = (seatOf(id, 1), seatOf(id, 2));
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);

        advanceLate(id);

        assertPhase(id, Phase.Joining);
        assertStake(absent, STAKE - SEAT_STAKE / 10);
        assertStake(liar, STAKE);
        join(id, 2);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Mismatch, Outcome.Match]);
        assertRound(id, 1);
        assertVerdict(id, Outcome.Match);
        assertStake(liar, STAKE - SEAT_STAKE);
    }

    /// @dev Class, memory and hours stand in the terms; whoever joins says that it can judge.
    function test_revealing_takesAnInconclusiveVoteForAbsence() public {
        AgreementId id = evident(3);
        address unable = seatOf(id, 1);
        vote(id, [Outcome.Match, Outcome.Inconclusive, Outcome.Mismatch]);

        assertPhase(id, Phase.Joining);
        assertStake(unable, STAKE - SEAT_STAKE / 10);
        vm.assertNotEq(seatOf(id, 1), unable, "who could not judge was drawn again");
        assertRound(id, 1);
    }

    /// @dev A commitment names its round, so that one of an earlier round says nothing.
    function test_revealing_inANewRoundRefusesAnOldCommitment() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Match]);
        address account = seatOf(id, 0);
        bytes32 old = voteOf(id, 0, account, Outcome.Match, TRACE);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        advanceLate(id);
        join(id, 2);
        submit(id);
        vm.prank(account);
        audits.commit(id, 0, 0, old);
        commit(id, 1, Outcome.Match);
        commit(id, 2, Outcome.Match);

        bytes32 computed = voteOf(id, 0, account, Outcome.Match, TRACE);
        vm.expectRevert(abi.encodeWithSelector(IAudits.VoteDiffers.selector, computed, old));
        vm.prank(account);
        audits.reveal(id, 0, 0, Outcome.Match, TRACE, SALT);
    }

    function test_revealing_withoutAQuorumAndWithoutAbsenceEndsInconclusive() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Mismatch);
        commit(id, 2, Outcome.Match, "another trace");
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        reveal(id, 2, Outcome.Match, "another trace");
        advance(id);

        assertRound(id, 0);
        assertVerdict(id, Outcome.Inconclusive);
    }

    function test_redraw_happensTwiceAtMost() public {
        AgreementId id = evident(3);
        for (uint256 redraws = 0; redraws < 2; redraws++) {
            commit(id, 0, Outcome.Match);
            advanceLate(id);
            assertPhase(id, Phase.Joining);
            vm.assertEq(audit(id).redraws, redraws + 1, "a redraw was not counted");
            joinAll(id);
            submit(id);
        }
        commit(id, 0, Outcome.Match);
        advanceLate(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertAllPaid();
    }

    /// @dev Also where all commit and one of them keeps its vote to itself.
    function test_redraw_ofWhoRevealsNothingHappensTwiceAtMost() public {
        AgreementId id = evident(3);
        for (uint256 round = 0; round < 3; round++) {
            commitAll(id, [Outcome.Match, Outcome.Mismatch, Outcome.Match]);
            reveal(id, 0, Outcome.Match);
            reveal(id, 1, Outcome.Mismatch);
            advanceLate(id);
            if (round == 2) break;
            assertPhase(id, Phase.Joining);
            join(id, 2);
            submit(id);
        }

        assertVerdict(id, Outcome.Inconclusive);
        assertAllPaid();
    }

    /// @dev What is audited does not change with who judges.
    function test_redraw_leavesTheSegments() public {
        AgreementId id = evident(3);
        commit(id, 0, Outcome.Match);
        advanceLate(id);
        vm.recordLogs();
        joinAll(id);

        assertPhase(id, Phase.Evidence);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; i++) {
            vm.assertTrue(logs[i].topics[0] != IAudits.SegmentsFixed.selector, "the segments were drawn again");
        }
    }

    /// @dev Where nobody can be drawn, joining begins all the same: else the votes that were taken back would be
    ///      counted once more.
    function test_redraw_thatFindsNobodyAwaitsTheSeatsAllTheSame() public {
        AgreementId id = committed([Outcome.Match, Outcome.Mismatch, Outcome.Match]);
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        address[] memory before = audits.seated(id, 0);
        for (uint256 i = 0; i < MEMBERS; i++) {
            if (members[i] == before[0] || members[i] == before[1]) continue;
            vm.prank(members[i]);
            verifiers.leavePanel(panel);
        }
        advanceLate(id);

        vm.assertEq(seatOf(id, 2), address(0), "somebody was drawn");
        assertPhase(id, Phase.Joining);
        vm.assertEq(audit(id).deadline, block.timestamp + WINDOW, "there is no time to draw anew");
        vm.warp(audit(id).waitDeadline + 1);
        advance(id);
        assertPhase(id, Phase.Evidence);
        vm.assertEq(audit(id).joined, 3, "a seat that stayed was lost");
        assertRound(id, 1);
        assertVerdict(id, Outcome.None);
    }

    function test_redraw_mayTakeLongerThanTheWait() public {
        AgreementId id = evident(3);
        vm.warp(audit(id).waitDeadline);
        vm.warp(audit(id).deadline);
        commit(id, 0, Outcome.Match);
        advanceLate(id);

        assertPhase(id, Phase.Joining);
        vm.assertGe(audit(id).waitDeadline, block.timestamp + WINDOW, "there is no time to draw anew");
    }

    // --- the second window

    function test_withheld_firstOpensOneMoreWindowForTheSameSeats() public {
        AgreementId id = evident(3);
        address[] memory before = audits.seated(id, 0);
        vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Match]);

        assertPhase(id, Phase.Evidence);
        assertVerdict(id, Outcome.None);
        assertRound(id, 1);
        vm.assertEq(audit(id).joined, 7, "a seat was lost");
        for (uint256 i = 0; i < 3; i++) {
            vm.assertEq(seatOf(id, i), before[i], "a seat changed");
        }
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        assertVerdict(id, Outcome.Match);
    }

    /// @dev Its evidence stands still; only who can fetch it may have changed.
    function test_withheld_firstNeedsNoSecondSubmission() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Withheld]);
        advanceLate(id);

        assertPhase(id, Phase.Committing);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        assertVerdict(id, Outcome.Match);
    }

    function test_withheld_secondIsTheVerdict() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Match]);
        submit(id);
        vote(id, [Outcome.Withheld, Outcome.Match, Outcome.Withheld]);

        assertVerdict(id, Outcome.Withheld);
        assertState(id, State.Forfeited);
        assertAllPaid();
    }

    /// @dev And whoever was absent in the first vote is replaced, as ever.
    function test_withheld_firstReplacesTheAbsent() public {
        AgreementId id = evident(3);
        address unable = seatOf(id, 2);
        vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Inconclusive]);

        assertPhase(id, Phase.Joining);
        vm.assertTrue(audit(id).withheldBefore, "the first Withheld is forgotten");
        assertStake(unable, STAKE - SEAT_STAKE / 10);
        join(id, 2);
        submit(id);
        vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Withheld]);
        assertVerdict(id, Outcome.Withheld);
    }
}
