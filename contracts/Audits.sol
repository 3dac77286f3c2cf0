// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {Contracts, IDirectory} from "./interfaces/IDirectory.sol";
import {IVerifiers} from "./interfaces/IVerifiers.sol";
import {Ballots} from "./libraries/Ballots.sol";
import {Seats} from "./libraries/Seats.sol";
import {SeedBlock} from "./libraries/SeedBlock.sol";
import {Transcript} from "./libraries/Transcript.sol";
import {Audit, AuditKind, Opening, Outcome, Phase, REDRAW_LIMIT, SeatSettlement} from "./types/Audit.sol";
import {
    CallerIsNotAgreements,
    CallerIsNotOwner,
    CallerIsNotScientist,
    DeadlineNotPassed,
    DeadlinePassed,
    ListedElsewhere,
    requireCid
} from "./types/Errors.sol";
import {AgreementId, AuditId, auditIdOf} from "./types/Ids.sol";

/// @title Audits
/// @notice Draws, votes and verdicts; what it promises stands in IAudits.
/// @dev Every function runs checks, effects, event, interaction in this order, but that a draw asks Verifiers and a
///      seat is reserved there first; whoever is called is known and calls nobody back. Money between the parties is
///      divided by Agreements, stakes and fees are kept by Verifiers.
contract Audits is IAudits {
    using Ballots for bytes32;
    using SafeCast for uint256;
    using Seats for uint256[3];

    /// @dev An audit under its name, handed from step to step.
    struct Hearing {
        AgreementId id;
        uint16 ordinal;
        AuditId key;
    }

    /// @dev Whom a vote pays and punishes, as bitmaps of seats.
    struct Ruling {
        Outcome verdict;
        uint16 paid;
        uint16 slashed;
        uint16 absent;
    }

    /// @dev What a seat that joined and was absent loses of its stake.
    uint80 private constant ABSENCE_PART = 10;

    IAgreements public immutable agreements;
    IVerifiers public immutable verifiers;
    uint256 public immutable turnBlocks;

    uint40 public opened;
    mapping(AuditId key => Audit) private _audits;
    mapping(AuditId key => uint256[3]) private _seats;
    mapping(AuditId key => mapping(uint256 seat => bytes32)) private _ballots;
    mapping(AuditId key => bytes32[2]) private _fixedHashes;

    constructor(IDirectory directory, uint256 turnBlocks_) {
        Contracts memory listed = directory.contracts();
        if (listed.audits != address(this)) revert ListedElsewhere(address(this), listed.audits);
        SeedBlock.requireHistory();
        agreements = IAgreements(listed.agreements);
        verifiers = IVerifiers(listed.verifiers);
        turnBlocks = turnBlocks_;
    }

    // --- opening and draw

    /// @inheritdoc IAudits
    function open(AgreementId id, uint16 ordinal, Opening calldata opening) external {
        if (msg.sender != address(agreements)) revert CallerIsNotAgreements(msg.sender, address(agreements));
        Audit storage known = _audits[auditIdOf(id, ordinal)];
        uint40 deadline = (block.timestamp + opening.wait).toUint40();
        uint40 number = ++opened;

        (known.phase, known.kind, known.seats) = (Phase.Awaiting, opening.kind, opening.seats);
        (known.window, known.audited, known.complained) = (opening.window, opening.audited, opening.complained);
        (known.deadline, known.waitDeadline) = (deadline, deadline);
        (known.feePerSeat, known.seatStake) = (opening.feePerSeat, opening.seatStake);
        (known.openedBlock, known.opening) = (block.number.toUint40(), number);
        known.seed = opening.nonceCommitment;

        emit AuditOpened(id, ordinal, number, deadline);
    }

    /// @inheritdoc IAudits
    function fix(AgreementId id, uint16 ordinal) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireStep(hearing, known, Phase.Awaiting);
        bytes32[2] storage kept = _fixedHashes[hearing.key];
        bytes32 openedHash = kept[0] == 0 ? _earlierHash(known.openedBlock) : bytes32(0);
        bytes32 turnHash = kept[1] == 0 ? _earlierHash(known.openedBlock + turnBlocks) : bytes32(0);
        if (openedHash == 0 && turnHash == 0) revert NothingToFix(id, ordinal);

        if (openedHash != 0) kept[0] = openedHash;
        if (turnHash != 0) kept[1] = turnHash;

        emit HashesFixed(id, ordinal, openedHash, turnHash);
    }

    /// @inheritdoc IAudits
    function draw(AgreementId id, uint16 ordinal, bytes32 nonce) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        Phase phase = known.phase;
        uint256[3] memory seats_;
        if (phase != Phase.Awaiting) seats_ = _load(hearing, known);
        if (phase == Phase.Awaiting) {
            _requireInTime(known.deadline);
            known.seed = _seedOf(hearing, known, nonce);
            _enter(known, Phase.Joining);
        } else if (phase == Phase.Waiting) {
            if (block.timestamp <= known.deadline) revert DeadlineNotPassed(known.deadline, block.timestamp);
            _requireInTime(known.waitDeadline);
            seats_.rewind(known.seats);
            _enter(known, Phase.Joining);
        } else {
            _requireStep(hearing, known, Phase.Joining);
            _requireInTime(known.waitDeadline); // else whoever declines could prolong joining without end
            if (seats_.taken(known.seats) == _everySeat(known) || _isExhausted(hearing, seats_)) {
                revert PhaseForbids(id, ordinal, phase);
            }
        }

        _drawInto(hearing, known, seats_, _emptySeats(known, seats_));
    }

    // --- the seats' and the owner's steps

    /// @inheritdoc IAudits
    function join(AgreementId id, uint16 ordinal, uint8 seat, bytes26 link, bytes32 recipient) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireStep(hearing, known, Phase.Joining);
        uint16 joined = known.joined;
        uint16 bit = _bitOf(known, seat);
        if (joined & bit != 0) revert SeatActedAlready(id, seat);
        if (recipient == 0) revert RecipientIsZero();
        verifiers.engage(_load(hearing, known).numberAt(seat), msg.sender, known.seatStake, known.opening, link);

        joined |= bit;
        known.joined = joined;
        _ballots[hearing.key][seat] = Ballots.joined(msg.sender, link);

        emit Joined(id, ordinal, seat, msg.sender, link, recipient);

        if (joined == _everySeat(known)) _awaitEvidence(hearing, known);
    }

    /// @inheritdoc IAudits
    function decline(AgreementId id, uint16 ordinal, uint8 seat) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireStep(hearing, known, Phase.Joining);
        uint16 bit = _bitOf(known, seat);
        if (known.joined & bit != 0) revert SeatActedAlready(id, seat);
        uint256[3] memory seats_ = _load(hearing, known);
        uint32 number = seats_.numberAt(seat);
        if (number == 0 || verifiers.numberOf(msg.sender) != number) revert CallerIsNotSeated(msg.sender, seat);

        emit Declined(id, ordinal, seat, msg.sender);

        seats_.clear(known.seats, bit);
        if (block.timestamp > known.waitDeadline) _store(hearing, known, seats_);
        else _drawInto(hearing, known, seats_, bit);
    }

    /// @inheritdoc IAudits
    function submit(AgreementId id, uint16 ordinal, bytes calldata evidenceCid) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireStep(hearing, known, Phase.Evidence);
        (address owner,) = agreements.parties(id);
        if (msg.sender != owner) revert CallerIsNotOwner(msg.sender, owner);
        requireCid(evidenceCid);

        known.submitted = true;
        _enter(known, Phase.Committing);

        emit EvidenceSubmitted(id, ordinal, known.round, evidenceCid);
    }

    /// @inheritdoc IAudits
    function commit(AgreementId id, uint16 ordinal, uint8 seat, bytes32 commitment) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireStep(hearing, known, Phase.Committing);
        uint16 bit = _bitOf(known, seat);
        (uint16 joined, uint16 committed) = (known.joined, known.committed);
        if (joined & bit == 0) revert SeatHasNotJoined(id, seat);
        if (committed & bit != 0) revert SeatActedAlready(id, seat);
        if (commitment == 0) revert CommitmentIsZero();
        bytes32 ballot = _ballots[hearing.key][seat];
        if (ballot.accountOf() != msg.sender) revert CallerIsNotSeated(msg.sender, seat);

        committed |= bit;
        known.committed = committed;
        _ballots[hearing.key][seat] = commitment;

        emit Committed(id, ordinal, known.round, seat);

        if (committed == joined) _beginRevealing(hearing, known);
    }

    /// @inheritdoc IAudits
    function reveal(AgreementId id, uint16 ordinal, uint8 seat, Outcome outcome, bytes32 trace, bytes32 salt) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireStep(hearing, known, Phase.Revealing);
        uint16 bit = _bitOf(known, seat);
        (uint16 revealed, uint8 round) = (known.revealed, known.round);
        if (known.committed & bit == 0) revert SeatHasNotCommitted(id, seat);
        if (revealed & bit != 0) revert SeatActedAlready(id, seat);
        _requireTrace(hearing, known, outcome, trace);
        bytes32 vote = keccak256(abi.encode(hearing.key, round, msg.sender, outcome, trace, salt));
        bytes32 committed = _ballots[hearing.key][seat];
        if (vote != committed) revert VoteDiffers(vote, committed);

        known.revealed = revealed | bit;
        _ballots[hearing.key][seat] = Ballots.revealed(msg.sender, outcome, trace);

        emit Revealed(id, ordinal, round, seat, msg.sender, outcome, trace);
    }

    // --- the release of the key

    /// @inheritdoc IAudits
    function release(AgreementId id, uint16 ordinal, bytes calldata identityCid) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        if (known.phase == Phase.Revealing && _isComplete(hearing, known)) _closeRevealing(hearing, known);
        Phase phase = _requireReleasing(hearing, known);
        requireCid(identityCid);
        (address owner,) = agreements.parties(id);
        if (msg.sender != owner) known.released |= _releasingSeat(hearing, known);

        known.phase = Phase.Released;

        emit Released(id, ordinal, msg.sender, identityCid);

        if (phase == Phase.Matched) agreements.settleMatched(id);
    }

    /// @inheritdoc IAudits
    function complain(AgreementId id, uint16 ordinal) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        _requireReleasing(hearing, known);
        (, address scientist) = agreements.parties(id);
        if (msg.sender != scientist) revert CallerIsNotScientist(msg.sender, scientist);
        if (known.complained) revert ComplainedAlready(id, ordinal);

        known.complained = true;
        // Never earlier: else a complaint would halve the time in which the owner has to release.
        known.deadline = uint40(Math.max(known.deadline, block.timestamp + known.window / 2));

        emit Complained(id, ordinal, known.deadline);
    }

    /// @inheritdoc IAudits
    function acceptRelease(AgreementId id, uint16 ordinal) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        Phase phase = _requireReleasing(hearing, known);
        if (known.complained) revert ComplainedAlready(id, ordinal); // else the seats would lose their turn

        known.phase = Phase.Released;
        if (phase == Phase.Matched) agreements.settleMatched(id);
        _closeRelease(hearing, known, msg.sender);
    }

    // --- the way out

    /// @inheritdoc IAudits
    function advance(AgreementId id, uint16 ordinal) external {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        Phase phase = known.phase;
        bool isLate = block.timestamp > (phase == Phase.Waiting ? known.waitDeadline : known.deadline);
        if (!isLate && !_isComplete(hearing, known)) revert DeadlineNotPassed(known.deadline, block.timestamp);

        if (phase == Phase.Awaiting || phase == Phase.Waiting) _conclude(hearing, known, _inconclusive(0));
        else if (phase == Phase.Joining) _closeJoining(hearing, known);
        else if (phase == Phase.Evidence) _closeEvidence(hearing, known);
        else if (phase == Phase.Committing) _closeCommitting(hearing, known);
        else if (phase == Phase.Revealing) _closeRevealing(hearing, known);
        else if (phase == Phase.Matched || phase == Phase.Released) _closeRelease(hearing, known, address(0));
        else revert PhaseForbids(id, ordinal, phase);
    }

    /// @dev Whether nobody is left who could act in this phase.
    function _isComplete(Hearing memory hearing, Audit storage known) private view returns (bool) {
        if (known.phase == Phase.Revealing) return known.revealed == known.committed;
        if (known.phase != Phase.Joining) return false;
        uint256[3] memory seats_ = _load(hearing, known);
        return seats_.taken(known.seats) == known.joined && _isExhausted(hearing, seats_);
    }

    /// @dev Who is silent is away. While the wait lasts and places are left, all empty seats are drawn anew.
    function _closeJoining(Hearing memory hearing, Audit storage known) private {
        uint256[3] memory seats_ = _load(hearing, known);
        uint16 joined = known.joined;
        uint16 silent = seats_.taken(known.seats) & ~joined;
        for (uint256 seat = 0; silent >> seat != 0; seat++) {
            if (silent >> seat & 1 == 1) verifiers.dismiss(seats_.numberAt(seat));
        }
        seats_.clear(known.seats, silent);

        bool mayWait = block.timestamp <= known.waitDeadline;
        if (mayWait && joined != _everySeat(known) && !_isExhausted(hearing, seats_)) {
            _drawInto(hearing, known, seats_, _emptySeats(known, seats_));
            return;
        }
        _store(hearing, known, seats_);
        if (_isQuorum(known, _count(joined))) {
            _awaitEvidence(hearing, known);
        } else if (mayWait) {
            _enter(known, Phase.Waiting);
            emit WaitingBegan(hearing.id, hearing.ordinal, known.deadline);
        } else {
            _conclude(hearing, known, _inconclusive(0));
        }
    }

    /// @dev Evidence that was submitted to these seats before still stands.
    function _closeEvidence(Hearing memory hearing, Audit storage known) private {
        if (known.submitted) {
            _enter(known, Phase.Committing);
        } else if (!known.withheldBefore) {
            known.withheldBefore = true;
            _awaitEvidenceAgain(hearing, known);
        } else {
            _conclude(hearing, known, Ruling(Outcome.Withheld, 0, 0, 0));
        }
    }

    function _closeCommitting(Hearing memory hearing, Audit storage known) private {
        uint16 committed = known.committed;
        if (_isQuorum(known, _count(committed))) {
            _beginRevealing(hearing, known);
            return;
        }
        uint16 absent = known.joined & ~committed;
        if (known.redraws < REDRAW_LIMIT) _redraw(hearing, known, absent, false);
        else _conclude(hearing, known, _inconclusive(absent));
    }

    /// @dev Withheld is a verdict only the second time: else whoever cuts an owner's line for a window takes its bond.
    function _closeRevealing(Hearing memory hearing, Audit storage known) private {
        (Ruling memory ruling, bool isWithheld) = _tally(hearing, known);
        bool mayRedraw = ruling.absent != 0 && known.redraws < REDRAW_LIMIT;
        if (ruling.verdict == Outcome.Match || ruling.verdict == Outcome.Mismatch) {
            _conclude(hearing, known, ruling);
        } else if (isWithheld && known.withheldBefore) {
            ruling.verdict = Outcome.Withheld;
            _conclude(hearing, known, ruling);
        } else if (mayRedraw) {
            if (isWithheld) known.withheldBefore = true;
            _redraw(hearing, known, ruling.absent, true);
        } else if (isWithheld) {
            known.withheldBefore = true;
            _voteAnew(hearing, known, ruling.absent, true);
            _awaitEvidenceAgain(hearing, known);
        } else {
            _conclude(hearing, known, ruling);
        }
    }

    /// @dev The seats that voted for the Match are paid; after a complaint those that released by the end of the
    ///      window.
    function _closeRelease(Hearing memory hearing, Audit storage known, address accepting) private {
        bool settled = known.phase == Phase.Released;
        (uint16 matching, uint16 released) = (known.joined, known.released);
        uint16 paid = known.complained ? matching & released : matching;

        known.phase = Phase.Concluded;
        if (!settled) {
            known.verdict = Outcome.Withheld;
            emit Concluded(hearing.id, hearing.ordinal, known.round, Outcome.Withheld);
        }

        emit ReleaseClosed(hearing.id, hearing.ordinal, paid);

        agreements.closeMatched(
            hearing.id,
            known.kind,
            known.feePerSeat,
            known.seats,
            _count(matching),
            _count(paid),
            settled,
            released != 0,
            accepting
        );
        _settle(hearing, known, matching, Ruling(known.verdict, paid, 0, 0));
    }

    // --- views

    /// @inheritdoc IAudits
    function audit(AgreementId id, uint16 ordinal) external view returns (Audit memory) {
        return _audits[auditIdOf(id, ordinal)];
    }

    /// @inheritdoc IAudits
    function seated(AgreementId id, uint16 ordinal) external view returns (address[] memory) {
        AuditId key = auditIdOf(id, ordinal);
        uint256[3] memory seats_ = _seats[key];
        uint32[] memory numbers = new uint32[](_audits[key].seats);
        for (uint256 seat = 0; seat < numbers.length; seat++) {
            numbers[seat] = seats_.numberAt(seat);
        }
        return verifiers.accountsOf(numbers);
    }

    /// @inheritdoc IAudits
    function seats(AgreementId id, uint16 ordinal) external view returns (uint256[3] memory) {
        return _seats[auditIdOf(id, ordinal)];
    }

    /// @inheritdoc IAudits
    function fixedHashes(AgreementId id, uint16 ordinal) external view returns (bytes32 openedHash, bytes32 turnHash) {
        bytes32[2] storage kept = _fixedHashes[auditIdOf(id, ordinal)];
        return (kept[0], kept[1]);
    }

    /// @inheritdoc IAudits
    function emptyTrace(AgreementId id, uint16 ordinal) external view returns (bytes32) {
        (Hearing memory hearing, Audit storage known) = _hearing(id, ordinal);
        return _emptyTrace(hearing, known);
    }

    // --- checks

    function _hearing(AgreementId id, uint16 ordinal)
        private
        view
        returns (Hearing memory hearing, Audit storage known)
    {
        hearing = Hearing(id, ordinal, auditIdOf(id, ordinal));
        known = _audits[hearing.key];
    }

    function _requirePhase(Hearing memory hearing, Audit storage known, Phase phase) private view {
        if (known.phase != phase) revert PhaseForbids(hearing.id, hearing.ordinal, known.phase);
    }

    function _requireStep(Hearing memory hearing, Audit storage known, Phase phase) private view {
        _requirePhase(hearing, known, phase);
        _requireInTime(known.deadline);
    }

    function _requireReleasing(Hearing memory hearing, Audit storage known) private view returns (Phase phase) {
        phase = known.phase;
        if (phase != Phase.Matched && phase != Phase.Released) {
            revert PhaseForbids(hearing.id, hearing.ordinal, phase);
        }
        _requireInTime(known.deadline);
    }

    function _requireInTime(uint256 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
    }

    /// @dev Nobody sits beyond the last seat.
    function _bitOf(Audit storage known, uint8 seat) private view returns (uint16) {
        if (seat >= known.seats) revert CallerIsNotSeated(msg.sender, seat);
        return uint16(1) << seat;
    }

    /// @dev No vote that takes no work is paid or slashes.
    function _requireTrace(Hearing memory hearing, Audit storage known, Outcome outcome, bytes32 trace) private view {
        bool isReplay = _isReplay(outcome);
        if (outcome == Outcome.None || isReplay == (trace == 0)) revert TraceRefused(outcome, trace);
        if (isReplay && trace == _emptyTrace(hearing, known)) revert TraceTakesNoReplay(trace);
    }

    function _emptyTrace(Hearing memory hearing, Audit storage known) private view returns (bytes32) {
        return Transcript.emptyTrace(AuditId.unwrap(hearing.key), known.round, known.audited);
    }

    /// @dev A seat of the Match that has not released yet, once it is its turn.
    function _releasingSeat(Hearing memory hearing, Audit storage known) private view returns (uint16 bit) {
        uint16 matching = known.joined;
        for (uint8 seat = 0; matching >> seat != 0; seat++) {
            bit = uint16(1) << seat;
            if (matching & bit == 0 || _ballots[hearing.key][seat].accountOf() != msg.sender) continue;
            if (known.released & bit != 0) revert SeatActedAlready(hearing.id, seat);
            uint256 until = known.deadline - known.window / 2;
            if (!known.complained && block.timestamp <= until) revert ReleaseIsOwners(until, block.timestamp);
            return bit;
        }
        revert CallerHasNoKey(msg.sender);
    }

    function _emptySeats(Audit storage known, uint256[3] memory seats_) private view returns (uint256) {
        return _everySeat(known) & ~seats_.taken(known.seats);
    }

    function _everySeat(Audit storage known) private view returns (uint16) {
        return uint16((uint256(1) << known.seats) - 1);
    }

    function _isQuorum(Audit storage known, uint256 count) private view returns (bool) {
        return 2 * count > known.seats;
    }

    function _isReplay(Outcome outcome) private pure returns (bool) {
        return outcome == Outcome.Match || outcome == Outcome.Mismatch;
    }

    function _count(uint16 bitmap) private pure returns (uint256 count) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            count++;
        }
    }

    // --- the draw

    /// @dev Neither an owner with a block builder nor the asker sees the jury before it is bound to it: the asker by
    ///      its commitment, and by the end of its turn before the hash that would replace its nonce is known.
    function _seedOf(Hearing memory hearing, Audit storage known, bytes32 nonce) private view returns (bytes32) {
        bytes32[2] storage kept = _fixedHashes[hearing.key];
        uint256 lastBlock = known.openedBlock + turnBlocks;
        bytes32 openedHash = _hashOf(kept[0], known.openedBlock);
        if (block.number > lastBlock) {
            nonce = _hashOf(kept[1], lastBlock);
        } else {
            bytes32 commitment = keccak256(abi.encode(nonce));
            if (commitment != known.seed) revert NonceDiffers(commitment, known.seed);
        }
        return keccak256(abi.encode(hearing.key, openedHash, nonce));
    }

    function _hashOf(bytes32 kept, uint256 number) private view returns (bytes32 found) {
        if (number >= block.number) revert BlockIsCurrent(number);
        found = kept != 0 ? kept : SeedBlock.hashOf(number);
        if (found == 0) revert BlockForgotten(number);
    }

    function _earlierHash(uint256 number) private view returns (bytes32) {
        return number < block.number ? SeedBlock.hashOf(number) : bytes32(0);
    }

    /// @dev Draws for the empty seats `wanted`; whoever is found has a whole window to join.
    function _drawInto(Hearing memory hearing, Audit storage known, uint256[3] memory seats_, uint256 wanted) private {
        uint8 count = known.seats;
        address[] memory drawn;
        (seats_, drawn) =
            verifiers.draw(agreements.jury(hearing.id, hearing.ordinal), known.seed, count, seats_, wanted);
        _store(hearing, known, seats_);
        if (wanted & seats_.taken(count) != 0) _enter(known, Phase.Joining);

        emit Drawn(hearing.id, hearing.ordinal, known.round, known.seed, drawn);
    }

    /// @dev Only words that hold a seat are read and written.
    function _load(Hearing memory hearing, Audit storage known) private view returns (uint256[3] memory seats_) {
        uint256[3] storage kept = _seats[hearing.key];
        seats_[0] = kept[0];
        if (known.seats > 5) seats_[1] = kept[1];
        if (known.seats > 10) seats_[2] = kept[2];
    }

    function _store(Hearing memory hearing, Audit storage known, uint256[3] memory seats_) private {
        uint256[3] storage kept = _seats[hearing.key];
        kept[0] = seats_[0];
        if (known.seats > 5) kept[1] = seats_[1];
        if (known.seats > 10) kept[2] = seats_[2];
    }

    /// @dev Whether every position was looked at.
    function _isExhausted(Hearing memory hearing, uint256[3] memory seats_) private view returns (bool) {
        return seats_.back() >= agreements.jury(hearing.id, hearing.ordinal).places;
    }

    // --- the tally

    function _inconclusive(uint16 absent) private pure returns (Ruling memory) {
        return Ruling(Outcome.Inconclusive, 0, 0, absent);
    }

    /// @dev Paid is a Match or Mismatch in a quorum of its outcome and trace, slashed one against such a quorum: both
    ///      take a replay. Whoever says that it cannot judge counts as absent. Where no such votes are a quorum,
    ///      Withheld and Mismatch are counted together: one colluder, and evidence that one honest verifier cannot
    ///      open, would let an owner go free.
    function _tally(Hearing memory hearing, Audit storage known)
        private
        view
        returns (Ruling memory ruling, bool isWithheld)
    {
        bytes32[] memory ballots = _revealedBallots(hearing, known);
        uint256 winner = _winner(known, ballots);
        uint256 against;
        uint256 withheld;
        ruling.verdict = winner == 0 ? Outcome.Inconclusive : Outcome(uint8(winner));
        ruling.absent = known.joined & ~known.revealed;
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            Outcome outcome = ballots[seat].outcomeOf();
            uint16 bit = uint16(1 << seat);
            if (outcome == Outcome.Inconclusive) ruling.absent |= bit;
            if (outcome == Outcome.Withheld) withheld++;
            if (outcome == Outcome.Withheld || outcome == Outcome.Mismatch) against++;
            if (winner == 0 || !_isReplay(outcome)) continue;
            if (ballots[seat].voteOf() == winner) ruling.paid |= bit;
            else ruling.slashed |= bit;
        }
        isWithheld = _isQuorum(known, against) && (withheld > 0 || known.withheldBefore);
    }

    /// @dev The revealed votes; zero where a seat revealed none.
    function _revealedBallots(Hearing memory hearing, Audit storage known)
        private
        view
        returns (bytes32[] memory ballots)
    {
        uint16 revealed = known.revealed;
        ballots = new bytes32[](known.seats);
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            if (revealed >> seat & 1 == 1) ballots[seat] = _ballots[hearing.key][seat];
        }
    }

    /// @dev The Match or Mismatch of a quorum, of which there can be only one; zero if there is none.
    function _winner(Audit storage known, bytes32[] memory ballots) private view returns (uint256) {
        for (uint256 seat = 0; seat < ballots.length; seat++) {
            if (!_isReplay(ballots[seat].outcomeOf())) continue;
            uint256 vote = ballots[seat].voteOf();
            uint256 count;
            for (uint256 other = seat; other < ballots.length; other++) {
                if (ballots[other].voteOf() == vote) count++;
            }
            if (_isQuorum(known, count)) return vote;
        }
        return 0;
    }

    // --- effects and interactions

    function _enter(Audit storage known, Phase phase) private {
        known.phase = phase;
        known.deadline = (block.timestamp + known.window).toUint40();
    }

    /// @dev What is audited is fixed when joining first closes: whoever joins last can only stay away.
    function _awaitEvidence(Hearing memory hearing, Audit storage known) private {
        if (!known.segmentsFixed) {
            known.segmentsFixed = true;
            emit SegmentsFixed(hearing.id, hearing.ordinal, _segmentSeed(hearing, known));
        }
        known.submitted = false;
        _awaitEvidenceAgain(hearing, known);
    }

    function _awaitEvidenceAgain(Hearing memory hearing, Audit storage known) private {
        _enter(known, Phase.Evidence);

        emit EvidenceAwaited(hearing.id, hearing.ordinal, known.round, known.joined, known.deadline);
    }

    function _segmentSeed(Hearing memory hearing, Audit storage known) private view returns (bytes32) {
        uint16 joined = known.joined;
        bytes memory preimages = abi.encodePacked(known.seed);
        for (uint256 seat = 0; seat < known.seats; seat++) {
            bytes12 link = joined >> seat & 1 == 1 ? _ballots[hearing.key][seat].linkOf() : bytes12(0);
            preimages = bytes.concat(preimages, link);
        }
        return keccak256(preimages);
    }

    function _beginRevealing(Hearing memory hearing, Audit storage known) private {
        _enter(known, Phase.Revealing);

        emit RevealingBegan(hearing.id, hearing.ordinal, known.round);
    }

    /// @dev Absent seats are drawn anew and everyone votes again, over new evidence.
    /// @param areRevealed Whether the others' votes are revealed, else they are commitments.
    function _redraw(Hearing memory hearing, Audit storage known, uint16 absent, bool areRevealed) private {
        _voteAnew(hearing, known, absent, areRevealed);
        known.redraws++;
        known.submitted = false;
        _enter(known, Phase.Joining);
        known.waitDeadline = uint40(Math.max(known.waitDeadline, known.deadline));
        uint256[3] memory seats_ = _load(hearing, known);
        _drawInto(hearing, known, seats_, _emptySeats(known, seats_));
    }

    /// @dev Absent seats lose their part and are empty; the others stay.
    function _voteAnew(Hearing memory hearing, Audit storage known, uint16 absent, bool areRevealed) private {
        uint16 kept = known.joined & ~absent;
        uint256[3] memory seats_ = _load(hearing, known);
        address[] memory accounts = areRevealed ? new address[](0) : this.seated(hearing.id, hearing.ordinal);
        for (uint256 seat = 0; kept >> seat != 0; seat++) {
            if (kept >> seat & 1 == 0) continue;
            bytes32 ballot = _ballots[hearing.key][seat];
            _ballots[hearing.key][seat] = Ballots.seated(areRevealed ? ballot.accountOf() : accounts[seat]);
        }
        _settle(hearing, known, absent, _inconclusive(absent));
        seats_.clear(known.seats, absent);
        _store(hearing, known, seats_);
        known.round++;
        (known.joined, known.committed, known.revealed) = (kept, 0, 0);
    }

    /// @dev After a Match of the terms or of a dispute the seats that voted for it keep the key, and their stake
    ///      stays reserved, until the release window is over; everything else is divided at once.
    function _conclude(Hearing memory hearing, Audit storage known, Ruling memory ruling) private {
        uint16 joined = known.joined;
        bool awaitsKey = ruling.verdict == Outcome.Match && known.kind != AuditKind.Again;
        known.verdict = ruling.verdict;
        _enter(known, awaitsKey ? Phase.Matched : Phase.Concluded);
        if (awaitsKey) known.joined = ruling.paid;

        emit Concluded(hearing.id, hearing.ordinal, known.round, ruling.verdict);

        if (awaitsKey) {
            _settle(hearing, known, joined & ~ruling.paid, ruling);
        } else {
            agreements.concludeAudit(
                hearing.id,
                hearing.ordinal,
                known.kind,
                ruling.verdict,
                known.feePerSeat,
                known.seats,
                _count(ruling.paid)
            );
            _settle(hearing, known, joined, ruling);
        }
    }

    /// @dev The stake of each seat of `bitmap` is free again, less what it loses: all of it against a quorum, a tenth
    ///      where it was absent; nobody else loses anything.
    function _settle(Hearing memory hearing, Audit storage known, uint16 bitmap, Ruling memory ruling) private {
        if (bitmap == 0) return;
        uint256[3] memory seats_ = _load(hearing, known);
        (uint80 fee, uint80 seatStake) = (known.feePerSeat, known.seatStake);
        SeatSettlement[] memory settlements = new SeatSettlement[](_count(bitmap));
        uint256 next;
        for (uint256 seat = 0; bitmap >> seat != 0; seat++) {
            if (bitmap >> seat & 1 == 0) continue;
            uint80 lost = ruling.slashed >> seat & 1 == 1
                ? seatStake
                : ruling.absent >> seat & 1 == 1 ? seatStake / ABSENCE_PART : 0;
            uint80 earned = ruling.paid >> seat & 1 == 1 ? fee : 0;
            settlements[next++] = SeatSettlement(seats_.numberAt(seat), seatStake, lost, earned);
        }
        verifiers.settle(settlements);
    }
}
