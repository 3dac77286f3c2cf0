// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Lanes} from "../../contracts/libraries/Lanes.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit} from "../../contracts/types/Audit.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
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
    /// The verifiers' accounts.
    address[] private accounts;

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
            accounts.push(handler.verifiers(i));
        }
        vm.roll(1001);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice Each law, after every move of every walk that changed something; one walk serves them all.
    function invariant_everyLawHolds() public view {
        if (!handler.changed()) return;
        Job[] memory jobs = handler.jobs();
        moneyInEqualsMoneyOut(jobs);
        whatSeatsReservedIsThereAndNothingElse(jobs);
        eachPaymentHappensOnce(jobs);
        anAnchoredRootNeverChanges(jobs);
        aCallSucceedsOnlyWhereTheTableAllowsIt(jobs);
        aLedgerHoldsEveryChargeThatWasAccepted(jobs);
    }

    /// @notice Money in equals money out: Agreements holds what agreements and audits have locked and not yet paid
    ///         and what is owed, to the last unit; Verifiers holds stakes and unpaid fees; and of the supply only
    ///         what was forfeited is gone.
    function moneyInEqualsMoneyOut(Job[] memory jobs) private view {
        uint256 due;
        for (uint256 i = 0; i < 4; i++) {
            due += agreements.owed(handler.actors(i));
        }
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
    function whatSeatsReservedIsThereAndNothingElse(Job[] memory jobs) private view {
        uint256[] memory reserved = new uint256[](accounts.length);
        for (uint256 i = 0; i < jobs.length; i++) {
            if (handler.isHeard(jobs[i].id, jobs[i].ordinal)) addReserved(reserved, jobs[i].id, jobs[i].ordinal);
        }
        for (uint256 i = 0; i < accounts.length; i++) {
            Verifier memory known = system.verifiers.verifier(accounts[i]);
            vm.assertEq(known.locked, reserved[i], "more or less is reserved than by the seats in use");
            vm.assertLe(known.locked, known.stake, "more is reserved than is there");
        }
    }

    function addReserved(uint256[] memory reserved, AgreementId id, uint16 ordinal) private view {
        Audit memory known = audits.audit(id, ordinal);
        address[] memory seated = audits.seated(id, ordinal);
        for (uint256 seat = 0; seat < seated.length; seat++) {
            if (known.joined >> seat & 1 == 0) continue;
            for (uint256 i = 0; i < accounts.length; i++) {
                if (accounts[i] == seated[seat]) reserved[i] += known.seatStake;
            }
        }
    }

    /// @notice Each payment happens once: an agreement that is closed, with no audit or question open, has paid out
    ///         all that it locked, its price in one settlement; a live one has paid what a divergence took from its
    ///         price.
    function eachPaymentHappensOnce(Job[] memory jobs) private view {
        for (uint256 i = 0; i < jobs.length; i++) {
            bool live = handler.isLive(jobs[i].state);
            vm.assertEq(jobs[i].settlements, live ? 0 : 1, "an agreement settled early, late or twice");
            if (live) {
                vm.assertEq(jobs[i].paid, jobs[i].reduced, "a live agreement paid");
            } else if (jobs[i].asked == 0 && !handler.isHeard(jobs[i].id, jobs[i].ordinal)) {
                vm.assertEq(jobs[i].paid, jobs[i].locked, "an agreement paid more or less than it locked");
            }
        }
    }

    /// @notice An anchored root never changes: the chain commits to the peaks over the groups in their order, and a
    ///         transcript's root, once there, stays.
    function anAnchoredRootNeverChanges(Job[] memory jobs) private view {
        for (uint256 i = 0; i < jobs.length; i++) {
            RunRecord memory run = handler.proof().run(jobs[i].id);

            vm.assertEq(run.groups, jobs[i].groups, "a group appeared or vanished");
            vm.assertEq(run.peaks, jobs[i].peaks, "the chain commits to other peaks");
            vm.assertEq(run.transcriptRoot, jobs[i].transcriptRoot, "a transcript's root is another");
        }
    }

    /// @notice A call succeeds if and only if the table of states allows it: to this party, in this state, in time.
    function aCallSucceedsOnlyWhereTheTableAllowsIt(Job[] memory jobs) private view {
        if (handler.surpriseCount() != 0) vm.assertEq(bytes(handler.surprises(0)), "", "a call surprised");
        for (uint256 i = 0; i < jobs.length; i++) {
            State found = agreements.agreement(jobs[i].id).state;
            vm.assertEq(uint256(found), uint256(jobs[i].state), "an agreement stands in another state");
        }
    }

    /// @notice A ledger has spent what acceptances charged, whatever became of them, and its first unit; a job is
    ///         accepted exactly where that keeps some lane within the budget (`Handler.accept`).
    function aLedgerHoldsEveryChargeThatWasAccepted(Job[] memory jobs) private view {
        uint256 sum = Lanes.ONE_EACH;
        for (uint256 i = 0; i < jobs.length; i++) {
            if (jobs[i].seedBlock != 0) sum += jobs[i].terms.charge; // no lane comes near its end
        }
        (uint256 spent, uint256 budget) = handler.ledger();
        IRegistry.Ledger memory found = system.registry.ledger(handler.actors(0), 1);

        vm.assertEq(found.spent, sum, "a ledger is not the sum of what was accepted");
        vm.assertEq(found.spent, spent, "a ledger has spent something else");
        vm.assertEq(found.budget, budget, "a ledger has another budget");
    }

    /// @notice Every state that is reached has an exit on time-out, after which everybody can withdraw and nothing is
    ///         left.
    /// @dev forge discards what an invariant changes.
    function invariant_everyStateHasAnExitOnTimeOut() public {
        if (!handler.changed()) return;
        Job[] memory jobs = handler.jobs();
        vm.warp(block.timestamp + 365 days);
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
        for (uint256 i = 0; i < accounts.length; i++) {
            leave(accounts[i]);
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
        while (handler.isHeard(job.id, job.ordinal)) {
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
