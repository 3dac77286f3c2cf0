// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit} from "../../contracts/types/Audit.sol";
import {RunRecord} from "../../contracts/types/Run.sol";
import {Verifier} from "../../contracts/types/Verifier.sol";
import {Deployment, System} from "./Deployment.sol";
import {Handler, Job} from "./Handler.sol";
import {History} from "./History.sol";
import {Vm} from "./Vm.sol";

/// @notice What holds whatever anybody does, in sentences.
contract Invariants {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant SUPPLY = 1e9 ether;

    IFitCoin private fit;
    IAgreements private agreements;
    IAudits private audits;
    System private system;
    Handler private handler;

    function setUp() public {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        system = Deployment.all();
        (fit, agreements, audits) = (system.fit, system.agreements, system.audits);
        History.remove();
        handler = new Handler(system);
        for (uint256 i = 0; i < 4; i++) {
            fit.transfer(handler.actors(i), SUPPLY / 8);
        }
        for (uint256 i = 0; i < handler.VERIFIERS(); i++) {
            fit.transfer(handler.verifiers(i), SUPPLY / 32);
            if (i < 7) handler.stake(i, 9000 ether);
        }
        vm.roll(1001);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice Money in equals money out: Agreements holds what agreements and audits have locked and not yet paid
    ///         and what is owed, to the last unit; Verifiers holds stakes and unpaid fees; and of the supply only
    ///         what was forfeited is gone.
    function invariant_moneyInEqualsMoneyOut() public view {
        uint256 due;
        for (uint256 i = 0; i < 4; i++) {
            due += agreements.owed(handler.actors(i));
        }
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            due += jobs[i].locked - jobs[i].paid;
        }

        vm.assertEq(fit.balanceOf(address(agreements)), due, "the contract holds more or less than it owes");
        vm.assertEq(
            fit.balanceOf(address(system.verifiers)),
            handler.stakesAndEarned(),
            "Verifiers holds more or less than stakes and fees"
        );
        vm.assertEq(fit.totalSupply() + handler.burned(), SUPPLY, "money appeared or vanished");
    }

    /// @notice A verifier's stake covers what its seats in use have reserved, and nothing else is reserved.
    function invariant_whatSeatsReservedIsThereAndNothingElse() public view {
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < handler.VERIFIERS(); i++) {
            address account = handler.verifiers(i);
            uint256 reserved;
            for (uint256 j = 0; j < jobs.length; j++) {
                if (handler.isHeard(jobs[j])) reserved += reservedBy(account, jobs[j]);
            }
            Verifier memory known = system.verifiers.verifier(account);
            vm.assertEq(known.locked, reserved, "more or less is reserved than by the seats in use");
            vm.assertLe(known.locked, known.stake, "more is reserved than is there");
        }
    }

    function reservedBy(address account, Job memory job) private view returns (uint256 reserved) {
        Audit memory known = audits.audit(job.id, job.ordinal);
        address[] memory seated = audits.seated(job.id, job.ordinal);
        for (uint256 seat = 0; seat < seated.length; seat++) {
            if (seated[seat] == account && known.joined >> seat & 1 == 1) reserved += known.seatStake;
        }
    }

    /// @notice Each payment happens once: an agreement that is closed, with no audit or question open, has paid out
    ///         all that it locked, its price in one settlement; a live one has paid what a divergence took from its
    ///         price.
    function invariant_eachPaymentHappensOnce() public view {
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            bool live = handler.isLive(jobs[i].state);
            vm.assertEq(jobs[i].settlements, live ? 0 : 1, "an agreement settled early, late or twice");
            if (live) {
                vm.assertEq(jobs[i].paid, jobs[i].reduced, "a live agreement paid");
            } else if (jobs[i].asked == 0 && !handler.isHeard(jobs[i])) {
                vm.assertEq(jobs[i].paid, jobs[i].locked, "an agreement paid more or less than it locked");
            }
        }
    }

    /// @notice An anchored root never changes: the chain commits to the peaks over the groups in their order, and a
    ///         transcript's root, once there, stays.
    function invariant_anAnchoredRootNeverChanges() public view {
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            RunRecord memory run = handler.proof().run(jobs[i].id);

            vm.assertEq(run.groups, jobs[i].groups, "a group appeared or vanished");
            vm.assertEq(run.peaks, jobs[i].peaks, "the chain commits to other peaks");
            vm.assertEq(run.transcriptRoot, jobs[i].transcriptRoot, "a transcript's root is another");
        }
    }

    /// @notice A call succeeds if and only if the table of states allows it: to this party, in this state, in time.
    function invariant_aCallSucceedsOnlyWhereTheTableAllowsIt() public view {
        if (handler.surpriseCount() != 0) vm.assertEq(bytes(handler.surprises(0)), "", "a call surprised");
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            State found = agreements.agreement(jobs[i].id).state;
            vm.assertEq(uint256(found), uint256(jobs[i].state), "an agreement stands in another state");
        }
    }

    /// @notice Every state that is reached has an exit on time-out, after which everybody can withdraw and nothing is
    ///         left.
    /// @dev forge discards what an invariant changes.
    function invariant_everyStateHasAnExitOnTimeOut() public {
        vm.warp(block.timestamp + 365 days);
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            exit(jobs[i]);
            vm.assertTrue(!handler.isLive(agreements.agreement(jobs[i].id).state), "an agreement cannot be closed");
        }
        for (uint256 i = 0; i < 4; i++) {
            address actor = handler.actors(i);
            if (agreements.owed(actor) == 0) continue;
            vm.prank(actor);
            agreements.withdraw();
        }
        for (uint256 i = 0; i < handler.VERIFIERS(); i++) {
            leave(handler.verifiers(i));
        }

        vm.assertEq(fit.balanceOf(address(agreements)), 0, "somebody's money is stuck");
        vm.assertEq(fit.balanceOf(address(system.verifiers)), 0, "a verifier's money is stuck");
    }

    function exit(Job memory job) private {
        if (job.state == State.Requested) {
            vm.prank(job.scientist);
            agreements.cancel(job.id);
        }
        if (job.state == State.Accepted || job.state == State.Training) agreements.expire(job.id);
        if (job.asked != 0) {
            (uint16 ordinal,) = agreements.askedAndConsented(job.id);
            agreements.takeBack(job.id, ordinal);
        }
        while (handler.isHeard(job)) {
            vm.warp(vm.getBlockTimestamp() + 1 days + 1);
            audits.advance(job.id, job.ordinal);
        }
        if (job.state == State.Trained || job.state == State.Diverged) agreements.settle(job.id);
    }

    function leave(address account) private {
        IVerifiers verifiers = system.verifiers;
        if (verifiers.numberOf(account) == 0) return;
        if (verifiers.membership(0, account).place != 0) {
            vm.prank(account);
            verifiers.leavePool();
        }
        uint256 stake = verifiers.verifier(account).stake;
        vm.prank(account);
        verifiers.unstake(stake);
        vm.warp(vm.getBlockTimestamp() + 21 days);
        Verifier memory known = verifiers.verifier(account);
        vm.assertEq(known.locked, 0, "a seat's stake is reserved for ever");
        if (uint256(known.earned) + known.unbonding == 0) return;
        vm.prank(account);
        verifiers.withdraw();
    }
}
