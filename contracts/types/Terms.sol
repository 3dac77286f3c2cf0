// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatasetId, ModelId, PanelId} from "./Ids.sol";

/// @dev What of the data the verifiers of an audit see: anyone replays all; the drawn segments go to drawn members of a
///      panel; a replay at the owner's, from which only digests leave.
enum DisclosureMode {
    Open,
    Sampled,
    OnSite
}

/// @dev How a run is audited, or may be disputed. Windows are in seconds, amounts in base units of FIT.
struct AuditTerms {
    /// q: segments drawn besides those that are always audited.
    uint16 drawnSegments;
    /// m, odd: verifiers drawn when the run ends; 0: it is audited only if it is disputed.
    uint8 verifiers;
    /// With m = 0 the verifiers that a dispute draws, odd; 0: no dispute can be opened.
    uint8 disputeVerifiers;
    DisclosureMode mode;
    /// The verifiers to draw from, as the panel stands before the block of `request`; zero: the pool.
    PanelId panel;
    /// Each phase of an audit.
    uint32 window;
    /// From the opening on, how long an audit that finds too few verifiers may be drawn on.
    uint32 wait;
    /// f, at least the deployment's floor: what a seat earns. With m = 0 locked only when a dispute is opened.
    uint128 feePerSeat;
    /// What a seat locks and can lose: 10 f to 20 f.
    uint128 seatStake;
    /// What a dispute locks beside the fees.
    uint128 counterBond;
}

/// @dev What scientist and owner agree on. The chain keeps its hash; who needs more of it than that passes the whole.
struct Terms {
    address owner;
    DatasetId dataset;
    /// As registered under `dataset`.
    bytes32 datasetRoot;
    ModelId model;
    /// As registered under `model`: where the training starts.
    bytes32 modelRoot;
    /// SHA-256 of the recipe's canonical JSON.
    bytes32 recipe;
    /// SHA-256 of the recipe's environment record: which hosts can replay the training.
    bytes32 environment;
    /// T >= 2: optimizer steps.
    uint32 steps;
    /// k >= 2: steps between two leaves.
    uint32 segmentSteps;
    /// A, a power of two: leaves that an anchor covers.
    uint32 groupLeaves;
    /// The metered work of a step, by which a verifier knows beforehand what a replay takes: bytes of its values,
    uint64 stepBytes;
    /// kernels of its forward pass,
    uint32 stepCalls;
    /// operations of single elements in it.
    uint64 stepOperations;
    /// Locked with the request.
    uint128 price;
    /// Locked by the owner's acceptance.
    uint128 bond;
    uint32 acceptanceWindow;
    uint32 trainingWindow;
    uint32 disputeWindow;
    /// What the job costs of the dataset's privacy budget: eight lanes of 32 bits, see Registry; 0 exactly where the
    /// dataset has no ledger.
    uint256 charge;
    /// keccak256(abi.encode(nonce)): the scientist's part of every draw; 0 only where there are no seats.
    bytes32 nonceCommitment;
    AuditTerms audit;
}

/// @dev An EIP-2612 permit for the contract that is called; deadline 0: none is given and the allowance stands already.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}
