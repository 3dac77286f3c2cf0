// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The call is the owner's to make.
error CallerIsNotOwner(address caller, address owner);

/// @notice The call came after its deadline (both Unix time).
error DeadlinePassed(uint256 deadline, uint256 present);

/// @notice The time-out has not come yet (both Unix time).
error DeadlineNotPassed(uint256 deadline, uint256 present);

/// @notice A binary CID has between 1 and `limit` bytes.
error CidLengthRefused(uint256 length, uint256 limit);

/// @dev The longest binary CID taken; a CIDv1 of SHA-256 has 36 bytes.
uint256 constant CID_LIMIT = 64;

/// @dev Refuses an empty or oversized CID.
function requireCid(bytes calldata cid) pure {
    if (cid.length == 0 || cid.length > CID_LIMIT) revert CidLengthRefused(cid.length, CID_LIMIT);
}
