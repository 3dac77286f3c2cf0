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
    /// Leaves of the transcript that the owner would prove, from `begin` on, and what of it the chain must have.
    uint256 leaves;
    uint256 groups;
    bytes28 peaks;
    bytes32 transcriptRoot;
}

/// @notice Random actors make random calls, right and wrong, early and late. For each call the handler says by the
///         table of states beforehand whether it must succeed, and notes a surprise if it does not behave so.
contract Handler {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 private constant NONCE = keccak256("nonce");
    uint256 private constant MOST_JOBS = 6;

    FitCoin public immutable fit;
    Agreements public immutable agreements;
    IProofOfTrain public immutable proof;
    TreeCaller private immutable tree;

    /// Two owners, the second of whom is a scientist too; another scientist; a stranger.
    address[4] public actors = [address(0xA0), address(0xA1), address(0xA2), address(0xA3)];
    DatasetId[2] private datasets;
    ModelId private model;

    Job[] private _jobs;
    mapping(AgreementId id => bytes32[]) private _digests;
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
        vm.warp(block.timestamp + time % 10 minutes);
        vm.roll(block.number + 1 + (blocks % 16 == 0 ? 300 : blocks % 4));
    }

    function request(uint256 who, uint256 where, uint96 price, uint96 bond, uint8 steps, uint8 shape) external {
        if (_jobs.length == MOST_JOBS) return;
        uint256 ownerIndex = where % 2;
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
            audit: AuditTerms(0, 0, 0, DisclosureMode.Open, NO_PANEL, 0, 0, 0)
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

    /// @dev To a deadline, or the second after it, where there is one to come.
    function passToDeadline(uint256 which, bool beyond) external {
        if (_jobs.length == 0) return;
        uint256 time = _jobs[which % _jobs.length].deadline + (beyond ? 1 : 0);
        if (time > block.timestamp) vm.warp(time);
    }

    /// @dev One to eight of the next right moves by the right party, so that many jobs come far.
    function advance(uint256 which, uint256 moves, uint256 luck) external {
        if (_jobs.length == 0) return;
        for (moves %= 8; moves < 8; moves++) {
            _advance(which, _jobs[which % _jobs.length], luck >> (8 * moves));
        }
    }

    function _advance(uint256 which, Job storage job, uint256 luck) private {
        if (job.state == State.Requested) this.accept(which, 1);
        if (job.state == State.Accepted) vm.roll(block.number + 1);
        if (job.state == State.Accepted) this.begin(which, 1);
        if (job.state != State.Training) return;
        uint256 proven = job.groups * job.terms.group;
        if (luck % 16 == 0) this.diverge(which, 1, proven + (luck >> 4) % job.terms.group, 1);
        else if (proven + job.terms.group <= job.leaves) this.anchor(which, 1, 1);
        else this.finish(which, 1, 1);
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

        _settle("reject", job, actor, may, abi.encodeCall(agreements.reject, (job.id, "")), State.Cancelled);
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
        if (!exists || job.leaves == 0) return;
        bool forged = forge % 8 == 0;
        bool fits = (job.groups + 1) * job.terms.group <= job.leaves;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job) && fits && !forged;

        (bool ok,) = _call(actor, address(proof), _nextAnchor(job, fits, forged));
        if (!_note("anchor", may, ok)) return;

        job.groups++;
        job.peaks = _commit(job.groups, ReferenceTree.peaks(_digests[job.id], 0, job.groups * job.terms.group));
    }

    function _nextAnchor(Job storage job, bool fits, bool forged) private view returns (bytes memory) {
        bytes32[] memory digests = _digests[job.id];
        uint256 from = job.groups * job.terms.group;
        bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, from);
        if (forged) peaks = new bytes32[](peaks.length + 1);
        bytes32 root = fits ? ReferenceTree.root(digests, from, from + job.terms.group) : bytes32("beyond");
        return abi.encodeCall(proof.anchor, (job.id, peaks, root, cid()));
    }

    function finish(uint256 which, uint256 who, uint256 forge) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.leaves == 0) return;
        uint256 count = job.leaves;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job)
            && job.groups == count / job.terms.group && !forged;

        Ending memory ending = _ending(job, count, forged);
        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.finish, (job.id, ending)));
        if (_note("finish", may, ok)) _end(job, count, State.Trained);
    }

    function diverge(uint256 which, uint256 who, uint256 last, uint256 forge) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.leaves == 0) return;
        uint256 count = last % job.leaves + 1;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job)
            && job.groups == count / job.terms.group && count < job.leaves && !forged;

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
            _digests[job.id].push(previous);
        }
        job.leaves = count;
        job.peaks = _commit(0, new bytes32[](0));
    }

    function _ending(Job storage job, uint256 count, bool forged) private view returns (Ending memory ending) {
        bytes32[] memory digests = _digests[job.id];
        uint256 grouped = count - count % job.terms.group;
        ending.peaks = ReferenceTree.peaks(digests, 0, grouped);
        ending.tail = ReferenceTree.peaks(digests, grouped, count);
        ending.last = _leaf(job, count - 1, count == 1 ? bytes32(0) : digests[count - 2]);
        ending.path = ReferenceTree.lastPath(digests, count);
        (ending.weightsCid, ending.keyCid) = (cid(), cid());
        if (forged) ending.last.modelRoot = keccak256("another model");
    }

    function _end(Job storage job, uint256 count, State to) private {
        bytes32[] memory proven = ReferenceTree.prefix(_digests[job.id], count);
        job.transcriptRoot = sha256(abi.encode(sha256("fitchain/transcript/v1"), count, ReferenceTree.root(proven)));
        job.state = to;
        job.deadline = block.timestamp + job.terms.disputeWindow;
    }

    function _commit(uint256 groups, bytes32[] memory peaks) private pure returns (bytes28) {
        return bytes28(keccak256(abi.encode(groups, peaks)));
    }

    function _noPermit() private pure returns (Permit memory) {
        return Permit(0, 0, 0, 0, 0);
    }

    function cid() private pure returns (bytes memory) {
        return abi.encodePacked(hex"01551220", keccak256("content"));
    }
}
