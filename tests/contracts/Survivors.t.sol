// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Laws that once no test held: each kills a mutant that survived.
contract SurvivorsTest is AuditFixture {
    /// @dev Mutant: `holds` and the cursors forgotten, so that somebody sits twice, in one round or in two.
    function test_redraw_neverSeatsAnybodyAgain() public {
        for (uint256 k = 0; k < 30; k++) {
            uint256 snapshot = vm.snapshotState();
            AgreementId id = trained(bytes32(k), auditedTerms(5), scientist);
            uint256 at = audit(id).openedBlock;
            vm.roll(vm.getBlockNumber() + 1);
            vm.setBlockhash(at, keccak256(abi.encode("h", k)));
            audits.draw(id, 0, ASKER_NONCE);
            joinAll(id);
            submit(id);
            address[] memory first = audits.seated(id, 0);
            commit(id, 3, Outcome.Match);
            commit(id, 4, Outcome.Match);
            advanceLate(id);
            address[] memory second = audits.seated(id, 0);
            for (uint256 i = 0; i < 5; i++) {
                for (uint256 j = 0; j < 5; j++) {
                    if (i != j) vm.assertTrue(second[i] == address(0) || second[i] != second[j], "twice in one round");
                    if (i < 3) vm.assertTrue(second[i] == address(0) || second[i] != first[j], "seated before");
                }
            }
            vm.revertToState(snapshot);
        }
    }

    /// @dev Mutant: who left and is then penalised below the pool's stake leaves once more.
    function test_penaltyOfWhoLeftCountsOnce() public {
        AgreementId id = evident(3);
        address absent = seatOf(id, 0);
        vm.prank(absent);
        verifiers.unstake(STAKE - 1000 ether);
        vm.prank(absent);
        verifiers.leavePool();
        uint256 places = verifiers.placesOf(0).length;
        commit(id, 1, Outcome.Match);
        advanceLate(id);

        assertStake(absent, 1000 ether - SEAT_STAKE / 10);
        vm.assertEq(verifiers.placesOf(0).length, places, "it left twice");
    }

    /// @dev And who stands in the pool with less than a place costs leaves it.
    function test_penaltyBelowThePoolsStakeLeavesThePool() public {
        AgreementId id = evident(3);
        address absent = seatOf(id, 0);
        vm.prank(absent);
        verifiers.unstake(STAKE - 1000 ether);
        uint256 places = verifiers.placesOf(0).length;
        commit(id, 1, Outcome.Match);
        commit(id, 2, Outcome.Match);
        advanceLate(id);
        reveal(id, 1, Outcome.Match);
        reveal(id, 2, Outcome.Match);
        advance(id);

        assertStake(absent, 1000 ether - SEAT_STAKE / 10);
        vm.assertEq(verifiers.placesOf(0).length, places - 1, "a place is held by too little");
        vm.assertEq(verifiers.membership(0, absent).place, 0, "it stands still");
        vm.assertTrue(verifiers.membership(panelNumber, absent).place != 0, "it left the panel too");
    }

    /// @dev Mutant: a later change of stake or place forgets that a verifier stood at an earlier request.
    function test_topUpStaysInEarlierDraws() public {
        AgreementId id = opened(5);
        for (uint256 i = 0; i < MEMBERS; i++) {
            vm.prank(members[i]);
            verifiers.unstake(STAKE - 1000 ether);
            approve(members[i], 1 ether, address(verifiers));
            vm.prank(members[i]);
            verifiers.stake(1 ether, 0, noPermit());
        }
        draw(id);
        joinAll(id);

        assertPhase(id, Phase.Evidence);
    }

    /// @dev Mutant: a seat that did not join, or whose vote is no Match, may release a key.
    function test_release_isNotForASeatThatDidNotJoin() public {
        AgreementId id = drawn(3);
        join(id, 0);
        join(id, 1);
        address outsider = seatOf(id, 2);
        vm.warp(audit(id).waitDeadline + 1);
        advance(id);
        submit(id);
        for (uint8 seat = 0; seat < 2; seat++) {
            commit(id, seat, Outcome.Match);
        }
        for (uint8 seat = 0; seat < 2; seat++) {
            reveal(id, seat, Outcome.Match);
        }
        advance(id);
        complain(id);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerHasNoKey.selector, outsider));
        vm.prank(outsider);
        audits.release(id, 0, cid("identity"));
    }
}
