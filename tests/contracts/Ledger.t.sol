// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {Lanes} from "../../contracts/libraries/Lanes.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {CallerIsNotAgreements} from "../../contracts/types/Errors.sol";
import {AgreementId, DatasetId} from "../../contracts/types/Ids.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Privacy budgets: lanes, ledgers, and what `accept` charges.
contract LedgerTest is Fixture {
    uint256 private constant ONE = Lanes.ONE_EACH;
    uint256 private constant FULL = type(uint32).max;

    DatasetId private charged;

    function setUp() public override {
        super.setUp();
        vm.prank(owner);
        registry.openLedger(100 * ONE);
        vm.prank(owner);
        charged = registry.registerDataset("private", 10, 1, cid("private"));
    }

    function chargedTerms(uint256 charge) private view returns (Terms memory terms) {
        terms = defaultTerms();
        (terms.dataset, terms.datasetRoot, terms.charge) = (charged, "private", charge);
    }

    function spent(uint16 number) private view returns (uint256) {
        return registry.ledger(owner, number).spent;
    }

    function refusesToAccept(AgreementId id, bytes memory reason) private {
        Terms memory terms = termsOf[id];
        approve(owner, BOND, address(agreements));
        vm.expectRevert(reason);
        vm.prank(owner);
        agreements.accept(id, terms, keyCommitment(), noPermit());
    }

    // --- lanes

    function testFuzz_saturatingAdd_addsEachLaneAndStops(uint256 a, uint256 b) public pure {
        uint256 sum = Lanes.saturatingAdd(a, b);

        for (uint256 i = 0; i < 8; i++) {
            uint256 exact = Lanes.laneAt(a, i) + Lanes.laneAt(b, i);
            vm.assertEq(Lanes.laneAt(sum, i), exact > FULL ? FULL : exact, "a lane is not the sum");
        }
    }

    function testFuzz_somewhereWithin_isSomeLaneNeitherFullNorAboveItsBudget(uint256 a, uint256 b, uint8 mask)
        public
        pure
    {
        for (uint256 i = 0; i < 8; i++) {
            if (mask >> i & 1 == 1) b &= ~(FULL << (32 * i));
        }
        bool expected;
        for (uint256 i = 0; i < 8; i++) {
            (uint256 used, uint256 budget) = (Lanes.laneAt(a, i), Lanes.laneAt(b, i));
            expected = expected || budget != 0 && used != FULL && used <= budget;
        }

        vm.assertTrue(Lanes.somewhereWithin(a, b) == expected, "a budget is kept otherwise");
    }

    /// @dev tests/contracts/vectors.json: a, b, their sum and whether a is within b, as the pods have it.
    function test_lanes_areThePods() public view {
        bytes32[] memory rows = vm.parseJsonBytes32Array(vm.readFile("tests/contracts/vectors.json"), ".lanes");
        vm.assertGe(rows.length, 160, "there are fewer vectors");

        for (uint256 i = 0; i < rows.length; i += 4) {
            (uint256 a, uint256 b) = (uint256(rows[i]), uint256(rows[i + 1]));
            vm.assertEq(Lanes.saturatingAdd(a, b), uint256(rows[i + 2]), "a sum is not the pods'");
            vm.assertEq(Lanes.somewhereWithin(a, b) ? 1 : 0, uint256(rows[i + 3]), "a comparison is not the pods'");
        }
    }

    // --- ledgers

    function test_openLedger_startsWithOneUnitInEachLane() public {
        vm.expectEmit(address(registry));
        emit IRegistry.LedgerOpened(owner, 2, 7 * ONE);
        vm.prank(owner);
        vm.assertEq(registry.openLedger(7 * ONE), 2, "the second ledger is not 2");

        vm.assertEq(registry.ledger(owner, 2).budget, 7 * ONE, "the budget is another");
        vm.assertEq(spent(2), ONE, "a ledger starts at zero");
        vm.assertEq(registry.ledgerCount(owner), 2, "another number of ledgers");
    }

    function test_registerDataset_namesALedgerOnceThereIsOne() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.LedgerNeeded.selector, owner));
        vm.prank(owner);
        registry.registerDataset("other", 10, 0, cid("other"));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.LedgerNotOpened.selector, owner, 2));
        vm.prank(owner);
        registry.registerDataset("other", 10, 2, cid("other"));
    }

    function test_registerDataset_refusesAnothersLedger() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.LedgerNotOpened.selector, stranger, 1));
        vm.prank(stranger);
        registry.registerDataset("other", 10, 1, cid("other"));
    }

    function test_lowerBudget_lowers() public {
        vm.expectEmit(address(registry));
        emit IRegistry.BudgetLowered(owner, 1, 99 * ONE);
        vm.prank(owner);
        registry.lowerBudget(1, 99 * ONE);

        vm.assertEq(registry.ledger(owner, 1).budget, 99 * ONE, "the budget did not fall");
    }

    /// @dev Also where all other lanes fall.
    function testFuzz_lowerBudget_refusesToRaiseAnyLane(uint8 lane) public {
        uint256 higher = 50 * ONE + (51 << (32 * (lane % 8)));

        vm.expectRevert(abi.encodeWithSelector(IRegistry.BudgetRises.selector, higher, 100 * ONE));
        vm.prank(owner);
        registry.lowerBudget(1, higher);
    }

    function test_lowerBudget_refusesALedgerThatIsNone() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.LedgerNotOpened.selector, owner, 2));
        vm.prank(owner);
        registry.lowerBudget(2, 0);
    }

    // --- charges

    function test_accept_chargesTheLedger() public {
        AgreementId id = requested("salt", chargedTerms(30 * ONE));
        vm.assertEq(spent(1), ONE, "a request is charged");

        approve(owner, BOND, address(agreements));
        vm.expectEmit(address(registry));
        emit IRegistry.Charged(owner, 1, id, 30 * ONE, 31 * ONE);
        vm.prank(owner);
        agreements.accept(id, chargedTerms(30 * ONE), keyCommitment(), noPermit());

        vm.assertEq(spent(1), 31 * ONE, "the ledger was charged otherwise");
    }

    function test_accept_chargesAllDatasetsOfTheAccountToOneLedger() public {
        vm.prank(owner);
        DatasetId other = registry.registerDataset("other", 10, 1, cid("other"));
        accept(requested("salt", chargedTerms(30 * ONE)));
        Terms memory terms = chargedTerms(40 * ONE);
        (terms.dataset, terms.datasetRoot) = (other, "other");
        accept(requested("pepper", terms));

        vm.assertEq(spent(1), 71 * ONE, "the ledger was charged otherwise");
    }

    function test_accept_chargesAnotherLedgerApart() public {
        vm.prank(owner);
        registry.openLedger(100 * ONE);
        vm.prank(owner);
        DatasetId other = registry.registerDataset("other", 10, 2, cid("other"));
        Terms memory terms = chargedTerms(40 * ONE);
        (terms.dataset, terms.datasetRoot) = (other, "other");
        accept(requested("salt", terms));

        vm.assertEq(spent(1), ONE, "other people's job was charged");
        vm.assertEq(spent(2), 41 * ONE, "the ledger was charged otherwise");
    }

    function test_accept_refusesBeyondTheBudget() public {
        accept(requested("salt", chargedTerms(60 * ONE)));
        AgreementId id = requested("pepper", chargedTerms(40 * ONE));

        refusesToAccept(id, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 101 * ONE, 100 * ONE));
        vm.assertEq(spent(1), 61 * ONE, "a refused job was charged");
        accept(requested("thyme", chargedTerms(39 * ONE)));
    }

    /// @dev Each of both fits when it is asked for.
    function test_accept_refusesTheSecondOfTwoThatRaceForTheLastOfABudget() public {
        AgreementId first = requested("salt", chargedTerms(60 * ONE));
        AgreementId second = requested("pepper", chargedTerms(60 * ONE));
        accept(first);

        refusesToAccept(second, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 121 * ONE, 100 * ONE));
        vm.assertEq(spent(1), 61 * ONE, "the second was charged");
    }

    function test_lowerBudget_refusesToRaiseItForAJobThatIsAskedFor() public {
        AgreementId id = requested("salt", chargedTerms(150 * ONE));

        vm.expectRevert(abi.encodeWithSelector(IRegistry.BudgetRises.selector, 200 * ONE, 100 * ONE));
        vm.prank(owner);
        registry.lowerBudget(1, 200 * ONE);
        refusesToAccept(id, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 151 * ONE, 100 * ONE));
    }

    /// @dev Renyi orders are bounds each: one that holds is enough.
    function testFuzz_accept_isWithinWhileSomeLaneIs(uint8 lane) public {
        uint256 shift = 32 * (lane % 8);
        uint256 charge = 1000 * ONE - (999 << shift);

        accept(requested("salt", chargedTerms(charge)));

        vm.assertEq(Lanes.laneAt(spent(1), lane % 8), 2, "the lane was charged otherwise");
    }

    /// @dev Whatever the budget says: a full lane has forgotten how much it holds.
    function test_accept_refusesWhereEveryLaneIsFull() public {
        vm.prank(owner);
        registry.openLedger(type(uint256).max);
        vm.prank(owner);
        DatasetId other = registry.registerDataset("other", 10, 2, cid("other"));
        Terms memory terms = chargedTerms(type(uint256).max);
        (terms.dataset, terms.datasetRoot) = (other, "other");
        AgreementId id = requested("salt", terms);

        refusesToAccept(
            id, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, type(uint256).max, type(uint256).max)
        );
    }

    function test_accept_neverHoldsALaneWithoutABudget() public {
        vm.prank(owner);
        registry.lowerBudget(1, 0);
        AgreementId id = requested("salt", chargedTerms(ONE));

        refusesToAccept(id, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 2 * ONE, 0));
    }

    function testFuzz_accept_refusesAChargeWithAZeroInAnyLane(uint8 lane) public {
        uint256 charge = 5 * ONE - (5 << (32 * (lane % 8)));
        AgreementId id = requested("salt", chargedTerms(charge));

        refusesToAccept(id, abi.encodeWithSelector(IRegistry.ChargeHasZeroLane.selector, charge));
    }

    function test_request_refusesADatasetWithALedgerWithoutACharge() public {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.ChargeRefused.selector, 0, 1));
        vm.prank(scientist);
        agreements.request("salt", chargedTerms(0), cid("offer"), noPermit());
    }

    function test_charge_isNeverGivenBack() public {
        AgreementId id = requested("salt", chargedTerms(30 * ONE));
        accept(id);
        timeOut(id);
        agreements.expire(id);

        assertState(id, State.Forfeited);
        vm.assertEq(spent(1), 31 * ONE, "an expired job was given back");
    }

    function test_charge_isNotEscapedByDiverging() public {
        AgreementId id = diverged(chargedTerms(60 * ONE), 3);

        assertState(id, State.Diverged);
        vm.assertEq(spent(1), 61 * ONE, "a job that diverged was given back");
        refusesToAccept(
            requested("pepper", chargedTerms(40 * ONE)),
            abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 101 * ONE, 100 * ONE)
        );
    }

    function test_charge_refusesAnybodyButAgreements() public {
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotAgreements.selector, owner, address(agreements)));
        vm.prank(owner);
        registry.charge(charged, AgreementId.wrap(0), ONE);
    }

    function test_charge_refusesADatasetWithoutALedger() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ChargeWithoutLedger.selector, ONE));
        vm.prank(address(agreements));
        registry.charge(dataset, AgreementId.wrap(0), ONE);
    }

    /// @dev Terms of a dataset that had none when its owner opened a ledger stay free of it.
    function test_accept_chargesNothingWhereTheDatasetHasNoLedger() public {
        accept(requested("salt", defaultTerms()));

        vm.assertEq(spent(1), ONE, "a dataset without a ledger was charged");
    }
}
