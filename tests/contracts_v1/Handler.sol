// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit, FULL_STAKE, Outcome, Phase, Verifier} from "../../contracts/types/Audit.sol";
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
    bytes32 private constant SALT = keccak256("salt");
    uint256 private constant MOST_JOBS = 6;

    IFitCoin public immutable fit;
    IAgreements public immutable agreements;
    IProofOfTrain public immutable proof;
    IAudits public immutable audits;
    TreeCaller private immutable tree;

    /// Two owners, the second of whom is a scientist too; another scientist; a stranger.
    address[4] public actors = [address(0xA0), address(0xA1), address(0xA2), address(0xA3)];
    /// No parties, but anybody's judges.
    address[6] public verifiers =
        [address(0xB0), address(0xB1), address(0xB2), address(0xB3), address(0xB4), address(0xB5)];
    DatasetId[2] private datasets;
    ModelId private model;

    Job[] private _jobs;
    mapping(AgreementId id => bytes32[]) private _digests;
    mapping(AgreementId id => mapping(uint256 seat => Outcome)) private _outcomes;
    uint256 public burned;
    string[] public surprises;

    constructor(IFitCoin fit_, IRegistry registry, IAgreements agreements_) {
        fit = fit_;
        agreements = agreements_;
        proof = agreements_.proofOfTrain();
        audits = agreements_.audits();
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
        for (uint256 i = 0; i < 6; i++) {
            vm.prank(verifiers[i]);
            fit.approve(address(audits), type(uint256).max);
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
        return state != State.Settled && state != State.Cancelled && state != State.Forfeited && state != State.Refunded;
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
            audit: _auditTerms(where >> 1, bond % 1e24)
        });
        bytes32 salt = bytes32(_jobs.length);

        (bool ok, bytes memory answer) =
            _call(scientist, address(agreements), abi.encodeCall(agreements.request, (salt, terms, cid(), _noPermit())));
        _note("request", true, ok);

        Job storage job = _jobs.push();
        job.id = abi.decode(answer, (AgreementId));
        (job.owner, job.scientist, job.terms) = (terms.owner, scientist, terms);
        (job.state, job.locked) = (State.Requested, terms.price);
        if (_isAudited(job)) job.locked += terms.audit.fee;
        job.deadline = block.timestamp + terms.acceptanceWindow;
    }

    /// @dev A third without seats, a third with a dispute, a third with an audit, of two or three seats.
    function _auditTerms(uint256 luck, uint256 bond) private pure returns (AuditTerms memory terms) {
        uint8 seats = uint8(2 + (luck >> 2) % 2);
        terms.window = 30 minutes;
        terms.fee = uint128(bond % 100 ether);
        terms.counterBond = uint128((luck >> 4) % 50 ether);
        if (luck % 3 == 1) terms.disputeVerifiers = seats;
        if (luck % 3 == 2) terms.verifiers = seats;
    }

    /// @dev To a deadline, or the second after it, where there is one to come.
    function passToDeadline(uint256 which, bool beyond) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        uint256 deadline = job.state == State.Auditing ? audits.audit(job.id).deadline : job.deadline;
        uint256 time = deadline + (beyond ? 1 : 0);
        if (time > block.timestamp) vm.warp(time);
    }

    /// @dev One to eight of the next right moves by the right party, so that many jobs come far.
    function advance(uint256 which, uint256 moves, uint256 luck) external {
        if (_jobs.length == 0) return;
        for (moves %= 8; moves < 8; moves++) {
            _advance(which, _jobs[which % _jobs.length], uint256(keccak256(abi.encode(luck, moves))));
        }
    }

    function _advance(uint256 which, Job storage job, uint256 luck) private {
        if (job.state == State.Requested) this.accept(which, 1);
        if (job.state == State.Accepted) vm.roll(block.number + 1);
        if (job.state == State.Accepted) this.begin(which, 1);
        if (_hasEnded(job) && luck % 2 == 0) this.dispute(which, 1);
        if (job.state == State.Auditing) _advanceAudit(which, luck);
        if (job.state != State.Training) return;
        uint256 proven = job.groups * job.terms.group;
        if (luck % 16 == 0) this.diverge(which, 1, proven + (luck >> 4) % job.terms.group, 1);
        else if (proven + job.terms.group <= job.leaves) this.anchor(which, 1, 1);
        else this.finish(which, 1, 1);
    }

    /// @dev A phase as its seats like it, to its end or to its time-out.
    function _advanceAudit(uint256 which, uint256 luck) private {
        this.audit(which, luck);
        if ((luck >> 200) % 8 == 0) this.passToDeadline(which, true);
        this.advanceAudit(which);
    }

    function accept(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = actor == job.owner && job.state == State.Requested && _inTime(job) && _enoughVerifiers(job);
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

    // --- moves of audits

    function dispute(uint256 which, uint256 who) external {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        AuditTerms memory terms = job.terms.audit;
        bool may = actor == job.scientist && _hasEnded(job) && _inTime(job) && terms.disputeVerifiers > 0
            && _enoughVerifiers(job);

        (bool ok,) = _call(actor, address(agreements), abi.encodeCall(agreements.dispute, (job.id, _noPermit())));
        if (!_note("dispute", may, ok)) return;

        job.state = State.Auditing;
        job.locked += terms.fee + terms.counterBond;
    }

    function stake(uint256 who) external {
        address verifier = verifiers[who % 6];
        Verifier memory known = audits.verifier(verifier);
        bool may = !audits.membership(verifier).isActive() && block.timestamp >= known.unbonded;

        (bool ok,) = _call(verifier, address(audits), abi.encodeCall(audits.stake, (_noPermit())));
        if (_note("stake", may, ok)) _note("full stake", true, audits.verifier(verifier).stake == FULL_STAKE);
    }

    function unstake(uint256 who) external {
        if (who % 8 != 0) return;
        address verifier = verifiers[(who >> 3) % 6];
        Verifier memory known = audits.verifier(verifier);

        (bool ok,) = _call(verifier, address(audits), abi.encodeCall(audits.unstake, ()));
        _note("unstake", known.stake > 0 && known.unbonded == 0, ok);
    }

    function collect(uint256 who) external {
        address verifier = verifiers[who % 6];
        Verifier memory known = audits.verifier(verifier);
        bool unbonded = known.unbonded != 0 && block.timestamp >= known.unbonded;
        uint256 due = known.earned + (unbonded ? known.stake : 0);
        uint256 before = fit.balanceOf(verifier);

        (bool ok,) = _call(verifier, address(audits), abi.encodeCall(audits.withdraw, ()));
        if (_note("collect", due > 0, ok)) _note("collect all", true, fit.balanceOf(verifier) == before + due);
    }

    /// @dev One phase's right moves, of which `luck` leaves some out.
    function audit(uint256 which, uint256 luck) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        Audit memory known = audits.audit(job.id);
        bool inTime = block.timestamp <= known.deadline;
        if (known.phase == Phase.Awaiting) _draw(job, inTime);
        if (known.phase == Phase.Evidence && luck % 8 != 0) _submit(job, inTime);
        if (known.phase == Phase.Matched && luck % 4 != 0) _release(job, inTime);
        for (uint8 seat = 0; seat < known.seats; seat++) {
            uint256 own = luck >> (8 * seat);
            if (known.phase == Phase.Joining) _join(job, seat, own);
            if (known.phase == Phase.Committing && own % 8 != 0) _commitVote(job, seat, own);
            if (known.phase == Phase.Revealing && own % 8 != 1) _reveal(job, seat);
        }
        if (known.phase == Phase.Revealing && luck % 4 != 1) _release(job, _awaitsKey(job, audits.audit(job.id)));
    }

    function advanceAudit(uint256 which) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        Audit memory known = audits.audit(job.id);
        bool over = known.phase == Phase.None || known.phase == Phase.Released || known.phase == Phase.Concluded;
        bool may = !over && (block.timestamp > known.deadline || _nobodyCanAct(job, known));

        _auditCall("advance", job, address(this), may, abi.encodeCall(audits.advance, (job.id)));
    }

    /// @dev Anybody's call to any step; right only by chance.
    function meddle(uint256 which, uint256 who, uint8 seat, uint256 kind) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        Phase phase = audits.audit(job.id).phase;
        address actor = who % 2 == 0 ? actors[(who >> 1) % 4] : address(agreements);
        bytes memory data = abi.encodeCall(audits.join, (job.id, seat, "recipient"));
        if (kind % 5 == 1) data = abi.encodeCall(audits.decline, (job.id, seat));
        if (kind % 5 == 2) data = abi.encodeCall(audits.commit, (job.id, seat, "commitment"));
        if (kind % 5 == 3) data = abi.encodeCall(audits.reveal, (job.id, seat, Outcome.Match, "trace", SALT));
        if (kind % 5 == 4) data = abi.encodeCall(agreements.concludeAudit, (job.id, Outcome.Match, 3));

        (bool ok,) = _call(actor, kind % 5 == 4 ? address(agreements) : address(audits), data);
        _note("meddle", false, ok);
        _note("meddle with the phase", true, audits.audit(job.id).phase == phase);
    }

    function _draw(Job storage job, bool inTime) private {
        vm.roll(block.number + 1);
        _auditCall("draw", job, address(this), inTime, abi.encodeCall(audits.draw, (job.id)));
    }

    function _submit(Job storage job, bool inTime) private {
        _auditCall("submit", job, job.owner, inTime, abi.encodeCall(audits.submit, (job.id, cid())));
    }

    function _release(Job storage job, bool inTime) private {
        _auditCall("release", job, job.owner, inTime, abi.encodeCall(audits.release, (job.id, cid())));
    }

    /// @dev Whether every vote is revealed and more than half of the seats replayed to a Match (all name one trace).
    function _awaitsKey(Job storage job, Audit memory known) private view returns (bool) {
        uint256 matches;
        for (uint256 seat = 0; seat < known.seats; seat++) {
            bool isRevealed = known.revealed >> seat & 1 == 1;
            if (isRevealed && _outcomes[job.id][seat] == Outcome.Match) matches++;
        }
        return !known.disputed && known.revealed == known.committed && 2 * matches > known.seats;
    }

    function _join(Job storage job, uint8 seat, uint256 luck) private {
        (Audit memory known, address verifier) = _seat(job, seat);
        if (verifier == address(0) || luck % 8 == 0) return;
        bool may = _stepIsOpen(known, Phase.Joining) && (known.joined | known.declined) >> seat & 1 == 0;
        bytes memory data = abi.encodeCall(audits.join, (job.id, seat, "recipient"));
        if (luck % 8 == 1) data = abi.encodeCall(audits.decline, (job.id, seat));

        _auditCall("join", job, verifier, may, data);
    }

    function _commitVote(Job storage job, uint8 seat, uint256 luck) private {
        (Audit memory known, address verifier) = _seat(job, seat);
        if (verifier == address(0)) return;
        bool may =
            _stepIsOpen(known, Phase.Committing) && known.joined >> seat & 1 == 1 && known.committed >> seat & 1 == 0;
        bool honest = luck % 4 != 0;
        Outcome outcome = Outcome((honest ? uint256(AgreementId.unwrap(job.id)) : luck >> 4) % 4 + 1);
        bytes32 vote = keccak256(abi.encode(job.id, uint256(known.round), verifier, outcome, _trace(outcome), SALT));

        if (_auditCall("commit", job, verifier, may, abi.encodeCall(audits.commit, (job.id, seat, vote)))) {
            _outcomes[job.id][seat] = outcome;
        }
    }

    function _reveal(Job storage job, uint8 seat) private {
        (Audit memory known, address verifier) = _seat(job, seat);
        if (verifier == address(0)) return;
        bool may =
            _stepIsOpen(known, Phase.Revealing) && known.committed >> seat & 1 == 1 && known.revealed >> seat & 1 == 0;
        Outcome outcome = _outcomes[job.id][seat];

        bytes memory data = abi.encodeCall(audits.reveal, (job.id, seat, outcome, _trace(outcome), SALT));
        _auditCall("reveal", job, verifier, may, data);
    }

    function _trace(Outcome outcome) private pure returns (bytes32) {
        return outcome == Outcome.Match || outcome == Outcome.Mismatch ? bytes32("trace") : bytes32(0);
    }

    function _seat(Job storage job, uint8 seat) private view returns (Audit memory known, address verifier) {
        known = audits.audit(job.id);
        verifier = audits.seated(job.id)[seat];
    }

    function _stepIsOpen(Audit memory known, Phase phase) private view returns (bool) {
        return known.phase == phase && block.timestamp <= known.deadline;
    }

    function _nobodyCanAct(Job storage job, Audit memory known) private view returns (bool) {
        if (known.phase == Phase.Revealing) return known.revealed == known.committed;
        if (known.phase != Phase.Joining) return false;
        address[] memory seats = audits.seated(job.id);
        for (uint256 seat = 0; seat < seats.length; seat++) {
            bool decided = (known.joined | known.declined) >> seat & 1 == 1;
            if (seats[seat] != address(0) && !decided) return false;
        }
        return true;
    }

    /// @dev What leaves Agreements is credited to a party, earned by a verifier, or burned and no stake.
    function _auditCall(string memory move, Job storage job, address actor, bool may, bytes memory data)
        private
        returns (bool ok)
    {
        (uint256 credits, uint256 supply) = (_credits(), fit.totalSupply());
        (uint256 stakes, uint256 earned) = _stakes();
        (ok,) = _call(actor, address(audits), data);
        if (!_note(move, may, ok)) return false;

        (uint256 stakesLeft, uint256 earnedNow) = _stakes();
        uint256 gone = supply - fit.totalSupply();
        burned += gone;
        job.paid += _credits() - credits + earnedNow - earned + gone - (stakes - stakesLeft);
        _follow(job);
    }

    /// @dev The state that a verdict leads to, by the table.
    function _follow(Job storage job) private {
        Audit memory known = audits.audit(job.id);
        bool live = isLive(job.state);
        if (known.verdict == Outcome.Inconclusive) job.state = known.disputed ? State.Settled : State.Refunded;
        if (known.verdict == Outcome.Mismatch || known.verdict == Outcome.Withheld) job.state = State.Forfeited;
        bool paysOut = known.disputed || known.phase == Phase.Released;
        if (known.verdict == Outcome.Match && paysOut) job.state = State.Settled;
        if (live && !isLive(job.state)) job.settlements++;
    }

    function _stakes() private view returns (uint256 stakes, uint256 earned) {
        for (uint256 i = 0; i < 6; i++) {
            Verifier memory known = audits.verifier(verifiers[i]);
            stakes += known.stake;
            earned += known.earned;
        }
    }

    function stakesAndEarned() external view returns (uint256) {
        (uint256 stakes, uint256 earned) = _stakes();
        return stakes + earned;
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

    function _isAudited(Job storage job) private view returns (bool) {
        return job.terms.audit.verifiers > 0;
    }

    function _enoughVerifiers(Job storage job) private view returns (bool) {
        AuditTerms memory terms = job.terms.audit;
        uint256 active;
        for (uint256 i = 0; i < 6; i++) {
            if (audits.membership(verifiers[i]).isActive()) active++;
        }
        if (job.state == State.Requested) return active >= terms.verifiers;
        return active >= terms.disputeVerifiers;
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
        (ending.weightsCid, ending.keyCid) = (cid(), _isAudited(job) ? bytes("") : cid());
        if (forged) ending.last.modelRoot = keccak256("another model");
    }

    function _end(Job storage job, uint256 count, State to) private {
        bytes32[] memory proven = ReferenceTree.prefix(_digests[job.id], count);
        job.transcriptRoot = sha256(abi.encode(sha256("fitchain/transcript/v1"), count, ReferenceTree.root(proven)));
        job.state = _isAudited(job) ? State.Auditing : to;
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
