// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {Transcript} from "../../contracts/libraries/Transcript.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {AgreementId, DatasetId, ModelId, NO_MODEL, NO_PANEL} from "../../contracts/types/Ids.sol";
import {Ending, Leaf} from "../../contracts/types/Run.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "../../contracts/types/Terms.sol";
import {Deployment} from "./Deployment.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {Vm} from "./Vm.sol";

/// @dev Hashes a leaf that lies in memory as the contracts hash one that lies in calldata.
contract LeafHasher {
    function digest(bytes32 ctx, bytes32 seed, Leaf calldata leaf) external pure returns (bytes32) {
        return Transcript.leafDigest(ctx, seed, leaf);
    }
}

/// @notice A deployment, two parties with money, a dataset and a model on offer, and the steps of a job as helpers.
abstract contract Fixture {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant OWNER_KEY = 0xA11CE;
    uint256 internal constant SCIENTIST_KEY = 0xB0B;
    uint128 internal constant PRICE = 1001 ether;
    uint128 internal constant BOND = 301 ether + 1;
    bytes32 internal constant NONCE = keccak256("the owner's nonce");

    IFitCoin internal fit;
    IRegistry internal registry;
    IAgreements internal agreements;
    IProofOfTrain internal proof;
    LeafHasher internal hasher;

    address internal owner = vm.addr(OWNER_KEY);
    address internal scientist = vm.addr(SCIENTIST_KEY);
    address internal stranger = address(0x5EED);
    DatasetId internal dataset;
    ModelId internal model;
    bytes32 internal datasetRoot = keccak256("dataset root");
    bytes32 internal initialRoot = keccak256("initial model root");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        (fit, registry, agreements) = Deployment.all(vm);
        proof = agreements.proofOfTrain();
        hasher = new LeafHasher();
        fit.transfer(owner, 1e6 ether);
        fit.transfer(scientist, 1e6 ether);

        vm.prank(owner);
        dataset = registry.registerDataset(datasetRoot, 455, cid("card"));
        vm.prank(scientist);
        model = registry.registerModel(keccak256("graph"), initialRoot, NO_MODEL);
    }

    // --- what a job is made of

    /// @dev 36 bytes, as a binary CIDv1 has. (Made with keccak256: SHA-256 is a call to a precompile and would use up a
    ///      prank.)
    function cid(string memory of_) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"01551220", keccak256(bytes(of_)));
    }

    /// @dev 11 steps in segments of 2 give 7 leaves: three groups of 2 and a last leaf of its own.
    function defaultTerms() internal view returns (Terms memory) {
        return Terms({
            owner: owner,
            dataset: dataset,
            model: model,
            recipe: keccak256("recipe"),
            steps: 11,
            segment: 2,
            group: 2,
            price: PRICE,
            bond: BOND,
            acceptanceWindow: 1 hours,
            trainingWindow: 1 days,
            disputeWindow: 2 hours,
            audit: AuditTerms(29, 0, 0, DisclosureMode.Sampled, NO_PANEL, 1 hours, 7 ether, 8 ether)
        });
    }

    function noPermit() internal pure returns (Permit memory) {
        return Permit(0, 0, 0, 0, 0);
    }

    function signedPermit(uint256 key, uint256 value) internal view returns (Permit memory) {
        return signedPermit(key, value, address(agreements));
    }

    function signedPermit(uint256 key, uint256 value, address spender) internal view returns (Permit memory) {
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        address signer = vm.addr(key);
        uint256 deadline = block.timestamp + 1 hours;
        bytes32 message = keccak256(abi.encode(kind, signer, spender, value, fit.nonces(signer), deadline));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked(hex"1901", fit.DOMAIN_SEPARATOR(), message)));
        return Permit(value, deadline, v, r, s);
    }

    function commitment() internal pure returns (bytes32) {
        return keccak256(abi.encode(NONCE));
    }

    function leafCount(Terms memory terms) internal pure returns (uint32) {
        return (terms.steps + terms.segment - 1) / terms.segment + 1;
    }

    /// @dev The first `count` leaves of a made-up run, each naming the one before, and their digests.
    function transcript(AgreementId id, Terms memory terms, uint256 count)
        internal
        view
        returns (Leaf[] memory leaves, bytes32[] memory digests)
    {
        bytes32 ctx = agreements.agreement(id).ctx;
        bytes32 seed = proof.run(id).seed;
        leaves = new Leaf[](count);
        digests = new bytes32[](count);
        for (uint32 j = 0; j < count; j++) {
            uint32 step = j * terms.segment < terms.steps ? j * terms.segment : terms.steps;
            leaves[j] = Leaf({
                index: j,
                step: step,
                modelRoot: keccak256(abi.encode("model", j)),
                optimizerRoot: keccak256(abi.encode("optimizer", j)),
                records: keccak256(abi.encode("records", j)),
                metrics: keccak256(abi.encode("metrics", j)),
                previous: j == 0 ? bytes32(0) : digests[j - 1]
            });
            digests[j] = hasher.digest(ctx, seed, leaves[j]);
        }
    }

    /// @dev How a run ends after its first `count` leaves.
    function ending(AgreementId id, Terms memory terms, uint256 count) internal view returns (Ending memory) {
        (Leaf[] memory leaves, bytes32[] memory digests) = transcript(id, terms, count);
        uint256 grouped = count - count % terms.group;
        return Ending({
            peaks: ReferenceTree.peaks(digests, 0, grouped),
            tail: ReferenceTree.peaks(digests, grouped, count),
            last: leaves[count - 1],
            path: ReferenceTree.lastPath(digests, count),
            weightsCid: cid("weights"),
            keyCid: agreements.isAudited(id) ? bytes("") : cid("key")
        });
    }

    function ending(AgreementId id, Terms memory terms) internal view returns (Ending memory) {
        return ending(id, terms, leafCount(terms));
    }

    function transcriptRoot(bytes32[] memory digests) internal pure returns (bytes32) {
        return sha256(abi.encode(sha256("fitchain/transcript/v1"), digests.length, ReferenceTree.root(digests)));
    }

    // --- the steps of a job

    function requested(bytes32 salt, Terms memory terms) internal returns (AgreementId id) {
        vm.prank(scientist);
        fit.approve(address(agreements), terms.price + (terms.audit.verifiers > 0 ? terms.audit.fee : 0));
        vm.prank(scientist);
        id = agreements.request(salt, terms, cid("offer"), noPermit());
    }

    function requested() internal returns (AgreementId) {
        return requested("salt", defaultTerms());
    }

    function accept(AgreementId id) internal {
        vm.prank(owner);
        fit.approve(address(agreements), BOND);
        vm.prank(owner);
        agreements.accept(id, commitment(), noPermit());
    }

    function accepted() internal returns (AgreementId id) {
        id = requested();
        accept(id);
    }

    function begin(AgreementId id) internal {
        vm.roll(block.number + 1);
        vm.prank(owner);
        proof.begin(id, NONCE);
    }

    function begun(Terms memory terms) internal returns (AgreementId id) {
        id = requested("salt", terms);
        accept(id);
        begin(id);
    }

    function begun() internal returns (AgreementId) {
        return begun(defaultTerms());
    }

    /// @dev Anchors the groups that the first `count` leaves fill.
    function anchor(AgreementId id, Terms memory terms, uint256 count) internal {
        (, bytes32[] memory digests) = transcript(id, terms, count);
        for (uint256 from = 0; from + terms.group <= count; from += terms.group) {
            bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, from);
            bytes32 root = ReferenceTree.root(digests, from, from + terms.group);
            vm.prank(owner);
            proof.anchor(id, peaks, root, cid("note"));
        }
    }

    function anchored(Terms memory terms) internal returns (AgreementId id) {
        id = begun(terms);
        anchor(id, terms, leafCount(terms));
    }

    function anchored() internal returns (AgreementId) {
        return anchored(defaultTerms());
    }

    function finish(AgreementId id, Ending memory end) internal {
        vm.prank(owner);
        proof.finish(id, end);
    }

    function trained(Terms memory terms) internal returns (AgreementId id) {
        id = anchored(terms);
        finish(id, ending(id, terms));
    }

    function trained() internal returns (AgreementId) {
        return trained(defaultTerms());
    }

    /// @dev A run that ended after `count` of its leaves.
    function diverged(uint256 count) internal returns (AgreementId id) {
        id = begun();
        anchor(id, defaultTerms(), count);
        Ending memory end = ending(id, defaultTerms(), count);
        vm.prank(owner);
        proof.diverge(id, end);
    }

    // --- what is asked of them

    function stateOf(AgreementId id) internal view returns (State) {
        return agreements.agreement(id).state;
    }

    function assertState(AgreementId id, State expected) internal view {
        vm.assertEq(uint256(stateOf(id)), uint256(expected), "the agreement stands in another state");
    }

    function assertOwed(address account, uint256 expected) internal view {
        vm.assertEq(agreements.owed(account), expected, "the account is owed another amount");
    }

    /// @dev One second beyond the agreement's present deadline.
    function timeOut(AgreementId id) internal {
        vm.warp(uint256(agreements.agreement(id).deadline) + 1);
    }
}
