// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {Lanes} from "../../contracts/libraries/Lanes.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {CallerIsNotAgreements, CallerIsNotOwner} from "../../contracts/types/Errors.sol";
import {AgreementId, DatasetId} from "../../contracts/types/Ids.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Code of an owner's account that accepts several jobs in one transaction, and counts who calls it back.
contract AcceptingAccount {
    uint256 public calls;

    fallback() external {
        calls++;
    }

    function acceptAll(IAgreements agreements, AgreementId[] memory ids, Terms[] memory terms, bytes32 keys) external {
        for (uint256 i = 0; i < ids.length; i++) {
            agreements.accept(ids[i], terms[i], keys, Permit(0, 0, 0, 0, 0));
        }
    }

    function acceptWhatFits(IAgreements agreements, AgreementId[] memory ids, Terms[] memory terms, bytes32 keys)
        external
    {
        for (uint256 i = 0; i < ids.length; i++) {
            try agreements.accept(ids[i], terms[i], keys, Permit(0, 0, 0, 0, 0)) {} catch {}
        }
    }
}

/// @notice Privacy budgets: lanes, ledgers, and what `accept` charges.
contract LedgerTest is Fixture {
    uint256 private constant ONE = Lanes.ONE_EACH;
    uint256 private constant FULL = type(uint32).max;
    uint256 private constant TOP = 1 << 31;

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

    function spent(uint8 number) private view returns (uint256) {
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

    /// @dev Two words by whose lanes reckoning with all at once could fail: both beside an end, the middle or one
    ///      another as often as anywhere.
    function words(uint256 seed) private pure returns (uint256 a, uint256 b) {
        uint256[6] memory ends = [uint256(0), 1, TOP - 1, TOP, FULL - 1, FULL];
        for (uint256 i = 0; i < 8; i++) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            uint256 left = draw & 1 == 0 ? ends[draw / 2 % 6] : draw >> 32 & FULL;
            uint256 right =
                [ends[draw / 16 % 6], (left + draw / 128 % 3 + FULL) & FULL, draw >> 64 & FULL][draw / 512 % 3];
            (a, b) = (a | left << (32 * i), b | right << (32 * i));
        }
    }

    /// @dev The plain loop that the library stands for.
    function requireAsLaneByLane(uint256 a, uint256 b) private pure {
        (uint256 sum, bool zero, bool above, bool within) = (0, false, false, false);
        for (uint256 i = 0; i < 8; i++) {
            (uint256 left, uint256 right) = (a >> (32 * i) & FULL, b >> (32 * i) & FULL);
            sum |= (left + right > FULL ? FULL : left + right) << (32 * i);
            zero = zero || left == 0;
            above = above || left > right;
            within = within || right != 0 && left != FULL && left <= right;
            vm.assertEq(Lanes.laneAt(a, i), left, "a lane is another");
        }

        vm.assertEq(Lanes.saturatingAdd(a, b), sum, "a lane is not the sum");
        vm.assertTrue(Lanes.hasZero(a) == zero, "a zero lane is not seen");
        vm.assertTrue(Lanes.nowhereAbove(a, b) == !above, "lanes are compared otherwise");
        vm.assertTrue(Lanes.somewhereWithin(a, b) == within, "a budget is kept otherwise");
    }

    function testFuzz_lanes_areReckonedWithAsOneByOne(uint256 a, uint256 b) public pure {
        requireAsLaneByLane(a, b);
    }

    function testFuzz_lanes_areReckonedWithAsOneByOneAtTheirEnds(uint256 seed) public pure {
        (uint256 a, uint256 b) = words(seed);
        requireAsLaneByLane(a, b);
    }

    /// @dev One lane at each pair of ends, all others once empty and once full: what a lane lends to or takes from its
    ///      neighbour shows.
    function test_lanes_keepApart() public pure {
        uint256[6] memory ends = [uint256(0), 1, TOP - 1, TOP, FULL - 1, FULL];
        for (uint256 n = 0; n < 8 * 36 * 4; n++) {
            (uint256 shift, uint256 lane) = (32 * (n % 8), FULL << (32 * (n % 8)));
            (uint256 a, uint256 b) = (n / 288 & 1 == 0 ? 0 : ~lane, n / 288 & 2 == 0 ? 0 : ~lane);
            requireAsLaneByLane(a | ends[n / 8 % 6] << shift, b | ends[n / 48 % 6] << shift);
        }
    }

    /// @dev Words whose lanes are all the same but one, which alone decides.
    function testFuzz_lanes_areDecidedByOne(uint8 lane, uint32 common, uint32 single, uint32 other) public pure {
        uint256 shift = 32 * (lane % 8);
        uint256 word = common * ONE & ~(FULL << shift) | uint256(single) << shift;
        requireAsLaneByLane(word, other * ONE);
        requireAsLaneByLane(other * ONE, word);
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

    /// @dev The number stands in a byte of the agreement.
    function test_openLedger_opensTwoHundredAndFiftyFive() public {
        for (uint256 number = 2; number < 256; number++) {
            vm.prank(owner);
            vm.assertEq(registry.openLedger(number * ONE), number, "a ledger has another number");
        }
        vm.expectPartialRevert(SafeCast.SafeCastOverflowedUintDowncast.selector);
        vm.prank(owner);
        registry.openLedger(ONE);
        vm.prank(owner);
        DatasetId last = registry.registerDataset("last", 10, 255, cid("last"));
        Terms memory terms = chargedTerms(30 * ONE);
        (terms.dataset, terms.datasetRoot) = (last, "last");
        accept(requested("salt", terms));

        vm.assertEq(spent(255), 31 * ONE, "the last ledger was not charged");
        vm.assertEq(spent(1), ONE, "another ledger was charged");
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
        vm.expectEmit(address(agreements));
        emit IAgreements.Accepted(id, keyCommitment(), uint40(block.timestamp + 1 days), 31 * ONE);
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
        registry.charge(owner, 1, ONE);
    }

    function test_charge_refusesALedgerThatIsNone() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, ONE, 0));
        vm.prank(address(agreements));
        registry.charge(owner, 2, ONE);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, ONE, 0));
        vm.prank(address(agreements));
        registry.charge(owner, 0, ONE);
    }

    // --- ways round a budget

    /// @dev The fixture's dataset is older than its owner's ledger: a budget that the same records stay out of is none.
    function test_request_refusesADatasetThatIsOlderThanTheLedger() public {
        approve(scientist, PRICE, address(agreements));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.LedgerNeeded.selector, owner));
        vm.prank(scientist);
        agreements.request("salt", defaultTerms(), cid("offer"), noPermit());
    }

    /// @dev The ledger is the one of the request, whatever the owner registers meanwhile: the same records under
    ///      another ledger are another dataset.
    function test_accept_chargesTheLedgerOfTheRequestWhereTheRecordsAreRegisteredAnew() public {
        AgreementId id = requested("salt", chargedTerms(30 * ONE));
        vm.prank(owner);
        registry.openLedger(1000 * ONE);
        vm.prank(owner);
        registry.retireDataset(charged);
        vm.prank(owner);
        DatasetId anew = registry.registerDataset("private", 10, 2, cid("private"));
        accept(id);

        vm.assertTrue(DatasetId.unwrap(anew) != DatasetId.unwrap(charged), "one dataset has two ledgers");
        vm.assertEq(spent(1), 31 * ONE, "the ledger of the request was not charged");
        vm.assertEq(spent(2), ONE, "another ledger was charged");
    }

    function test_accept_refusesTermsWithTheDatasetOrTheChargeOfAnother() public {
        AgreementId id = requested("salt", chargedTerms(150 * ONE));
        vm.prank(owner);
        registry.openLedger(1000 * ONE);
        vm.prank(owner);
        DatasetId roomy = registry.registerDataset("private", 10, 2, cid("roomy"));
        (Terms memory cheaper, Terms memory elsewhere) = (chargedTerms(ONE), chargedTerms(150 * ONE));
        elsewhere.dataset = roomy;
        approve(owner, BOND, address(agreements));

        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        agreements.accept(id, cheaper, keyCommitment(), noPermit());
        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        agreements.accept(id, elsewhere, keyCommitment(), noPermit());
    }

    /// @dev Whoever else has a ledger with room: it is not charged for the owner, and nobody else accepts.
    function test_accept_chargesNobodyElsesLedger() public {
        vm.prank(stranger);
        registry.openLedger(1000 * ONE);
        AgreementId id = requested("salt", chargedTerms(150 * ONE));

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, stranger, owner));
        vm.prank(stranger);
        agreements.accept(id, chargedTerms(150 * ONE), keyCommitment(), noPermit());
        refusesToAccept(id, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 151 * ONE, 100 * ONE));
        vm.assertEq(registry.ledger(stranger, 1).spent, ONE, "a stranger's ledger was charged");
    }

    function test_accept_refusesWhereTheBudgetFellSinceTheRequest() public {
        AgreementId id = requested("salt", chargedTerms(60 * ONE));
        vm.prank(owner);
        registry.lowerBudget(1, 60 * ONE);

        refusesToAccept(id, abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 61 * ONE, 60 * ONE));
    }

    function test_accept_chargesAJobOnce() public {
        AgreementId id = requested("salt", chargedTerms(30 * ONE));
        accept(id);

        refusesToAccept(id, abi.encodeWithSelector(IAgreements.StateForbids.selector, id, State.Accepted));
        vm.assertEq(spent(1), 31 * ONE, "a job was charged twice");
    }

    /// @dev An acceptance that fails after its charge, here for want of a bond, has charged nothing.
    function test_accept_chargesNothingWhereItFails() public {
        AgreementId id = requested("salt", chargedTerms(30 * ONE));
        approve(owner, 0, address(agreements));

        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(owner);
        agreements.accept(id, chargedTerms(30 * ONE), keyCommitment(), noPermit());
        vm.assertEq(spent(1), ONE, "a job that was not accepted was charged");
        assertState(id, State.Requested);
    }

    /// @dev The owner's account runs code (EIP-7702) and accepts both in one transaction: all of it or nothing.
    function test_accept_refusesTwoOfOneTransactionThatAreTooMuchTogether() public {
        AgreementId[] memory ids = new AgreementId[](2);
        Terms[] memory terms = new Terms[](2);
        for (uint256 i = 0; i < 2; i++) {
            terms[i] = chargedTerms(60 * ONE);
            ids[i] = requested(bytes32(i), terms[i]);
        }
        approve(owner, 2 * BOND, address(agreements));
        vm.etch(owner, type(AcceptingAccount).runtimeCode);
        AcceptingAccount account = AcceptingAccount(owner);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.PrivacyBudgetExceeded.selector, 121 * ONE, 100 * ONE));
        account.acceptAll(agreements, ids, terms, keyCommitment());
        vm.assertEq(spent(1), ONE, "a transaction that failed was charged");

        account.acceptWhatFits(agreements, ids, terms, keyCommitment());
        vm.assertEq(spent(1), 61 * ONE, "the ledger was charged otherwise");
        assertState(ids[0], State.Accepted);
        assertState(ids[1], State.Requested);
        vm.assertEq(account.calls(), 0, "an acceptance calls the account that sent it");
    }

    /// @dev Whatever is asked and accepted in whatever order, also from an account that runs code: the ledger holds the
    ///      sum of what was accepted, and is within its budget after each acceptance.
    function testFuzz_accept_neverHoldsMoreThanTheBudget(uint256 seed, uint32 budget) public {
        vm.prank(owner);
        registry.openLedger(budget * ONE);
        vm.prank(owner);
        DatasetId other = registry.registerDataset("other", 10, 2, cid("other"));
        uint256 sum = ONE;
        for (uint256 i = 0; i < 6; i++) {
            (uint256 charge,) = words(uint256(keccak256(abi.encode(seed, i))));
            Terms memory terms = chargedTerms(charge | ONE);
            (terms.dataset, terms.datasetRoot) = (other, "other");
            AgreementId id = requested(bytes32(i), terms);
            approve(owner, BOND, address(agreements));
            vm.prank(owner);
            try agreements.accept(id, terms, keyCommitment(), noPermit()) {
                sum = Lanes.saturatingAdd(sum, terms.charge);
                vm.assertTrue(Lanes.somewhereWithin(sum, budget * ONE), "an acceptance is beyond the budget");
            } catch {
                uint256 more = Lanes.saturatingAdd(sum, terms.charge);
                vm.assertTrue(!Lanes.somewhereWithin(more, budget * ONE), "an acceptance within the budget is refused");
            }
            vm.assertEq(spent(2), sum, "the ledger is not the sum of what was accepted");
        }
    }
}
