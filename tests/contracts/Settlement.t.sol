// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {
    CallerIsNotProofOfTrain,
    CallerIsNotScientist,
    DeadlineNotPassed,
    DeadlinePassed
} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Ending, RunEnd} from "../../contracts/types/Run.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Where the money goes: acceptResult, settle, expire, withdraw, and who may report a run.
contract SettlementTest is Fixture {
    function refusesState(AgreementId id) private {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, stateOf(id)));
    }

    // --- diverge

    function test_diverge_saysWhatIsDue() public {
        AgreementId id = begun();
        anchor(id, 4);
        Ending memory end = ending(id, 4);
        uint256 due = uint256(PRICE) * 6 / 11;

        vm.expectEmit(address(agreements));
        emit IAgreements.PriceReduced(id, due, PRICE - due);
        diverge(id, end);
    }

    // --- acceptResult

    function test_acceptResult_paysTheOwner() public {
        AgreementId id = trained();

        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Settled, PRICE + BOND, 0, 0);
        vm.prank(scientist);
        agreements.acceptResult(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
        assertOwed(scientist, 0);
    }

    function test_acceptResult_paysADivergedRunByItsSteps() public {
        AgreementId id = diverged(4);
        uint256 due = uint256(PRICE) * 6 / 11;

        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Settled, due + BOND, 0, 0);
        vm.prank(scientist);
        agreements.acceptResult(id);

        assertOwed(owner, due + BOND);
        assertOwed(scientist, PRICE - due);
    }

    function test_acceptResult_isInTimeAtItsDeadline() public {
        AgreementId id = trained();
        vm.warp(agreements.agreement(id).deadline);

        vm.prank(scientist);
        agreements.acceptResult(id);

        assertState(id, State.Settled);
    }

    function test_acceptResult_refusesAfterItsDeadline() public {
        AgreementId id = trained();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(scientist);
        agreements.acceptResult(id);
    }

    function test_acceptResult_refusesAnybodyElse() public {
        AgreementId id = trained();

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        agreements.acceptResult(id);
    }

    function test_acceptResult_refusesBeforeTheEnd() public {
        AgreementId id = begun();

        refusesState(id);
        vm.prank(scientist);
        agreements.acceptResult(id);
    }

    function test_acceptResult_paysOnce() public {
        AgreementId id = trained();
        vm.prank(scientist);
        agreements.acceptResult(id);

        refusesState(id);
        vm.prank(scientist);
        agreements.acceptResult(id);
    }

    // --- settle

    function test_settle_paysTheOwnerAfterSilence() public {
        AgreementId id = trained();
        timeOut(id);

        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Settled, PRICE + BOND, 0, 0);
        vm.prank(stranger);
        agreements.settle(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
    }

    function test_settle_paysADivergedRunByItsSteps() public {
        AgreementId id = diverged(6);
        uint256 due = uint256(PRICE) * 10 / 11;
        timeOut(id);

        agreements.settle(id);

        assertOwed(owner, due + BOND);
        assertOwed(scientist, PRICE - due);
    }

    function test_settle_refusesBeforeTheTimeOut() public {
        AgreementId id = trained();
        uint256 deadline = agreements.agreement(id).deadline;
        vm.warp(deadline);

        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, deadline));
        agreements.settle(id);
    }

    function test_settle_refusesARunThatHasNotEnded() public {
        AgreementId id = begun();
        timeOut(id);

        refusesState(id);
        agreements.settle(id);
    }

    function test_settle_paysOnce() public {
        AgreementId id = trained();
        timeOut(id);
        agreements.settle(id);

        refusesState(id);
        agreements.settle(id);
    }

    function testFuzz_settle_dividesThePriceWithoutRemainder(uint96 price, uint32 steps, uint32 segment) public {
        Terms memory terms = defaultTerms();
        terms.price = price % 1e24;
        terms.segmentSteps = segment % 1e6 + 2;
        terms.steps = steps % 1e6 + terms.segmentSteps + 1;
        terms.groupLeaves = 1;
        AgreementId id = diverged(terms, 2);
        timeOut(id);

        agreements.settle(id);

        vm.assertEq(
            agreements.owed(owner) + agreements.owed(scientist), terms.price + BOND, "the shares are not the whole"
        );
    }

    // --- expire

    function test_expire_forfeitsTheBondOfWhoNeverBegan() public {
        AgreementId id = accepted();
        timeOut(id);
        uint256 burned = BOND - BOND / 2;

        vm.expectEmit(address(agreements));
        emit IAgreements.Settled(id, State.Forfeited, 0, PRICE + BOND / 2, burned);
        vm.prank(stranger);
        agreements.expire(id);

        assertState(id, State.Forfeited);
        assertOwed(scientist, PRICE + BOND / 2);
        assertOwed(owner, 0);
        vm.assertEq(fit.totalSupply(), 1e9 ether - burned, "half of the bond was not burned");
    }

    function test_expire_forfeitsTheBondOfWhoNeverEnded() public {
        AgreementId id = anchored();
        timeOut(id);

        agreements.expire(id);

        assertState(id, State.Forfeited);
        assertOwed(scientist, PRICE + BOND / 2);
    }

    function test_expire_refusesBeforeTheTimeOut() public {
        AgreementId id = begun();
        uint256 deadline = agreements.agreement(id).deadline;
        vm.warp(deadline);

        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, deadline));
        agreements.expire(id);
    }

    function test_expire_refusesARequest() public {
        AgreementId id = requested();
        timeOut(id);

        refusesState(id);
        agreements.expire(id);
    }

    function test_expire_refusesAnEndedRun() public {
        AgreementId id = trained();
        timeOut(id);

        refusesState(id);
        agreements.expire(id);
    }

    function test_expire_refundsOnce() public {
        AgreementId id = accepted();
        timeOut(id);
        agreements.expire(id);

        refusesState(id);
        agreements.expire(id);
    }

    // --- withdraw

    function test_withdraw_paysAllThatIsOwedOnce() public {
        AgreementId id = trained();
        vm.prank(scientist);
        agreements.acceptResult(id);
        uint256 before = fit.balanceOf(owner);

        vm.expectEmit(address(agreements));
        emit IAgreements.Withdrawn(owner, PRICE + BOND);
        vm.prank(owner);
        agreements.withdraw();

        vm.assertEq(fit.balanceOf(owner) - before, PRICE + BOND, "another amount was paid");
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NothingOwed.selector, owner));
        vm.prank(owner);
        agreements.withdraw();
    }

    function test_withdraw_neverExpires() public {
        AgreementId id = requested();
        vm.prank(owner);
        agreements.reject(id, "");
        vm.warp(block.timestamp + 100 * 365 days);

        vm.prank(scientist);
        agreements.withdraw();

        vm.assertEq(fit.balanceOf(scientist), 1e6 ether, "the scientist did not get its price back");
    }

    function test_withdraw_refusesWhoIsOwedNothing() public {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NothingOwed.selector, stranger));
        vm.prank(stranger);
        agreements.withdraw();
    }

    // --- reports

    function digestOf(Terms memory terms) private pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    function end(AgreementId id) private {
        RunEnd memory how = RunEnd(11, 3, 4, 11, 2 hours, 0);
        agreements.endTraining(id, digestOf(termsOf[id]), how, defaultTerms().audit);
    }

    function test_startTraining_refusesAnybodyButProofOfTrain() public {
        AgreementId id = accepted();

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotProofOfTrain.selector, owner, address(proof)));
        vm.prank(owner);
        agreements.startTraining(id, digestOf(defaultTerms()), keyCommitment());
    }

    function test_endTraining_refusesAnybodyButProofOfTrain() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotProofOfTrain.selector, owner, address(proof)));
        vm.prank(owner);
        end(id);
    }

    function test_startTraining_refusesARunInTraining() public {
        AgreementId id = begun();

        refusesState(id);
        vm.prank(address(proof));
        agreements.startTraining(id, digestOf(defaultTerms()), keyCommitment());
    }

    function test_endTraining_refusesARunThatNeverBegan() public {
        AgreementId id = accepted();

        refusesState(id);
        vm.prank(address(proof));
        end(id);
    }

    function test_endTraining_refusesAfterTheDeadline() public {
        AgreementId id = begun();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(address(proof));
        end(id);
    }
}
