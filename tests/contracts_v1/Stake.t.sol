// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Membership, Outcome} from "../../contracts/types/Audit.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Permit} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice A verifier's stake: stake, unstake, withdraw.
contract StakeTest is AuditFixture {
    uint256 private constant NEWCOMER_KEY = 0xFEED;
    address private newcomer = vm.addr(NEWCOMER_KEY);

    function setUp() public override {
        super.setUp();
        fit.transfer(newcomer, 3 * STAKE);
    }

    function unstake(address account) private {
        vm.prank(account);
        audits.unstake();
    }

    function withdraw(address account) private {
        vm.prank(account);
        audits.withdraw();
    }

    // --- stake

    function test_stake_locksTheFullStakeAndJoinsThePool() public {
        vm.prank(newcomer);
        fit.approve(address(audits), STAKE);

        vm.expectEmit(address(audits));
        emit IAudits.Staked(newcomer, STAKE, MEMBERS + 1);
        vm.prank(newcomer);
        audits.stake(noPermit());

        assertStake(newcomer, STAKE);
        vm.assertEq(audits.poolLength(), MEMBERS + 1, "the pool did not grow by one");
        vm.assertEq(audits.poolMember(MEMBERS), newcomer, "the newcomer is not the pool's last");
        assertBalanced();
    }

    function test_stake_takesAPermit() public {
        Permit memory permit = signedPermit(NEWCOMER_KEY, STAKE, address(audits));

        vm.prank(newcomer);
        audits.stake(permit);

        assertStake(newcomer, STAKE);
    }

    function test_stake_standsWhenSomebodyElseUsedThePermit() public {
        Permit memory p = signedPermit(NEWCOMER_KEY, STAKE, address(audits));
        fit.permit(newcomer, address(audits), p.value, p.deadline, p.v, p.r, p.s);

        vm.prank(newcomer);
        audits.stake(p);

        assertStake(newcomer, STAKE);
    }

    function test_stake_refusesToStakeTwice() public {
        vm.expectRevert(abi.encodeWithSelector(IAudits.StakedAlready.selector, members[0]));
        vm.prank(members[0]);
        audits.stake(noPermit());
    }

    function test_stake_refusesWhileUnbonding() public {
        unstake(members[0]);
        uint256 unbonded = block.timestamp + 21 days;
        vm.warp(unbonded - 1);

        vm.expectRevert(abi.encodeWithSelector(IAudits.StakeIsUnbonding.selector, unbonded, unbonded - 1));
        vm.prank(members[0]);
        audits.stake(noPermit());
    }

    function test_stake_takesBackWhoHasLeftUnderItsNumber() public {
        unstake(members[3]);
        vm.warp(block.timestamp + 21 days);
        withdraw(members[3]);

        stake(members[3]);

        assertStake(members[3], STAKE);
        vm.assertEq(audits.membership(members[3]).number, 4, "the number is another");
        vm.assertEq(audits.poolLength(), MEMBERS, "the pool grew");
        assertBalanced();
    }

    function test_stake_topsUpAfterAPenaltyAtOnce() public {
        AgreementId id = drawn(3);
        address absent = seatOf(id, 0);
        advanceLate(id);
        assertStake(absent, STAKE - feePerSeat(3));
        vm.assertTrue(!audits.membership(absent).isActive(), "who is below the stake can be drawn");

        vm.prank(absent);
        fit.approve(address(audits), feePerSeat(3));
        vm.expectEmit(address(audits));
        emit IAudits.Staked(absent, feePerSeat(3), audits.membership(absent).number);
        vm.prank(absent);
        audits.stake(noPermit());

        vm.assertTrue(audits.membership(absent).isActive(), "who topped up cannot be drawn");
        assertBalanced();
    }

    // --- unstake

    function test_unstake_bindsTheStakeForTheUnbondingTime() public {
        vm.expectEmit(address(audits));
        emit IAudits.Unstaked(members[0], block.timestamp + 21 days);
        unstake(members[0]);

        vm.expectRevert(abi.encodeWithSelector(IAudits.NothingToWithdraw.selector, members[0]));
        withdraw(members[0]);
    }

    function test_unstake_refusesWhoHasNoStake() public {
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotStaked.selector, stranger));
        unstake(stranger);
    }

    function test_unstake_refusesWhoIsLeavingAlready() public {
        unstake(members[0]);

        vm.expectRevert(abi.encodeWithSelector(IAudits.NotStaked.selector, members[0]));
        unstake(members[0]);
    }

    function test_unstake_takesWhoIsBelowTheStake() public {
        AgreementId id = drawn(3);
        address absent = seatOf(id, 0);
        advanceLate(id);

        unstake(absent);
        vm.warp(block.timestamp + 21 days);
        uint256 before = fit.balanceOf(absent);
        withdraw(absent);

        vm.assertEq(fit.balanceOf(absent) - before, STAKE - feePerSeat(3), "another amount was paid");
        assertBalanced();
    }

    function test_unbondingTime_outlastsTheLongestAudit() public view {
        vm.assertLe((1 + 3 * 4 + 1) * 1 days, audits.unbondingTime(), "a stake can leave before its audit ends");
    }

    // --- withdraw

    function test_withdraw_paysTheStakeOnceItIsUnbonded() public {
        unstake(members[0]);
        vm.warp(block.timestamp + 21 days);
        uint256 before = fit.balanceOf(members[0]);

        vm.expectEmit(address(audits));
        emit IAudits.Withdrawn(members[0], 0, STAKE);
        withdraw(members[0]);

        vm.assertEq(fit.balanceOf(members[0]) - before, STAKE, "the stake was not paid");
        assertBalanced();
        vm.expectRevert(abi.encodeWithSelector(IAudits.NothingToWithdraw.selector, members[0]));
        withdraw(members[0]);
    }

    function test_withdraw_paysFeesAtAnyTimeAndOnce() public {
        AgreementId id = matched();
        address winner = seatOf(id, 0);

        vm.expectEmit(address(audits));
        emit IAudits.Withdrawn(winner, feePerSeat(3), 0);
        withdraw(winner);

        assertStake(winner, STAKE);
        assertBalanced();
        vm.expectRevert(abi.encodeWithSelector(IAudits.NothingToWithdraw.selector, winner));
        withdraw(winner);
    }

    function test_withdraw_neverExpires() public {
        AgreementId id = matched();
        vm.warp(block.timestamp + 100 * 365 days);

        withdraw(seatOf(id, 1));

        assertBalanced();
    }

    // --- membership

    /// @dev Strictly before the block of the opening, until that block included; and so for the spell before.
    function testFuzz_wasActiveBefore_isTrueWithinASpell(Membership memory known, uint48 opened) public pure {
        vm.assume(opened > 0 && known.earlierSince <= known.earlierUntil && known.earlierUntil <= known.since);
        vm.assume(known.until == 0 || known.since <= known.until);
        bool nowActive = known.since > 0 && known.since < opened && (known.until == 0 || opened <= known.until);
        bool before = known.earlierSince < opened && opened <= known.earlierUntil;

        vm.assertTrue(known.wasActiveBefore(opened) == (nowActive || before), "the spell is another");
    }
}
