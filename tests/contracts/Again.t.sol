// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit, AuditKind, Jury, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {CallerIsNotOwner, DeadlineNotPassed, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId, PanelId, auditIdOf} from "../../contracts/types/Ids.sol";
import {AuditTerms, Permit, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Another audit, by a panel of the asker's trust.
contract AgainTest is AuditFixture {
    uint256 private constant FEES = 3 * FEE;
    bytes32 private commitment = keccak256(abi.encode(ASKER_NONCE));
    address private asker = address(0xA5CE);
    address[] private others;
    PanelId private trusted;

    function setUp() public override {
        super.setUp();
        fit.transfer(asker, 1e6 ether);
        for (uint160 i = 0; i < 6; i++) {
            others.push(address(0xC000 + i));
            enrol(others[i]);
        }
        trusted = panelOf("trusted", others);
        for (uint256 i = 0; i < 6; i++) {
            members.push(others[i]); // for the sums
        }
    }

    function terms() private view returns (AuditTerms memory made) {
        made = auditedTerms(3).audit;
        (made.panel, made.counterBond) = (trusted, 0);
    }

    /// @dev A job without verifiers, settled.
    function settled() private returns (AgreementId id) {
        id = trained();
        vm.prank(scientist);
        agreements.acceptResult(id);
    }

    function ask(AgreementId id) private returns (uint16 ordinal) {
        approve(asker, FEES, address(agreements));
        AuditTerms memory wanted = terms();
        vm.prank(asker);
        ordinal = agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
    }

    function consent(AgreementId id, uint16 ordinal) private {
        AuditTerms memory wanted = terms();
        vm.prank(owner);
        agreements.consent(id, ordinal, wanted, commitment);
    }

    function heard(AgreementId id, Outcome outcome) private returns (uint16 ordinal) {
        ordinal = ask(id);
        consent(id, ordinal);
        draw(id, ordinal);
        joinAll(id, ordinal);
        submit(id, ordinal);
        voteAll(id, ordinal, outcome);
    }

    function assertDue(uint256 amount) private view {
        vm.assertEq(agreements.owed(asker), amount, "the asker is owed another amount");
        vm.assertEq(
            fit.balanceOf(address(agreements)),
            agreements.owed(owner) + agreements.owed(scientist) + amount,
            "Agreements keeps or owes too much"
        );
    }

    // --- asking

    function test_askAgain_locksTheFeesAndFixesTheJury() public {
        AgreementId id = settled();
        uint256 before = fit.balanceOf(address(agreements));
        approve(asker, FEES, address(agreements));
        AuditTerms memory wanted = terms();
        uint32 number = registry.panelNumber(trusted);
        vm.expectEmit(address(agreements));
        emit IAgreements.AuditAsked(id, 1, asker, wanted, commitment, number, 6, 6, uint40(block.timestamp + 1 days));
        vm.prank(asker);
        vm.assertEq(agreements.askAgain(id, wanted, commitment, 1 days, noPermit()), 1, "it is not the first");

        vm.assertEq(fit.balanceOf(address(agreements)) - before, FEES, "the fees are not locked");
        Jury memory jury = agreements.jury(id, 1);
        vm.assertEq(jury.asker, asker, "the asker is another");
        vm.assertEq(jury.panel, number, "the panel is another");
        vm.assertEq(jury.places, 6, "the places are others");
        vm.assertEq(jury.requestBlock, block.number, "the block is another");
        (uint256 asked, uint256 consented) = agreements.askedAndConsented(id);
        vm.assertEq(asked, 1, "asked otherwise");
        vm.assertEq(consented, 0, "consented otherwise");
        assertState(id, State.Settled);
    }

    function test_askAgain_takesAPermit() public {
        AgreementId id = settled();
        Permit memory permit = signedPermit(SCIENTIST_KEY, FEES);
        AuditTerms memory wanted = terms();

        vm.prank(scientist);
        agreements.askAgain(id, wanted, commitment, 1 days, permit);
    }

    function test_askAgain_refusesAJobThatDeliveredNothing() public {
        AgreementId id = trained();
        AuditTerms memory wanted = terms();
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Trained));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());

        id = trained("another", auditedTerms(3), scientist);
        advanceLate(id);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Refunded));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
    }

    function test_askAgain_refusesUnsoundTerms() public {
        AgreementId id = settled();
        AuditTerms memory wanted = terms();
        wanted.verifiers = 0;
        vm.expectRevert(abi.encodeWithSelector(IAgreements.SeatCountRefused.selector, 0, 15));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
        wanted = terms();
        wanted.verifiers = 4;
        vm.expectRevert(abi.encodeWithSelector(IAgreements.SeatCountRefused.selector, 4, 15));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
        wanted = terms();
        wanted.disputeVerifiers = 3;
        vm.expectRevert(abi.encodeWithSelector(IAgreements.DisputeBesideAudit.selector, 3, 3));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
        wanted = terms();
        wanted.counterBond = 1;
        vm.expectRevert(abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 1, 0));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
        wanted = terms();
        vm.expectRevert(IAgreements.NonceCommitmentIsZero.selector);
        agreements.askAgain(id, wanted, 0, 1 days, noPermit());
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 0, 1));
        agreements.askAgain(id, wanted, commitment, 0, noPermit());
        wanted.verifiers = 5;
        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 6, 8));
        agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
    }

    // --- consenting

    function test_consent_opensAnAuditOfItsOwn() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        vm.expectEmit(address(agreements));
        emit IAgreements.AuditConsented(id, ordinal);
        consent(id, ordinal);

        Audit memory known = audits.audit(id, ordinal);
        vm.assertEq(uint256(known.kind), uint256(AuditKind.Again), "it is another kind");
        vm.assertEq(uint256(known.phase), uint256(Phase.Awaiting), "it is not open");
        vm.assertEq(known.audited, 4, "other segments are audited");
        vm.assertEq(known.openedBlock, block.number, "another block draws");
        (, uint256 consented) = agreements.askedAndConsented(id);
        vm.assertEq(consented, 1, "consented otherwise");
    }

    function test_consent_isTheOwnersOnceInTimeAndToWhatWasAsked() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        AuditTerms memory wanted = terms();
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, asker, owner));
        vm.prank(asker);
        agreements.consent(id, ordinal, wanted, commitment);
        wanted.drawnSegments++;
        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        agreements.consent(id, ordinal, wanted, commitment);
        wanted.drawnSegments--;
        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        agreements.consent(id, ordinal, wanted, "another nonce");
        uint256 snapshot = vm.snapshotState();
        vm.warp(block.timestamp + 1 days + 1);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(owner);
        agreements.consent(id, ordinal, wanted, commitment);
        vm.revertToState(snapshot);
        consent(id, ordinal);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.NothingAsked.selector, id, ordinal));
        vm.prank(owner);
        agreements.consent(id, ordinal, wanted, commitment);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NothingAsked.selector, id, 7));
        vm.prank(owner);
        agreements.consent(id, 7, wanted, commitment);
    }

    function test_takeBack_givesTheFeesBackOnce() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        uint256 deadline = block.timestamp + 1 days;
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, block.timestamp));
        agreements.takeBack(id, ordinal);
        vm.warp(deadline + 1);
        vm.expectEmit(address(agreements));
        emit IAgreements.AuditTakenBack(id, ordinal, FEES);
        vm.prank(stranger);
        agreements.takeBack(id, ordinal);
        assertDue(FEES);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.NothingAsked.selector, id, ordinal));
        agreements.takeBack(id, ordinal);
    }

    function test_takeBack_refusesWhatWasConsentedTo() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        consent(id, ordinal);
        vm.warp(block.timestamp + 2 days);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.NothingAsked.selector, id, ordinal));
        agreements.takeBack(id, ordinal);
    }

    // --- what it moves and what it does not

    function test_again_matchPaysTheSeatsAtOnceAndAwaitsNoKey() public {
        AgreementId id = settled();
        (uint256 ownerHas, uint256 scientistHas) = (wealth(owner), wealth(scientist));
        uint16 ordinal = heard(id, Outcome.Match);

        Audit memory known = audits.audit(id, ordinal);
        vm.assertEq(uint256(known.phase), uint256(Phase.Concluded), "it awaits something");
        vm.assertEq(uint256(known.verdict), uint256(Outcome.Match), "the verdict is another");
        for (uint256 i = 0; i < 3; i++) {
            address account = audits.seated(id, ordinal)[i];
            assertEarned(account, FEE);
            assertFree(account);
        }
        vm.assertEq(wealth(owner), ownerHas, "the owner's money moved");
        vm.assertEq(wealth(scientist), scientistHas, "the scientist's money moved");
        assertState(id, State.Settled);
        assertDue(0);
    }

    /// @dev No step reads them any more once the owner has consented, but whoever looks the asking up does.
    function test_again_locksNoFeesOnceItIsConcluded() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        consent(id, ordinal);
        vm.assertEq(agreements.asking(id, ordinal).fees, FEES, "consenting freed the fees");
        vm.warp(uint256(audits.audit(id, ordinal).deadline) + 1);
        audits.advance(id, ordinal);

        vm.assertEq(agreements.asking(id, ordinal).fees, 0, "fees that were paid are locked");
        assertDue(FEES);
    }

    function test_again_mismatchIsPaidByTheAskerAndTakesNoBond() public {
        AgreementId id = settled();
        uint256 ownerHas = wealth(owner);
        uint16 ordinal = heard(id, Outcome.Mismatch);

        vm.assertEq(uint256(audits.audit(id, ordinal).verdict), uint256(Outcome.Mismatch), "another verdict");
        vm.assertEq(wealth(owner), ownerHas, "the owner's money moved");
        assertEarned(audits.seated(id, ordinal)[0], FEE);
        assertState(id, State.Settled);
        assertDue(0);
    }

    function test_again_withheldTwiceGivesTheFeesBack() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        consent(id, ordinal);
        draw(id, ordinal);
        joinAll(id, ordinal);
        for (uint256 i = 0; i < 2; i++) {
            vm.warp(uint256(audits.audit(id, ordinal).deadline) + 1);
            audits.advance(id, ordinal);
        }

        vm.assertEq(uint256(audits.audit(id, ordinal).verdict), uint256(Outcome.Withheld), "another verdict");
        assertState(id, State.Settled);
        assertDue(FEES);
    }

    /// @dev Only those who voted in it.
    function test_again_slashesNobodyOfTheFirst() public {
        AgreementId id = matched();
        address[] memory first = audits.seated(id, 0);
        release(id);
        acceptRelease(id);
        heard(id, Outcome.Mismatch);

        for (uint256 i = 0; i < 3; i++) {
            assertStake(first[i], STAKE);
            assertEarned(first[i], FEE);
        }
        assertVerdict(id, Outcome.Match);
    }

    function test_again_slashesALiarOfItsOwn() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        consent(id, ordinal);
        draw(id, ordinal);
        joinAll(id, ordinal);
        submit(id, ordinal);
        for (uint8 seat = 0; seat < 3; seat++) {
            commit(id, ordinal, seat, seat == 1 ? Outcome.Mismatch : Outcome.Match, TRACE);
        }
        for (uint8 seat = 0; seat < 3; seat++) {
            reveal(id, ordinal, seat, seat == 1 ? Outcome.Mismatch : Outcome.Match, TRACE);
        }
        audits.advance(id, ordinal);

        assertStake(audits.seated(id, ordinal)[1], STAKE - SEAT_STAKE);
        assertDue(FEE);
    }

    function test_again_mayBeAskedAfterAHalvedPriceAndMoreThanOnce() public {
        AgreementId id = disputed(3);
        advanceLate(id);
        assertState(id, State.Halved);

        vm.assertEq(heard(id, Outcome.Match), 1, "another ordinal");
        vm.assertEq(heard(id, Outcome.Mismatch), 2, "another ordinal");
        (uint256 asked, uint256 consented) = agreements.askedAndConsented(id);
        vm.assertEq(asked, 2, "asked otherwise");
        vm.assertEq(consented, 2, "consented otherwise");
    }

    /// @dev Traces and votes of one audit say nothing in another.
    function test_again_hasAnIdOfItsOwn() public {
        AgreementId id = settled();
        uint16 ordinal = ask(id);
        consent(id, ordinal);

        vm.assertTrue(
            audits.emptyTrace(id, ordinal) != audits.emptyTrace(id, 0), "two audits have the same empty trace"
        );
        vm.roll(vm.getBlockNumber() + 1);
        vm.setBlockhash(vm.getBlockNumber() - 1, "hash");
        audits.draw(id, ordinal, ASKER_NONCE);
        bytes32 seed = keccak256(abi.encode(auditIdOf(id, ordinal), bytes32("hash"), ASKER_NONCE));
        vm.assertEq(audits.audit(id, ordinal).seed, seed, "the seed is another");
    }

    function test_again_neverSeatsTheAsker() public {
        AgreementId id = settled();
        address member = others[2];
        approve(member, FEES, address(agreements));
        AuditTerms memory wanted = terms();
        for (uint256 k = 0; k < 10; k++) {
            approve(member, FEES, address(agreements));
            vm.prank(member);
            uint16 ordinal = agreements.askAgain(id, wanted, commitment, 1 days, noPermit());
            consent(id, ordinal);
            draw(id, ordinal);
            for (uint256 i = 0; i < 3; i++) {
                vm.assertNotEq(audits.seated(id, ordinal)[i], member, "the asker sits in its own audit");
            }
        }
    }

    function test_again_releaseAndComplaintHaveNoPlaceInIt() public {
        AgreementId id = settled();
        uint16 ordinal = heard(id, Outcome.Match);
        bytes memory reason = abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, ordinal, Phase.Concluded);

        vm.expectRevert(reason);
        vm.prank(owner);
        audits.release(id, ordinal, cid("identity"));
        vm.expectRevert(reason);
        vm.prank(scientist);
        audits.complain(id, ordinal);
    }
}
