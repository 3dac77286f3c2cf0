// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Transcript} from "../../contracts/libraries/Transcript.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {AgreementId, DatasetId, ModelId, NO_MODEL, NO_PANEL} from "../../contracts/types/Ids.sol";
import {DeliveredLeaf, Ending, Leaf} from "../../contracts/types/Run.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "../../contracts/types/Terms.sol";
import {Deployment, System} from "./Deployment.sol";
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
    uint32 internal constant WINDOW = 1 hours;
    uint32 internal constant WAIT = 3 hours;
    uint128 internal constant FEE = 30 ether + 1;
    uint128 internal constant SEAT_STAKE = 20 * FEE;
    uint128 internal constant COUNTER_BOND = 50 ether + 1;
    bytes32 internal constant NONCE = keccak256("the owner's nonce");
    bytes32 internal constant NOISE_ROOT = keccak256("the owner's noise root");
    bytes32 internal constant ASKER_NONCE = keccak256("the asker's nonce");

    IDirectory internal directory;
    IFitCoin internal fit;
    IRegistry internal registry;
    IVerifiers internal verifiers;
    IAgreements internal agreements;
    IProofOfTrain internal proof;
    IAudits internal audits;
    LeafHasher internal hasher;

    address internal owner = vm.addr(OWNER_KEY);
    address internal scientist = vm.addr(SCIENTIST_KEY);
    address internal stranger = address(0x5EED);
    DatasetId internal dataset;
    ModelId internal model;
    bytes32 internal datasetRoot = keccak256("dataset root");
    bytes32 internal modelRoot = keccak256("initial model root");
    /// What the parties know and the chain keeps as a hash.
    mapping(AgreementId id => Terms) internal termsOf;
    /// The order seed of each run, as its owner notes it.
    mapping(AgreementId id => bytes32) internal runSeed;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        System memory system = Deployment.all();
        (directory, fit, registry, verifiers) = (system.directory, system.fit, system.registry, system.verifiers);
        (agreements, proof, audits) = (system.agreements, system.proof, system.audits);
        hasher = new LeafHasher();
        fit.transfer(owner, 1e6 ether);
        fit.transfer(scientist, 1e6 ether);

        vm.prank(owner);
        dataset = registry.registerDataset(datasetRoot, 455, 0, cid("card"));
        vm.prank(scientist);
        model = registry.registerModel(keccak256("graph"), modelRoot, NO_MODEL, new ModelId[](0), 0);
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
            datasetRoot: datasetRoot,
            model: model,
            modelRoot: modelRoot,
            recipe: keccak256("recipe"),
            environment: keccak256("environment"),
            steps: 11,
            segmentSteps: 2,
            groupLeaves: 2,
            stepBytes: 1 << 20,
            stepCalls: 12,
            stepOperations: 1e6,
            price: PRICE,
            bond: BOND,
            acceptanceWindow: 1 hours,
            trainingWindow: 1 days,
            disputeWindow: 2 hours,
            charge: 0,
            nonceCommitment: keccak256(abi.encode(ASKER_NONCE)),
            audit: AuditTerms({
                drawnSegments: 29,
                verifiers: 0,
                disputeVerifiers: 0,
                mode: DisclosureMode.Sampled,
                panel: NO_PANEL,
                window: WINDOW,
                wait: WAIT,
                feePerSeat: FEE,
                seatStake: SEAT_STAKE,
                counterBond: COUNTER_BOND
            })
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

    function keyCommitment() internal pure returns (bytes32) {
        return keccak256(abi.encode(NONCE, NOISE_ROOT));
    }

    function leafCount(Terms memory terms) internal pure returns (uint32) {
        return (terms.steps + terms.segmentSteps - 1) / terms.segmentSteps + 1;
    }

    function contextOf(AgreementId id) internal view returns (bytes32) {
        Terms memory terms = termsOf[id];
        return keccak256(
            abi.encode(
                block.chainid,
                agreements,
                proof,
                id,
                terms.owner,
                agreements.agreement(id).scientist,
                terms.recipe,
                terms.datasetRoot,
                terms.modelRoot,
                terms.steps,
                terms.segmentSteps,
                terms.groupLeaves
            )
        );
    }

    /// @dev The first `count` leaves of a made-up run, each naming the one before, and their digests.
    function transcript(AgreementId id, uint256 count)
        internal
        view
        returns (Leaf[] memory leaves, bytes32[] memory digests)
    {
        Terms memory terms = termsOf[id];
        bytes32 ctx = contextOf(id);
        bytes32 seed = proof.run(id).seed;
        leaves = new Leaf[](count);
        digests = new bytes32[](count);
        for (uint32 j = 0; j < count; j++) {
            uint32 step = j * terms.segmentSteps < terms.steps ? j * terms.segmentSteps : terms.steps;
            leaves[j] = Leaf({
                index: j,
                step: step,
                modelRoot: keccak256(abi.encode("model", j)),
                optimizerRoot: keccak256(abi.encode("optimizer", j)),
                records: keccak256(abi.encode("records", j)),
                metrics: keccak256(abi.encode("metrics", j)),
                heldOut: keccak256(abi.encode("held-out", j)),
                previous: j == 0 ? bytes32(0) : digests[j - 1]
            });
            digests[j] = hasher.digest(ctx, seed, leaves[j]);
        }
    }

    /// @dev How a run ends after its first `count` leaves.
    function ending(AgreementId id, uint256 count) internal view returns (Ending memory) {
        Terms memory terms = termsOf[id];
        (Leaf[] memory leaves, bytes32[] memory digests) = transcript(id, count);
        uint256 grouped = count - count % terms.groupLeaves;
        return Ending({
            peaks: ReferenceTree.peaks(digests, 0, grouped),
            tail: ReferenceTree.peaks(digests, grouped, count),
            last: leaves[count - 1],
            path: ReferenceTree.lastPath(digests, count),
            delivered: new DeliveredLeaf[](0),
            delivery: cid("delivery"),
            identityCid: terms.audit.verifiers > 0 ? bytes("") : cid("identity")
        });
    }

    function ending(AgreementId id) internal view returns (Ending memory) {
        return ending(id, leafCount(termsOf[id]));
    }

    /// @dev How a run ends that delivers another leaf than the last.
    function endingAt(AgreementId id, uint32 index) internal view returns (Ending memory end) {
        end = ending(id);
        (Leaf[] memory leaves, bytes32[] memory digests) = transcript(id, leafCount(termsOf[id]));
        end.delivered = new DeliveredLeaf[](1);
        end.delivered[0] = DeliveredLeaf(leaves[index], ReferenceTree.path(digests, index));
    }

    function transcriptRoot(bytes32[] memory digests) internal pure returns (bytes32) {
        return sha256(abi.encode(sha256("fitchain/transcript/v2"), digests.length, ReferenceTree.root(digests)));
    }

    function feesOf(Terms memory terms) internal pure returns (uint256) {
        return uint256(terms.audit.verifiers) * terms.audit.feePerSeat;
    }

    // --- the steps of a job

    function approve(address account, uint256 amount, address spender) internal {
        vm.prank(account);
        fit.approve(spender, amount);
    }

    function requested(bytes32 salt, Terms memory terms, address by) internal returns (AgreementId id) {
        approve(by, terms.price + feesOf(terms), address(agreements));
        vm.prank(by);
        id = agreements.request(salt, terms, cid("offer"), noPermit());
        termsOf[id] = terms;
    }

    function requested(bytes32 salt, Terms memory terms) internal returns (AgreementId) {
        return requested(salt, terms, scientist);
    }

    function requested() internal returns (AgreementId) {
        return requested("salt", defaultTerms());
    }

    function accept(AgreementId id) internal {
        Terms memory terms = termsOf[id];
        approve(terms.owner, terms.bond, address(agreements));
        vm.prank(terms.owner);
        agreements.accept(id, terms, keyCommitment(), noPermit());
    }

    function accepted() internal returns (AgreementId id) {
        id = requested();
        accept(id);
    }

    function begin(AgreementId id) internal {
        vm.roll(vm.getBlockNumber() + 1);
        Terms memory terms = termsOf[id];
        vm.prank(terms.owner);
        proof.begin(id, terms, NONCE, NOISE_ROOT);
        runSeed[id] = proof.run(id).seed;
    }

    function begun(bytes32 salt, Terms memory terms, address by) internal returns (AgreementId id) {
        id = requested(salt, terms, by);
        accept(id);
        begin(id);
    }

    function begun(Terms memory terms) internal returns (AgreementId id) {
        return begun("salt", terms, scientist);
    }

    function begun() internal returns (AgreementId) {
        return begun(defaultTerms());
    }

    /// @dev Anchors the groups that the first `count` leaves fill.
    function anchor(AgreementId id, uint256 count) internal {
        Terms memory terms = termsOf[id];
        (, bytes32[] memory digests) = transcript(id, count);
        for (uint256 from = 0; from + terms.groupLeaves <= count; from += terms.groupLeaves) {
            bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, from);
            bytes32 root = ReferenceTree.root(digests, from, from + terms.groupLeaves);
            vm.prank(terms.owner);
            proof.anchor(id, runSeed[id], peaks, root, cid("note"));
        }
    }

    function anchored(Terms memory terms) internal returns (AgreementId id) {
        id = begun(terms);
        anchor(id, leafCount(terms));
    }

    function anchored() internal returns (AgreementId) {
        return anchored(defaultTerms());
    }

    function finish(AgreementId id, Ending memory end) internal {
        Terms memory terms = termsOf[id];
        vm.prank(terms.owner);
        proof.finish(id, terms, end);
    }

    function trained(bytes32 salt, Terms memory terms, address by) internal returns (AgreementId id) {
        id = begun(salt, terms, by);
        anchor(id, leafCount(terms));
        finish(id, ending(id));
    }

    function trained(Terms memory terms) internal returns (AgreementId id) {
        return trained("salt", terms, scientist);
    }

    function trained() internal returns (AgreementId) {
        return trained(defaultTerms());
    }

    function diverge(AgreementId id, Ending memory end) internal {
        Terms memory terms = termsOf[id];
        vm.prank(terms.owner);
        proof.diverge(id, terms, end);
    }

    /// @dev A run that ended after `count` of its leaves.
    function diverged(Terms memory terms, uint256 count) internal returns (AgreementId id) {
        id = begun(terms);
        anchor(id, count);
        diverge(id, ending(id, count));
    }

    function diverged(uint256 count) internal returns (AgreementId) {
        return diverged(defaultTerms(), count);
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
