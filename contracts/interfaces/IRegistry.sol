// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DatasetId, ModelId, PanelId} from "../types/Ids.sol";

/// @title Registry
/// @notice Who takes part and with what: pods, datasets, models, panels of verifiers. What identifies an entry is set
///         once and never changes; its owner may retire it, which refuses new requests and touches no agreement that
///         stands.
interface IRegistry {
    enum Role {
        None,
        Owner,
        Scientist,
        Verifier
    }

    struct Pod {
        Role role;
        /// Unix time of registration.
        uint40 since;
        /// age X25519 recipient (age1...).
        string recipient;
        /// Where the pod can be reached, in a form of its own choice.
        bytes endpoint;
    }

    struct Dataset {
        address owner;
        uint64 count;
        bool active;
        /// tagged("fitchain/dataset/v1", count, tree) over the record leaves.
        bytes32 root;
        bytes cardCid;
    }

    struct Model {
        address author;
        bool active;
        /// SHA-256 of the graph's canonical JSON.
        bytes32 graph;
        /// tagged("fitchain/model/v1", count, tree) over the initial tensors.
        bytes32 initialRoot;
        /// The model that this one grew out of; zero: none.
        ModelId parent;
    }

    struct Panel {
        address creator;
        string name;
        /// The list only grows, so that a length fixes what it held at a moment.
        address[] members;
    }

    /// @notice `account` joined as `role`.
    event PodRegistered(address indexed account, Role role, string recipient, bytes endpoint);
    /// @notice `account` has a new recipient and endpoint.
    event PodUpdated(address indexed account, string recipient, bytes endpoint);
    /// @notice `owner` offers the dataset `id`.
    event DatasetRegistered(DatasetId indexed id, address indexed owner, bytes32 root, uint64 count, bytes cardCid);
    /// @notice The dataset `id` takes no more requests.
    event DatasetRetired(DatasetId indexed id);
    /// @notice `author` published the model `id`.
    event ModelRegistered(
        ModelId indexed id, address indexed author, bytes32 graph, bytes32 initialRoot, ModelId indexed parent
    );
    /// @notice The model `id` takes no more requests.
    event ModelRetired(ModelId indexed id);
    /// @notice `creator` named the panel `id`.
    event PanelCreated(PanelId indexed id, address indexed creator, string name, address[] members);
    /// @notice `members` were appended to the panel `id`.
    event PanelExtended(PanelId indexed id, address[] members);

    /// @notice The account is a pod already; its role never changes.
    error PodAlreadyRegistered(address account);
    /// @notice The account is no pod.
    error PodNotRegistered(address account);
    /// @notice A pod needs a role.
    error RoleIsNone();
    /// @notice A recipient has between 1 and `limit` bytes.
    error RecipientLengthRefused(uint256 length, uint256 limit);
    /// @notice An endpoint has at most `limit` bytes.
    error EndpointTooLong(uint256 length, uint256 limit);
    /// @notice The same owner registered the same records with the same card before.
    error DatasetAlreadyRegistered(DatasetId id);
    /// @notice There is no such dataset.
    error DatasetNotRegistered(DatasetId id);
    /// @notice The dataset was retired.
    error DatasetIsRetired(DatasetId id);
    /// @notice A dataset has a root and at least one record.
    error DatasetIsEmpty(bytes32 root, uint64 count);
    /// @notice The same author registered the same model before.
    error ModelAlreadyRegistered(ModelId id);
    /// @notice There is no such model.
    error ModelNotRegistered(ModelId id);
    /// @notice The model was retired.
    error ModelIsRetired(ModelId id);
    /// @notice A model has a graph and initial weights.
    error ModelIsEmpty(bytes32 graph, bytes32 initialRoot);
    /// @notice The same creator named a panel so before.
    error PanelAlreadyCreated(PanelId id);
    /// @notice There is no such panel.
    error PanelNotCreated(PanelId id);
    /// @notice A panel's name has between 1 and `limit` bytes.
    error PanelNameLengthRefused(uint256 length, uint256 limit);
    /// @notice The account is a member already.
    error MemberAlreadyListed(PanelId id, address member);
    /// @notice The zero address cannot be a member.
    error MemberIsZero(PanelId id);

    /// @notice Registers the caller as a pod.
    /// @param role Owner, Scientist or Verifier; set once.
    /// @param recipient age recipient, at most 128 bytes.
    /// @param endpoint At most 512 bytes; may be empty.
    function registerPod(Role role, string calldata recipient, bytes calldata endpoint) external;

    /// @notice Replaces the caller's recipient and endpoint.
    function updatePod(string calldata recipient, bytes calldata endpoint) external;

    /// @notice Registers a dataset that stays with the caller.
    /// @param root Root over its record leaves.
    /// @param count Records.
    /// @param cardCid Binary CID of its card.
    /// @return id keccak256(abi.encode(chain id, this, caller, root, count, keccak256(cardCid))).
    function registerDataset(bytes32 root, uint64 count, bytes calldata cardCid) external returns (DatasetId id);

    /// @notice Ends requests for a dataset of the caller's.
    function retireDataset(DatasetId id) external;

    /// @notice Registers a model by its digests.
    /// @param graph Digest of its graph.
    /// @param initialRoot Root over its initial tensors.
    /// @param parent A registered model that it grew out of, or zero.
    /// @return id keccak256(abi.encode(chain id, this, caller, graph, initialRoot, parent)).
    function registerModel(bytes32 graph, bytes32 initialRoot, ModelId parent) external returns (ModelId id);

    /// @notice Ends requests for a model of the caller's.
    function retireModel(ModelId id) external;

    /// @notice Names a panel of verifiers.
    /// @param name Unique for the caller, at most 64 bytes.
    /// @param members The first members, each once.
    /// @return id keccak256(abi.encode(chain id, this, caller, keccak256(name))).
    function createPanel(string calldata name, address[] calldata members) external returns (PanelId id);

    /// @notice Appends members to a panel of the caller's; nobody is ever removed.
    function extendPanel(PanelId id, address[] calldata members) external;

    /// @notice The pod of an account; role None where there is none.
    function pod(address account) external view returns (Pod memory);

    /// @notice A dataset; owner zero where there is none.
    function dataset(DatasetId id) external view returns (Dataset memory);

    /// @notice A model; author zero where there is none.
    function model(ModelId id) external view returns (Model memory);

    /// @notice A panel; creator zero where there is none.
    function panel(PanelId id) external view returns (Panel memory);

    /// @notice What a request needs of a dataset.
    /// @dev Reverts with DatasetNotRegistered or DatasetIsRetired.
    function offeredDataset(DatasetId id) external view returns (address owner, bytes32 root);

    /// @notice What a request needs of a model.
    /// @dev Reverts with ModelNotRegistered or ModelIsRetired.
    function offeredModel(ModelId id) external view returns (bytes32 initialRoot);

    /// @notice The short name of a panel for contracts: panels count from 1 in the order of their creation.
    /// @dev Reverts with PanelNotCreated.
    function panelNumber(PanelId id) external view returns (uint256);

    /// @notice How many members the panel of that number has; 0 where there is none.
    function panelLength(uint256 number) external view returns (uint256);

    /// @notice Entry `index`, from 0, of the panel of that number.
    /// @dev Reverts beyond the panel's length.
    function panelMember(uint256 number, uint256 index) external view returns (address);
}
