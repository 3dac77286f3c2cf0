// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Transcript} from "../../contracts/libraries/Transcript.sol";
import {Tree} from "../../contracts/libraries/Tree.sol";
import {Ending, Leaf} from "../../contracts/types/Run.sol";

/// @dev The library on calldata, as the contracts use it.
contract TreeCaller {
    function append(bytes32[] calldata peaks, uint256 count, bytes32 node) external view returns (bytes32[] memory) {
        return Tree.append(peaks, count, node);
    }

    function bag(bytes32[] calldata peaks, bytes32[] calldata tail) external view returns (bytes32) {
        return Tree.bag(peaks, tail);
    }

    function rootOverLast(bytes32 entry, bytes32[] calldata path) external view returns (bytes32) {
        return Tree.rootOverLast(entry, path);
    }

    function rootOver(bytes32 entry, uint256 index, uint256 count, bytes32[] calldata path)
        external
        view
        returns (bytes32)
    {
        return Tree.rootOver(entry, index, count, path);
    }

    function leafDigest(bytes32 ctx, bytes32 seed, Leaf calldata leaf) external pure returns (bytes32) {
        return Transcript.leafDigest(ctx, seed, leaf);
    }

    function transcriptRoot(uint32 count, Ending calldata ending) external view returns (bytes32) {
        return Transcript.root(count, Tree.bag(ending.peaks, ending.tail));
    }
}
