// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Agreements} from "../../contracts/Agreements.sol";
import {FitCoin} from "../../contracts/FitCoin.sol";
import {Registry} from "../../contracts/Registry.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {AgreementId, DatasetId, ModelId, NO_MODEL, NO_PANEL} from "../../contracts/types/Ids.sol";
import {Ending, Leaf} from "../../contracts/types/Run.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "../../contracts/types/Terms.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {TreeCaller} from "./TreeCaller.sol";
import {Vm} from "./Vm.sol";

/// @dev What the handler believes of an agreement, kept apart from what the contracts keep.
struct Job {
    AgreementId id;
    address owner;
    address scientist;
    State state;
    uint256 deadline;
    uint256 seedBlock;
    bool seedFixed;
    Terms terms;
    /// FIT that went in, that was credited or burned, and in how many settlements.
    uint256 locked;
    uint256 paid;
    uint256 settlements;
    /// The transcript that the owner would prove, from `begin` on.
    bytes32[] digests;
    uint256 groups;
    bytes32 transcriptRoot;
}

/// @notice Random actors make random calls, right and wrong, early and late. For each call the handler says by the table of
///         states beforehand whether it must succeed, and notes a surprise if it does not behave so.
contract Handler {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 private constant NONCE = keccak256("nonce");
    uint256 private constant MOST_JOBS = 8;

    FitCoin public immutable fit;
    Agreements public immutable agreements;
    IProofOfTrain public immutable proof;
    TreeCaller private immutable tree;

    /// Two owners, the second of whom is a scientist too; another scientist; a stranger.
    address[4] public actors = [address(0xA0), address(0xA1), address(0xA2), address(0xA3)];
    DatasetId[2] private datasets;
    ModelId private model;

    Job[] private _jobs;
    uint256 public burned;
    string[] public surprises;

    constructor(FitCoin fit_, Registry registry, Agreements agreements_) {
        fit = fit_;
        agreements = agreements_;
        proof = agreements_.proofOfTrain();
        tree = new TreeCaller();
        for (uint256 i = 0; i < 2; i++) {
            vm.prank(actors[i]);
            datasets[i] = registry.registerDataset(keccak256("dataset"), 100, cid());
        }
        model = registry.registerModel(keccak256("graph"), keccak256("weights"), NO_MODEL);
        for (uint256 i = 0; i < 4; i++) {
            vm.prank(actors[i]);
            fit.approve(address(agreements), type(uint256).max);
        }
    }

    // --- what is asked of it

    function jobs() external view returns (Job[] memory) {
        return _jobs;
    }

    function surpriseCount() external view returns (uint256) {
        return surprises.length;
    }

    function isLive(State state) public pure returns (bool) {
        return state != State.Settled && state != State.Cancelled && state != State.Forfeited;
    }

    // --- moves

    function pass(uint256 time, uint256 blocks) external {
        vm.warp(block.timestamp + time % 2 hours);
        vm.roll(block.number + 1 + (blocks % 16 == 0 ? 300 : blocks % 4));
    }

    function request(uint256 who, uint256 at, uint96 price, uint96 bond, uint8 steps, uint8 shape) external {
        if (_jobs.length == MOST_JOBS) return;
        uint256 ownerIndex = at % 2;
        address scientist = actors[1 + who % 2];
        Terms memory terms = Terms({
            owner: actors[ownerIndex],
            dataset: datasets[ownerIndex],
            model: model,
            recipe: keccak256("recipe"),
            steps: uint32(steps) % 16 + 1,
            segment: uint32(shape) % 4 + 2,
            group: uint32(1) << ((shape >> 4) % 3),
            price: price % 1e24,
            bond: bond % 1e24,
            acceptanceWindow: 1 hours,
            trainingWindow: 4 hours,
            disputeWindow: 2 hours,
            audit: AuditTerms(0, 0, DisclosureMode.Open, NO_PANEL, 0, 0)
        });
        bytes32 salt = bytes32(_jobs.length);

        (bool ok, bytes memory answer) =
            _call(scientist, address(agreements), abi.encodeCall(agreements.request, (salt, terms, cid(), _noPermit())));
        _note("request", true, ok);

        Job storage job = _jobs.push();
        job.id = abi.decode(answer, (AgreementId));
        (job.owner, job.scientist, job.terms) = (terms.owner, scientist, terms);
        (job.state, job.locked) = (State.Requested, terms.price);
        job.deadline = block.timestamp + terms.acceptanceWindow;
    }

    function accept(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = actor == job.owner && job.state == State.Requested && _inTime(job);
        bytes32 commitment = keccak256(abi.encode(NONCE));

        (bool ok,) =
            _call(actor, address(agreements), abi.encodeCall(agreements.accept, (job.id, commitment, _noPermit())));
        if (!_note("accept", may, ok)) return;

        (job.state, job.seedBlock) = (State.Accepted, block.number);
        job.deadline = block.timestamp + job.terms.trainingWindow;
        job.locked += job.terms.bond;
    }

    function reject(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = actor == job.owner && job.state == State.Requested && _inTime(job);

        _settle("reject", job, actor, may, abi.encodeCall(agreements.reject, (job.id)), State.Cancelled);
    }

    function cancel(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = actor == job.scientist && job.state == State.Requested && !_inTime(job);

        _settle("cancel", job, actor, may, abi.encodeCall(agreements.cancel, (job.id)), State.Cancelled);
    }

    function fix(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = job.state == State.Accepted && _inTime(job) && !job.seedFixed && _seedIsKnown(job);

        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.fix, (job.id)));
        if (_note("fix", may, ok)) job.seedFixed = true;
    }

    function begin(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may =
            actor == job.owner && job.state == State.Accepted && _inTime(job) && (job.seedFixed || _seedIsKnown(job));

        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.begin, (job.id, NONCE)));
        if (!_note("begin", may, ok)) return;

        job.state = State.Training;
        _writeTranscript(job);
    }

    function anchor(uint256 which, uint256 who, uint256 forge) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.digests.length == 0) return;
        uint256 group = job.terms.group;
        uint256 from = job.groups * group;
        bool fits = from + group <= job.digests.length;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job) && fits && !forged;
        bytes32[] memory peaks = ReferenceTree.peaks(job.digests, 0, from);
        if (forged) peaks = new bytes32[](peaks.length + 1);
        bytes32 root = fits ? ReferenceTree.root(job.digests, from, from + group) : bytes32("beyond");

        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.anchor, (job.id, peaks, root, cid())));
        if (_note("anchor", may, ok)) job.groups++;
    }

    function finish(uint256 which, uint256 who, uint256 forge) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.digests.length == 0) return;
        uint256 count = job.digests.length;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job)
            && job.groups == count / job.terms.group && !forged;

        Ending memory ending = _ending(job, count, forged);
        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.finish, (job.id, ending)));
        if (_note("finish", may, ok)) _end(job, count, State.Trained);
    }

    function diverge(uint256 which, uint256 who, uint256 last, uint256 forge) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.digests.length == 0) return;
        uint256 count = last % job.digests.length + 1;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job)
            && job.groups == count / job.terms.group && count < job.digests.length && !forged;

        Ending memory ending = _ending(job, count, forged);
        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.diverge, (job.id, ending)));
        if (_note("diverge", may, ok)) _end(job, count, State.Diverged);
    }

    function acceptResult(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = actor == job.scientist && _hasEnded(job) && _inTime(job);

        _settle("acceptResult", job, actor, may, abi.encodeCall(agreements.acceptResult, (job.id)), State.Settled);
    }

    function settle(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = _hasEnded(job) && !_inTime(job);

        _settle("settle", job, actor, may, abi.encodeCall(agreements.settle, (job.id)), State.Settled);
    }

    function expire(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = (job.state == State.Accepted || job.state == State.Training) && !_inTime(job);

        _settle("expire", job, actor, may, abi.encodeCall(agreements.expire, (job.id)), State.Forfeited);
    }

    function withdraw(uint256 who) external {
        address actor = actors[who % 4];
        uint256 due = agreements.owed(actor);
        uint256 before = fit.balanceOf(actor);

        (bool ok,) = _call(actor, address(agreements), abi.encodeCall(agreements.withdraw, ()));
        if (_note("withdraw", due > 0, ok)) _note("withdraw all", true, fit.balanceOf(actor) == before + due);
    }

    // --- the table

    function _inTime(Job storage job) private view returns (bool) {
        return block.timestamp <= job.deadline;
    }

    function _seedIsKnown(Job storage job) private view returns (bool) {
        return block.number > job.seedBlock && block.number <= job.seedBlock + 256;
    }

    function _hasEnded(Job storage job) private view returns (bool) {
        return job.state == State.Trained || job.state == State.Diverged;
    }

    // --- how moves are made

    /// @dev Three times in four the party whose move it is.
    function _pick(uint256 which, uint256 who, bool ownersMove)
        private
        view
        returns (Job storage job, address actor, bool exists)
    {
        exists = _jobs.length > 0;
        job = _jobs.length > 0 ? _jobs[which % _jobs.length] : _nothing();
        actor = who % 4 == 0 ? actors[(who >> 2) % 4] : ownersMove ? job.owner : job.scientist;
    }

    function _nothing() private pure returns (Job storage job) {
        assembly {
            job.slot := not(0)
        }
    }

    function _call(address actor, address target, bytes memory data) private returns (bool ok, bytes memory answer) {
        vm.prank(actor);
        (ok, answer) = target.call(data);
    }

    function _note(string memory move, bool expected, bool happened) private returns (bool) {
        if (expected != happened) surprises.push(move);
        return happened;
    }

    function _settle(string memory move, Job storage job, address actor, bool may, bytes memory data, State to)
        private
    {
        uint256 credits = _credits();
        uint256 supply = fit.totalSupply();
        (bool ok,) = _call(actor, address(agreements), data);
        if (!_note(move, may, ok)) return;

        burned += supply - fit.totalSupply();
        job.paid += _credits() - credits + supply - fit.totalSupply();
        job.settlements++;
        job.state = to;
    }

    function _credits() private view returns (uint256 sum) {
        for (uint256 i = 0; i < 4; i++) {
            sum += agreements.owed(actors[i]);
        }
    }

    // --- transcripts

    function _leaf(Job storage job, uint256 j, bytes32 previous) private view returns (Leaf memory) {
        uint256 step = j * job.terms.segment;
        if (step > job.terms.steps) step = job.terms.steps;
        bytes32 made = keccak256(abi.encode(job.id, j));
        return Leaf(uint32(j), uint32(step), made, made, made, made, previous);
    }

    function _writeTranscript(Job storage job) private {
        uint256 count = (job.terms.steps + job.terms.segment - 1) / job.terms.segment + 1;
        bytes32 ctx = agreements.agreement(job.id).ctx;
        bytes32 seed = proof.run(job.id).seed;
        bytes32 previous;
        for (uint256 j = 0; j < count; j++) {
            previous = tree.leafDigest(ctx, seed, _leaf(job, j, previous));
            job.digests.push(previous);
        }
    }

    function _ending(Job storage job, uint256 count, bool forged) private view returns (Ending memory ending) {
        bytes32[] memory digests = job.digests;
        uint256 grouped = count - count % job.terms.group;
        ending.peaks = ReferenceTree.peaks(digests, 0, grouped);
        ending.tail = ReferenceTree.peaks(digests, grouped, count);
        ending.last = _leaf(job, count - 1, count == 1 ? bytes32(0) : digests[count - 2]);
        ending.path = ReferenceTree.lastPath(digests, count);
        (ending.weightsCid, ending.keyCid) = (cid(), cid());
        if (forged) ending.last.modelRoot = keccak256("another model");
    }

    function _end(Job storage job, uint256 count, State to) private {
        bytes32[] memory proven = ReferenceTree.prefix(job.digests, count);
        job.transcriptRoot = sha256(abi.encode(sha256("fitchain/transcript/v1"), count, ReferenceTree.root(proven)));
        job.state = to;
        job.deadline = block.timestamp + job.terms.disputeWindow;
    }

    function _noPermit() private pure returns (Permit memory) {
        return Permit(0, 0, 0, 0, 0);
    }

    function cid() private pure returns (bytes memory) {
        return abi.encodePacked(hex"01551220", keccak256("content"));
    }
}
