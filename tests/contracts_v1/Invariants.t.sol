// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Phase} from "../../contracts/types/Audit.sol";
import {Run} from "../../contracts/types/Run.sol";
import {Deployment} from "./Deployment.sol";
import {Handler, Job} from "./Handler.sol";
import {Vm} from "./Vm.sol";

/// @notice What holds whatever anybody does, in sentences.
contract Invariants {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant SUPPLY = 1e9 ether;

    IFitCoin private fit;
    IAgreements private agreements;
    Handler private handler;

    function setUp() public {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        vm.etch(0x0000F90827F1C53a10cb7A02335B175320002935, "");
        IRegistry registry;
        (fit, registry, agreements) = Deployment.all(vm);
        handler = new Handler(fit, registry, agreements);
        for (uint256 i = 0; i < 4; i++) {
            fit.transfer(handler.actors(i), SUPPLY / 8);
        }
        for (uint256 i = 0; i < 6; i++) {
            fit.transfer(handler.verifiers(i), SUPPLY / 16);
            if (i < 4) handler.stake(i);
        }
        vm.roll(1001);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice Money in equals money out: the contract holds what live agreements have locked and not yet paid and what
    ///         is owed, to the last unit; Audits holds stakes and unpaid fees; and of the supply only what was forfeited
    ///         is gone.
    function invariant_moneyInEqualsMoneyOut() public view {
        uint256 due;
        for (uint256 i = 0; i < 4; i++) {
            due += agreements.owed(handler.actors(i));
        }
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            if (handler.isLive(jobs[i].state)) due += jobs[i].locked - jobs[i].paid;
        }

        vm.assertEq(fit.balanceOf(address(agreements)), due, "the contract holds more or less than it owes");
        vm.assertEq(
            fit.balanceOf(address(agreements.audits())),
            handler.stakesAndEarned(),
            "Audits holds more or less than stakes and fees"
        );
        vm.assertEq(fit.totalSupply() + handler.burned(), SUPPLY, "money appeared or vanished");
    }

    /// @notice Each payment happens once: a closed agreement has paid out all that it locked, in one settlement; a live
    ///         one has paid nothing, or the audit fee if only the key of a Match is missing.
    function invariant_eachPaymentHappensOnce() public view {
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            bool live = handler.isLive(jobs[i].state);
            vm.assertEq(jobs[i].settlements, live ? 0 : 1, "an agreement settled early, late or twice");
            bool matched = agreements.audits().audit(jobs[i].id).phase == Phase.Matched;
            uint256 due = !live ? jobs[i].locked : matched ? jobs[i].terms.audit.fee : 0;
            vm.assertEq(jobs[i].paid, due, "an agreement paid more or less than it locked");
        }
    }

    /// @notice An anchored root never changes: the chain commits to the peaks over the groups in their order, and a
    ///         transcript's root, once there, stays.
    function invariant_anAnchoredRootNeverChanges() public view {
        Job[] memory jobs = handler.jobs();
        for (uint256 i = 0; i < jobs.length; i++) {
            Run memory run = handler.proof().run(jobs[i].id);

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

        vm.assertEq(fit.balanceOf(address(agreements)), 0, "somebody's money is stuck");
    }

    function exit(Job memory job) private {
        if (job.state == State.Requested) {
            vm.prank(job.scientist);
            agreements.cancel(job.id);
        }
        if (job.state == State.Accepted || job.state == State.Training) agreements.expire(job.id);
        IAudits audits = agreements.audits();
        while (agreements.agreement(job.id).state == State.Auditing) {
            vm.warp(vm.getBlockTimestamp() + 1 days + 1);
            audits.advance(job.id);
        }
        if (job.state == State.Trained || job.state == State.Diverged) agreements.settle(job.id);
    }
}
