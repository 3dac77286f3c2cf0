// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Requested -> Accepted -> Training -> Trained or Diverged -> Settled; with verifiers Training -> Auditing ->
///      Settled, Forfeited or Refunded; a dispute leads from Trained or Diverged to Auditing and from there to
///      Settled, Forfeited or Halved. Cancelled from Requested; Forfeited also from Accepted or Training when the
///      training deadline passes, or by a `diverge` that nobody could dispute.
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
    Refunded,
    Halved
}

/// @dev What the chain keeps of an agreement, packed by the moment of its writing; the terms stand in `Requested`.
struct Agreement {
    address scientist;
    State state;
    /// Unix time up to which the state's next step may be taken: acceptance, then training, then dispute deadline; an
    /// audit has deadlines of its own.
    uint40 deadline;
    /// The jury is who stood before this block, that of `request`.
    uint40 requestBlock;
    /// The scientist said, before any dispute, that what it was handed does not open the delivery.
    bool complained;
    // --- next slot
    address owner;
    /// The panel's number; 0: the pool.
    uint32 panel;
    /// Places of the panel or pool at the end of the block before `requestBlock`.
    uint16 places;
    /// The block of acceptance; 0 before it.
    uint40 seedBlock;
    /// The owner's privacy ledger that acceptance charges, as the dataset named it at the request; 0: none.
    uint8 ledger;
    // --- next slot
    /// What the owner is due if nothing is held against it: less than agreed after `diverge`.
    uint88 price;
    uint88 bond;
    /// Audit fees of all seats, while they are locked.
    uint80 fees;
    // --- next slot
    /// keccak256(abi.encode(terms)); while Accepted keccak256(abi.encode(that, key commitment)).
    bytes32 digest;
}

/// @dev An audit that somebody asked for again.
struct Asking {
    address asker;
    /// As in Agreement, of the block in which it was asked for.
    uint32 panel;
    uint16 places;
    uint48 requestBlock;
    // --- next slot
    /// keccak256(abi.encode(audit terms, nonce commitment)).
    bytes32 digest;
    // --- next slot
    /// What the asker locked; 0 once it is paid or taken back.
    uint80 fees;
    /// Unix time up to which the owner may consent.
    uint40 deadline;
    bool consented;
}
