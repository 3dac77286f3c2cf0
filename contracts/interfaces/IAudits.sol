// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Audit, Opening, Outcome, Phase} from "../types/Audit.sol";
import {AgreementId} from "../types/Ids.sol";
import {IAgreements} from "./IAgreements.sol";
import {IVerifiers} from "./IVerifiers.sol";

/// @title Audits
/// @notice Draws, evidence, votes, verdicts and the release of keys. An audit is named by its agreement and its
///         ordinal.
/// @dev | phase      | steps in time                                | on time-out: `advance`, by anyone              |
///      |------------|----------------------------------------------|------------------------------------------------|
///      | Awaiting   | `draw`: with the asker's nonce within the    | Inconclusive                                   |
///      |            | turn, by anyone after it -> Joining          |                                                |
///      | Joining    | seats: `join`, `decline`, which draws anew;  | who is silent is away, and drawn anew; after   |
///      |            | all that can be filled joined -> Evidence    | the wait: Evidence with a quorum, else         |
///      |            | with a quorum, else Waiting                  | Inconclusive                                   |
///      | Waiting    | anyone: `draw`, once a window -> Joining     | after the wait Inconclusive                    |
///      | Evidence   | owner: `submit` -> Committing                | the first time Evidence once more, then        |
///      |            |                                              | Withheld; Committing if it submitted before    |
///      | Committing | seats: `commit`; all committed -> Revealing  | Revealing with a quorum; else redraw           |
///      |            |                                              | -> Joining, after two redraws Inconclusive     |
///      | Revealing  | seats: `reveal`                              | a quorum's outcome; a first Withheld leads     |
///      |            |                                              | back to Evidence; else redraw -> Joining if    |
///      |            |                                              | a seat is absent, else Inconclusive            |
///      | Matched    | `release` -> Released; `complain`;           | Concluded; the bond is forfeited               |
///      |            | scientist: `acceptRelease` -> Concluded      |                                                |
///      | Released   | `release`; `complain`; `acceptRelease`       | Concluded                                      |
///      A phase lasts one window from its beginning; a step is in time up to and including the deadline. `advance`
///      works at once where nobody is left who could act. A quorum is floor(m / 2) + 1 of all m seats with equal
///      outcome and trace.
///      | vote                                               | fee           | stake of the seat            |
///      |----------------------------------------------------|---------------|------------------------------|
///      | Match or Mismatch, in a quorum of its outcome and trace | paid     | back                         |
///      | Match or Mismatch, against such a quorum           | none          | burned                       |
///      | Match or Mismatch, without such a quorum           | none          | back                         |
///      | Withheld                                           | none          | back                         |
///      | Inconclusive, or joined and absent                 | none          | a tenth burned               |
///      A Withheld of a quorum, or of Withheld and Mismatch together, is not yet a verdict: the same seats stand one
///      window more, in which the owner may submit again, and vote anew. Only the second is one, and only there the
///      two count together.
/// @dev Warning: whoever joins a seat and then does not vote loses a tenth of the seat's stake; whoever votes Match
///      or Mismatch without having replayed loses all of it.
/// @dev Warning: evidence goes to the recipients of `Joined` and to nobody else; a recipient that is posted again by
///      another account is not the seat's.
/// @dev Warning: an owner that lets two evidence windows pass forfeits its bond.
/// @dev Warning: nobody is paid who waits for the hash of the opening block longer than the chain serves it; anybody
///      may `fix`.
/// @dev Warning: an asker may let its turn pass; whoever wants a verdict then draws before the wait is over, so a wait
///      has to be longer than a turn by more than a pod may be away.
interface IAudits {
    /// @notice An audit, the deployment's opening `number`, awaits its draw by the hash of this block and the asker's
    ///         nonce.
    event AuditOpened(AgreementId indexed id, uint16 ordinal, uint40 number, uint256 waitDeadline);
    /// @notice Hashes are kept, whatever the chain forgets; zero: not this one.
    event HashesFixed(AgreementId indexed id, uint16 ordinal, bytes32 openedHash, bytes32 turnHash);
    /// @notice Who was drawn now; zero: the seat stays as it is, or nobody was found.
    event Drawn(AgreementId indexed id, uint16 ordinal, uint8 round, bytes32 seed, address[] drawn);
    /// @notice A verifier takes its seat; `recipient` is the raw X25519 key that evidence is sealed to.
    event Joined(
        AgreementId indexed id, uint16 ordinal, uint8 seat, address indexed verifier, bytes26 link, bytes32 recipient
    );
    /// @notice A verifier gives its seat back.
    event Declined(AgreementId indexed id, uint16 ordinal, uint8 seat, address indexed verifier);
    /// @notice What is audited follows from `segmentSeed`, in this round and in later ones.
    event SegmentsFixed(AgreementId indexed id, uint16 ordinal, bytes32 segmentSeed);
    /// @notice Nobody more can be found now; anyone may draw again from `deadline` on.
    event WaitingBegan(AgreementId indexed id, uint16 ordinal, uint256 deadline);
    /// @notice The owner may submit its evidence, sealed to the seats that joined, until `deadline`.
    event EvidenceAwaited(AgreementId indexed id, uint16 ordinal, uint8 round, uint16 joined, uint256 deadline);
    /// @notice The owner gave its evidence.
    event EvidenceSubmitted(AgreementId indexed id, uint16 ordinal, uint8 round, bytes evidenceCid);
    /// @notice A verifier committed to a vote.
    event Committed(AgreementId indexed id, uint16 ordinal, uint8 round, uint8 seat);
    /// @notice No more commitments; votes can be revealed.
    event RevealingBegan(AgreementId indexed id, uint16 ordinal, uint8 round);
    /// @notice A verifier revealed its vote.
    event Revealed(
        AgreementId indexed id,
        uint16 ordinal,
        uint8 round,
        uint8 seat,
        address indexed verifier,
        Outcome outcome,
        bytes32 trace
    );
    /// @notice The audit has a verdict. A Match whose key nobody releases in time is followed by Withheld.
    event Concluded(AgreementId indexed id, uint16 ordinal, uint8 round, Outcome verdict);
    /// @notice The scientist says that no release so far opens the delivery; seats are paid that release until
    ///         `deadline`.
    event Complained(AgreementId indexed id, uint16 ordinal, uint256 deadline);
    /// @notice The job's identity, sealed to the scientist.
    event Released(AgreementId indexed id, uint16 ordinal, address indexed by, bytes identityCid);
    /// @notice The release window is over: the seats of `paid` are paid for their Match.
    event ReleaseClosed(AgreementId indexed id, uint16 ordinal, uint16 paid);

    /// @notice The audit's phase does not allow the call.
    error PhaseForbids(AgreementId id, uint16 ordinal, Phase phase);
    /// @notice A block's hash is known from the next block on.
    error BlockIsCurrent(uint256 number);
    /// @notice The chain has forgotten the block, and nobody fixed its hash.
    error BlockForgotten(uint256 number);
    /// @notice Both hashes are kept, or not yet known.
    error NothingToFix(AgreementId id, uint16 ordinal);
    /// @notice The nonce is not the one that the asker committed to.
    error NonceDiffers(bytes32 commitment, bytes32 agreed);
    /// @notice The seat is another verifier's, or nobody's.
    error CallerIsNotSeated(address caller, uint8 seat);
    /// @notice The seat joined, committed, revealed or released already.
    error SeatActedAlready(AgreementId id, uint8 seat);
    /// @notice The seat did not join.
    error SeatHasNotJoined(AgreementId id, uint8 seat);
    /// @notice The seat did not commit to a vote in this round.
    error SeatHasNotCommitted(AgreementId id, uint8 seat);
    /// @notice Evidence needs somebody to be sealed to.
    error RecipientIsZero();
    /// @notice A commitment is a hash, not zero.
    error CommitmentIsZero();
    /// @notice Only a replay has a trace: Match and Mismatch name one, Withheld and Inconclusive have zero.
    error TraceRefused(Outcome outcome, bytes32 trace);
    /// @notice The trace of states that are all zero follows from no replay.
    error TraceTakesNoReplay(bytes32 trace);
    /// @notice The vote is not the one committed to in this round.
    error VoteDiffers(bytes32 computed, bytes32 committed);
    /// @notice Only the owner and the seats that voted for the Match have the key.
    error CallerHasNoKey(address caller);
    /// @notice In the first half of the window only the owner releases, unless the scientist complained.
    error ReleaseIsOwners(uint256 until, uint256 present);
    /// @notice One complaint an audit.
    error ComplainedAlready(AgreementId id, uint16 ordinal);

    /// @notice Agreements opens an audit of an ended run.
    function open(AgreementId id, uint16 ordinal, Opening calldata opening) external;

    /// @notice Keeps the hash of the opening block, and that of the turn's last block, while the chain can still give
    ///         them; open to anyone.
    function fix(AgreementId id, uint16 ordinal) external;

    /// @notice Draws the seats once the opening block has a successor, or goes on with a draw that ran out of tries,
    ///         while the wait lasts.
    /// @dev seed = keccak256(abi.encode(audit id, hash of the opening block, nonce)); how it draws stands in
    ///      IVerifiers.
    /// @param nonce The asker's within the turn; after it anything, for the hash of the turn's last block takes its
    ///        place.
    function draw(AgreementId id, uint16 ordinal, bytes32 nonce) external;

    /// @notice Takes a seat and reserves its stake.
    /// @param link The verifier's link to this audit's opening.
    /// @param recipient Raw public key of a fresh age X25519 identity.
    function join(AgreementId id, uint16 ordinal, uint8 seat, bytes26 link, bytes32 recipient) external;

    /// @notice Gives a seat back without penalty, before joining it; somebody else is drawn at once.
    function decline(AgreementId id, uint16 ordinal, uint8 seat) external;

    /// @notice The owner hands over its evidence, sealed to the recipients of the joined seats.
    function submit(AgreementId id, uint16 ordinal, bytes calldata evidenceCid) external;

    /// @notice Commits to a vote, once a round.
    /// @param commitment keccak256(abi.encode(audit id, round, caller, outcome, trace, salt)).
    function commit(AgreementId id, uint16 ordinal, uint8 seat, bytes32 commitment) external;

    /// @notice Reveals a vote.
    /// @param trace tagged("fitchain/trace/v2", audit id, round, count, states...); zero unless outcome is Match or
    ///        Mismatch.
    /// @param salt 32 random bytes.
    function reveal(AgreementId id, uint16 ordinal, uint8 seat, Outcome outcome, bytes32 trace, bytes32 salt) external;

    /// @notice Takes the way out of a phase whose time is over or in which nobody is left to act; open to anyone.
    function advance(AgreementId id, uint16 ordinal) external;

    /// @notice After a Match: hands the job's identity to the scientist, the first of which pays the owner. The owner
    ///         may at any time of the window; each seat of the Match once, after a complaint or half of the window.
    /// @dev Once every vote is revealed it takes the way out of Revealing itself, as `advance` does.
    /// @param identityCid Binary CID of the job's identity sealed to the scientist.
    function release(AgreementId id, uint16 ordinal, bytes calldata identityCid) external;

    /// @notice The scientist says that what was released does not open the delivery. The window then lasts at least
    ///         half a window more, and only seats that release by its end, or did so before, are paid.
    function complain(AgreementId id, uint16 ordinal) external;

    /// @notice The scientist has what it wants, which ends the release window and pays the seats.
    function acceptRelease(AgreementId id, uint16 ordinal) external;

    // --- views

    /// @notice An audit; phase None where there is none.
    function audit(AgreementId id, uint16 ordinal) external view returns (Audit memory);

    /// @notice Who is drawn to each seat or sits there; zero where nobody is.
    function seated(AgreementId id, uint16 ordinal) external view returns (address[] memory);

    /// @notice The seats as the library Seats packs them: numbers of verifiers, and how far the draw went.
    function seats(AgreementId id, uint16 ordinal) external view returns (uint256[3] memory);

    /// @notice The hashes that `fix` kept; zero: not kept.
    function fixedHashes(AgreementId id, uint16 ordinal) external view returns (bytes32 openedHash, bytes32 turnHash);

    /// @notice The trace of an audit's round whose states are all zero.
    function emptyTrace(AgreementId id, uint16 ordinal) external view returns (bytes32);

    /// @notice How many audits were opened.
    function opened() external view returns (uint40);

    /// @notice Blocks of the asker's turn to draw.
    function turnBlocks() external view returns (uint256);

    /// @notice The contract that holds terms and money.
    function agreements() external view returns (IAgreements);

    /// @notice The contract that knows who may be drawn.
    function verifiers() external view returns (IVerifiers);
}
