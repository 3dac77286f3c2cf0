// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Contracts, IDirectory} from "./interfaces/IDirectory.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Lanes} from "./libraries/Lanes.sol";
import {CallerIsNotAgreements, CallerIsNotOwner, ListedElsewhere, requireCid} from "./types/Errors.sol";
import {DatasetId, ModelId, NO_MODEL, PanelId} from "./types/Ids.sol";

/// @title Registry
/// @notice Who takes part and with what; what it promises stands in IRegistry.
contract Registry is IRegistry {
    using Lanes for uint256;
    using SafeCast for uint256;

    uint256 private constant RECIPIENT_LIMIT = 128;
    uint256 private constant ENDPOINT_LIMIT = 512;
    uint256 private constant PANEL_NAME_LIMIT = 64;
    uint256 private constant PARENT_LIMIT = 64;

    address public immutable agreements;

    mapping(address account => Pod) private _pods;
    mapping(DatasetId id => Dataset) private _datasets;
    mapping(address owner => mapping(uint256 number => Ledger)) private _ledgers;
    mapping(address owner => uint8) public ledgerCount;
    mapping(ModelId id => Model) private _models;
    mapping(PanelId id => uint32) private _panelNumbers;
    mapping(uint256 number => Panel) private _panels;
    uint256 private _panelCount;

    constructor(IDirectory directory) {
        Contracts memory listed = directory.contracts();
        if (listed.registry != address(this)) revert ListedElsewhere(address(this), listed.registry);
        agreements = listed.agreements;
    }

    // --- pods

    /// @inheritdoc IRegistry
    function registerPod(Role role, string calldata recipient, bytes calldata endpoint) external {
        if (role == Role.None) revert RoleIsNone();
        Pod storage known = _pods[msg.sender];
        if (known.role != Role.None) revert PodAlreadyRegistered(msg.sender);

        (known.role, known.since) = (role, block.timestamp.toUint40());
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

    // --- datasets and their ledgers

    /// @inheritdoc IRegistry
    function registerDataset(bytes32 root, uint64 count, uint8 number, bytes calldata cardCid)
        external
        returns (DatasetId id)
    {
        id = DatasetId.wrap(
            keccak256(abi.encode(block.chainid, address(this), msg.sender, root, count, number, keccak256(cardCid)))
        );
        if (root == 0 || count == 0) revert DatasetIsEmpty(root, count);
        Dataset storage known = _datasets[id];
        if (known.owner != address(0)) revert DatasetAlreadyRegistered(id);
        if (number > ledgerCount[msg.sender]) revert LedgerNotOpened(msg.sender, number);
        if (number == 0 && ledgerCount[msg.sender] != 0) revert LedgerNeeded(msg.sender);
        requireCid(cardCid);

        (known.owner, known.count, known.ledger, known.active) = (msg.sender, count, number, true);
        (known.root, known.cardCid) = (root, cardCid);

        emit DatasetRegistered(id, msg.sender, root, count, number, cardCid);
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

    /// @inheritdoc IRegistry
    function openLedger(uint256 budget) external returns (uint8 number) {
        number = (uint256(ledgerCount[msg.sender]) + 1).toUint8();

        ledgerCount[msg.sender] = number;
        _ledgers[msg.sender][number] = Ledger({budget: budget, spent: Lanes.ONE_EACH});

        emit LedgerOpened(msg.sender, number, budget);
    }

    /// @inheritdoc IRegistry
    function lowerBudget(uint8 number, uint256 budget) external {
        Ledger storage known = _ledgers[msg.sender][number];
        if (known.spent == 0) revert LedgerNotOpened(msg.sender, number);
        if (!budget.nowhereAbove(known.budget)) revert BudgetRises(budget, known.budget);

        known.budget = budget;

        emit BudgetLowered(msg.sender, number, budget);
    }

    /// @inheritdoc IRegistry
    function charge(address owner, uint8 number, uint256 charge_) external returns (uint256 spent) {
        if (msg.sender != agreements) revert CallerIsNotAgreements(msg.sender, agreements);
        if (charge_.hasZero()) revert ChargeHasZeroLane(charge_);
        Ledger storage account = _ledgers[owner][number];
        uint256 budget = account.budget;
        spent = account.spent.saturatingAdd(charge_);
        if (!spent.somewhereWithin(budget)) revert PrivacyBudgetExceeded(spent, budget);

        account.spent = spent;
    }

    // --- models

    /// @inheritdoc IRegistry
    function registerModel(bytes32 graph, bytes32 root, ModelId base, ModelId[] calldata parents, bytes32 derivation)
        external
        returns (ModelId id)
    {
        bytes32 ancestry = keccak256(abi.encodePacked(parents));
        id = ModelId.wrap(
            keccak256(abi.encode(block.chainid, address(this), msg.sender, graph, root, base, ancestry, derivation))
        );
        if (graph == 0 || root == 0) revert ModelIsEmpty(graph, root);
        if (_models[id].author != address(0)) revert ModelAlreadyRegistered(id);
        if (parents.length > PARENT_LIMIT) revert TooManyParents(parents.length, PARENT_LIMIT);
        if (base != NO_MODEL) _requireModel(base);
        for (uint256 i = 0; i < parents.length; i++) {
            _requireModel(parents[i]);
        }

        _models[id] = Model(msg.sender, true, graph, root, base, derivation, parents);

        emit ModelRegistered(id, msg.sender, graph, root, base, parents, derivation);
    }

    /// @inheritdoc IRegistry
    function retireModel(ModelId id) external {
        Model storage known = _models[id];
        _requireModel(id);
        if (msg.sender != known.author) revert CallerIsNotOwner(msg.sender, known.author);
        if (!known.active) revert ModelIsRetired(id);

        known.active = false;

        emit ModelRetired(id);
    }

    // --- panels

    /// @inheritdoc IRegistry
    function createPanel(string calldata name) external returns (PanelId id) {
        uint256 length = bytes(name).length;
        id = PanelId.wrap(keccak256(abi.encode(block.chainid, address(this), msg.sender, keccak256(bytes(name)))));
        if (length == 0 || length > PANEL_NAME_LIMIT) revert PanelNameLengthRefused(length, PANEL_NAME_LIMIT);
        if (_panelNumbers[id] != 0) revert PanelAlreadyCreated(id);

        uint32 number = (++_panelCount).toUint32();
        _panelNumbers[id] = number;
        _panels[number] = Panel(msg.sender, block.timestamp.toUint40(), name);

        emit PanelCreated(id, msg.sender, number, name);
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
    function ledger(address owner, uint8 number) external view returns (Ledger memory) {
        return _ledgers[owner][number];
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
    function offeredDataset(DatasetId id) external view returns (address owner, bytes32 root, uint8 number) {
        Dataset storage known = _datasets[id];
        if (known.owner == address(0)) revert DatasetNotRegistered(id);
        if (!known.active) revert DatasetIsRetired(id);
        (owner, root, number) = (known.owner, known.root, known.ledger);
        if (number == 0 && ledgerCount[owner] != 0) revert LedgerNeeded(owner);
    }

    /// @inheritdoc IRegistry
    function offeredModel(ModelId id) external view returns (bytes32 root) {
        Model storage known = _models[id];
        _requireModel(id);
        if (!known.active) revert ModelIsRetired(id);
        return known.root;
    }

    /// @inheritdoc IRegistry
    function panelNumber(PanelId id) public view returns (uint32 number) {
        number = _panelNumbers[id];
        if (number == 0) revert PanelNotCreated(id);
    }

    /// @inheritdoc IRegistry
    function panelCreator(PanelId id) external view returns (uint32 number, address creator) {
        number = panelNumber(id);
        creator = _panels[number].creator;
    }

    function _requireModel(ModelId id) private view {
        if (_models[id].author == address(0)) revert ModelNotRegistered(id);
    }

    function _reach(Pod storage known, string calldata recipient, bytes calldata endpoint) private {
        uint256 length = bytes(recipient).length;
        if (length == 0 || length > RECIPIENT_LIMIT) revert RecipientLengthRefused(length, RECIPIENT_LIMIT);
        if (endpoint.length > ENDPOINT_LIMIT) revert EndpointTooLong(endpoint.length, ENDPOINT_LIMIT);

        (known.recipient, known.endpoint) = (recipient, endpoint);
    }
}
