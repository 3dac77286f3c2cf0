// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HistoryNotServed} from "../types/Errors.sol";

/// @title SeedBlock
/// @notice The hash of an earlier block, for as long as the chain can give it.
library SeedBlock {
    /// @dev The history contract of EIP-2935: called with a block number it returns the hash of one of the last 8191
    ///      blocks.
    address internal constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    /// @notice Hash of block `number`: from the BLOCKHASH instruction within 256 blocks, beyond them from the history
    ///         contract; zero if neither knows it.
    function hashOf(uint256 number) internal view returns (bytes32 found) {
        found = blockhash(number);
        if (found == 0) found = _remembered(number);
    }

    /// @notice Refuses a chain whose history contract does not give the hash of the block before this one.
    function requireHistory() internal view {
        bytes32 known = blockhash(block.number - 1);
        if (known == 0 || _remembered(block.number - 1) != known) revert HistoryNotServed(HISTORY);
    }

    function _remembered(uint256 number) private view returns (bytes32 found) {
        (bool answered, bytes memory answer) = HISTORY.staticcall(abi.encode(number));
        if (answered && answer.length == 32) found = abi.decode(answer, (bytes32));
    }
}
