// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {Contracts, IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {CID_LIMIT, CidLengthRefused} from "../../contracts/types/Errors.sol";
import {AgreementId, DatasetId, ModelId} from "../../contracts/types/Ids.sol";
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

    function test_request_keepsPartiesAmountsAndTheHashOfTheTerms() public {
        Terms memory terms = defaultTerms();
        Agreement memory known = agreements.agreement(requested());

        vm.assertEq(known.scientist, scientist, "the scientist is another");
        vm.assertEq(known.owner, owner, "the owner is another");
        vm.assertEq(known.deadline, block.timestamp + terms.acceptanceWindow, "the acceptance deadline is another");
        vm.assertEq(known.requestBlock, block.number, "the block is another");
        vm.assertEq(known.price, terms.price, "the price is another");
        vm.assertEq(known.bond, terms.bond, "the bond is another");
        vm.assertEq(known.fees, 0, "fees are locked");
        vm.assertEq(known.digest, keccak256(abi.encode(terms)), "the terms' hash is another");
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
        emit IAgreements.Requested(idOf("salt"), scientist, owner, defaultTerms(), 0, 0, 0, cid("offer"));
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

    function test_request_refusesNoRecipe() public {
        Terms memory terms = defaultTerms();
        terms.recipe = 0;

        refuses(terms, abi.encodeWithSelector(IAgreements.RecipeIsZero.selector));
    }

    /// @dev The state before the last step of a run of one step is the initial one, which everybody knows.
    function test_request_refusesARunOfOneStep() public {
        Terms memory terms = defaultTerms();
        terms.steps = 1;

        refuses(terms, abi.encodeWithSelector(IAgreements.TooFewSteps.selector, 1, 2));
    }

    function test_request_refusesASegmentOfOneStep() public {
        Terms memory terms = defaultTerms();
        terms.segmentSteps = 1;

        refuses(terms, abi.encodeWithSelector(IAgreements.SegmentTooShort.selector, 1, 2));
    }

    function testFuzz_request_takesAnyPowerOfTwoForAGroup(uint8 bits) public {
        Terms memory terms = defaultTerms();
        terms.groupLeaves = uint32(1) << (bits % 32);

        vm.assertEq(proof.run(begun(terms)).groupBits, bits % 32, "the group's logarithm is another");
    }

    function testFuzz_request_refusesAnyOtherGroup(uint32 group) public {
        vm.assume(group == 0 || group & (group - 1) != 0);
        Terms memory terms = defaultTerms();
        terms.groupLeaves = group;

        refuses(terms, abi.encodeWithSelector(IAgreements.GroupIsNotPowerOfTwo.selector, group));
    }

    function test_request_refusesAPriceThatCannotBe() public {
        Terms memory terms = defaultTerms();
        terms.price = 1 << 96;

        refuses(terms, abi.encodeWithSelector(IAgreements.AmountTooLarge.selector, 1 << 96, type(uint88).max));
    }

    function test_request_refusesABondThatCannotBe() public {
        Terms memory terms = defaultTerms();
        terms.bond = type(uint128).max;

        bytes4 error = IAgreements.AmountTooLarge.selector;
        refuses(terms, abi.encodeWithSelector(error, type(uint128).max, type(uint88).max));
    }

    function test_request_refusesNoWindowEvenOnTheDevnet() public {
        Terms memory terms = defaultTerms();
        terms.disputeWindow = 0;

        refuses(terms, abi.encodeWithSelector(IAgreements.WindowTooShort.selector, 0, 1));
    }

    function test_request_refusesShortWindowsOffTheDevnet() public {
        vm.chainId(1);
        directory = IDirectory(Deployment.create(Deployment.code("Directory", abi.encode(this)), "main net"));
        Contracts memory listed = Deployment.contracts(directory, "main net");
        (listed.registry, listed.fitCoin) = (address(registry), address(fit));
        directory.fill(listed);
        agreements = IAgreements(Deployment.create(Deployment.codes(directory)[3], "main net"));
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

    function test_request_refusesAnotherDatasetRoot() public {
        Terms memory terms = defaultTerms();
        terms.datasetRoot = "another";

        bytes4 error = IAgreements.DatasetRootDiffers.selector;
        refuses(terms, abi.encodeWithSelector(error, bytes32("another"), datasetRoot));
    }

    function test_request_refusesAnotherModelRoot() public {
        Terms memory terms = defaultTerms();
        terms.modelRoot = "another";

        refuses(terms, abi.encodeWithSelector(IAgreements.ModelRootDiffers.selector, bytes32("another"), modelRoot));
    }

    function test_request_refusesAChargeWithoutALedger() public {
        Terms memory terms = defaultTerms();
        terms.charge = 1;

        refuses(terms, abi.encodeWithSelector(IAgreements.ChargeRefused.selector, 1, 0));
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
