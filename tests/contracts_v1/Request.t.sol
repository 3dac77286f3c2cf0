// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {CID_LIMIT, CidLengthRefused} from "../../contracts/types/Errors.sol";
import {AgreementId, DatasetId, ModelId, PanelId} from "../../contracts/types/Ids.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {Deployment} from "./Deployment.sol";
import {Fixture} from "./Fixture.sol";

contract RequestTest is Fixture {
    function idOf(bytes32 salt) private view returns (AgreementId) {
        return AgreementId.wrap(keccak256(abi.encode(block.chainid, address(agreements), scientist, salt)));
    }

    function refuses(Terms memory terms, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(scientist);
        agreements.request("salt", terms, cid("offer"), noPermit());
    }

    // --- what it does

    function test_request_locksThePrice() public {
        AgreementId id = requested();

        assertState(id, State.Requested);
        vm.assertEq(fit.balanceOf(address(agreements)), PRICE, "the price is not locked");
    }

    function test_request_keepsTheTerms() public {
        Terms memory terms = defaultTerms();
        Agreement memory known = agreements.agreement(requested());

        vm.assertEq(known.scientist, scientist, "the scientist is another");
        vm.assertEq(known.owner, owner, "the owner is another");
        vm.assertEq(known.deadline, block.timestamp + terms.acceptanceWindow, "the acceptance deadline is another");
        vm.assertEq(known.price, terms.price, "the price is another");
        vm.assertEq(known.bond, terms.bond, "the bond is another");
        vm.assertEq(known.steps, terms.steps, "T is another");
        vm.assertEq(known.segment, terms.segment, "k is another");
        vm.assertEq(uint256(1) << known.groupBits, terms.group, "A is another");
        vm.assertEq(known.trainingWindow, terms.trainingWindow, "the training window is another");
        vm.assertEq(known.disputeWindow, terms.disputeWindow, "the dispute window is another");
        vm.assertTrue(known.model == terms.model, "the model is another");
    }

    function test_request_bindsTheContext() public {
        AgreementId id = requested();

        bytes32 expected = keccak256(
            abi.encode(
                block.chainid,
                address(agreements),
                address(proof),
                id,
                owner,
                scientist,
                keccak256("recipe"),
                datasetRoot,
                initialRoot,
                uint256(11),
                uint256(2),
                uint256(2)
            )
        );
        vm.assertEq(agreements.agreement(id).ctx, expected, "ctx does not bind the job");
    }

    function test_request_namesItByScientistAndSalt() public {
        vm.assertEq(
            AgreementId.unwrap(requested("pepper", defaultTerms())),
            AgreementId.unwrap(idOf("pepper")),
            "the id is not the hash of scientist and salt"
        );
    }

    function test_request_emitsRequested() public {
        vm.prank(scientist);
        fit.approve(address(agreements), PRICE);

        vm.expectEmit(address(agreements));
        emit IAgreements.Requested(idOf("salt"), scientist, owner, defaultTerms(), cid("offer"));
        vm.prank(scientist);
        agreements.request("salt", defaultTerms(), cid("offer"), noPermit());
    }

    function test_request_takesAPermit() public {
        Permit memory permit = signedPermit(SCIENTIST_KEY, PRICE);

        vm.prank(scientist);
        agreements.request("salt", defaultTerms(), cid("offer"), permit);

        vm.assertEq(fit.balanceOf(address(agreements)), PRICE, "the price is not locked");
    }

    function test_request_standsWhenSomebodyElseUsedThePermit() public {
        Permit memory p = signedPermit(SCIENTIST_KEY, PRICE);
        vm.prank(stranger);
        fit.permit(scientist, address(agreements), p.value, p.deadline, p.v, p.r, p.s);

        vm.prank(scientist);
        agreements.request("salt", defaultTerms(), cid("offer"), p);

        vm.assertEq(fit.balanceOf(address(agreements)), PRICE, "the price is not locked");
    }

    function test_request_allowsAPriceOfNothing() public {
        Terms memory terms = defaultTerms();
        terms.price = 0;

        assertState(requested("salt", terms), State.Requested);
    }

    // --- what it refuses

    function test_request_refusesWithoutAllowance() public {
        refuses(
            defaultTerms(),
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(agreements), 0, PRICE)
        );
    }

    function test_request_refusesAPermitForLess() public {
        Permit memory permit = signedPermit(SCIENTIST_KEY, PRICE - 1);

        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(agreements), PRICE - 1, PRICE
            )
        );
        vm.prank(scientist);
        agreements.request("salt", defaultTerms(), cid("offer"), permit);
    }

    function test_request_refusesWithoutBalance() public {
        Terms memory terms = defaultTerms();
        terms.price = 2e6 ether;
        vm.prank(scientist);
        fit.approve(address(agreements), terms.price);

        refuses(
            terms,
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, scientist, 1e6 ether, uint256(2e6 ether)
            )
        );
    }

    function test_request_refusesASaltTwice() public {
        AgreementId id = requested();

        refuses(defaultTerms(), abi.encodeWithSelector(IAgreements.AgreementExists.selector, id));
    }

    function test_request_refusesASaltOfACancelledRequest() public {
        AgreementId id = requested();
        vm.prank(owner);
        agreements.reject(id, "");

        refuses(defaultTerms(), abi.encodeWithSelector(IAgreements.AgreementExists.selector, id));
    }

    function test_request_refusesAnUnknownPanel() public {
        Terms memory terms = defaultTerms();
        terms.audit.panel = PanelId.wrap("none");

        refuses(terms, abi.encodeWithSelector(IRegistry.PanelNotCreated.selector, terms.audit.panel));
    }

    function test_request_takesAKnownPanel() public {
        Terms memory terms = defaultTerms();
        terms.audit.panel = registry.createPanel("hospitals", new address[](0));

        assertState(requested("salt", terms), State.Requested);
    }

    function test_request_refusesNoRecipe() public {
        Terms memory terms = defaultTerms();
        terms.recipe = 0;

        refuses(terms, abi.encodeWithSelector(IAgreements.RecipeIsZero.selector));
    }

    function test_request_refusesNoSteps() public {
        Terms memory terms = defaultTerms();
        terms.steps = 0;

        refuses(terms, abi.encodeWithSelector(IAgreements.StepsAreZero.selector));
    }

    function test_request_refusesASegmentOfOneStep() public {
        Terms memory terms = defaultTerms();
        terms.segment = 1;

        refuses(terms, abi.encodeWithSelector(IAgreements.SegmentTooShort.selector, 1, 2));
    }

    function testFuzz_request_takesAnyPowerOfTwoForAGroup(uint8 bits) public {
        Terms memory terms = defaultTerms();
        terms.group = uint32(1) << (bits % 32);

        AgreementId id = requested("salt", terms);

        vm.assertEq(agreements.agreement(id).groupBits, bits % 32, "the group's logarithm is another");
    }

    function testFuzz_request_refusesAnyOtherGroup(uint32 group) public {
        vm.assume(group == 0 || group & (group - 1) != 0);
        Terms memory terms = defaultTerms();
        terms.group = group;

        refuses(terms, abi.encodeWithSelector(IAgreements.GroupIsNotPowerOfTwo.selector, group));
    }

    function test_request_refusesAPriceThatCannotBe() public {
        Terms memory terms = defaultTerms();
        terms.price = 1 << 96;

        refuses(terms, abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 1 << 96, type(uint96).max));
    }

    function test_request_refusesABondThatCannotBe() public {
        Terms memory terms = defaultTerms();
        terms.bond = type(uint128).max;

        refuses(terms, abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, type(uint128).max, type(uint96).max));
    }

    function test_request_refusesNoWindowEvenOnTheDevnet() public {
        Terms memory terms = defaultTerms();
        terms.disputeWindow = 0;

        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 0, 1));
    }

    function test_request_refusesShortWindowsOffTheDevnet() public {
        vm.chainId(1);
        agreements = Deployment.agreements(vm, fit, registry);
        vm.assertEq(agreements.minimumWindow(), 600, "the shortest window is not ten minutes");
        bytes memory reason = abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 599, 600);

        Terms memory terms = defaultTerms();
        terms.acceptanceWindow = 599;
        refuses(terms, reason);
        terms = defaultTerms();
        terms.trainingWindow = 599;
        refuses(terms, reason);
        terms = defaultTerms();
        terms.disputeWindow = 599;
        refuses(terms, reason);
    }

    function test_request_refusesAnotherOwnersDataset() public {
        Terms memory terms = defaultTerms();
        terms.owner = stranger;

        refuses(terms, abi.encodeWithSelector(IAgreements.DatasetOwnerDiffers.selector, stranger, owner));
    }

    function test_request_refusesAnUnknownDataset() public {
        Terms memory terms = defaultTerms();
        terms.dataset = DatasetId.wrap("none");

        refuses(terms, abi.encodeWithSelector(IRegistry.DatasetNotRegistered.selector, terms.dataset));
    }

    function test_request_refusesARetiredDataset() public {
        vm.prank(owner);
        registry.retireDataset(dataset);

        refuses(defaultTerms(), abi.encodeWithSelector(IRegistry.DatasetIsRetired.selector, dataset));
    }

    function test_request_refusesAnUnknownModel() public {
        Terms memory terms = defaultTerms();
        terms.model = ModelId.wrap("none");

        refuses(terms, abi.encodeWithSelector(IRegistry.ModelNotRegistered.selector, terms.model));
    }

    function test_request_refusesARetiredModel() public {
        vm.prank(scientist);
        registry.retireModel(model);

        refuses(defaultTerms(), abi.encodeWithSelector(IRegistry.ModelIsRetired.selector, model));
    }

    function test_request_refusesNoOffer() public {
        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
        vm.prank(scientist);
        agreements.request("salt", defaultTerms(), "", noPermit());
    }
}
