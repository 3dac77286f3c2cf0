// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DatasetId, ModelId, PanelId} from "./Ids.sol";

/// @dev What of the data the verifiers of an audit see: anyone replays all; the drawn segments go to drawn members of a
///      panel; a replay at the owner's, from which only digests leave.
enum DisclosureMode {
    Open,
    Sampled,
    OnSite
}

/// @dev How a run is audited, or may be disputed.
struct AuditTerms {
    /// q: inner segments drawn, besides the first and the last.
    uint16 segments;
    /// m: verifiers drawn when the run ends; 0: it is audited only if it is disputed.
    uint8 verifiers;
    /// With m = 0, verifiers drawn by a dispute; 0: no dispute can be opened.
    uint8 disputeVerifiers;
    DisclosureMode mode;
    /// The verifiers to draw from; zero: all that have staked.
    PanelId panel;
    /// Seconds of each phase of an audit.
    uint32 window;
    /// Base units of FIT, divided equally over the seats; with m = 0 locked only when a dispute is opened.
    uint128 fee;
    /// Base units of FIT that a dispute locks beside the fee.
    uint128 counterBond;
}

/// @dev What scientist and owner agree on. Windows are in seconds.
struct Terms {
    address owner;
    DatasetId dataset;
    ModelId model;
    /// SHA-256 of the recipe's canonical JSON.
    bytes32 recipe;
    /// T: optimizer steps.
    uint32 steps;
    /// k >= 2: steps between two leaves.
    uint32 segment;
    /// A, a power of two: leaves that an anchor covers.
    uint32 group;
    /// Base units of FIT, locked with the request.
    uint128 price;
    /// Base units of FIT, locked by the owner's acceptance.
    uint128 bond;
    uint32 acceptanceWindow;
    uint32 trainingWindow;
    uint32 disputeWindow;
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
