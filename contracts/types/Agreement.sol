// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ModelId} from "./Ids.sol";

/// @dev Requested -> Accepted -> Training -> Trained or Diverged -> Settled; with verifiers Training -> Auditing ->
///      Settled, Forfeited or Refunded; a dispute leads from Trained or Diverged to Auditing. Cancelled from Requested;
///      Forfeited also from Accepted or Training when the training deadline passes.
enum State {
    None,
    Requested,
    Accepted,
    Training,
    Trained,
    Diverged,
    Auditing,
    Settled,
    Cancelled,
    Forfeited,
    Refunded
}

/// @dev What the chain keeps of an agreement, packed by the moment of its writing; the other terms stand in `Requested`
///      and, where they bind a proof, in `ctx`.
struct Agreement {
    address scientist;
    State state;
    /// Unix time up to which the state's next step may be taken: acceptance, then training, then dispute deadline; an
    /// audit has deadlines of its own.
    uint40 deadline;
    /// The block of acceptance; 0 before it.
    uint40 seedBlock;
    /// log2 of A.
    uint8 groupBits;
    // --- next slot
    address owner;
    uint32 steps;
    uint32 segment;
    /// Steps that the ended run proves; T after `finish`, fewer after `diverge`, 0 before either.
    uint32 stepsDone;
    // --- next slot
    uint96 price;
    uint96 bond;
    uint32 trainingWindow;
    uint32 disputeWindow;
    // --- next slots
    /// keccak256(abi.encode(chain id, Agreements, ProofOfTrain, agreement id, owner, scientist, recipe digest, dataset
    /// root, initial model root, T, k, A)); stands in every leaf.
    bytes32 ctx;
    ModelId model;
    /// keccak256(abi.encode(nonce)); 0 before acceptance.
    bytes32 nonceCommitment;
}
