// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Links} from "../../contracts/libraries/Links.sol";
import {Transcript} from "../../contracts/libraries/Transcript.sol";
import {Tree} from "../../contracts/libraries/Tree.sol";
import {Ending, Leaf} from "../../contracts/types/Run.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {TreeCaller} from "./TreeCaller.sol";
import {Vm} from "./Vm.sol";

/// @notice The contracts' trees against the pods' (vectors.json, up to 300 entries) and against the RFC's recursion
///         (beyond).
contract TreeTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant LARGEST = 300;

    TreeCaller private tree = new TreeCaller();
    bytes32[] private none;

    function vectors() private view returns (string memory) {
        return vm.readFile("tests/contracts/vectors.json");
    }

    function entries(uint256 count, bytes32 salt) private pure returns (bytes32[] memory made) {
        made = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            made[i] = sha256(abi.encode(uint256(salt) + i));
        }
    }

    // --- against the pods

    function test_append_keepsThePodsPeaksForEveryCount() public view {
        bytes32[] memory expected = vm.parseJsonBytes32Array(vectors(), ".peaks");
        bytes32[] memory peaks;

        for (uint256 i = 0; i < LARGEST; i++) {
            peaks = tree.append(peaks, i, Tree.leafHash(sha256(abi.encode(i))));
            vm.assertEq(sha256(abi.encodePacked(peaks)), expected[i], "the peaks are not the pods'");
        }
    }

    function test_bag_yieldsThePodsRootForEveryCount() public view {
        bytes32[] memory expected = vm.parseJsonBytes32Array(vectors(), ".roots");
        bytes32[] memory peaks;

        for (uint256 i = 0; i < LARGEST; i++) {
            peaks = tree.append(peaks, i, Tree.leafHash(sha256(abi.encode(i))));
            vm.assertEq(tree.bag(peaks, none), expected[i], "the root is not the pods'");
        }
    }

    /// @dev Groups of 4 with what they leave over, bagged together.
    function test_root_isThePodsTranscriptRootForEveryCount() public view {
        bytes32[] memory expected = vm.parseJsonBytes32Array(vectors(), ".transcripts");
        bytes32[] memory all = entries(LARGEST, 0);
        Ending memory ending;

        for (uint32 count = 1; count <= LARGEST; count++) {
            uint256 grouped = count - count % 4;
            if (grouped == count) {
                ending.peaks = tree.append(ending.peaks, count / 4 - 1, ReferenceTree.root(all, count - 4, count));
            }
            ending.tail = ReferenceTree.peaks(all, grouped, count);
            vm.assertEq(tree.transcriptRoot(count, ending), expected[count - 1], "the root is not the pods'");
        }
    }

    function test_leafDigest_isThePods() public view {
        Leaf memory leaf = Leaf({
            index: 7,
            step: 14,
            modelRoot: sha256("model"),
            optimizerRoot: sha256("optimizer"),
            records: sha256("records"),
            metrics: sha256("metrics"),
            heldOut: sha256("held-out"),
            previous: sha256("previous")
        });

        bytes32 state = Transcript.stateDigest(leaf.modelRoot, leaf.optimizerRoot);
        vm.assertEq(state, vm.parseJsonBytes32(vectors(), ".state"), "the state digest is not the pods'");
        bytes32 digest = tree.leafDigest(sha256("ctx"), sha256("seed"), leaf);
        vm.assertEq(digest, vm.parseJsonBytes32(vectors(), ".leaf"), "the leaf is not the pods'");
    }

    function test_emptyTrace_isThePodsForEveryCount() public view {
        bytes32[] memory expected = vm.parseJsonBytes32Array(vectors(), ".empty_traces");

        for (uint256 count = 0; count < expected.length; count++) {
            vm.assertEq(
                Transcript.emptyTrace(sha256("audit"), 2, count), expected[count], "the empty trace is not the pods'"
            );
        }
    }

    function test_links_areThePods() public view {
        bytes32[] memory expected = vm.parseJsonBytes32Array(vectors(), ".links");
        bytes26 link = bytes26(sha256("end of a chain"));

        for (uint256 times = 0; times < expected.length; times++) {
            vm.assertEq(bytes32(Links.before(link, times)), expected[times], "the link is not the pods'");
        }
    }

    function test_tags_areTheHashesOfTheirNames() public pure {
        vm.assertEq(Transcript.STATE_TAG, sha256("fitchain/state/v2"), "another tag for states");
        vm.assertEq(Transcript.LEAF_TAG, sha256("fitchain/leaf/v2"), "another tag for leaves");
        vm.assertEq(Transcript.TRANSCRIPT_TAG, sha256("fitchain/transcript/v2"), "another tag for transcripts");
        vm.assertEq(Transcript.TRACE_TAG, sha256("fitchain/trace/v2"), "another tag for traces");
    }

    // --- against the RFC

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_append_keepsTheReferencePeaks(uint16 count, bytes16 salt) public view {
        bytes32[] memory all = entries(uint256(count) % 700 + 1, bytes32(uint256(uint128(salt))));
        bytes32[] memory peaks;

        for (uint256 i = 0; i < all.length; i++) {
            peaks = tree.append(peaks, i, Tree.leafHash(all[i]));
        }

        vm.assertEq(peaks, ReferenceTree.peaks(all, 0, all.length), "the peaks are not the RFC's subtrees");
        vm.assertEq(tree.bag(peaks, none), ReferenceTree.root(all), "the root is not the RFC's");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_bag_doesNotDependOnWhereTheTailBegins(uint16 count, uint8 groupBits) public view {
        bytes32[] memory all = entries(uint256(count) % 700 + 1, 0);
        uint256 group = uint256(1) << (groupBits % 10);
        uint256 grouped = all.length - all.length % group;

        bytes32 root = tree.bag(ReferenceTree.peaks(all, 0, grouped), ReferenceTree.peaks(all, grouped, all.length));

        vm.assertEq(root, ReferenceTree.root(all), "the root is not the RFC's");
    }

    function testFuzz_rootOverLast_leadsToTheLastPeak(uint16 count) public view {
        bytes32[] memory all = entries(uint256(count) % 700 + 1, 0);
        bytes32[] memory peaks = ReferenceTree.peaks(all, 0, all.length);
        bytes32[] memory path = ReferenceTree.lastPath(all, all.length);

        vm.assertEq(path.length, Tree.lastPeakHeight(all.length), "the path has another height");
        vm.assertEq(tree.rootOverLast(all[all.length - 1], path), peaks[peaks.length - 1], "the path leads elsewhere");
    }

    function testFuzz_rootOver_leadsToTheRoot(uint16 count, uint16 index, uint8 changed) public view {
        bytes32[] memory all = entries(uint256(count) % 300 + 1, 0);
        uint256 place = index % all.length;
        bytes32[] memory path = ReferenceTree.path(all, place);

        vm.assertEq(tree.rootOver(all[place], place, all.length, path), ReferenceTree.root(all), "another root");

        bytes32[] memory longer = new bytes32[](path.length + 1);
        vm.assertEq(tree.rootOver(all[place], place, all.length, longer), 0, "a longer path was taken");
        if (path.length == 0) return;
        bytes32[] memory shorter = ReferenceTree.prefix(path, path.length - 1);
        vm.assertEq(tree.rootOver(all[place], place, all.length, shorter), 0, "a shorter path was taken");
        path[changed % path.length] ^= bytes32(uint256(1));
        bytes32 root = tree.rootOver(all[place], place, all.length, path);
        vm.assertTrue(root != ReferenceTree.root(all), "a changed path was taken");
    }

    function testFuzz_peakCount_isThatOfTheReference(uint16 count) public pure {
        bytes32[] memory all = new bytes32[](uint256(count) % 700 + 1);

        vm.assertEq(
            Tree.peakCount(all.length), ReferenceTree.peaks(all, 0, all.length).length, "another number of peaks"
        );
    }

    function testFuzz_leafCount_isTheCeilingAndOne(uint32 steps, uint32 segment) public pure {
        vm.assume(steps > 0 && segment > 1);
        uint256 segments = uint256(steps) / segment + (steps % segment == 0 ? 0 : 1);

        vm.assertEq(Transcript.leafCount(steps, segment), segments + 1, "not ceil(T/k) + 1 leaves");
    }
}
