// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {AgreedAudit} from "../../contracts/types/Audit.sol";
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

    function test_request_keepsTheAuditTerms() public {
        AgreedAudit memory known = agreements.agreedAudit(requested("salt", auditedTerms(3)));

        vm.assertEq(known.fee, FEE, "the fee is another");
        vm.assertEq(known.counterBond, COUNTER_BOND, "the counter-bond is another");
        vm.assertEq(known.window, WINDOW, "the window is another");
        vm.assertEq(known.verifiers, 3, "m is another");
        vm.assertEq(known.panel, registry.panelNumber(panel), "the panel is another");
    }

    function test_request_refusesMoreSeatsThanFit() public {
        refuses(auditedTerms(16), abi.encodeWithSelector(IAgreements.TooManySeats.selector, 16, 15));
        refuses(disputableTerms(16), abi.encodeWithSelector(IAgreements.TooManySeats.selector, 16, 15));
    }

    function test_request_refusesAFeeAboveTheStake() public {
        Terms memory terms = auditedTerms(3);
        terms.bond = 4000 ether;
        terms.audit.fee = 3000 ether + 3;

        refuses(terms, abi.encodeWithSelector(IAgreements.FeeAboveStake.selector, 1000 ether + 1, 1000 ether));
        terms.audit.fee = 3000 ether;
        assertState(requested("salt", terms), State.Requested);
    }

    function test_request_refusesABondBelowTheFee() public {
        Terms memory terms = auditedTerms(3);
        terms.bond = FEE - 1;

        refuses(terms, abi.encodeWithSelector(IAgreements.BondBelowFee.selector, FEE - 1, FEE));
    }

    function test_request_refusesAmountsThatCannotBe() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.fee = 1 << 96;
        bytes memory reason = abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 1 << 96, type(uint96).max);
        refuses(terms, reason);
        terms = auditedTerms(3);
        terms.audit.counterBond = 1 << 96;
        refuses(terms, reason);
    }

    function test_request_refusesAWindowThatIsNoneOrLongerThanADay() public {
        Terms memory terms = auditedTerms(3);
        terms.audit.window = 0;
        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 0, 1));
        terms.audit.window = 1 days + 1;
        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooLong.selector, 1 days + 1, 1 days));
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

    function test_accept_refusesWithTooFewVerifiers() public {
        AgreementId id = requested("salt", auditedTerms(9));
        for (uint256 i = 0; i < 2; i++) {
            vm.prank(members[i]);
            audits.unstake();
        }

        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooFewVerifiers.selector, 8, 9));
        vm.prank(owner);
        agreements.accept(id, commitment(), noPermit());
    }

    function test_accept_doesNotCountThePartiesOfThePool() public {
        fit.transfer(owner, STAKE);
        stake(owner);
        stake(scientist);
        Terms memory terms = auditedTerms(11);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);
        AgreementId id = requested("salt", terms);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooFewVerifiers.selector, 10, 11));
        vm.prank(owner);
        agreements.accept(id, commitment(), noPermit());
    }

    function test_accept_doesNotCountThePartiesOfAPanel() public {
        address[] memory listed = new address[](2);
        (listed[0], listed[1]) = (owner, members[0]);
        fit.transfer(owner, STAKE);
        stake(owner);
        Terms memory terms = auditedTerms(2);
        terms.audit.panel = registry.createPanel("with the owner", listed);
        AgreementId id = requested("salt", terms);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooFewVerifiers.selector, 1, 2));
        vm.prank(owner);
        agreements.accept(id, commitment(), noPermit());
    }

    function testFuzz_available_countsWhoIsActive(uint16 leaving) public {
        uint256 active;
        for (uint256 i = 0; i < MEMBERS; i++) {
            if (leaving >> i & 1 == 0) {
                active++;
                continue;
            }
            vm.prank(members[i]);
            audits.unstake();
        }

        uint256 number = registry.panelNumber(panel);
        vm.assertEq(audits.available(number, owner, scientist, MEMBERS), active, "the panel holds others");
        vm.assertEq(audits.available(0, owner, scientist, MEMBERS), active, "the pool holds others");
    }
}
