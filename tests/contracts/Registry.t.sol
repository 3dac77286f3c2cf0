// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {CID_LIMIT, CallerIsNotOwner, CidLengthRefused} from "../../contracts/types/Errors.sol";
import {DatasetId, ModelId, NO_MODEL, PanelId} from "../../contracts/types/Ids.sol";
import {Fixture} from "./Fixture.sol";

contract RegistryTest is Fixture {
    string private constant RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    bytes private constant ENDPOINT = "/dns/owner.example/tcp/4001";
    DatasetId private constant NO_SUCH_DATASET = DatasetId.wrap(bytes32("none"));
    ModelId private constant NO_SUCH_MODEL = ModelId.wrap(bytes32("none"));
    PanelId private constant NO_SUCH_PANEL = PanelId.wrap(bytes32("none"));

    function letters(uint256 length) private pure returns (string memory) {
        return string(new bytes(length));
    }

    // --- pods

    function test_registerPod_keepsWhatWasGiven() public {
        vm.prank(stranger);
        registry.registerPod(IRegistry.Role.Verifier, RECIPIENT, ENDPOINT);

        IRegistry.Pod memory pod = registry.pod(stranger);
        vm.assertEq(uint256(pod.role), uint256(IRegistry.Role.Verifier), "the role is another");
        vm.assertEq(pod.since, block.timestamp, "the time is another");
        vm.assertEq(bytes(pod.recipient), bytes(RECIPIENT), "the recipient is another");
        vm.assertEq(pod.endpoint, ENDPOINT, "the endpoint is another");
    }

    function test_registerPod_emitsPodRegistered() public {
        vm.expectEmit(address(registry));
        emit IRegistry.PodRegistered(stranger, IRegistry.Role.Owner, RECIPIENT, ENDPOINT);
        vm.prank(stranger);
        registry.registerPod(IRegistry.Role.Owner, RECIPIENT, ENDPOINT);
    }

    function test_registerPod_refusesToRegisterTwice() public {
        registry.registerPod(IRegistry.Role.Owner, RECIPIENT, ENDPOINT);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.PodAlreadyRegistered.selector, address(this)));
        registry.registerPod(IRegistry.Role.Scientist, RECIPIENT, ENDPOINT);
    }

    function test_registerPod_refusesNoRole() public {
        vm.expectRevert(IRegistry.RoleIsNone.selector);
        registry.registerPod(IRegistry.Role.None, RECIPIENT, ENDPOINT);
    }

    function test_registerPod_refusesAnEmptyRecipient() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.RecipientLengthRefused.selector, 0, 128));
        registry.registerPod(IRegistry.Role.Owner, "", ENDPOINT);
    }

    function test_registerPod_refusesALongRecipient() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.RecipientLengthRefused.selector, 129, 128));
        registry.registerPod(IRegistry.Role.Owner, letters(129), ENDPOINT);
    }

    function test_registerPod_takesEndpointsUpToTheLimit() public {
        registry.registerPod(IRegistry.Role.Owner, letters(128), new bytes(512));

        vm.assertEq(registry.pod(address(this)).endpoint.length, 512, "the endpoint was cut");
    }

    function test_registerPod_refusesALongEndpoint() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.EndpointTooLong.selector, 513, 512));
        registry.registerPod(IRegistry.Role.Owner, RECIPIENT, new bytes(513));
    }

    function test_updatePod_replacesRecipientAndEndpointOnly() public {
        registry.registerPod(IRegistry.Role.Scientist, RECIPIENT, ENDPOINT);
        uint256 since = block.timestamp;
        vm.warp(since + 1 days);

        registry.updatePod("age1other", "");

        IRegistry.Pod memory pod = registry.pod(address(this));
        vm.assertEq(bytes(pod.recipient), "age1other", "the recipient was not replaced");
        vm.assertEq(pod.endpoint, "", "the endpoint was not replaced");
        vm.assertEq(uint256(pod.role), uint256(IRegistry.Role.Scientist), "the role changed");
        vm.assertEq(pod.since, since, "the time of registration changed");
    }

    function test_updatePod_emitsPodUpdated() public {
        registry.registerPod(IRegistry.Role.Scientist, RECIPIENT, ENDPOINT);

        vm.expectEmit(address(registry));
        emit IRegistry.PodUpdated(address(this), "age1other", "");
        registry.updatePod("age1other", "");
    }

    function test_updatePod_refusesWhoIsNoPod() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PodNotRegistered.selector, address(this)));
        registry.updatePod(RECIPIENT, ENDPOINT);
    }

    function test_updatePod_refusesALongRecipient() public {
        registry.registerPod(IRegistry.Role.Owner, RECIPIENT, ENDPOINT);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.RecipientLengthRefused.selector, 129, 128));
        registry.updatePod(letters(129), ENDPOINT);
    }

    // --- datasets

    function test_registerDataset_keepsWhatWasGiven() public view {
        IRegistry.Dataset memory known = registry.dataset(dataset);

        vm.assertEq(known.owner, owner, "the owner is another");
        vm.assertEq(known.root, datasetRoot, "the root is another");
        vm.assertEq(known.count, 455, "the count is another");
        vm.assertEq(known.cardCid, cid("card"), "the card is another");
        vm.assertTrue(known.active, "the dataset is not on offer");
    }

    function test_registerDataset_namesItByItsContents() public view {
        bytes32 expected = keccak256(
            abi.encode(
                block.chainid, address(registry), owner, datasetRoot, uint64(455), uint16(0), keccak256(cid("card"))
            )
        );

        vm.assertEq(DatasetId.unwrap(dataset), expected, "the id is not the hash of what identifies the dataset");
    }

    function test_registerDataset_emitsDatasetRegistered() public {
        bytes32 id = keccak256(
            abi.encode(
                block.chainid, address(registry), address(this), datasetRoot, uint64(9), uint16(0), keccak256(cid("9"))
            )
        );

        vm.expectEmit(address(registry));
        emit IRegistry.DatasetRegistered(DatasetId.wrap(id), address(this), datasetRoot, 9, 0, cid("9"));
        registry.registerDataset(datasetRoot, 9, 0, cid("9"));
    }

    function test_registerDataset_refusesTheSameTwice() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetAlreadyRegistered.selector, dataset));
        vm.prank(owner);
        registry.registerDataset(datasetRoot, 455, 0, cid("card"));
    }

    function test_registerDataset_letsAnotherOwnerRegisterTheSameRecords() public {
        DatasetId other = registry.registerDataset(datasetRoot, 455, 0, cid("card"));

        vm.assertTrue(!(other == dataset), "two owners' datasets have one id");
    }

    function test_registerDataset_refusesNoRoot() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetIsEmpty.selector, bytes32(0), 1));
        registry.registerDataset(0, 1, 0, cid("card"));
    }

    function test_registerDataset_refusesNoRecords() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetIsEmpty.selector, datasetRoot, 0));
        registry.registerDataset(datasetRoot, 0, 0, cid("card"));
    }

    function test_registerDataset_refusesNoCard() public {
        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
        registry.registerDataset(datasetRoot, 1, 0, "");
    }

    function test_registerDataset_refusesALongCid() public {
        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, CID_LIMIT + 1, CID_LIMIT));
        registry.registerDataset(datasetRoot, 1, 0, new bytes(CID_LIMIT + 1));
    }

    function test_retireDataset_takesItOffOffer() public {
        vm.expectEmit(address(registry));
        emit IRegistry.DatasetRetired(dataset);
        vm.prank(owner);
        registry.retireDataset(dataset);

        vm.assertTrue(!registry.dataset(dataset).active, "the dataset is still on offer");
        vm.assertEq(registry.dataset(dataset).root, datasetRoot, "retiring changed the root");
    }

    function test_retireDataset_refusesAnybodyElse() public {
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, stranger, owner));
        vm.prank(stranger);
        registry.retireDataset(dataset);
    }

    function test_retireDataset_refusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetNotRegistered.selector, NO_SUCH_DATASET));
        registry.retireDataset(NO_SUCH_DATASET);
    }

    function test_retireDataset_refusesToRetireTwice() public {
        vm.prank(owner);
        registry.retireDataset(dataset);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetIsRetired.selector, dataset));
        vm.prank(owner);
        registry.retireDataset(dataset);
    }

    function test_retireDataset_isForEver() public {
        vm.prank(owner);
        registry.retireDataset(dataset);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetAlreadyRegistered.selector, dataset));
        vm.prank(owner);
        registry.registerDataset(datasetRoot, 455, 0, cid("card"));
    }

    function test_offeredDataset_givesOwnerRootAndLedger() public view {
        (address offerer, bytes32 root, uint8 ledger) = registry.offeredDataset(dataset);

        vm.assertEq(offerer, owner, "the owner is another");
        vm.assertEq(root, datasetRoot, "the root is another");
        vm.assertEq(ledger, 0, "a ledger is charged");
    }

    function test_offeredDataset_refusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.DatasetNotRegistered.selector, NO_SUCH_DATASET));
        registry.offeredDataset(NO_SUCH_DATASET);
    }

    // --- models

    function parents(ModelId a, ModelId b) private pure returns (ModelId[] memory both) {
        both = new ModelId[](2);
        (both[0], both[1]) = (a, b);
    }

    function registerModel(bytes32 graph, bytes32 root) private returns (ModelId) {
        return registry.registerModel(graph, root, NO_MODEL, new ModelId[](0), 0);
    }

    function test_registerModel_keepsWhatWasGiven() public {
        ModelId other = registerModel("g", "r");
        ModelId child = registry.registerModel("graph", "average", model, parents(model, other), "derivation");

        IRegistry.Model memory known = registry.model(child);
        vm.assertEq(known.author, address(this), "the author is another");
        vm.assertEq(known.graph, "graph", "the graph is another");
        vm.assertEq(known.root, "average", "the root is another");
        vm.assertTrue(known.base == model, "the base is another");
        vm.assertEq(known.derivation, "derivation", "the derivation is another");
        vm.assertEq(known.parents.length, 2, "the parents are others");
        vm.assertTrue(known.parents[1] == other, "the second parent is another");
        vm.assertTrue(known.active, "the model is not on offer");
    }

    function test_registerModel_namesItByAllThatItIs() public {
        ModelId[] memory both = parents(model, registerModel("g", "r"));
        bytes32 ancestry = keccak256(abi.encodePacked(ModelId.unwrap(both[0]), ModelId.unwrap(both[1])));
        bytes32 id = keccak256(
            abi.encode(
                block.chainid,
                address(registry),
                address(this),
                bytes32("graph"),
                bytes32("average"),
                model,
                ancestry,
                bytes32("derivation")
            )
        );

        vm.expectEmit(address(registry));
        emit IRegistry.ModelRegistered(ModelId.wrap(id), address(this), "graph", "average", model, both, "derivation");
        registry.registerModel("graph", "average", model, both, "derivation");
    }

    function test_registerModel_refusesTheSameTwice() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelAlreadyRegistered.selector, model));
        vm.prank(scientist);
        registry.registerModel(keccak256("graph"), modelRoot, NO_MODEL, new ModelId[](0), 0);
    }

    function test_registerModel_refusesAnUnknownParentOrBase() public {
        bytes memory reason = abi.encodeWithSelector(IRegistry.ModelNotRegistered.selector, NO_SUCH_MODEL);

        vm.expectRevert(reason);
        registry.registerModel("g", "r", NO_MODEL, parents(model, NO_SUCH_MODEL), 0);
        vm.expectRevert(reason);
        registry.registerModel("g", "r", NO_MODEL, parents(NO_SUCH_MODEL, model), 0);
        vm.expectRevert(reason);
        registry.registerModel("g", "r", NO_SUCH_MODEL, new ModelId[](0), 0);
    }

    function test_registerModel_refusesMoreParentsThanItsLimit() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.TooManyParents.selector, 65, 64));
        registry.registerModel("g", "r", NO_MODEL, new ModelId[](65), 0);
    }

    function test_registerModel_refusesNoGraphOrWeights() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelIsEmpty.selector, bytes32(0), bytes32("r")));
        registerModel(0, "r");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelIsEmpty.selector, bytes32("g"), bytes32(0)));
        registerModel("g", 0);
    }

    function test_retireModel_takesItOffOffer() public {
        vm.expectEmit(address(registry));
        emit IRegistry.ModelRetired(model);
        vm.prank(scientist);
        registry.retireModel(model);

        vm.assertTrue(!registry.model(model).active, "the model is still on offer");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelIsRetired.selector, model));
        registry.offeredModel(model);
    }

    function test_retireModel_refusesAnybodyElse() public {
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, owner, scientist));
        vm.prank(owner);
        registry.retireModel(model);
    }

    function test_retireModel_refusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelNotRegistered.selector, NO_SUCH_MODEL));
        registry.retireModel(NO_SUCH_MODEL);
    }

    function test_retireModel_refusesToRetireTwice() public {
        vm.prank(scientist);
        registry.retireModel(model);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelIsRetired.selector, model));
        vm.prank(scientist);
        registry.retireModel(model);
    }

    function test_offeredModel_refusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ModelNotRegistered.selector, NO_SUCH_MODEL));
        registry.offeredModel(NO_SUCH_MODEL);
    }

    // --- panels

    function test_createPanel_keepsCreatorNameAndTime() public {
        PanelId id = registry.createPanel("hospitals");

        IRegistry.Panel memory known = registry.panel(id);
        vm.assertEq(known.creator, address(this), "the creator is another");
        vm.assertEq(bytes(known.name), "hospitals", "the name is another");
        vm.assertEq(known.since, block.timestamp, "the time is another");
    }

    function test_createPanel_countsPanelsFromOne() public {
        vm.assertEq(registry.panelNumber(registry.createPanel("a")), 1, "the first is not 1");
        (uint32 number, address creator) = registry.panelCreator(registry.createPanel("b"));

        vm.assertEq(number, 2, "the second is not 2");
        vm.assertEq(creator, address(this), "the creator is another");
    }

    function test_createPanel_emitsPanelCreated() public {
        bytes32 id = keccak256(abi.encode(block.chainid, address(registry), address(this), keccak256("hospitals")));

        vm.expectEmit(address(registry));
        emit IRegistry.PanelCreated(PanelId.wrap(id), address(this), 1, "hospitals");
        registry.createPanel("hospitals");
    }

    function test_createPanel_refusesTheSameNameTwice() public {
        PanelId id = registry.createPanel("hospitals");

        vm.expectRevert(abi.encodeWithSelector(IRegistry.PanelAlreadyCreated.selector, id));
        registry.createPanel("hospitals");
    }

    function test_createPanel_refusesNoNameAndALongOne() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PanelNameLengthRefused.selector, 0, 64));
        registry.createPanel("");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PanelNameLengthRefused.selector, 65, 64));
        registry.createPanel(letters(65));
    }

    function test_panelNumber_refusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PanelNotCreated.selector, NO_SUCH_PANEL));
        registry.panelNumber(NO_SUCH_PANEL);
    }
}
