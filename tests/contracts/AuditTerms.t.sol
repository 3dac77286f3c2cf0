// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {AgreementId, NO_PANEL, PanelId} from "../../contracts/types/Ids.sol";
import {DisclosureMode, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice What a request may ask of an audit, and when it can be accepted.
contract AuditTermsTest is AuditFixture {
    function refuses(Terms memory terms, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(scientist);
        agreements.request("salt", terms, cid("offer"), noPermit());
    }

    function test_request_keepsJuryAndFees() public {
        Agreement memory known = agreements.agreement(requested("salt", auditedTerms(3)));

        vm.assertEq(known.fees, 3 * FEE, "the fees are others");
        vm.assertEq(known.panel, panelNumber, "the panel is another");
        vm.assertEq(known.places, MEMBERS, "the places are others");
        vm.assertEq(known.requestBlock, block.number, "the block is another");
    }

    function test_request_ofADisputeLocksNoFeesAndFixesTheJury() public {
        AgreementId id = requested("salt", disputableTerms(3));

        vm.assertEq(agreements.agreement(id).fees, 0, "fees are locked");
        vm.assertEq(agreements.agreement(id).places, MEMBERS, "the jury is not fixed");
        vm.assertEq(fit.balanceOf(address(agreements)), PRICE, "more than the price is locked");
    }

    function test_request_emitsWhoIsEligible() public {
        Terms memory terms = auditedTerms(3);
        approve(scientist, terms.price + 3 * FEE, address(agreements));
        bytes32 hash = keccak256(abi.encode(block.chainid, address(agreements), scientist, bytes32("salt")));

        vm.expectEmit(address(agreements));
        emit IAgreements.Requested(AgreementId.wrap(hash), scientist, owner, terms, panelNumber, 10, 10, cid("offer"));
        vm.prank(scientist);
        agreements.request("salt", terms, cid("offer"), noPermit());
    }

    function test_request_withoutSeatsFixesNoJury() public {
        AgreementId id = requested("salt", defaultTerms());

        vm.assertEq(agreements.agreement(id).places, 0, "places are kept, of a pool that nobody asked for");
    }

    function testFuzz_request_takesOddNumbersOfSeatsOnly(uint8 seats) public {
        seats = seats % 17 + 1;
        Terms memory terms = auditedTerms(seats);
        if (seats % 2 == 1 && seats <= 5) {
            assertState(requested("salt", terms), State.Requested);
            terms = disputableTerms(seats);
            assertState(requested("pepper", terms), State.Requested);
        } else if (seats % 2 == 0 || seats > 15) {
            bytes memory reason = abi.encodeWithSelector(IAgreements.SeatCountRefused.selector, seats, 15);
            refuses(terms, reason);
            refuses(disputableTerms(seats), reason);
        }
    }

    function test_request_refusesADisputeBesideAnAudit() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.disputeVerifiers = 3;

        refuses(terms, abi.encodeWithSelector(IAgreements.DisputeBesideAudit.selector, 3, 3));
    }

    function test_request_refusesAFeeBelowTheFloor() public {
        Terms memory terms = auditedTerms(3);
        (terms.audit.feePerSeat, terms.audit.seatStake) = (1 ether - 1, 10 ether);

        refuses(terms, abi.encodeWithSelector(IAgreements.FeeBelowFloor.selector, 1 ether - 1, 1 ether));
        terms.audit.feePerSeat = 1 ether;
        assertState(requested("salt", terms), State.Requested);
    }

    function test_request_refusesASeatStakeBelowTenAndAboveTwentyFees() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.seatStake = 10 * FEE - 1;
        refuses(terms, abi.encodeWithSelector(IAgreements.SeatStakeRefused.selector, 10 * FEE - 1, 10 * FEE, 20 * FEE));
        terms.audit.seatStake = 20 * FEE + 1;
        refuses(terms, abi.encodeWithSelector(IAgreements.SeatStakeRefused.selector, 20 * FEE + 1, 10 * FEE, 20 * FEE));
        terms.audit.seatStake = 10 * FEE;
        assertState(requested("salt", terms), State.Requested);
    }

    function test_request_refusesABondBelowTheFees() public {
        Terms memory terms = auditedTerms(3);
        terms.bond = 3 * FEE - 1;

        refuses(terms, abi.encodeWithSelector(IAgreements.BondBelowFees.selector, 3 * FEE - 1, 3 * FEE));
        terms.bond = 3 * FEE;
        assertState(requested("salt", terms), State.Requested);
    }

    function test_request_refusesNoNonceCommitment() public {
        Terms memory terms = auditedTerms(3);
        terms.nonceCommitment = 0;

        refuses(terms, abi.encodeWithSelector(IAgreements.NonceCommitmentIsZero.selector));
    }

    function test_request_refusesMoreSegmentsThanATraceHolds() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.drawnSegments = 4097;

        refuses(terms, abi.encodeWithSelector(IAgreements.TooManySegments.selector, 4097, 4096));
    }

    function test_request_refusesAmountsThatCannotBe() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.feePerSeat = 1 << 79;
        refuses(terms, abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 3 * (1 << 79), type(uint80).max));
        terms = auditedTerms(3);
        terms.audit.seatStake = 1 << 80;
        refuses(terms, abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 1 << 80, type(uint80).max));
        terms = auditedTerms(3);
        terms.audit.counterBond = 1 << 88;
        refuses(terms, abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 1 << 88, type(uint88).max));
    }

    function test_request_refusesWindowsThatAreNoneOrTooLong() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.window = 0;
        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 0, 1));
        terms.audit.window = 30 days + 1;
        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooLong.selector, 30 days + 1, 30 days));
        terms = auditedTerms(3);
        terms.audit.wait = 0;
        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 0, 1));
        terms.audit.wait = 7 days + 1;
        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooLong.selector, 7 days + 1, 7 days));
    }

    function test_request_refusesDataThatIsNotPublicWithoutAPanel() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = NO_PANEL;

        refuses(terms, abi.encodeWithSelector(IAgreements.PanelNeeded.selector, DisclosureMode.Sampled));
    }

    function test_request_refusesAnUnknownPanel() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = PanelId.wrap("none");

        refuses(terms, abi.encodeWithSelector(IRegistry.PanelNotCreated.selector, terms.audit.panel));
    }

    // --- the jury

    /// @dev m + (m + 1) / 2: 5 of 3, 8 of 5.
    function test_request_needsSpareMembers() public {
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(members[i]);
            verifiers.leavePanel(panel);
        }
        vm.roll(vm.getBlockNumber() + 1);

        refuses(auditedTerms(5), abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 7, 8));
        refuses(disputableTerms(5), abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 7, 8));
        assertState(requested("salt", auditedTerms(3)), State.Requested);
    }

    function test_request_doesNotCountWhoJoinsInItsBlock() public {
        address[] memory four = new address[](4);
        for (uint256 i = 0; i < 4; i++) {
            four[i] = members[i];
        }
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = panelOf("five", four);
        address[] memory fifth = new address[](1);
        fifth[0] = members[4];
        verifiers.invite(terms.audit.panel, fifth);
        joinPanel(members[4], terms.audit.panel);

        refuses(terms, abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 4, 5));
        vm.roll(vm.getBlockNumber() + 1);
        assertState(requested("salt", terms), State.Requested);
    }

    function test_request_stillCountsWhoLeavesInItsBlock() public {
        vm.prank(members[0]);
        verifiers.leavePanel(panel);

        AgreementId id = requested("salt", auditedTerms(5));

        vm.assertEq(agreements.agreement(id).places, MEMBERS, "the jury is not that of the block before");
    }

    function test_request_doesNotCountTheParties() public {
        address[] memory both = new address[](2);
        (both[0], both[1]) = (owner, scientist);
        verifiers.invite(panel, both);
        for (uint256 i = 0; i < 2; i++) {
            enrol(both[i]);
            joinPanel(both[i], panel);
            vm.prank(both[i]);
            verifiers.joinPool();
        }
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(members[i]);
            verifiers.leavePanel(panel);
            vm.prank(members[i]);
            verifiers.leavePool();
        }
        vm.roll(vm.getBlockNumber() + 1);

        Terms memory terms = auditedTerms(5);
        refuses(terms, abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 7, 8));
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);
        refuses(terms, abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 7, 8));
    }

    function testFuzz_standing_countsWhoStoodBeforeThisBlock(uint16 leaving, uint16 earlier) public {
        uint256 expected;
        for (uint256 i = 0; i < MEMBERS; i++) {
            if (earlier >> i & 1 == 0) {
                expected++;
                continue;
            }
            vm.prank(members[i]);
            verifiers.leavePanel(panel);
        }
        vm.roll(vm.getBlockNumber() + 1);
        for (uint256 i = 0; i < MEMBERS; i++) {
            if (leaving >> i & 1 == 0 || earlier >> i & 1 == 1) continue;
            vm.prank(members[i]);
            verifiers.leavePanel(panel);
        }

        (uint256 places, uint256 eligible) = verifiers.standing(panelNumber, owner, scientist, scientist);
        vm.assertEq(places, expected, "the places are others");
        vm.assertEq(eligible, expected, "others are eligible");
        if (expected == 0) return;
        uint256 party;
        while (earlier >> party & 1 == 1) party++;
        (, eligible) = verifiers.standing(panelNumber, owner, members[party], members[party]);
        vm.assertEq(eligible, expected - 1, "a party is eligible");
    }

    /// @dev Mutation: an asker that is neither owner nor scientist counted as eligible, or one that is either left out
    ///      twice.
    function test_standing_leavesOutEveryPartyOnce() public view {
        (address a, address b, address c) = (members[0], members[1], members[2]);
        assertEligible(owner, scientist, c, MEMBERS - 1);
        assertEligible(a, b, c, MEMBERS - 3);
        assertEligible(a, b, a, MEMBERS - 2);
        assertEligible(a, b, b, MEMBERS - 2);
        assertEligible(a, a, a, MEMBERS - 1);
        assertEligible(owner, scientist, stranger, MEMBERS);
    }

    function assertEligible(address owner_, address scientist_, address asker, uint256 expected) private view {
        (, uint256 eligible) = verifiers.standing(panelNumber, owner_, scientist_, asker);
        vm.assertEq(eligible, expected, "others are eligible");
    }
}
