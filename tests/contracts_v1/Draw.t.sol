// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Audit, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId, NO_PANEL} from "../../contracts/types/Ids.sol";
import {DisclosureMode, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Who is drawn, by which block, from whom.
contract DrawTest is AuditFixture {
    function setUp() public override {
        super.setUp();
        vm.etch(0x0000F90827F1C53a10cb7A02335B175320002935, "");
    }

    function unstake(address account) private {
        vm.prank(account);
        audits.unstake();
    }

    function isSeated(AgreementId id, address account) private view returns (bool) {
        address[] memory seats = audits.seated(id);
        for (uint256 i = 0; i < seats.length; i++) {
            if (seats[i] == account) return true;
        }
        return false;
    }

    /// @dev The draw as docs and pods have it, written down a second time, for a panel whose members all can be drawn.
    function expected(bytes32 seed, uint256 seats) private view returns (address[] memory accounts) {
        accounts = new address[](seats);
        uint256 found;
        for (uint256 counter = 0; found < seats; counter++) {
            address account = members[uint256(keccak256(abi.encode(seed, uint256(0), counter))) % MEMBERS];
            bool taken;
            for (uint256 i = 0; i < found; i++) {
                if (accounts[i] == account) taken = true;
            }
            if (!taken) accounts[found++] = account;
        }
    }

    // --- the challenge

    function test_open_keepsBlockPanelAndDeadline() public {
        AgreementId id = opened(3);

        Audit memory known = audits.audit(id);
        assertPhase(id, Phase.Awaiting);
        vm.assertEq(known.challengeBlock, block.number, "the challenge is not the block of the end");
        vm.assertEq(known.panelLength, MEMBERS, "the panel has another length");
        vm.assertEq(known.deadline, block.timestamp + WINDOW, "the deadline is another");
    }

    function test_open_refusesAnybodyButAgreements() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotAgreements.selector, stranger, address(agreements)));
        vm.prank(stranger);
        audits.open(id, 1, 3, 3600, false);
    }

    function test_draw_refusesInTheChallengeBlock() public {
        AgreementId id = opened(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.ChallengeBlockIsCurrent.selector, block.number));
        audits.draw(id);
    }

    function test_draw_refusesToDrawTwice() public {
        AgreementId id = drawn(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, Phase.Joining));
        audits.draw(id);
    }

    function test_draw_refusesAfterTheDeadline() public {
        AgreementId id = opened(3);
        auditTimesOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        audits.draw(id);
    }

    function test_draw_movesAForgottenChallengeAndKeepsTheDeadline() public {
        AgreementId id = opened(3);
        uint256 deadline = audits.audit(id).deadline;
        vm.roll(block.number + 300);

        vm.expectEmit(address(audits));
        emit IAudits.ChallengeMoved(id, vm.getBlockNumber());
        audits.draw(id);

        assertPhase(id, Phase.Awaiting);
        vm.assertEq(audits.audit(id).deadline, deadline, "the deadline moved");
        draw(id);
        assertPhase(id, Phase.Joining);
    }

    // --- who

    function testFuzz_draw_isWhatItsSeedSays(bytes32 blockHash, uint8 seats) public {
        seats = seats % uint8(MEMBERS) + 1;
        AgreementId id = opened(seats);
        uint256 challenge = block.number;
        vm.roll(challenge + 1);
        vm.setBlockhash(challenge, blockHash);
        vm.assume(blockHash != 0);

        audits.draw(id);

        bytes32 seed = audits.audit(id).seed;
        vm.assertEq(seed, keccak256(abi.encode(id, blockHash)), "the seed is another");
        vm.assertEq(
            abi.encode(audits.seated(id)), abi.encode(expected(seed, seats)), "others are drawn than the seed says"
        );
    }

    function test_draw_neverTakesTheParties() public {
        fit.transfer(owner, STAKE);
        stake(owner);
        stake(scientist);
        vm.roll(block.number + 1);
        Terms memory terms = auditedTerms(10);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);
        AgreementId id = trained(terms);

        draw(id);

        vm.assertTrue(!isSeated(id, owner) && !isSeated(id, scientist), "a party was drawn");
        vm.assertTrue(!isSeated(id, address(0)), "a seat is empty though there are enough verifiers");
    }

    /// @dev Neither by joining the pool nor by being listed after the challenge can be seen.
    function test_draw_ignoresWhoStuffsThePoolAfterTheChallenge() public {
        Terms memory terms = auditedTerms(10);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);
        AgreementId id = trained(terms);
        uint256 before = audits.audit(id).panelLength;
        for (uint160 i = 0; i < 20; i++) {
            fit.transfer(address(0xF000 + i), STAKE);
            stake(address(0xF000 + i));
        }

        draw(id);

        vm.assertEq(audits.audit(id).panelLength, before, "the draw looks at newcomers");
        for (uint256 i = 0; i < 10; i++) {
            vm.assertTrue(seatOf(id, i) < address(0xF000) && seatOf(id, i) != address(0), "a newcomer was drawn");
        }
    }

    /// @dev A panel's member that stakes in the block of the end comes too late, also once the challenge has moved.
    function test_draw_ignoresAMemberThatStakesOnceTheRunHasEnded() public {
        address[] memory late = new address[](1);
        late[0] = address(0xF000);
        registry.extendPanel(panel, late);
        fit.transfer(late[0], STAKE);
        AgreementId id = opened(10);
        stake(late[0]);
        vm.roll(block.number + 300);
        audits.draw(id);

        draw(id);

        vm.assertTrue(!isSeated(id, late[0]), "who staked after the end was drawn");
        vm.assertTrue(!isSeated(id, address(0)), "a seat is empty though there are enough verifiers");
    }

    function test_draw_ignoresMembersListedAfterTheEnd() public {
        address[] memory late = new address[](1);
        late[0] = address(0xF000);
        fit.transfer(late[0], STAKE);
        stake(late[0]);
        AgreementId id = opened(10);
        registry.extendPanel(panel, late);

        draw(id);

        vm.assertTrue(!isSeated(id, late[0]), "who was listed after the end was drawn");
    }

    function test_draw_ignoresWhoLeftBeforeTheEnd() public {
        unstake(members[4]);
        vm.roll(block.number + 1);
        AgreementId id = opened(9);

        draw(id);

        vm.assertTrue(!isSeated(id, members[4]), "who had left was drawn");
    }

    /// @dev Leaving after the end, falling below the stake or topping it up again changes nothing.
    function testFuzz_draw_isTheSameWhoeverLeavesAfterTheEnd(uint16 leaving) public {
        AgreementId id = opened(5);
        uint256 snapshot = vm.snapshotState();
        draw(id);
        bytes memory before = abi.encode(audits.seated(id));
        vm.revertToState(snapshot);

        for (uint256 i = 0; i < MEMBERS; i++) {
            if (leaving >> i & 1 == 1) unstake(members[i]);
        }
        draw(id);

        vm.assertEq(abi.encode(audits.seated(id)), before, "the draw is another");
    }

    function test_draw_leavesSeatsEmptyWhereNobodyIsLeft() public {
        AgreementId id = requested("salt", auditedTerms(3));
        accept(id);
        for (uint256 i = 1; i < MEMBERS; i++) {
            unstake(members[i]);
        }
        begin(id);
        anchor(id, auditedTerms(3), 7);
        finish(id, ending(id, auditedTerms(3)));

        draw(id);

        vm.assertTrue(isSeated(id, members[0]) && isSeated(id, address(0)), "the seats hold others");
    }

    /// @dev Each of ten members sits in three of ten draws: 600 of 2000, give or take six deviations (20.5 each).
    function test_draw_isUniformOverThePanel() public {
        uint256[] memory times = new uint256[](MEMBERS);
        AgreementId id = opened(3);
        uint256 challenge = block.number;
        vm.roll(challenge + 1);
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 2000; i++) {
            vm.setBlockhash(challenge, keccak256(abi.encode(i)));
            audits.draw(id);
            for (uint256 seat = 0; seat < 3; seat++) {
                times[uint160(seatOf(id, seat)) - 0xE000]++;
            }
            vm.revertToState(snapshot);
        }

        for (uint256 i = 0; i < MEMBERS; i++) {
            vm.assertLe(times[i], 600 + 123, "a member is drawn too often");
            vm.assertLe(600 - 123, times[i], "a member is drawn too seldom");
        }
    }
}
