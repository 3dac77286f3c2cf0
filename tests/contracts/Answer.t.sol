// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {
    CallerIsNotOwner,
    CallerIsNotScientist,
    CidLengthRefused,
    DeadlineNotPassed,
    DeadlinePassed
} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";

/// @notice What may become of a request: accept, reject, cancel.
contract AnswerTest is Fixture {
    // --- accept

    function test_accept_locksTheBond() public {
        AgreementId id = accepted();

        assertState(id, State.Accepted);
        vm.assertEq(fit.balanceOf(address(agreements)), PRICE + BOND, "price and bond are not locked");
    }

    function test_accept_fixesSeedBlockCommitmentAndDeadline() public {
        Agreement memory known = agreements.agreement(accepted());

        vm.assertEq(known.seedBlock, block.number, "the seed block is not the block of acceptance");
        bytes32 digest = keccak256(abi.encode(keccak256(abi.encode(defaultTerms())), keyCommitment()));
        vm.assertEq(known.digest, digest, "terms and commitment are others");
        vm.assertEq(known.deadline, block.timestamp + 1 days, "the training deadline is another");
    }

    function test_accept_emitsAccepted() public {
        AgreementId id = requested();
        vm.prank(owner);
        fit.approve(address(agreements), BOND);

        vm.expectEmit(address(agreements));
        emit IAgreements.Accepted(id, keyCommitment(), uint40(block.timestamp + 1 days), 0);
        vm.prank(owner);
        agreements.accept(id, defaultTerms(), keyCommitment(), noPermit());
    }

    function test_accept_takesAPermit() public {
        AgreementId id = requested();
        Permit memory permit = signedPermit(OWNER_KEY, BOND);

        vm.prank(owner);
        agreements.accept(id, defaultTerms(), keyCommitment(), permit);

        assertState(id, State.Accepted);
    }

    function test_accept_standsWhenSomebodyElseUsedThePermit() public {
        AgreementId id = requested();
        Permit memory p = signedPermit(OWNER_KEY, BOND);
        vm.prank(stranger);
        fit.permit(owner, address(agreements), p.value, p.deadline, p.v, p.r, p.s);

        vm.prank(owner);
        agreements.accept(id, defaultTerms(), keyCommitment(), p);

        assertState(id, State.Accepted);
    }

    function test_accept_isInTimeAtItsDeadline() public {
        AgreementId id = requested();
        vm.warp(agreements.agreement(id).deadline);

        accept(id);

        assertState(id, State.Accepted);
    }

    function test_accept_refusesAfterItsDeadline() public {
        AgreementId id = requested();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(owner);
        agreements.accept(id, defaultTerms(), keyCommitment(), noPermit());
    }

    function test_accept_refusesAnybodyElse() public {
        AgreementId id = requested();

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, scientist, owner));
        vm.prank(scientist);
        agreements.accept(id, defaultTerms(), keyCommitment(), noPermit());
    }

    function test_accept_refusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, owner, address(0)));
        vm.prank(owner);
        agreements.accept(AgreementId.wrap("none"), defaultTerms(), keyCommitment(), noPermit());
    }

    function test_accept_refusesToAcceptTwice() public {
        AgreementId id = accepted();

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Accepted));
        vm.prank(owner);
        agreements.accept(id, defaultTerms(), keyCommitment(), noPermit());
    }

    function test_accept_refusesNoCommitment() public {
        AgreementId id = requested();

        vm.expectRevert(IAgreements.KeyCommitmentIsZero.selector);
        vm.prank(owner);
        agreements.accept(id, defaultTerms(), 0, noPermit());
    }

    function test_accept_refusesOtherTerms() public {
        AgreementId id = requested();
        Terms memory terms = defaultTerms();
        terms.bond--;
        bytes32 digest = keccak256(abi.encode(defaultTerms()));

        vm.expectRevert(abi.encodeWithSelector(IAgreements.TermsDiffer.selector, keccak256(abi.encode(terms)), digest));
        vm.prank(owner);
        agreements.accept(id, terms, keyCommitment(), noPermit());
    }

    function test_accept_refusesWithoutAllowance() public {
        AgreementId id = requested();

        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(agreements), 0, BOND)
        );
        vm.prank(owner);
        agreements.accept(id, defaultTerms(), keyCommitment(), noPermit());
    }

    function test_accept_staysPossibleWhenTheDatasetRetires() public {
        AgreementId id = requested();
        vm.prank(owner);
        registry.retireDataset(dataset);

        accept(id);

        assertState(id, State.Accepted);
    }

    // --- reject

    function test_reject_returnsThePrice() public {
        AgreementId id = requested();

        vm.expectEmit(address(agreements));
        emit IAgreements.Rejected(id, PRICE, cid("reason"));
        vm.prank(owner);
        agreements.reject(id, cid("reason"));

        assertState(id, State.Cancelled);
        assertOwed(scientist, PRICE);
        assertOwed(owner, 0);
    }

    function test_reject_refusesAnybodyElse() public {
        AgreementId id = requested();

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, stranger, owner));
        vm.prank(stranger);
        agreements.reject(id, "");
    }

    function test_reject_refusesAfterAcceptance() public {
        AgreementId id = accepted();

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Accepted));
        vm.prank(owner);
        agreements.reject(id, "");
    }

    function test_reject_refusesAfterItsDeadline() public {
        AgreementId id = requested();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        vm.prank(owner);
        agreements.reject(id, "");
    }

    function test_reject_refusesAnOversizedReason() public {
        AgreementId id = requested();

        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, 65, 64));
        vm.prank(owner);
        agreements.reject(id, new bytes(65));
    }

    // --- cancel

    function test_cancel_returnsThePrice() public {
        AgreementId id = requested();
        timeOut(id);

        vm.expectEmit(address(agreements));
        emit IAgreements.Cancelled(id, PRICE);
        vm.prank(scientist);
        agreements.cancel(id);

        assertState(id, State.Cancelled);
        assertOwed(scientist, PRICE);
    }

    function test_cancel_refusesBeforeTheTimeOut() public {
        AgreementId id = requested();
        uint256 deadline = agreements.agreement(id).deadline;
        vm.warp(deadline);

        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, deadline));
        vm.prank(scientist);
        agreements.cancel(id);
    }

    function test_cancel_refusesAnybodyElse() public {
        AgreementId id = requested();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotScientist.selector, owner, scientist));
        vm.prank(owner);
        agreements.cancel(id);
    }

    function test_cancel_refusesToCancelTwice() public {
        AgreementId id = requested();
        timeOut(id);
        vm.prank(scientist);
        agreements.cancel(id);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Cancelled));
        vm.prank(scientist);
        agreements.cancel(id);
    }

    function test_cancel_refusesAfterAcceptance() public {
        AgreementId id = accepted();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Accepted));
        vm.prank(scientist);
        agreements.cancel(id);
    }
}
