// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRegistry} from "./interfaces/IRegistry.sol";
import {CallerIsNotOwner, requireCid} from "./types/Errors.sol";
import {DatasetId, ModelId, NO_MODEL, PanelId} from "./types/Ids.sol";

/// @title Registry
/// @notice Who takes part and with what; what it promises stands in IRegistry.
contract Registry is IRegistry {
    uint256 private constant RECIPIENT_LIMIT = 128;
    uint256 private constant ENDPOINT_LIMIT = 512;
    uint256 private constant PANEL_NAME_LIMIT = 64;

    mapping(address account => Pod) private _pods;
    mapping(DatasetId id => Dataset) private _datasets;
    mapping(ModelId id => Model) private _models;
    mapping(PanelId id => uint256) private _panelNumbers;
    mapping(uint256 number => Panel) private _panels;
    uint256 private _panelCount;
    mapping(PanelId id => mapping(address member => bool)) private _listed;

    // --- pods

    /// @inheritdoc IRegistry
    function registerPod(Role role, string calldata recipient, bytes calldata endpoint) external {
        if (role == Role.None) revert RoleIsNone();
        Pod storage known = _pods[msg.sender];
        if (known.role != Role.None) revert PodAlreadyRegistered(msg.sender);

        (known.role, known.since) = (role, uint40(block.timestamp));
        _reach(known, recipient, endpoint);

        emit PodRegistered(msg.sender, role, recipient, endpoint);
    }

    /// @inheritdoc IRegistry
    function updatePod(string calldata recipient, bytes calldata endpoint) external {
        Pod storage known = _pods[msg.sender];
        if (known.role == Role.None) revert PodNotRegistered(msg.sender);

        _reach(known, recipient, endpoint);

        emit PodUpdated(msg.sender, recipient, endpoint);
    }

    // --- datasets

    /// @inheritdoc IRegistry
    function registerDataset(bytes32 root, uint64 count, bytes calldata cardCid) external returns (DatasetId id) {
        id = DatasetId.wrap(
            keccak256(abi.encode(block.chainid, address(this), msg.sender, root, count, keccak256(cardCid)))
        );
        if (root == 0 || count == 0) revert DatasetIsEmpty(root, count);
        Dataset storage known = _datasets[id];
        if (known.owner != address(0)) revert DatasetAlreadyRegistered(id);
        requireCid(cardCid);

        (known.owner, known.count, known.active) = (msg.sender, count, true);
        (known.root, known.cardCid) = (root, cardCid);

        emit DatasetRegistered(id, msg.sender, root, count, cardCid);
    }

    /// @inheritdoc IRegistry
    function retireDataset(DatasetId id) external {
        Dataset storage known = _datasets[id];
        if (known.owner == address(0)) revert DatasetNotRegistered(id);
        if (msg.sender != known.owner) revert CallerIsNotOwner(msg.sender, known.owner);
        if (!known.active) revert DatasetIsRetired(id);

        known.active = false;

        emit DatasetRetired(id);
    }

    // --- models

    /// @inheritdoc IRegistry
    function registerModel(bytes32 graph, bytes32 initialRoot, ModelId parent) external returns (ModelId id) {
        id = ModelId.wrap(keccak256(abi.encode(block.chainid, address(this), msg.sender, graph, initialRoot, parent)));
        if (graph == 0 || initialRoot == 0) revert ModelIsEmpty(graph, initialRoot);
        if (_models[id].author != address(0)) revert ModelAlreadyRegistered(id);
        if (parent != NO_MODEL && _models[parent].author == address(0)) revert ModelNotRegistered(parent);

        _models[id] = Model(msg.sender, true, graph, initialRoot, parent);

        emit ModelRegistered(id, msg.sender, graph, initialRoot, parent);
    }

    /// @inheritdoc IRegistry
    function retireModel(ModelId id) external {
        Model storage known = _models[id];
        if (known.author == address(0)) revert ModelNotRegistered(id);
        if (msg.sender != known.author) revert CallerIsNotOwner(msg.sender, known.author);
        if (!known.active) revert ModelIsRetired(id);

        known.active = false;

        emit ModelRetired(id);
    }

    // --- panels

    /// @inheritdoc IRegistry
    function createPanel(string calldata name, address[] calldata members) external returns (PanelId id) {
        uint256 length = bytes(name).length;
        id = PanelId.wrap(keccak256(abi.encode(block.chainid, address(this), msg.sender, keccak256(bytes(name)))));
        if (length == 0 || length > PANEL_NAME_LIMIT) revert PanelNameLengthRefused(length, PANEL_NAME_LIMIT);
        if (_panelNumbers[id] != 0) revert PanelAlreadyCreated(id);

        uint256 number = ++_panelCount;
        _panelNumbers[id] = number;
        _panels[number].creator = msg.sender;
        _panels[number].name = name;
        _append(id, number, members);

        emit PanelCreated(id, msg.sender, name, members);
    }

    /// @inheritdoc IRegistry
    function extendPanel(PanelId id, address[] calldata members) external {
        uint256 number = panelNumber(id);
        address creator = _panels[number].creator;
        if (msg.sender != creator) revert CallerIsNotOwner(msg.sender, creator);

        _append(id, number, members);

        emit PanelExtended(id, members);
    }

    // --- views

    /// @inheritdoc IRegistry
    function pod(address account) external view returns (Pod memory) {
        return _pods[account];
    }

    /// @inheritdoc IRegistry
    function dataset(DatasetId id) external view returns (Dataset memory) {
        return _datasets[id];
    }

    /// @inheritdoc IRegistry
    function model(ModelId id) external view returns (Model memory) {
        return _models[id];
    }

    /// @inheritdoc IRegistry
    function panel(PanelId id) external view returns (Panel memory) {
        return _panels[_panelNumbers[id]];
    }

    /// @inheritdoc IRegistry
    function offeredDataset(DatasetId id) external view returns (address owner, bytes32 root) {
        Dataset storage known = _datasets[id];
        if (known.owner == address(0)) revert DatasetNotRegistered(id);
        if (!known.active) revert DatasetIsRetired(id);
        return (known.owner, known.root);
    }

    /// @inheritdoc IRegistry
    function offeredModel(ModelId id) external view returns (bytes32 initialRoot) {
        Model storage known = _models[id];
        if (known.author == address(0)) revert ModelNotRegistered(id);
        if (!known.active) revert ModelIsRetired(id);
        return known.initialRoot;
    }

    /// @inheritdoc IRegistry
    function panelNumber(PanelId id) public view returns (uint256 number) {
        number = _panelNumbers[id];
        if (number == 0) revert PanelNotCreated(id);
    }

    /// @inheritdoc IRegistry
    function panelLength(uint256 number) external view returns (uint256) {
        return _panels[number].members.length;
    }

    /// @inheritdoc IRegistry
    function panelMember(uint256 number, uint256 index) external view returns (address) {
        return _panels[number].members[index];
    }

    function _reach(Pod storage known, string calldata recipient, bytes calldata endpoint) private {
        uint256 length = bytes(recipient).length;
        if (length == 0 || length > RECIPIENT_LIMIT) revert RecipientLengthRefused(length, RECIPIENT_LIMIT);
        if (endpoint.length > ENDPOINT_LIMIT) revert EndpointTooLong(endpoint.length, ENDPOINT_LIMIT);

        (known.recipient, known.endpoint) = (recipient, endpoint);
    }

    function _append(PanelId id, uint256 number, address[] calldata members) private {
        for (uint256 i = 0; i < members.length; i++) {
            address member = members[i];
            if (member == address(0)) revert MemberIsZero(id);
            if (_listed[id][member]) revert MemberAlreadyListed(id, member);
            _listed[id][member] = true;
            _panels[number].members.push(member);
        }
    }
}
