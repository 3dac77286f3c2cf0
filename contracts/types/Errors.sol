// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The call is the owner's to make.
error CallerIsNotOwner(address caller, address owner);

/// @notice The call is the scientist's to make.
error CallerIsNotScientist(address caller, address scientist);

/// @notice The call is the Agreements contract's to make.
error CallerIsNotAgreements(address caller, address agreements);

/// @notice The call is the ProofOfTrain contract's to make.
error CallerIsNotProofOfTrain(address caller, address proofOfTrain);

/// @notice The call is the Audits contract's to make.
error CallerIsNotAudits(address caller, address audits);

/// @notice The call came after its deadline (both Unix time).
error DeadlinePassed(uint256 deadline, uint256 present);

/// @notice The time-out has not come yet (both Unix time).
error DeadlineNotPassed(uint256 deadline, uint256 present);

/// @notice A binary CID has between 1 and `limit` bytes.
error CidLengthRefused(uint256 length, uint256 limit);

/// @notice The chain does not serve the hashes of earlier blocks at the history contract of EIP-2935.
error HistoryNotServed(address history);

/// @notice The contract stands elsewhere than its deployment lists it.
error ListedElsewhere(address created, address listed);

/// @dev The longest binary CID taken; a CIDv1 of SHA-256 has 36 bytes.
uint256 constant CID_LIMIT = 64;

/// @dev Refuses an empty or oversized CID.
function requireCid(bytes calldata cid) pure {
    if (cid.length == 0 || cid.length > CID_LIMIT) revert CidLengthRefused(cid.length, CID_LIMIT);
}

/// @dev Refuses an oversized CID; an empty one says that there is none.
function requireCidOrNone(bytes calldata cid) pure {
    if (cid.length > CID_LIMIT) revert CidLengthRefused(cid.length, CID_LIMIT);
}
