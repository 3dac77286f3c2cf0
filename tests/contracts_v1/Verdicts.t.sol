// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Outcome, Phase} from "../../contracts/types/Audit.sol";
import {DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Ending} from "../../contracts/types/Run.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Where the money goes by each verdict, of an audit and of a dispute.
contract VerdictsTest is AuditFixture {
    uint256 private constant EACH = FEE / 3;

    /// @dev Every unit of FIT is with somebody, owed to somebody, staked, or burned.
    function assertAllPaid() private view {
        assertBalanced();
        vm.assertEq(
            fit.balanceOf(address(agreements)),
            agreements.owed(owner) + agreements.owed(scientist),
            "Agreements keeps or owes too much"
        );
    }

    function burnedSince(uint256 supply) private view returns (uint256) {
        return supply - fit.totalSupply();
    }

    function assertAllEarned(AgreementId id, uint256 amount) private view {
        for (uint256 seat = 0; seat < 3; seat++) {
            assertEarned(seatOf(id, seat), amount);
        }
    }

    // --- locking and unlocking the fee

    function test_request_locksPriceAndFee() public {
        requested("salt", auditedTerms(3));

        vm.assertEq(fit.balanceOf(address(agreements)), PRICE + FEE, "price and fee are not locked");
    }

    function test_reject_givesTheFeeBack() public {
        AgreementId id = requested("salt", auditedTerms(3));

        vm.prank(owner);
        agreements.reject(id, "");

        assertOwed(scientist, PRICE + FEE);
    }

    function test_cancel_givesTheFeeBack() public {
        AgreementId id = requested("salt", auditedTerms(3));
        timeOut(id);

        vm.prank(scientist);
        agreements.cancel(id);

        assertOwed(scientist, PRICE + FEE);
    }

    function test_expire_givesTheFeeBack() public {
        AgreementId id = begun(auditedTerms(3));
        timeOut(id);

        agreements.expire(id);

        assertOwed(scientist, PRICE + FEE + BOND / 2);
        assertAllPaid();
    }

    // --- an audit

    function test_match_paysTheQuorumAtOnceAndTheOwnerWithTheKey() public {
        AgreementId id = evident(3);
        cast(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        vm.expectEmit(address(agreements));
        emit IAgreements.AuditPaid(id, 3 * EACH, FEE - 3 * EACH);
        audits.advance(id);

        assertAllEarned(id, EACH);
        assertOwed(scientist, FEE - 3 * EACH);
        assertOwed(owner, 0);

        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, PRICE + BOND, 0, 0);
        release(id);
        assertOwed(owner, PRICE + BOND);
        assertAllPaid();
    }

    function test_match_paysADivergedRunByItsSteps() public {
        AgreementId id = begun(auditedTerms(3));
        anchor(id, auditedTerms(3), 4);
        Ending memory end = ending(id, auditedTerms(3), 4);
        vm.prank(owner);
        proof.diverge(id, end);
        draw(id);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        release(id);

        assertOwed(owner, uint256(PRICE) * 6 / 11 + BOND);
        assertAllPaid();
    }

    function test_match_slashesMismatchAndSparesTheOthers() public {
        AgreementId id = evident(3);
        uint256 supply = fit.totalSupply();
        vote(id, [Outcome.Match, Outcome.Mismatch, Outcome.Match]);

        assertEarned(seatOf(id, 1), 0);
        assertStake(seatOf(id, 1), 0);
        vm.assertEq(burnedSince(supply), STAKE, "the stake was not burned");
        assertOwed(scientist, FEE - 2 * EACH);
    }

    /// @dev The owner can seal evidence badly for one verifier to frame it.
    function testFuzz_match_neitherPaysNorSlashesWhoCouldNotReplay(bool withheld) public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Match, withheld ? Outcome.Withheld : Outcome.Inconclusive, Outcome.Match]);

        assertVerdict(id, Outcome.Match);
        assertEarned(seatOf(id, 1), 0);
        assertStake(seatOf(id, 1), STAKE);
    }

    function test_match_slashesAnEqualOutcomeOfAnotherTrace() public {
        AgreementId id = evident(3);
        address lazy = seatOf(id, 2);
        bytes32 invented = "invented";
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Match);
        vm.prank(lazy);
        audits.commit(id, 2, keccak256(abi.encode(id, uint256(0), lazy, Outcome.Match, invented, SALT)));
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Match);
        vm.prank(lazy);
        audits.reveal(id, 2, Outcome.Match, invented, SALT);
        audits.advance(id);

        assertStake(lazy, 0);
        assertEarned(lazy, 0);
    }

    function test_matched_withoutReleaseForfeitsTheBondAfterTheFees() public {
        AgreementId id = matched();
        uint256 supply = fit.totalSupply();

        auditTimesOut(id);
        vm.expectEmit(address(agreements));
        emit IAgreements.Forfeited(id, PRICE + BOND / 2, BOND - BOND / 2);
        audits.advance(id);

        assertAllEarned(id, EACH);
        assertOwed(scientist, PRICE + BOND / 2 + FEE - 3 * EACH);
        assertOwed(owner, 0);
        vm.assertEq(burnedSince(supply), BOND - BOND / 2, "half of the bond was not burned");
        assertAllPaid();
    }

    function test_mismatch_paysTheFeesOutOfTheBond() public {
        AgreementId id = evident(3);
        uint256 rest = BOND - 3 * EACH;
        uint256 supply = fit.totalSupply();
        vote(id, [Outcome.Mismatch, Outcome.Mismatch, Outcome.Mismatch]);

        assertState(id, State.Forfeited);
        assertPhase(id, Phase.Concluded);
        assertAllEarned(id, EACH);
        assertOwed(scientist, PRICE + FEE + rest / 2);
        assertOwed(owner, 0);
        vm.assertEq(burnedSince(supply), rest - rest / 2, "half of the bond's rest was not burned");
        assertAllPaid();
    }

    function test_mismatch_slashesMatch() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Mismatch, Outcome.Mismatch, Outcome.Match]);

        assertStake(seatOf(id, 2), 0);
        assertEarned(seatOf(id, 2), 0);
        assertAllPaid();
    }

    /// @dev Else two who never look would agree on a vote that takes no work.
    function test_withheld_byQuorumSlashesNobodyAndPaysNobody() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Withheld, Outcome.Match, Outcome.Withheld]);

        assertState(id, State.Forfeited);
        assertAllEarned(id, 0);
        assertStake(seatOf(id, 1), STAKE);
        assertOwed(scientist, PRICE + FEE + BOND / 2);
        assertAllPaid();
    }

    /// @dev A colluder, and evidence that one honest verifier cannot open, must not give a cheating owner its bond back.
    function test_withheld_byVotesAgainstTheOwnerThatAreNotEqual() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Mismatch, Outcome.Withheld, Outcome.Match]);

        assertVerdict(id, Outcome.Withheld);
        assertState(id, State.Forfeited);
        assertEarned(seatOf(id, 0), EACH);
        assertEarned(seatOf(id, 1), 0);
        assertEarned(seatOf(id, 2), 0);
        assertStake(seatOf(id, 2), STAKE);
        uint256 rest = BOND - EACH;
        assertOwed(scientist, PRICE + FEE + rest / 2);
        assertAllPaid();
    }

    function test_withheld_byTimeOutPaysAllWhoJoined() public {
        AgreementId id = joined(3);
        advanceLate(id);

        assertAllEarned(id, EACH);
        uint256 rest = BOND - 3 * EACH;
        assertOwed(scientist, PRICE + FEE + rest / 2);
        assertAllPaid();
    }

    function test_inconclusive_paysCompletedReplaysAndGivesTheRestBack() public {
        AgreementId id = evident(3);
        cast(id, [Outcome.Match, Outcome.Mismatch, Outcome.Inconclusive]);
        vm.expectEmit(address(agreements));
        emit IAgreements.Refunded(id, BOND, PRICE);
        audits.advance(id);

        assertState(id, State.Refunded);
        assertEarned(seatOf(id, 0), EACH);
        assertEarned(seatOf(id, 1), EACH);
        assertEarned(seatOf(id, 2), 0);
        assertOwed(owner, BOND);
        assertOwed(scientist, PRICE + FEE - 2 * EACH);
        assertAllPaid();
    }

    function test_inconclusive_byQuorumSlashesNobody() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Inconclusive, Outcome.Inconclusive, Outcome.Match]);

        assertVerdict(id, Outcome.Inconclusive);
        assertStake(seatOf(id, 2), STAKE);
        assertEarned(seatOf(id, 0), 0);
        assertEarned(seatOf(id, 2), EACH);
        assertAllPaid();
    }

    function test_match_releasedWithoutACountPaysTheSame() public {
        AgreementId id = revealed([Outcome.Match, Outcome.Match, Outcome.Mismatch]);

        release(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        assertOwed(scientist, FEE - 2 * EACH);
        assertEarned(seatOf(id, 0), EACH);
        assertEarned(seatOf(id, 1), EACH);
        assertStake(seatOf(id, 2), 0);
        assertAllPaid();
    }

    /// @dev Whatever three seats say or leave unsaid: the money adds up.
    function testFuzz_verdict_paysAllThereIs(uint8[3] memory votes, bool released) public {
        AgreementId id = evident(3);
        for (uint8 seat = 0; seat < 3; seat++) {
            if (votes[seat] % 6 < 5) commit(id, seat, outcomeOf(votes[seat]));
        }
        while (audits.audit(id).phase == Phase.Committing) {
            advanceLate(id);
        }
        if (audits.audit(id).phase == Phase.Revealing) {
            uint256 known = audits.audit(id).committed;
            for (uint8 seat = 0; seat < 3; seat++) {
                if (known >> seat & 1 == 1 && votes[seat] % 6 > 0) reveal(id, seat, outcomeOf(votes[seat]));
            }
        }
        if (released && audits.audit(id).phase == Phase.Matched) release(id);
        while (agreements.agreement(id).state == State.Auditing) {
            advanceLate(id);
        }

        assertAllPaid();
    }

    function outcomeOf(uint8 vote_) private pure returns (Outcome) {
        return vote_ % 6 == 0 ? Outcome.Match : Outcome((vote_ % 6 - 1) % 4 + 1);
    }

    // --- a dispute

    function test_dispute_locksFeeAndCounterBondAndOpensAnAudit() public {
        AgreementId id = trained(disputableTerms(3));
        uint256 before = fit.balanceOf(address(agreements));
        vm.prank(scientist);
        fit.approve(address(agreements), FEE + COUNTER_BOND);

        vm.expectEmit(address(agreements));
        emit IAgreements.Disputed(id, FEE + COUNTER_BOND);
        vm.prank(scientist);
        agreements.dispute(id, noPermit());

        assertState(id, State.Auditing);
        assertPhase(id, Phase.Awaiting);
        vm.assertEq(fit.balanceOf(address(agreements)) - before, FEE + COUNTER_BOND, "fee and bond are not locked");
    }

    function test_dispute_takesAPermit() public {
        AgreementId id = trained(disputableTerms(3));
        Permit memory permit = signedPermit(SCIENTIST_KEY, FEE + COUNTER_BOND);

        vm.prank(scientist);
        agreements.dispute(id, permit);

        assertState(id, State.Auditing);
    }

    function test_dispute_refusesWhereNoneIsAgreed() public {
        AgreementId id = trained();

        vm.expectRevert(abi.encodeWithSelector(IAgreements.DisputeNotAgreed.selector, id));
        vm.prank(scientist);
        agreements.dispute(id, noPermit());
    }

    function test_dispute_refusesAnybodyElseLateAndTwice() public {
        AgreementId id = trained(disputableTerms(3));
        vm.expectRevert(abi.encodeWithSelector(IAgreements.CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        agreements.dispute(id, noPermit());

        uint256 snapshot = vm.snapshotState();
        timeOut(id);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(scientist);
        agreements.dispute(id, noPermit());
        vm.revertToState(snapshot);

        dispute(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Auditing));
        vm.prank(scientist);
        agreements.dispute(id, noPermit());
    }

    function test_dispute_refusesWithTooFewVerifiers() public {
        AgreementId id = trained(disputableTerms(3));
        for (uint256 i = 2; i < MEMBERS; i++) {
            vm.prank(members[i]);
            audits.unstake();
        }

        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooFewVerifiers.selector, 2, 3));
        vm.prank(scientist);
        agreements.dispute(id, noPermit());
    }

    function disputedAndVoted(Outcome[3] memory outcomes) private returns (AgreementId id) {
        id = disputed(3);
        draw(id);
        joinAll(id);
        submit(id);
        vote(id, outcomes);
        assertPhase(id, Phase.Concluded);
        assertAllPaid();
    }

    function test_dispute_lostPaysTheOwnerHalfOfTheCounterBond() public {
        uint256 supply = fit.totalSupply();
        AgreementId id = disputedAndVoted([Outcome.Match, Outcome.Match, Outcome.Match]);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND + COUNTER_BOND / 2);
        assertOwed(scientist, FEE - 3 * EACH);
        vm.assertEq(burnedSince(supply), COUNTER_BOND - COUNTER_BOND / 2, "half of the counter-bond was not burned");
    }

    function test_dispute_wonGivesBackAllAndHalfOfTheBond() public {
        AgreementId id = disputedAndVoted([Outcome.Mismatch, Outcome.Mismatch, Outcome.Mismatch]);
        uint256 rest = BOND - 3 * EACH;

        assertState(id, State.Forfeited);
        assertOwed(owner, 0);
        assertOwed(scientist, PRICE + FEE + COUNTER_BOND + rest / 2);
    }

    function test_dispute_withoutVerdictEndsAsIfUndisputed() public {
        AgreementId id = disputedAndVoted([Outcome.Match, Outcome.Mismatch, Outcome.Inconclusive]);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        assertOwed(scientist, FEE - 2 * EACH + COUNTER_BOND);
    }

    function test_dispute_thatNobodyDrawsEndsAsIfUndisputed() public {
        AgreementId id = disputed(3);
        advanceLate(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        assertOwed(scientist, FEE + COUNTER_BOND);
        assertAllPaid();
    }

    function test_dispute_withoutEvidenceIsWon() public {
        AgreementId id = disputed(3);
        draw(id);
        joinAll(id);
        advanceLate(id);

        assertState(id, State.Forfeited);
        assertOwed(scientist, PRICE + FEE + COUNTER_BOND + (BOND - 3 * EACH) / 2);
        assertAllPaid();
    }

    // --- reports

    function test_concludeAudit_refusesAnybodyButAudits() public {
        AgreementId id = opened(3);
        bytes memory reason = abi.encodeWithSelector(IAgreements.CallerIsNotAudits.selector, owner, address(audits));

        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.concludeAudit(id, Outcome.Match, 3);
        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.settleAudited(id);
        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.forfeitAudited(id);
    }

    function test_concludeAudit_refusesARunThatIsNotAudited() public {
        AgreementId id = trained(disputableTerms(3));

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Trained));
        vm.prank(address(audits));
        agreements.concludeAudit(id, Outcome.Match, 3);
    }
}
