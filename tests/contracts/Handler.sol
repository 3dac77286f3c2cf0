// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Links} from "../../contracts/libraries/Links.sol";
import {Seats} from "../../contracts/libraries/Seats.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit, AuditKind, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId, AuditId, DatasetId, ModelId, NO_MODEL, NO_PANEL, auditIdOf} from "../../contracts/types/Ids.sol";
import {Ending, Leaf} from "../../contracts/types/Run.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "../../contracts/types/Terms.sol";
import {Verifier} from "../../contracts/types/Verifier.sol";
import {System} from "./Deployment.sol";
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
    /// Of a price that a divergence reduced, what was not due and went back at once.
    uint256 reduced;
    /// The audit that is open, or was last: 0, or one that was asked again.
    uint16 ordinal;
    /// Fees that a question for another audit has locked.
    uint256 asked;
}

/// @notice Random actors make random calls, right and wrong, early and late. For each call the handler says by the
///         table of states beforehand whether it must succeed, and notes a surprise if it does not behave so.
contract Handler {
    using Seats for uint256[3];

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 private constant NONCE = keccak256("nonce");
    bytes32 private constant SALT = keccak256("salt");
    bytes32 private constant ASKER_NONCE = keccak256("asker's nonce");
    uint256 private constant MOST_JOBS = 6;
    uint256 private constant CHAIN = 200;
    uint256 private constant POOL_STAKE = 1000 ether;

    IFitCoin public immutable fit;
    IAgreements public immutable agreements;
    IProofOfTrain public immutable proof;
    IAudits public immutable audits;
    IVerifiers public immutable pool;
    IRegistry private immutable registry;
    TreeCaller private immutable tree;

    /// Two owners, the second of whom is a scientist too; another scientist; a stranger.
    address[4] public actors = [address(0xA0), address(0xA1), address(0xA2), address(0xA3)];
    /// No parties, but anybody's judges.
    uint256 public constant VERIFIERS = 8;
    address[VERIFIERS] public verifiers = [
        address(0xB0),
        address(0xB1),
        address(0xB2),
        address(0xB3),
        address(0xB4),
        address(0xB5),
        address(0xB6),
        address(0xB7)
    ];
    DatasetId[2] private datasets;
    ModelId private model;

    Job[] private _jobs;
    mapping(AgreementId id => bytes32[]) private _digests;
    mapping(AuditId key => mapping(uint256 seat => Outcome)) private _outcomes;
    uint256 public burned;
    /// The first owner's privacy ledger, lane by lane.
    uint256[8] private _budget;
    uint256[8] private _spent;
    string[] public surprises;
    /// Whether a call of this move succeeded, or surprised: else everything stands as it stood before the move, but
    /// for the time.
    bool public changed;

    /// @dev A move that is made of others is one.
    modifier oneMove() {
        if (msg.sender != address(this)) changed = false;
        _;
    }

    constructor(System memory system) {
        (fit, agreements, proof) = (system.fit, system.agreements, system.proof);
        (audits, pool, registry) = (system.audits, system.verifiers, system.registry);
        tree = new TreeCaller();
        for (uint256 i = 0; i < 8; i++) {
            (_budget[i], _spent[i]) = (60 + i, 1);
        }
        vm.prank(actors[0]);
        registry.openLedger(_word(_budget));
        for (uint256 i = 0; i < 2; i++) {
            vm.prank(actors[i]);
            datasets[i] = registry.registerDataset(keccak256("dataset"), 100, i == 0 ? 1 : 0, cid());
        }
        model = registry.registerModel(keccak256("graph"), keccak256("weights"), NO_MODEL, new ModelId[](0), 0);
        for (uint256 i = 0; i < 4; i++) {
            vm.prank(actors[i]);
            fit.approve(address(agreements), type(uint256).max);
        }
        for (uint256 i = 0; i < VERIFIERS; i++) {
            vm.prank(verifiers[i]);
            fit.approve(address(pool), type(uint256).max);
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
        return state != State.Settled && state != State.Cancelled && state != State.Forfeited && state != State.Refunded
            && state != State.Halved;
    }

    // --- moves

    function pass(uint256 time, uint256 blocks) external oneMove {
        vm.warp(block.timestamp + time % 10 minutes);
        vm.roll(block.number + 1 + (blocks % 16 == 0 ? 300 : blocks % 4));
    }

    function request(uint256 who, uint256 where, uint96 price, uint96 bond, uint8 steps, uint8 shape) external oneMove {
        if (_jobs.length == MOST_JOBS) return;
        uint256 ownerIndex = where % 2;
        address scientist = actors[1 + who % 2];
        Terms memory terms = Terms({
            owner: actors[ownerIndex],
            dataset: datasets[ownerIndex],
            datasetRoot: keccak256("dataset"),
            model: model,
            modelRoot: keccak256("weights"),
            recipe: keccak256("recipe"),
            environment: keccak256("environment"),
            steps: uint32(steps) % 16 + 2,
            segmentSteps: uint32(shape) % 4 + 2,
            groupLeaves: uint32(1) << ((shape >> 4) % 3),
            stepBytes: 1 << 20,
            stepCalls: 12,
            stepOperations: 1e6,
            price: price % 1e24,
            bond: bond % 1e24 + 300 ether,
            acceptanceWindow: 1 hours,
            trainingWindow: 4 hours,
            disputeWindow: 2 hours,
            charge: ownerIndex == 0 ? _charge(uint256(keccak256(abi.encode(where, price, bond)))) : 0,
            nonceCommitment: keccak256(abi.encode(ASKER_NONCE)),
            audit: _auditTerms(where >> 1)
        });
        bytes32 salt = bytes32(_jobs.length);

        (bool ok, bytes memory answer) = _call(scientist, address(agreements), _requestCall(salt, terms));
        if (!_note("request", _enoughVerifiers(terms.audit), ok)) return;

        Job storage job = _jobs.push();
        job.id = abi.decode(answer, (AgreementId));
        (job.owner, job.scientist, job.terms) = (terms.owner, scientist, terms);
        (job.state, job.locked) = (State.Requested, terms.price);
        job.locked += _feesOf(job);
        job.deadline = block.timestamp + terms.acceptanceWindow;
    }

    function _requestCall(bytes32 salt, Terms memory terms) private view returns (bytes memory) {
        return abi.encodeCall(agreements.request, (salt, terms, cid(), _noPermit()));
    }

    /// @dev A third without seats, a third with a dispute, a third with an audit, of one or three seats.
    function _auditTerms(uint256 luck) private pure returns (AuditTerms memory terms) {
        uint8 seats = uint8(1 + 2 * ((luck >> 2) % 2));
        (terms.window, terms.wait) = (30 minutes, 3 hours);
        terms.feePerSeat = uint128(1 ether + luck % 99 ether);
        terms.seatStake = terms.feePerSeat * uint128(10 + (luck >> 3) % 11);
        terms.counterBond = uint128((luck >> 4) % 50 ether);
        terms.mode = DisclosureMode.Open;
        if (luck % 3 == 1) terms.disputeVerifiers = seats;
        if (luck % 3 == 2) terms.verifiers = seats;
    }

    function _feesOf(Job storage job) private view returns (uint256) {
        return uint256(job.terms.audit.verifiers) * job.terms.audit.feePerSeat;
    }

    /// @dev To a deadline, or the second after it, where there is one to come.
    function passToDeadline(uint256 which, bool beyond) external oneMove {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        uint256 deadline = _isHeard(job) ? _audit(job).deadline : job.deadline;
        uint256 time = deadline + (beyond ? 1 : 0);
        if (time > block.timestamp) vm.warp(time);
    }

    /// @dev One to eight of the next right moves by the right party, so that many jobs come far.
    function advance(uint256 which, uint256 moves, uint256 luck) external oneMove {
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
        if (_isHeard(job)) _advanceAudit(which, luck);
        else if (job.state == State.Settled && luck % 4 == 0) this.askAgain(which, luck >> 8);
        if (job.asked != 0 && luck % 2 == 0) this.consent(which, 1);
        if (job.state != State.Training) return;
        uint256 proven = job.groups * job.terms.groupLeaves;
        if (luck % 16 == 0) this.diverge(which, 1, proven + (luck >> 4) % job.terms.groupLeaves, 1);
        else if (proven + job.terms.groupLeaves <= job.leaves) this.anchor(which, 1, 1);
        else this.finish(which, 1, 1);
    }

    /// @dev A phase as its seats like it, to its end or to its time-out.
    function _advanceAudit(uint256 which, uint256 luck) private {
        this.audit(which, luck);
        if ((luck >> 200) % 8 == 0) this.passToDeadline(which, true);
        this.advanceAudit(which);
    }

    function accept(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = actor == job.owner && job.state == State.Requested && _inTime(job);
        may = may && (job.terms.charge == 0 || _fits(job.terms.charge));
        bytes32 commitment = keccak256(abi.encode(NONCE, bytes32(0)));

        (bool ok,) = _call(
            actor, address(agreements), abi.encodeCall(agreements.accept, (job.id, job.terms, commitment, _noPermit()))
        );
        if (!_note("accept", may, ok)) return;

        (job.state, job.seedBlock) = (State.Accepted, block.number);
        job.deadline = block.timestamp + job.terms.trainingWindow;
        job.locked += job.terms.bond;
        for (uint256 i = 0; i < 8; i++) {
            _spent[i] += _lane(job.terms.charge, i);
        }
    }

    /// @dev A budget may only fall: by a little in some lanes, or one lane rises, which nobody may do.
    function lowerBudget(uint256 who, uint256 luck) external oneMove {
        uint256[8] memory budget = _budget;
        for (uint256 i = 0; i < 8; i++) {
            budget[i] -= (luck >> (4 * i)) % 16 == 0 && budget[i] > 9 ? 9 : 0;
        }
        bool rises = luck >> 32 & 1 == 1;
        if (rises) budget[(luck >> 33) % 8] = 1000;

        bytes memory data = abi.encodeCall(registry.lowerBudget, (1, _word(budget)));
        (bool ok,) = _call(actors[who % 4], address(registry), data);
        if (_note("lowerBudget", who % 4 == 0 && !rises, ok)) _budget = budget;
    }

    /// @dev Two or three fit together; now and then a lane is zero, which no acceptance may charge.
    function _charge(uint256 luck) private pure returns (uint256) {
        uint256[8] memory lanes;
        for (uint256 i = 0; i < 8; i++) {
            lanes[i] = 1 + luck % 60 + (luck >> (16 * i + 16)) % 4;
        }
        if ((luck >> 200) % 8 == 0) lanes[(luck >> 208) % 8] = 0;
        return _word(lanes);
    }

    /// @dev By the plain rule: no lane of the charge is zero, and some lane is within its budget afterwards.
    function _fits(uint256 charge) private view returns (bool within) {
        for (uint256 i = 0; i < 8; i++) {
            if (_lane(charge, i) == 0) return false;
            within = within || _spent[i] + _lane(charge, i) <= _budget[i];
        }
    }

    function _lane(uint256 word, uint256 i) private pure returns (uint256) {
        return word >> (32 * i) & type(uint32).max;
    }

    function _word(uint256[8] memory lanes) private pure returns (uint256 word) {
        for (uint256 i = 0; i < 8; i++) {
            word |= lanes[i] << (32 * i);
        }
    }

    /// @notice What the first owner's ledger must have spent, and of what budget.
    function ledger() external view returns (uint256 spent, uint256 budget) {
        return (_word(_spent), _word(_budget));
    }

    function reject(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = actor == job.owner && job.state == State.Requested && _inTime(job);

        _settle("reject", job, actor, may, abi.encodeCall(agreements.reject, (job.id, "")), State.Cancelled);
    }

    function cancel(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = actor == job.scientist && job.state == State.Requested && !_inTime(job);

        _settle("cancel", job, actor, may, abi.encodeCall(agreements.cancel, (job.id)), State.Cancelled);
    }

    function fix(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may = job.state == State.Accepted && _inTime(job) && !job.seedFixed && _seedIsKnown(job);

        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.fix, (job.id)));
        if (_note("fix", may, ok)) job.seedFixed = true;
    }

    function begin(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists) return;
        bool may =
            actor == job.owner && job.state == State.Accepted && _inTime(job) && (job.seedFixed || _seedIsKnown(job));

        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.begin, (job.id, job.terms, NONCE, 0)));
        if (!_note("begin", may, ok)) return;

        job.state = State.Training;
        _writeTranscript(job);
    }

    function anchor(uint256 which, uint256 who, uint256 forge) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.leaves == 0) return;
        bool forged = forge % 8 == 0;
        bool fits = (job.groups + 1) * job.terms.groupLeaves <= job.leaves;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job) && fits && !forged;

        (bool ok,) = _call(actor, address(proof), _nextAnchor(job, fits, forged));
        if (!_note("anchor", may, ok)) return;

        job.groups++;
        job.peaks =
            _commit(job, job.groups, ReferenceTree.peaks(_digests[job.id], 0, job.groups * job.terms.groupLeaves));
    }

    function _nextAnchor(Job storage job, bool fits, bool forged) private view returns (bytes memory) {
        bytes32[] memory digests = _digests[job.id];
        uint256 from = job.groups * job.terms.groupLeaves;
        bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, from);
        if (forged) peaks = new bytes32[](peaks.length + 1);
        bytes32 root = fits ? ReferenceTree.root(digests, from, from + job.terms.groupLeaves) : bytes32("beyond");
        return abi.encodeCall(proof.anchor, (job.id, proof.run(job.id).seed, peaks, root, cid()));
    }

    function finish(uint256 which, uint256 who, uint256 forge) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.leaves == 0) return;
        uint256 count = job.leaves;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job)
            && job.groups == count / job.terms.groupLeaves && !forged;

        Ending memory ending = _ending(job, count, forged);
        (bool ok,) = _call(actor, address(proof), abi.encodeCall(proof.finish, (job.id, job.terms, ending)));
        if (_note("finish", may, ok)) _end(job, count, State.Trained);
    }

    function diverge(uint256 which, uint256 who, uint256 last, uint256 forge) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.leaves == 0) return;
        uint256 count = last % job.leaves + 1;
        bool forged = forge % 8 == 0;
        bool may = actor == job.owner && job.state == State.Training && _inTime(job)
            && job.groups == count / job.terms.groupLeaves && count < job.leaves && !forged;

        bytes memory data = abi.encodeCall(proof.diverge, (job.id, job.terms, _ending(job, count, forged)));
        if (job.groups == 0 && _seats(job.terms.audit) == 0) {
            _settle("diverge", job, actor, address(proof), may, data, State.Forfeited);
            if (may) _noteRoot(job, count);
        } else {
            _diverge(job, actor, may, data, count);
        }
    }

    /// @dev What is not due of the price goes back at once.
    function _diverge(Job storage job, address actor, bool may, bytes memory data, uint256 count) private {
        uint256 credits = _credits();
        (bool ok,) = _call(actor, address(proof), data);
        if (!_note("diverge", may, ok)) return;

        _end(job, count, State.Diverged);
        uint256 steps = (count - 1) * job.terms.segmentSteps;
        job.reduced = job.terms.price - job.terms.price * steps / job.terms.steps;
        job.paid += _credits() - credits;
        _note("reduce the price", true, _credits() - credits == job.reduced);
    }

    function acceptResult(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = actor == job.scientist && _hasEnded(job) && _inTime(job);

        _settle("acceptResult", job, actor, may, abi.encodeCall(agreements.acceptResult, (job.id)), State.Settled);
    }

    function settle(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = _hasEnded(job) && !_inTime(job);

        _settle("settle", job, actor, may, abi.encodeCall(agreements.settle, (job.id)), State.Settled);
    }

    // --- moves of audits

    function dispute(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        AuditTerms memory terms = job.terms.audit;
        bool may = actor == job.scientist && _hasEnded(job) && _inTime(job) && terms.disputeVerifiers > 0;

        bytes memory data = abi.encodeCall(agreements.dispute, (job.id, job.terms, _noPermit()));
        (bool ok,) = _call(actor, address(agreements), data);
        if (!_note("dispute", may, ok)) return;

        job.state = State.Auditing;
        job.locked += uint256(terms.disputeVerifiers) * terms.feePerSeat + terms.counterBond;
    }

    function complain(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists || who % 3 != 0) return;
        bool may = actor == job.scientist && _hasEnded(job) && _inTime(job) && !agreements.agreement(job.id).complained;

        (bool ok,) = _call(actor, address(agreements), abi.encodeCall(agreements.complain, (job.id)));
        _note("complain", may, ok);
    }

    // --- moves of verifiers

    function stake(uint256 who, uint80 amount) external oneMove {
        address verifier = verifiers[who % VERIFIERS];
        bytes26 link = pool.numberOf(verifier) == 0 ? linkAt(verifier, audits.opened()) : bytes26(0);
        amount = uint80(amount % 10_000 ether);
        bool may = fit.balanceOf(verifier) >= amount;

        bytes memory data = abi.encodeCall(pool.stake, (amount, link, _noPermit()));
        (bool ok,) = _call(verifier, address(pool), data);
        _note("stake", may, ok);
        may = pool.membership(0, verifier).place == 0 && pool.verifier(verifier).stake >= POOL_STAKE;
        (ok,) = _call(verifier, address(pool), abi.encodeCall(pool.joinPool, ()));
        _note("joinPool", may, ok);
    }

    function linkAt(address account, uint256 opening) private pure returns (bytes26) {
        return Links.before(bytes26(keccak256(abi.encode(account))), CHAIN - opening);
    }

    function unstake(uint256 who, uint80 amount) external oneMove {
        if (who % 4 != 0) return;
        address verifier = verifiers[(who >> 3) % VERIFIERS];
        Verifier memory known = pool.verifier(verifier);
        amount = uint80(amount % (uint256(known.stake) + 2));
        bool mayStand = pool.membership(0, verifier).place == 0 || known.stake >= amount + POOL_STAKE;
        bool may = known.account != address(0) && known.stake - known.locked >= amount && mayStand;

        (bool ok,) = _call(verifier, address(pool), abi.encodeCall(pool.unstake, (amount)));
        _note("unstake", may, ok);
    }

    function leavePool(uint256 who) external oneMove {
        if (who % 4 != 0) return;
        address verifier = verifiers[(who >> 3) % VERIFIERS];
        bool may = pool.membership(0, verifier).place != 0;

        (bool ok,) = _call(verifier, address(pool), abi.encodeCall(pool.leavePool, ()));
        _note("leavePool", may, ok);
    }

    function present(uint256 who) external oneMove {
        address verifier = verifiers[who % VERIFIERS];
        bool may = pool.verifier(verifier).away;

        (bool ok,) = _call(verifier, address(pool), abi.encodeCall(pool.present, ()));
        _note("present", may, ok);
    }

    function collect(uint256 who) external oneMove {
        address verifier = verifiers[who % VERIFIERS];
        Verifier memory known = pool.verifier(verifier);
        uint256 due = known.earned + (block.timestamp >= known.unbonded ? known.unbonding : 0);
        uint256 before = fit.balanceOf(verifier);

        (bool ok,) = _call(verifier, address(pool), abi.encodeCall(pool.withdraw, ()));
        if (_note("collect", due > 0, ok)) _note("collect all", true, fit.balanceOf(verifier) == before + due);
    }

    // --- moves of audits asked again

    function askAgain(uint256 which, uint256 luck) external oneMove {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        if (job.asked != 0 || _isHeard(job)) return;
        AuditTerms memory terms = _againTerms(job);
        bool may = (job.state == State.Settled || job.state == State.Halved) && _enoughVerifiers(terms);

        bytes memory data = abi.encodeCall(
            agreements.askAgain, (job.id, terms, keccak256(abi.encode(ASKER_NONCE)), 1 hours, _noPermit())
        );
        (bool ok,) = _call(actors[luck % 4], address(agreements), data);
        if (!_note("askAgain", may, ok)) return;

        job.asked = terms.feePerSeat;
        job.locked += terms.feePerSeat;
    }

    function _againTerms(Job storage job) private view returns (AuditTerms memory terms) {
        terms = job.terms.audit;
        (terms.verifiers, terms.disputeVerifiers, terms.counterBond) = (1, 0, 0);
    }

    function consent(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, true);
        if (!exists || job.asked == 0 || _isHeard(job)) return;
        (uint16 ordinal,) = agreements.askedAndConsented(job.id);
        bool may = actor == job.owner && block.timestamp <= agreements.asking(job.id, ordinal).deadline;

        bytes memory data =
            abi.encodeCall(agreements.consent, (job.id, ordinal, _againTerms(job), keccak256(abi.encode(ASKER_NONCE))));
        (bool ok,) = _call(actor, address(agreements), data);
        if (!_note("consent", may, ok)) return;

        (job.ordinal, job.asked) = (ordinal, 0);
    }

    function takeBack(uint256 which) external oneMove {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        if (job.asked == 0) return;
        (uint16 ordinal,) = agreements.askedAndConsented(job.id);
        bool may = block.timestamp > agreements.asking(job.id, ordinal).deadline;
        uint256 credits = _credits();

        (bool ok,) = _call(address(this), address(agreements), abi.encodeCall(agreements.takeBack, (job.id, ordinal)));
        if (!_note("takeBack", may, ok)) return;

        job.asked = 0;
        job.paid += _credits() - credits;
    }

    // --- moves of audits

    function _audit(Job storage job) private view returns (Audit memory) {
        return audits.audit(job.id, job.ordinal);
    }

    /// @dev Whether an audit goes on, a release window included.
    function _isHeard(Job storage job) private view returns (bool) {
        Phase phase = _audit(job).phase;
        return phase != Phase.None && phase != Phase.Concluded;
    }

    function isHeard(AgreementId id, uint16 ordinal) external view returns (bool) {
        Phase phase = audits.audit(id, ordinal).phase;
        return phase != Phase.None && phase != Phase.Concluded;
    }

    /// @dev One phase's right moves, of which `luck` leaves some out.
    function audit(uint256 which, uint256 luck) external oneMove {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        Audit memory known = _audit(job);
        bool inTime = block.timestamp <= known.deadline;
        if (known.phase == Phase.Awaiting || known.phase == Phase.Waiting) _draw(job, known);
        if (known.phase == Phase.Evidence && luck % 8 != 0) _submit(job, inTime);
        if (known.phase == Phase.Matched && luck % 4 != 0) _release(job, inTime);
        if (known.phase == Phase.Released || known.phase == Phase.Matched) _afterMatch(job, known, luck >> 4);
        for (uint8 seat = 0; seat < known.seats; seat++) {
            uint256 own = luck >> (8 * seat);
            if (known.phase == Phase.Joining) _join(job, seat, own);
            if (known.phase == Phase.Committing && own % 8 != 0) _commitVote(job, seat, own);
            if (known.phase == Phase.Revealing && own % 8 != 1) _reveal(job, seat);
        }
        if (known.phase == Phase.Revealing && luck % 4 != 1) _release(job, _awaitsKey(job, _audit(job)));
    }

    function advanceAudit(uint256 which) external oneMove {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        Audit memory known = _audit(job);
        uint256 deadline = known.phase == Phase.Waiting ? known.waitDeadline : known.deadline;
        bool over = known.phase == Phase.None || known.phase == Phase.Concluded;
        bool may = !over && (block.timestamp > deadline || _nobodyCanAct(job, known));

        _auditCall("advance", job, address(this), may, abi.encodeCall(audits.advance, (job.id, job.ordinal)));
    }

    /// @dev Anybody's call to any step; right only by chance.
    function meddle(uint256 which, uint256 who, uint8 seat, uint256 kind) external oneMove {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[which % _jobs.length];
        Phase phase = _audit(job).phase;
        uint16 at = job.ordinal;
        address actor = who % 2 == 0 ? actors[(who >> 1) % 4] : address(agreements);
        bytes memory data = abi.encodeCall(audits.join, (job.id, at, seat, "link", "recipient"));
        if (kind % 5 == 1) data = abi.encodeCall(audits.decline, (job.id, at, seat));
        if (kind % 5 == 2) data = abi.encodeCall(audits.commit, (job.id, at, seat, "commitment"));
        if (kind % 5 == 3) data = abi.encodeCall(audits.reveal, (job.id, at, seat, Outcome.Match, "trace", SALT));
        if (kind % 5 == 4) data = abi.encodeCall(agreements.settleMatched, (job.id));

        (bool ok,) = _call(actor, kind % 5 == 4 ? address(agreements) : address(audits), data);
        _note("meddle", false, ok);
        _note("meddle with the phase", true, _audit(job).phase == phase);
    }

    /// @dev In the asker's turn with its nonce; after it the hash of the turn's last block takes its place.
    function _draw(Job storage job, Audit memory known) private {
        vm.roll(block.number + 1);
        bool may = block.timestamp <= known.deadline && vm.getBlockNumber() <= uint256(known.openedBlock) + 256;
        if (known.phase == Phase.Waiting) {
            may = block.timestamp > known.deadline && block.timestamp <= known.waitDeadline;
        }
        bytes memory data = abi.encodeCall(audits.draw, (job.id, job.ordinal, ASKER_NONCE));
        _auditCall("draw", job, address(this), may, data);
    }

    function _submit(Job storage job, bool inTime) private {
        _auditCall("submit", job, job.owner, inTime, abi.encodeCall(audits.submit, (job.id, job.ordinal, cid())));
    }

    function _release(Job storage job, bool inTime) private {
        _auditCall("release", job, job.owner, inTime, abi.encodeCall(audits.release, (job.id, job.ordinal, cid())));
    }

    /// @dev The scientist is content, or complains and some seats release.
    function _afterMatch(Job storage job, Audit memory known, uint256 luck) private {
        known = _audit(job);
        bool inTime = block.timestamp <= known.deadline;
        bool may = inTime && !known.complained;
        if (luck % 4 == 0) {
            bytes memory data = abi.encodeCall(audits.acceptRelease, (job.id, job.ordinal));
            _auditCall("acceptRelease", job, job.scientist, may, data);
        } else if (luck % 4 == 1) {
            _auditCall("complain", job, job.scientist, may, abi.encodeCall(audits.complain, (job.id, job.ordinal)));
        } else if (luck % 4 == 2) {
            _releaseBySeat(job, known, uint8(luck >> 2) % known.seats, inTime);
        }
    }

    function _releaseBySeat(Job storage job, Audit memory known, uint8 seat, bool inTime) private {
        (, address verifier) = _seat(job, seat);
        if (verifier == address(0)) return;
        bool isTurn = known.complained || block.timestamp > uint256(known.deadline) - known.window / 2;
        bool may = inTime && isTurn && known.joined >> seat & 1 == 1 && known.released >> seat & 1 == 0;
        bytes memory data = abi.encodeCall(audits.release, (job.id, job.ordinal, cid()));
        _auditCall("release by a seat", job, verifier, may, data);
    }

    /// @dev Whether every vote is revealed and more than half of the seats replayed to a Match (all name one trace).
    function _awaitsKey(Job storage job, Audit memory known) private view returns (bool) {
        uint256 matches;
        for (uint256 seat = 0; seat < known.seats; seat++) {
            bool isRevealed = known.revealed >> seat & 1 == 1;
            if (isRevealed && _outcomes[auditIdOf(job.id, job.ordinal)][seat] == Outcome.Match) matches++;
        }
        bool isAgain = known.kind == AuditKind.Again;
        return !isAgain && known.revealed == known.committed && 2 * matches > known.seats;
    }

    function _join(Job storage job, uint8 seat, uint256 luck) private {
        (Audit memory known, address verifier) = _seat(job, seat);
        if (verifier == address(0) || luck % 8 == 0) return;
        bool isOpen = _stepIsOpen(known, Phase.Joining) && known.joined >> seat & 1 == 0;
        Verifier memory judge = pool.verifier(verifier);
        bool isFree = judge.stake - judge.locked >= known.seatStake && known.opening > judge.chainFrom;
        bytes26 link = linkAt(verifier, known.opening);
        bytes memory data = abi.encodeCall(audits.join, (job.id, job.ordinal, seat, link, "recipient"));
        if (luck % 8 != 1) {
            _auditCall("join", job, verifier, isOpen && isFree, data);
            if (isFree) return;
        }
        data = abi.encodeCall(audits.decline, (job.id, job.ordinal, seat));
        _auditCall("decline", job, verifier, isOpen, data);
    }

    function _commitVote(Job storage job, uint8 seat, uint256 luck) private {
        (Audit memory known, address verifier) = _seat(job, seat);
        if (verifier == address(0)) return;
        bool may =
            _stepIsOpen(known, Phase.Committing) && known.joined >> seat & 1 == 1 && known.committed >> seat & 1 == 0;
        bool honest = luck % 4 != 0;
        Outcome outcome = Outcome((honest ? uint256(AgreementId.unwrap(job.id)) : luck >> 4) % 4 + 1);
        AuditId key = auditIdOf(job.id, job.ordinal);
        bytes32 vote = keccak256(abi.encode(key, uint256(known.round), verifier, outcome, _trace(outcome), SALT));

        bytes memory data = abi.encodeCall(audits.commit, (job.id, job.ordinal, seat, vote));
        if (_auditCall("commit", job, verifier, may, data)) _outcomes[key][seat] = outcome;
    }

    function _reveal(Job storage job, uint8 seat) private {
        (Audit memory known, address verifier) = _seat(job, seat);
        if (verifier == address(0)) return;
        bool may =
            _stepIsOpen(known, Phase.Revealing) && known.committed >> seat & 1 == 1 && known.revealed >> seat & 1 == 0;
        Outcome outcome = _outcomes[auditIdOf(job.id, job.ordinal)][seat];

        bytes memory data = abi.encodeCall(audits.reveal, (job.id, job.ordinal, seat, outcome, _trace(outcome), SALT));
        _auditCall("reveal", job, verifier, may, data);
    }

    function _trace(Outcome outcome) private pure returns (bytes32) {
        return outcome == Outcome.Match || outcome == Outcome.Mismatch ? bytes32("trace") : bytes32(0);
    }

    function _seat(Job storage job, uint8 seat) private view returns (Audit memory known, address verifier) {
        known = _audit(job);
        verifier = audits.seated(job.id, job.ordinal)[seat];
    }

    function _stepIsOpen(Audit memory known, Phase phase) private view returns (bool) {
        return known.phase == phase && block.timestamp <= known.deadline;
    }

    function _nobodyCanAct(Job storage job, Audit memory known) private view returns (bool) {
        if (known.phase == Phase.Revealing) return known.revealed == known.committed;
        if (known.phase != Phase.Joining) return false;
        address[] memory seats = audits.seated(job.id, job.ordinal);
        for (uint256 seat = 0; seat < seats.length; seat++) {
            if (seats[seat] != address(0) && known.joined >> seat & 1 == 0) return false;
        }
        return audits.seats(job.id, job.ordinal).back() == agreements.jury(job.id, job.ordinal).places;
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
        if (job.ordinal == 0) _follow(job);
    }

    /// @dev The state that a verdict leads to, by the table.
    function _follow(Job storage job) private {
        Audit memory known = _audit(job);
        bool isDispute = known.kind == AuditKind.Dispute;
        bool live = isLive(job.state);
        if (known.verdict == Outcome.Inconclusive) job.state = isDispute ? State.Halved : State.Refunded;
        if (known.verdict == Outcome.Mismatch || known.verdict == Outcome.Withheld) job.state = State.Forfeited;
        bool isReleased = known.phase == Phase.Released || known.phase == Phase.Concluded;
        if (known.verdict == Outcome.Match && isReleased) job.state = State.Settled;
        if (live && !isLive(job.state)) job.settlements++;
    }

    function _stakes() private view returns (uint256 stakes, uint256 earned) {
        for (uint256 i = 0; i < VERIFIERS; i++) {
            Verifier memory known = pool.verifier(verifiers[i]);
            stakes += known.stake;
            earned += known.earned;
        }
    }

    /// @dev All that Verifiers owes.
    function stakesAndEarned() external view returns (uint256 sum) {
        for (uint256 i = 0; i < VERIFIERS; i++) {
            Verifier memory known = pool.verifier(verifiers[i]);
            sum += uint256(known.stake) + known.earned + known.unbonding;
        }
    }

    function expire(uint256 which, uint256 who) external oneMove {
        (Job storage job, address actor, bool exists) = _pick(which, who, false);
        if (!exists) return;
        bool may = (job.state == State.Accepted || job.state == State.Training) && !_inTime(job);

        _settle("expire", job, actor, may, abi.encodeCall(agreements.expire, (job.id)), State.Forfeited);
    }

    function withdraw(uint256 who) external oneMove {
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

    function _seats(AuditTerms memory terms) private pure returns (uint256) {
        return terms.verifiers > 0 ? terms.verifiers : terms.disputeVerifiers;
    }

    /// @dev No party is a verifier.
    function _enoughVerifiers(AuditTerms memory terms) private view returns (bool) {
        uint256 seats = _seats(terms);
        if (seats == 0) return true;
        (uint256 length, uint256 eligible) = pool.standing(0, actors[0], actors[1], actors[2]);
        if (length != eligible) return false;
        return eligible >= seats + (seats + 1) / 2;
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
        if (ok) changed = true;
    }

    function _note(string memory move, bool expected, bool happened) private returns (bool) {
        if (expected != happened) surprises.push(move);
        if (expected != happened) changed = true;
        return happened;
    }

    function _settle(string memory move, Job storage job, address actor, bool may, bytes memory data, State to)
        private
    {
        _settle(move, job, actor, address(agreements), may, data, to);
    }

    function _settle(
        string memory move,
        Job storage job,
        address actor,
        address target,
        bool may,
        bytes memory data,
        State to
    ) private {
        uint256 credits = _credits();
        uint256 supply = fit.totalSupply();
        (bool ok,) = _call(actor, target, data);
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
        uint256 step = j * job.terms.segmentSteps;
        if (step > job.terms.steps) step = job.terms.steps;
        bytes32 made = keccak256(abi.encode(job.id, j));
        return Leaf(uint32(j), uint32(step), made, made, made, made, 0, previous);
    }

    function _context(Job storage job) private view returns (bytes32) {
        Terms memory terms = job.terms;
        return keccak256(
            abi.encode(
                block.chainid,
                agreements,
                proof,
                job.id,
                terms.owner,
                job.scientist,
                terms.recipe,
                terms.datasetRoot,
                terms.modelRoot,
                terms.steps,
                terms.segmentSteps,
                terms.groupLeaves
            )
        );
    }

    function _writeTranscript(Job storage job) private {
        uint256 count = (job.terms.steps + job.terms.segmentSteps - 1) / job.terms.segmentSteps + 1;
        bytes32 ctx = _context(job);
        bytes32 seed = proof.run(job.id).seed;
        bytes32 previous;
        for (uint256 j = 0; j < count; j++) {
            previous = tree.leafDigest(ctx, seed, _leaf(job, j, previous));
            _digests[job.id].push(previous);
        }
        job.leaves = count;
        job.peaks = _commit(job, 0, new bytes32[](0));
    }

    function _ending(Job storage job, uint256 count, bool forged) private view returns (Ending memory ending) {
        bytes32[] memory digests = _digests[job.id];
        uint256 grouped = count - count % job.terms.groupLeaves;
        ending.peaks = ReferenceTree.peaks(digests, 0, grouped);
        ending.tail = ReferenceTree.peaks(digests, grouped, count);
        ending.last = _leaf(job, count - 1, count == 1 ? bytes32(0) : digests[count - 2]);
        ending.path = ReferenceTree.lastPath(digests, count);
        (ending.delivery, ending.identityCid) = (cid(), _isAudited(job) ? bytes("") : cid());
        if (forged) ending.last.modelRoot = keccak256("another model");
    }

    function _end(Job storage job, uint256 count, State to) private {
        _noteRoot(job, count);
        job.state = _isAudited(job) ? State.Auditing : to;
        job.deadline = block.timestamp + job.terms.disputeWindow;
    }

    function _noteRoot(Job storage job, uint256 count) private {
        bytes32[] memory proven = ReferenceTree.prefix(_digests[job.id], count);
        job.transcriptRoot = sha256(abi.encode(sha256("fitchain/transcript/v2"), count, ReferenceTree.root(proven)));
        job.peaks = 0;
    }

    function _commit(Job storage job, uint256 groups, bytes32[] memory peaks) private view returns (bytes28) {
        return bytes28(keccak256(abi.encode(job.owner, proof.run(job.id).seed, groups, peaks)));
    }

    function _noPermit() private pure returns (Permit memory) {
        return Permit(0, 0, 0, 0, 0);
    }

    function cid() private pure returns (bytes memory) {
        return abi.encodePacked(hex"01551220", keccak256("content"));
    }
}
