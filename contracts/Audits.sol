// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IFitCoin} from "./interfaces/IFitCoin.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Payment} from "./libraries/Payment.sol";
import {Seats} from "./libraries/Seats.sol";
import {SeedBlock} from "./libraries/SeedBlock.sol";
import {Audit, FULL_STAKE, Membership, Outcome, Phase, ROUND_LIMIT, Verifier} from "./types/Audit.sol";
import {CallerIsNotOwner, DeadlineNotPassed, DeadlinePassed, requireCid} from "./types/Errors.sol";
import {AgreementId} from "./types/Ids.sol";
import {Permit} from "./types/Terms.sol";

/// @title Audits
/// @notice Verifiers and verdicts; what it promises stands in IAudits.
/// @dev Every function runs checks, effects, event, interaction in this order; `release` does so twice, where it also
///      concludes, and whoever it calls is known. Payments between the parties are made by
///      Agreements, which deploys this contract and believes nobody else.
contract Audits is IAudits {
    using SafeERC20 for IFitCoin;
    using Payment for IFitCoin;
    using Seats for uint256;

    /// @dev How a draw looks for verifiers.
    struct Drawing {
        address owner;
        address scientist;
        uint256 panel;
        uint256 length;
        uint256 openedBlock;
        bytes32 seed;
        uint256 round;
        uint256 counter;
        /// Which of the first 256 entries were looked at in this draw, as a bitmap.
        uint256 tried;
        /// The seats of each round up to this one.
        uint256[ROUND_LIMIT] seats;
    }

    /// @dev Whom a verdict rewards and punishes, as bitmaps of seats.
    struct Ruling {
        Outcome verdict;
        bool quorum;
        uint16 paid;
        uint16 slashed;
        uint16 absent;
    }

    uint256 private constant TRIES_PER_SEAT = 64;

    uint256 public constant fullStake = FULL_STAKE;
    uint256 public constant unbondingTime = 21 days;

    IAgreements public immutable agreements;
    IFitCoin public immutable fitCoin;
    IRegistry public immutable registry;

    mapping(AgreementId id => Audit) private _audits;
    mapping(AgreementId id => mapping(uint256 round => uint256)) private _seats;
    /// @dev A commitment, then what `_ballot` makes of the revealed vote.
    mapping(AgreementId id => mapping(uint256 seat => bytes32)) private _votes;
    mapping(address account => Verifier) private _verifiers;
    mapping(address account => Membership) private _memberships;
    mapping(uint256 number => address) private _pool;
    uint128 private _poolLength;
    uint128 private _activeCount;

    constructor(IAgreements agreements_, IFitCoin fitCoin_, IRegistry registry_) {
        agreements = agreements_;
        fitCoin = fitCoin_;
        registry = registry_;
    }

    // --- verifiers

    /// @inheritdoc IAudits
    function stake(Permit calldata permit) external {
        Verifier storage known = _verifiers[msg.sender];
        if (_memberships[msg.sender].isActive()) revert StakedAlready(msg.sender);
        if (block.timestamp < known.unbonded) revert StakeIsUnbonding(known.unbonded, block.timestamp);
        uint256 missing = FULL_STAKE - known.stake;

        (known.stake, known.unbonded) = (FULL_STAKE, 0);
        uint16 number = _activate(msg.sender);

        emit Staked(msg.sender, missing, number);

        fitCoin.collect(missing, permit);
    }

    /// @inheritdoc IAudits
    function unstake() external {
        Verifier storage known = _verifiers[msg.sender];
        if (known.stake == 0 || known.unbonded != 0) revert NotStaked(msg.sender);

        known.unbonded = uint40(block.timestamp + unbondingTime);
        _deactivate(msg.sender);

        emit Unstaked(msg.sender, known.unbonded);
    }

    /// @inheritdoc IAudits
    function withdraw() external {
        Verifier storage known = _verifiers[msg.sender];
        bool unbonded = known.unbonded != 0 && block.timestamp >= known.unbonded;
        (uint256 earned, uint256 freed) = (known.earned, unbonded ? known.stake : 0);
        if (earned + freed == 0) revert NothingToWithdraw(msg.sender);

        known.earned = 0;
        if (unbonded) known.stake = 0;

        emit Withdrawn(msg.sender, earned, freed);

        fitCoin.safeTransfer(msg.sender, earned + freed);
    }

    // --- opening and draw

    /// @inheritdoc IAudits
    function open(AgreementId id, uint256 panel, uint8 seats, uint24 window, bool disputed) external {
        if (msg.sender != address(agreements)) revert CallerIsNotAgreements(msg.sender, address(agreements));
        uint256 length = panel == 0 ? _poolLength : registry.panelLength(panel);

        Audit storage known = _audits[id];
        (known.seats, known.window, known.disputed) = (seats, window, disputed);
        (known.openedBlock, known.challengeBlock) = (uint32(block.number), uint32(block.number));
        known.panelLength = uint16(Math.min(length, type(uint16).max));
        _enter(known, Phase.Awaiting);

        emit AuditOpened(id, block.number, known.panelLength, known.deadline);
    }

    /// @inheritdoc IAudits
    function draw(AgreementId id) external {
        Audit storage known = _audits[id];
        _requireStep(id, known, Phase.Awaiting);
        uint256 challengeBlock = known.challengeBlock;
        if (block.number == challengeBlock) revert ChallengeBlockIsCurrent(challengeBlock);

        bytes32 blockHash = SeedBlock.hashOf(challengeBlock);
        if (blockHash == 0) {
            known.challengeBlock = uint32(block.number);
            emit ChallengeMoved(id, block.number);
        } else {
            known.seed = keccak256(abi.encode(id, blockHash));
            _seat(id, known, 0);
        }
    }

    // --- the seats' and the owner's steps

    /// @inheritdoc IAudits
    function join(AgreementId id, uint8 seat, bytes32 recipient) external {
        Audit storage known = _audits[id];
        uint16 bit = _requireSeat(id, known, seat, Phase.Joining);
        uint16 joined = known.joined;
        if ((joined | known.declined) & bit != 0) revert SeatActedAlready(id, seat);
        if (recipient == 0) revert RecipientIsZero();

        joined |= bit;
        known.joined = joined;
        if (joined == _everySeat(known)) _enter(known, Phase.Evidence);

        emit Joined(id, seat, msg.sender, recipient);
    }

    /// @inheritdoc IAudits
    function decline(AgreementId id, uint8 seat) external {
        Audit storage known = _audits[id];
        uint16 bit = _requireSeat(id, known, seat, Phase.Joining);
        if ((known.joined | known.declined) & bit != 0) revert SeatActedAlready(id, seat);

        known.declined |= bit;

        emit Declined(id, seat, msg.sender);
    }

    /// @inheritdoc IAudits
    function submit(AgreementId id, bytes calldata evidenceCid) external {
        Audit storage known = _audits[id];
        _requireStep(id, known, Phase.Evidence);
        address owner = _ownerOf(id);
        if (msg.sender != owner) revert CallerIsNotOwner(msg.sender, owner);
        requireCid(evidenceCid);

        _enter(known, Phase.Committing);

        emit EvidenceSubmitted(id, known.round, evidenceCid);
    }

    /// @inheritdoc IAudits
    function commit(AgreementId id, uint8 seat, bytes32 commitment) external {
        Audit storage known = _audits[id];
        uint16 bit = _requireSeat(id, known, seat, Phase.Committing);
        (uint16 joined, uint16 committed) = (known.joined, known.committed);
        if (joined & bit == 0) revert SeatHasNotJoined(id, seat);
        if (committed & bit != 0) revert SeatActedAlready(id, seat);
        if (commitment == 0) revert CommitmentIsZero();

        committed |= bit;
        known.committed = committed;
        _votes[id][seat] = commitment;

        emit Committed(id, known.round, seat, msg.sender);
        if (committed == joined) _beginRevealing(id, known);
    }

    /// @inheritdoc IAudits
    function reveal(AgreementId id, uint8 seat, Outcome outcome, bytes32 trace, bytes32 salt) external {
        Audit storage known = _audits[id];
        uint16 bit = _requireSeat(id, known, seat, Phase.Revealing);
        uint16 revealed = known.revealed;
        uint256 round = known.round;
        if (known.committed & bit == 0) revert SeatHasNotCommitted(id, seat);
        if (revealed & bit != 0) revert SeatActedAlready(id, seat);
        if (outcome == Outcome.None || _isReplay(outcome) == (trace == 0)) revert TraceRefused(outcome, trace);
        bytes32 vote = keccak256(abi.encode(id, round, msg.sender, outcome, trace, salt));
        if (vote != _votes[id][seat]) revert VoteDiffers(vote, _votes[id][seat]);

        known.revealed = revealed | bit;
        _votes[id][seat] = _ballot(outcome, trace);

        emit Revealed(id, round, seat, msg.sender, outcome, trace);
    }

    /// @inheritdoc IAudits
    function release(AgreementId id, bytes calldata keyCid) external {
        Audit storage known = _audits[id];
        if (known.phase == Phase.Revealing && _isComplete(id, known)) _closeRevealing(id, known);
        Phase phase = known.phase;
        if (phase != Phase.Matched && phase != Phase.Released) revert PhaseForbids(id, phase);
        _requireInTime(known);
        _requireKeyHolder(id, known);
        requireCid(keyCid);

        known.phase = Phase.Released;

        emit Released(id, msg.sender, keyCid);

        if (phase == Phase.Matched) agreements.settleAudited(id);
    }

    // --- the way out

    /// @inheritdoc IAudits
    function advance(AgreementId id) external {
        Audit storage known = _audits[id];
        Phase phase = known.phase;
        if (block.timestamp <= known.deadline && !_isComplete(id, known)) {
            revert DeadlineNotPassed(known.deadline, block.timestamp);
        }
        if (phase == Phase.Awaiting) _conclude(id, known, _inconclusive(0));
        else if (phase == Phase.Joining) _closeJoining(id, known);
        else if (phase == Phase.Evidence) _closeEvidence(id, known);
        else if (phase == Phase.Committing) _closeCommitting(id, known);
        else if (phase == Phase.Revealing) _closeRevealing(id, known);
        else if (phase == Phase.Matched) _closeMatched(id, known);
        else revert PhaseForbids(id, phase);
    }

    /// @dev Whether nobody is left who could act in this phase.
    function _isComplete(AgreementId id, Audit storage known) private view returns (bool) {
        if (known.phase == Phase.Joining) return _undecided(id, known) == 0;
        return known.phase == Phase.Revealing && known.revealed == known.committed;
    }

    function _closeJoining(AgreementId id, Audit storage known) private {
        (uint16 joined, uint16 absent) = (known.joined, _undecided(id, known));
        if (_mayRedraw(known)) {
            _redraw(id, known, joined, absent);
        } else if (_haveQuorum(known, joined)) {
            _enter(known, Phase.Evidence);
            _penalise(id, _seats[id][known.round], absent);
        } else {
            _conclude(id, known, _inconclusive(absent));
        }
    }

    /// @dev Who joined has done its part.
    function _closeEvidence(AgreementId id, Audit storage known) private {
        _conclude(id, known, Ruling(Outcome.Withheld, true, known.joined, 0, 0));
    }

    function _closeCommitting(AgreementId id, Audit storage known) private {
        uint16 committed = known.committed;
        uint16 absent = known.joined & ~committed;
        if (_haveQuorum(known, committed)) _beginRevealing(id, known);
        else if (_mayRedraw(known)) _redraw(id, known, committed, absent);
        else _conclude(id, known, _inconclusive(absent));
    }

    function _closeRevealing(AgreementId id, Audit storage known) private {
        Ruling memory ruling = _tally(id, known);
        if (!ruling.quorum && ruling.absent != 0 && _mayRedraw(known)) {
            _redraw(id, known, known.revealed, ruling.absent);
        } else {
            _conclude(id, known, ruling);
        }
    }

    function _closeMatched(AgreementId id, Audit storage known) private {
        (known.phase, known.verdict) = (Phase.Concluded, Outcome.Withheld);

        emit Concluded(id, known.round, Outcome.Withheld);

        agreements.forfeitAudited(id);
    }

    // --- views

    /// @inheritdoc IAudits
    function audit(AgreementId id) external view returns (Audit memory) {
        return _audits[id];
    }

    /// @inheritdoc IAudits
    function seated(AgreementId id) external view returns (address[] memory accounts) {
        Audit storage known = _audits[id];
        return _addresses(_seats[id][known.round], known.seats);
    }

    /// @inheritdoc IAudits
    function verifier(address account) external view returns (Verifier memory) {
        return _verifiers[account];
    }

    /// @inheritdoc IAudits
    function membership(address account) external view returns (Membership memory) {
        return _memberships[account];
    }

    /// @inheritdoc IAudits
    function poolLength() external view returns (uint256) {
        return _poolLength;
    }

    /// @inheritdoc IAudits
    function poolMember(uint256 index) external view returns (address) {
        return _pool[index + 1];
    }

    /// @inheritdoc IAudits
    function available(uint256 panel, address owner, address scientist, uint256 enough)
        external
        view
        returns (uint256 count)
    {
        if (panel == 0) {
            count = _activeCount;
            if (_memberships[owner].isActive()) count--;
            if (scientist != owner && _memberships[scientist].isActive()) count--;
            return count;
        }
        uint256 length = registry.panelLength(panel);
        for (uint256 i = 0; i < length && count < enough; i++) {
            address member = registry.panelMember(panel, i);
            if (member != owner && member != scientist && _memberships[member].isActive()) count++;
        }
    }

    // --- checks

    function _requireStep(AgreementId id, Audit storage known, Phase phase) private view {
        if (known.phase != phase) revert PhaseForbids(id, known.phase);
        _requireInTime(known);
    }

    function _requireInTime(Audit storage known) private view {
        if (block.timestamp > known.deadline) revert DeadlinePassed(known.deadline, block.timestamp);
    }

    function _requireSeat(AgreementId id, Audit storage known, uint8 seat, Phase phase) private view returns (uint16) {
        _requireStep(id, known, phase);
        if (msg.sender != _pool[_seats[id][known.round].numberAt(seat)]) revert CallerIsNotSeated(msg.sender, seat);
        return uint16(1) << seat;
    }

    function _requireKeyHolder(AgreementId id, Audit storage known) private view {
        address owner = _ownerOf(id);
        if (msg.sender == owner) return;
        uint256 seats = _seats[id][known.round];
        for (uint256 seat = 0; seat < known.seats; seat++) {
            if (known.joined >> seat & 1 == 1 && _pool[seats.numberAt(seat)] == msg.sender) return;
        }
        revert CallerHasNoKey(msg.sender);
    }

    function _ownerOf(AgreementId id) private view returns (address owner) {
        (owner,) = agreements.parties(id);
    }

    function _feePerSeat(AgreementId id) private view returns (uint256) {
        return agreements.agreedAudit(id).feePerSeat();
    }

    function _mayRedraw(Audit storage known) private view returns (bool) {
        return known.round + 1 < ROUND_LIMIT;
    }

    function _everySeat(Audit storage known) private view returns (uint16) {
        return uint16((uint256(1) << known.seats) - 1);
    }

    /// @dev Seats that somebody was drawn for who has neither joined nor declined.
    function _undecided(AgreementId id, Audit storage known) private view returns (uint16) {
        return _seats[id][known.round].taken() & ~(known.joined | known.declined);
    }

    function _haveQuorum(Audit storage known, uint16 bitmap) private view returns (bool) {
        uint256 count;
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            count++;
        }
        return _isQuorum(known, count);
    }

    function _isQuorum(Audit storage known, uint256 count) private view returns (bool) {
        return 2 * count > known.seats;
    }

    function _isReplay(Outcome outcome) private pure returns (bool) {
        return outcome == Outcome.Match || outcome == Outcome.Mismatch;
    }

    // --- the draw

    /// @dev Begins the present round: `kept` seats of the round before stay and have joined, the others are drawn.
    function _seat(AgreementId id, Audit storage known, uint16 kept) private {
        Drawing memory drawing = _drawing(id, known);
        uint256 round = drawing.round;
        address[] memory accounts = new address[](known.seats);
        uint256 limit;
        for (uint256 seat = 0; seat < accounts.length; seat++) {
            uint256 number;
            if (kept >> seat & 1 == 1) {
                number = drawing.seats[round - 1].numberAt(seat);
                accounts[seat] = _pool[number];
            } else {
                limit += TRIES_PER_SEAT;
                (number, accounts[seat]) = _drawOne(drawing, limit);
            }
            drawing.seats[round] = drawing.seats[round].put(seat, number);
        }

        _seats[id][round] = drawing.seats[round];
        (known.joined, known.declined, known.committed, known.revealed) = (kept, 0, 0, 0);
        _enter(known, Phase.Joining);

        emit Drawn(id, round, drawing.seed, accounts);
    }

    function _drawing(AgreementId id, Audit storage known) private view returns (Drawing memory drawing) {
        (drawing.owner, drawing.scientist) = agreements.parties(id);
        drawing.panel = agreements.agreedAudit(id).panel;
        drawing.length = known.panelLength;
        drawing.openedBlock = known.openedBlock;
        drawing.seed = known.seed;
        drawing.round = known.round;
        for (uint256 round = 0; round < drawing.round; round++) {
            drawing.seats[round] = _seats[id][round];
        }
    }

    /// @dev Uniform over whoever can be drawn, for rejected entries are drawn again; zero if no try before number
    ///      `limit` finds one.
    function _drawOne(Drawing memory drawing, uint256 limit) private view returns (uint256 number, address account) {
        if (drawing.length == 0) return (0, address(0));
        while (drawing.counter < limit) {
            bytes32 random = keccak256(abi.encode(drawing.seed, drawing.round, drawing.counter++));
            uint256 index = uint256(random) % drawing.length;
            if (_wasTried(drawing, index)) continue;
            account = _entry(drawing.panel, index);
            number = _drawable(drawing, account);
            if (number != 0) return (number, account);
        }
        return (0, address(0));
    }

    /// @dev Notes an entry and says whether it had been noted: drawn or rejected, it is not looked at twice. In a small
    ///      panel most tries after the first seats hit such an entry.
    function _wasTried(Drawing memory drawing, uint256 index) private pure returns (bool tried) {
        if (index >= 256) return false;
        uint256 bit = 1 << index;
        tried = drawing.tried & bit != 0;
        drawing.tried |= bit;
    }

    function _entry(uint256 panel, uint256 index) private view returns (address) {
        return panel == 0 ? _pool[index + 1] : registry.panelMember(panel, index);
    }

    /// @dev The account's number; 0 if it cannot be drawn.
    function _drawable(Drawing memory drawing, address account) private view returns (uint256) {
        if (account == drawing.owner || account == drawing.scientist) return 0;
        Membership memory known = _memberships[account];
        if (!known.wasActiveBefore(drawing.openedBlock) || _wasSeated(drawing, known.number)) return 0;
        return known.number;
    }

    function _wasSeated(Drawing memory drawing, uint256 number) private pure returns (bool) {
        for (uint256 round = 0; round <= drawing.round; round++) {
            if (drawing.seats[round].holds(number)) return true;
        }
        return false;
    }

    function _addresses(uint256 seats, uint256 count) private view returns (address[] memory accounts) {
        accounts = new address[](count);
        for (uint256 seat = 0; seat < count; seat++) {
            accounts[seat] = _pool[seats.numberAt(seat)];
        }
    }

    // --- the verdict

    /// @dev What is compared: 31 bytes of a hash over outcome and trace, then the outcome.
    function _ballot(Outcome outcome, bytes32 trace) private pure returns (bytes32) {
        bytes32 hash = keccak256(abi.encode(outcome, trace));
        return bytes32((uint256(hash) & ~uint256(0xff)) | uint256(outcome));
    }

    function _outcomeOf(bytes32 ballot) private pure returns (Outcome) {
        return Outcome(uint8(uint256(ballot)));
    }

    function _inconclusive(uint16 absent) private pure returns (Ruling memory) {
        return Ruling(Outcome.Inconclusive, false, 0, 0, absent);
    }

    /// @dev Whoever trained segments again is paid, if its vote is not against the verdict. A Withheld vote takes no
    ///      work, so it earns nothing; else two who never look would agree on it.
    function _tally(AgreementId id, Audit storage known) private view returns (Ruling memory ruling) {
        bytes32[] memory ballots = _ballots(id, known);
        bytes32 winner = _winner(known, ballots);
        Outcome verdict = winner == 0 ? _withoutWinner(known, ballots) : _outcomeOf(winner);
        (ruling.verdict, ruling.quorum) = (verdict, verdict != Outcome.Inconclusive || winner != 0);
        ruling.absent = known.joined & ~known.revealed;
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            Outcome outcome = _outcomeOf(ballots[seat]);
            if (!_isReplay(outcome)) continue;
            uint16 bit = uint16(1 << seat);
            if (_isReplay(verdict) && ballots[seat] != winner) ruling.slashed |= bit;
            else if (verdict != Outcome.Withheld || outcome == Outcome.Mismatch) ruling.paid |= bit;
        }
    }

    /// @dev Where no votes of a quorum are equal, those against the owner count together: one colluder, and evidence
    ///      that one honest verifier cannot open, would let it go free.
    function _withoutWinner(Audit storage known, bytes32[] memory ballots) private view returns (Outcome) {
        uint256 count;
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            Outcome outcome = _outcomeOf(ballots[seat]);
            if (outcome == Outcome.Mismatch || outcome == Outcome.Withheld) count++;
        }
        return _isQuorum(known, count) ? Outcome.Withheld : Outcome.Inconclusive;
    }

    /// @dev The revealed votes; zero where a seat revealed none.
    function _ballots(AgreementId id, Audit storage known) private view returns (bytes32[] memory ballots) {
        uint16 revealed = known.revealed;
        ballots = new bytes32[](known.seats);
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            if (revealed >> seat & 1 == 1) ballots[seat] = _votes[id][seat];
        }
    }

    /// @dev The ballot of a quorum, of which there can be only one; zero if there is none.
    function _winner(Audit storage known, bytes32[] memory ballots) private view returns (bytes32) {
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            uint256 count;
            for (uint256 other = seat; other < ballots.length; other++) {
                if (ballots[other] == ballots[seat]) count++;
            }
            if (ballots[seat] != 0 && _isQuorum(known, count)) return ballots[seat];
        }
        return 0;
    }

    // --- effects and interactions

    /// @dev Whoever returns keeps its number.
    function _activate(address account) private returns (uint16 number) {
        Membership storage known = _memberships[account];
        number = known.number;
        if (number == 0) number = known.number = _enlist(account);
        (known.earlierSince, known.earlierUntil) = (known.since, known.until);
        (known.since, known.until) = (uint48(block.number), 0);
        _activeCount++;
    }

    function _deactivate(address account) private {
        Membership storage known = _memberships[account];
        if (known.until != 0) return;
        known.until = uint48(block.number);
        _activeCount--;
    }

    function _enlist(address account) private returns (uint16 number) {
        uint256 length = _poolLength;
        if (length == type(uint16).max) revert PoolIsFull(length);
        number = uint16(length + 1);
        _poolLength = number;
        _pool[number] = account;
    }

    function _enter(Audit storage known, Phase phase) private {
        known.phase = phase;
        known.deadline = uint40(block.timestamp + known.window);
    }

    function _beginRevealing(AgreementId id, Audit storage known) private {
        _enter(known, Phase.Revealing);

        emit RevealingBegan(id, known.round);
    }

    function _redraw(AgreementId id, Audit storage known, uint16 kept, uint16 absent) private {
        uint256 seats = _seats[id][known.round];
        known.round++;
        _seat(id, known, kept);
        _penalise(id, seats, absent);
    }

    function _conclude(AgreementId id, Audit storage known, Ruling memory ruling) private {
        uint256 seats = _seats[id][known.round];
        uint256 fee = _feePerSeat(id);
        known.verdict = ruling.verdict;
        bool awaitsKey = ruling.verdict == Outcome.Match && !known.disputed;
        _enter(known, awaitsKey ? Phase.Matched : Phase.Concluded);
        uint256 paidSeats = _reward(seats, ruling.paid, fee);
        uint256 taken = _take(id, seats, ruling.absent, fee) + _take(id, seats, ruling.slashed, FULL_STAKE);

        emit Concluded(id, known.round, ruling.verdict);

        _burn(taken);
        agreements.concludeAudit(id, ruling.verdict, paidSeats);
    }

    function _reward(uint256 seats, uint16 bitmap, uint256 fee) private returns (uint256 count) {
        for (uint256 seat = 0; bitmap >> seat != 0; seat++) {
            if (bitmap >> seat & 1 == 0) continue;
            _verifiers[_pool[seats.numberAt(seat)]].earned += uint96(fee);
            count++;
        }
    }

    /// @dev Burns the fee of each absent seat.
    function _penalise(AgreementId id, uint256 seats, uint16 absent) private {
        if (absent == 0) return;
        uint256 taken = _take(id, seats, absent, _feePerSeat(id));
        _burn(taken);
    }

    /// @dev Takes up to `amount` of the stake of each seat; what is left of it may be less, and that is all there is.
    function _take(AgreementId id, uint256 seats, uint16 bitmap, uint256 amount) private returns (uint256 sum) {
        for (uint256 seat = 0; bitmap >> seat != 0; seat++) {
            if (bitmap >> seat & 1 == 1) sum += _takeFrom(id, _pool[seats.numberAt(seat)], amount);
        }
    }

    function _takeFrom(AgreementId id, address account, uint256 amount) private returns (uint256 taken) {
        Verifier storage known = _verifiers[account];
        taken = Math.min(known.stake, amount);
        if (taken == 0) return 0;

        known.stake -= uint96(taken);
        _deactivate(account);

        emit Penalised(account, id, taken);
    }

    function _burn(uint256 amount) private {
        if (amount > 0) fitCoin.burn(amount);
    }
}
