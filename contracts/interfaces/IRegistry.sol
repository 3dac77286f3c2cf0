// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatasetId, ModelId, PanelId} from "../types/Ids.sol";

/// @title Registry
/// @notice Who takes part and with what: pods, datasets and their privacy ledgers, models, names of panels. What
///         identifies an entry is set once and never changes; its owner may retire it, which refuses new requests and
///         touches no agreement that stands.
/// @dev A *ledger* keeps what the trainings on an owner's records have cost of a privacy budget, by Renyi
///      differential privacy at the orders 2, 3, 5, 8, 13, 24, 44, 96. A word holds eight lanes of 32 bits, the order
///      2 in the lowest; a unit is 2^-20 nat. Lanes add up and stop at 2^32 - 1. A budget is kept while in some lane
///      what is spent is at most the budget; a lane whose budget is 0, or that is full, does not count. Ledger 1
///      belongs to the owner's account: once it is open no dataset without a ledger can be registered, or asked for. A
///      further one, up to the 255th, says that other people's records stand behind it.
/// @dev Warning: a contract cannot compute what a job costs; owner's pod, verifiers and `proof verify` do. A charge
///      that is too small is refuted there, not here.
/// @dev Warning: what is charged is never given back, whatever becomes of the job.
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
        /// Number of the owner's ledger that its trainings are charged to; 0: none.
        uint8 ledger;
        bool active;
        /// tagged("fitchain/dataset/v2", count, tree) over the record leaves.
        bytes32 root;
        bytes cardCid;
    }

    struct Ledger {
        /// May only fall.
        uint256 budget;
        /// One unit in each lane when the ledger is opened; never zero from then on.
        uint256 spent;
    }

    struct Model {
        address author;
        bool active;
        /// SHA-256 of the graph's canonical JSON.
        bytes32 graph;
        /// tagged("fitchain/model/v2", count, tree) over the tensors.
        bytes32 root;
        /// The registered model that states and deliveries of a training are deltas over; zero: none.
        ModelId base;
        /// Digest of how it follows from its parents, a function that anybody can compute again; zero: it is not said.
        bytes32 derivation;
        /// The models that it grew out of.
        ModelId[] parents;
    }

    struct Panel {
        address creator;
        /// Unix time of creation.
        uint40 since;
        string name;
    }

    /// @notice `account` joined as `role`.
    event PodRegistered(address indexed account, Role role, string recipient, bytes endpoint);
    /// @notice `account` has a new recipient and endpoint.
    event PodUpdated(address indexed account, string recipient, bytes endpoint);
    /// @notice `owner` offers the dataset `id`.
    event DatasetRegistered(
        DatasetId indexed id, address indexed owner, bytes32 root, uint64 count, uint8 ledger, bytes cardCid
    );
    /// @notice The dataset `id` takes no more requests.
    event DatasetRetired(DatasetId indexed id);
    /// @notice `owner` opened its ledger of that number.
    event LedgerOpened(address indexed owner, uint8 indexed ledger, uint256 budget);
    /// @notice The budget fell.
    event BudgetLowered(address indexed owner, uint8 indexed ledger, uint256 budget);
    /// @notice `author` published the model `id`.
    event ModelRegistered(
        ModelId indexed id,
        address indexed author,
        bytes32 graph,
        bytes32 root,
        ModelId base,
        ModelId[] parents,
        bytes32 derivation
    );
    /// @notice The model `id` takes no more requests.
    event ModelRetired(ModelId indexed id);
    /// @notice `creator` named the panel `id`, which is short for `number`; who joins it stands in Verifiers.
    event PanelCreated(PanelId indexed id, address indexed creator, uint32 number, string name);

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
    /// @notice The account has a ledger, so each dataset that it registers or offers names one.
    error LedgerNeeded(address owner);
    /// @notice The account has no ledger of that number.
    error LedgerNotOpened(address owner, uint8 ledger);
    /// @notice A budget may only fall, in every lane.
    error BudgetRises(uint256 given, uint256 standing);
    /// @notice No lane of the budget holds what would be spent.
    error PrivacyBudgetExceeded(uint256 spent, uint256 budget);
    /// @notice On a dataset with a ledger every lane of a charge is at least 1.
    error ChargeHasZeroLane(uint256 charge);
    /// @notice The same author registered the same model before.
    error ModelAlreadyRegistered(ModelId id);
    /// @notice There is no such model.
    error ModelNotRegistered(ModelId id);
    /// @notice The model was retired.
    error ModelIsRetired(ModelId id);
    /// @notice A model has a graph and a root.
    error ModelIsEmpty(bytes32 graph, bytes32 root);
    /// @notice A model has at most `limit` parents.
    error TooManyParents(uint256 count, uint256 limit);
    /// @notice The same creator named a panel so before.
    error PanelAlreadyCreated(PanelId id);
    /// @notice There is no such panel.
    error PanelNotCreated(PanelId id);
    /// @notice A panel's name has between 1 and `limit` bytes.
    error PanelNameLengthRefused(uint256 length, uint256 limit);

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
    /// @param ledger Number of the caller's ledger; 0 only while it has none.
    /// @param cardCid Binary CID of its card.
    /// @return id keccak256(abi.encode(chain id, this, caller, root, count, ledger, keccak256(cardCid))).
    function registerDataset(bytes32 root, uint64 count, uint8 ledger, bytes calldata cardCid)
        external
        returns (DatasetId id);

    /// @notice Ends requests for a dataset of the caller's.
    function retireDataset(DatasetId id) external;

    /// @notice Opens the caller's next ledger: the first is its own, every further one stands for other people's
    ///         records.
    /// @return ledger Its number, from 1.
    function openLedger(uint256 budget) external returns (uint8 ledger);

    /// @notice Lowers the budget of a ledger of the caller's.
    function lowerBudget(uint8 ledger, uint256 budget) external;

    /// @notice Agreements charges an accepted job to the ledger that its dataset named when it was asked for.
    /// @dev Reverts with ChargeHasZeroLane or PrivacyBudgetExceeded; a ledger that is none has no budget.
    /// @return spent What the ledger has spent with it.
    function charge(address owner, uint8 ledger, uint256 charge_) external returns (uint256 spent);

    /// @notice Registers a model by its digests.
    /// @param graph Digest of its graph.
    /// @param root Root over its tensors.
    /// @param base A registered model that a training's states are deltas over, or zero.
    /// @param parents Registered models that it grew out of, at most 64.
    /// @param derivation Digest of how it follows from them, or zero.
    /// @return id keccak256(abi.encode(chain id, this, caller, graph, root, base, keccak256(abi.encodePacked(parents)),
    ///         derivation)).
    function registerModel(bytes32 graph, bytes32 root, ModelId base, ModelId[] calldata parents, bytes32 derivation)
        external
        returns (ModelId id);

    /// @notice Ends requests for a model of the caller's.
    function retireModel(ModelId id) external;

    /// @notice Names a panel of verifiers, whom the caller may then invite (Verifiers).
    /// @param name Unique for the caller, at most 64 bytes.
    /// @return id keccak256(abi.encode(chain id, this, caller, keccak256(name))).
    function createPanel(string calldata name) external returns (PanelId id);

    /// @notice The pod of an account; role None where there is none.
    function pod(address account) external view returns (Pod memory);

    /// @notice A dataset; owner zero where there is none.
    function dataset(DatasetId id) external view returns (Dataset memory);

    /// @notice A ledger; spent is 0 where there is none.
    function ledger(address owner, uint8 number) external view returns (Ledger memory);

    /// @notice How many ledgers an account has opened.
    function ledgerCount(address owner) external view returns (uint8);

    /// @notice A model; author zero where there is none.
    function model(ModelId id) external view returns (Model memory);

    /// @notice A panel; creator zero where there is none.
    function panel(PanelId id) external view returns (Panel memory);

    /// @notice What a request needs of a dataset.
    /// @dev Reverts with DatasetNotRegistered or DatasetIsRetired, and with LedgerNeeded for a dataset that is older
    ///      than its owner's first ledger: its records stay out of no budget.
    function offeredDataset(DatasetId id) external view returns (address owner, bytes32 root, uint8 ledger);

    /// @notice What a request needs of a model.
    /// @dev Reverts with ModelNotRegistered or ModelIsRetired.
    function offeredModel(ModelId id) external view returns (bytes32 root);

    /// @notice The short name of a panel for contracts: panels count from 1 in the order of their creation.
    /// @dev Reverts with PanelNotCreated.
    function panelNumber(PanelId id) external view returns (uint32);

    /// @notice Number and creator of a panel.
    /// @dev Reverts with PanelNotCreated.
    function panelCreator(PanelId id) external view returns (uint32 number, address creator);
}
