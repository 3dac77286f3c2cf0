// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audit, Membership, Outcome, Phase, Verifier} from "../types/Audit.sol";
import {AgreementId} from "../types/Ids.sol";
import {Permit} from "../types/Terms.sol";
import {IAgreements} from "./IAgreements.sol";
import {IFitCoin} from "./IFitCoin.sol";
import {IRegistry} from "./IRegistry.sol";

/// @title Audits
/// @notice Verifiers, their stake, and the audits that they are drawn for.
/// @dev | phase      | steps in time                                | on time-out: `advance`, by anyone              |
///      |------------|----------------------------------------------|------------------------------------------------|
///      | Awaiting   | anyone: `draw` -> Joining                    | Inconclusive                                   |
///      | Joining    | seats: `join`, `decline`; all joined         | redraw -> Joining; after two redraws Evidence  |
///      |            |        -> Evidence                           | with a quorum, else Inconclusive               |
///      | Evidence   | owner: `submit` -> Committing                | Withheld                                       |
///      | Committing | seats: `commit`; all committed -> Revealing  | Revealing with a quorum; else redraw           |
///      |            |                                              | -> Joining, after two redraws Inconclusive     |
///      | Revealing  | seats: `reveal`                              | a quorum's outcome; else redraw -> Joining if  |
///      |            |                                              | a seat is silent, else Inconclusive            |
///      | Matched    | owner or a joined seat: `release` -> Released| Withheld                                       |
///      A phase lasts one window from its beginning; a step is in time up to and including the deadline. `advance`
///      works at once where nobody is left who could act: every seat joined, declined or is empty; every commitment is
///      revealed. A quorum is more than half of all seats with equal outcome and trace; where there is none, Mismatch
///      and Withheld from more than half count together as Withheld. In a redraw everyone votes again, over new
///      evidence. Paid are replays that are not against the verdict, and with Withheld by time-out whoever joined.
///      Whoever is absent loses the fee of a seat; whoever voted Match or Mismatch against a quorum of one of them
///      loses its stake; both are burned. The balance of this contract is the sum of all stakes and unpaid fees.
interface IAudits {
    /// @notice `account` locked `amount` and can be drawn for audits opened in later blocks.
    event Staked(address indexed account, uint256 amount, uint256 number);
    /// @notice `account` leaves; its stake is free from `unbonded` (Unix time) on.
    event Unstaked(address indexed account, uint256 unbonded);
    /// @notice `account` collected `earned` fees and `stake`.
    event Withdrawn(address indexed account, uint256 earned, uint256 stake);
    /// @notice An audit awaits its draw by the hash of `challengeBlock`.
    event AuditOpened(AgreementId indexed id, uint256 challengeBlock, uint256 panelLength, uint256 deadline);
    /// @notice The chain has forgotten the challenge block; the hash of this block draws instead.
    event ChallengeMoved(AgreementId indexed id, uint256 challengeBlock);
    /// @notice `seats` hold who was drawn or stays in this round; zero: nobody was found.
    event Drawn(AgreementId indexed id, uint256 round, bytes32 seed, address[] seats);
    /// @notice A verifier takes its seat; `recipient` is the raw X25519 key that evidence is sealed to.
    event Joined(AgreementId indexed id, uint256 seat, address indexed verifier, bytes32 recipient);
    /// @notice A verifier cannot replay in the environment agreed on.
    event Declined(AgreementId indexed id, uint256 seat, address indexed verifier);
    /// @notice The owner gave its evidence, sealed to the seats of this round.
    event EvidenceSubmitted(AgreementId indexed id, uint256 round, bytes evidenceCid);
    /// @notice A verifier committed to a vote.
    event Committed(AgreementId indexed id, uint256 round, uint256 seat, address indexed verifier);
    /// @notice No more commitments; votes can be revealed.
    event RevealingBegan(AgreementId indexed id, uint256 round);
    /// @notice A verifier revealed its vote.
    event Revealed(
        AgreementId indexed id, uint256 round, uint256 seat, address indexed verifier, Outcome outcome, bytes32 trace
    );
    /// @notice A verifier lost `amount` of its stake, which was burned.
    event Penalised(address indexed verifier, AgreementId indexed id, uint256 amount);
    /// @notice The audit has a verdict. A Match whose key is not released in time is followed by Withheld.
    event Concluded(AgreementId indexed id, uint256 round, Outcome verdict);
    /// @notice The job's identity, sealed to the scientist.
    event Released(AgreementId indexed id, address indexed by, bytes keyCid);

    /// @notice The call is the Agreements contract's to make.
    error CallerIsNotAgreements(address caller, address agreements);
    /// @notice The stake is complete already.
    error StakedAlready(address account);
    /// @notice The account has no stake that it could take back, or is leaving already.
    error NotStaked(address account);
    /// @notice The stake is still bound (both Unix time).
    error StakeIsUnbonding(uint256 unbonded, uint256 present);
    /// @notice No more verifiers can have a number.
    error PoolIsFull(uint256 limit);
    /// @notice There is nothing to withdraw.
    error NothingToWithdraw(address account);
    /// @notice The audit's phase does not allow the call.
    error PhaseForbids(AgreementId id, Phase phase);
    /// @notice A block's hash is known from the next block on.
    error ChallengeBlockIsCurrent(uint256 challengeBlock);
    /// @notice The seat is another verifier's, or nobody's.
    error CallerIsNotSeated(address caller, uint8 seat);
    /// @notice The seat joined or declined, committed or revealed already.
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
    /// @notice The vote is not the one committed to in this round.
    error VoteDiffers(bytes32 computed, bytes32 committed);
    /// @notice Only the owner and joined seats have the key.
    error CallerHasNoKey(address caller);

    // --- verifiers

    /// @notice Locks what is missing of the full stake: for the first time, after a penalty, or after having left.
    /// @param permit For this contract; deadline 0 if the allowance stands already.
    function stake(Permit calldata permit) external;

    /// @notice Leaves: no audit opened in a later block draws the caller; the stake stays bound for the unbonding time.
    function unstake() external;

    /// @notice Pays the caller its fees, and its stake once that is unbonded. Never expires.
    function withdraw() external;

    // --- audits

    /// @notice Agreements opens an audit or a dispute over an ended run.
    /// @param panel The panel's number; 0: the whole pool.
    function open(AgreementId id, uint256 panel, uint8 seats, uint24 window, bool disputed) external;

    /// @notice Draws the verifiers once the challenge block has a successor; open to anyone.
    /// @dev Try number c of round r looks at entry keccak256(abi.encode(seed, r, c)) % panelLength of the panel or
    ///      pool; c goes on from 0 over all seats of the round, lowest seat first, and each seat has 64 tries. Skipped
    ///      are the parties, who was no verifier before the block of the opening, and who was seated in this audit
    ///      before. If the chain has forgotten the challenge block, this block takes its place and nobody is drawn yet.
    function draw(AgreementId id) external;

    /// @notice Takes a seat.
    /// @param recipient Raw public key of a fresh age X25519 identity.
    function join(AgreementId id, uint8 seat, bytes32 recipient) external;

    /// @notice Gives a seat back without penalty.
    function decline(AgreementId id, uint8 seat) external;

    /// @notice The owner hands over its evidence, sealed to the recipients of this round's joined seats.
    function submit(AgreementId id, bytes calldata evidenceCid) external;

    /// @notice Commits to a vote, once a round.
    /// @param commitment keccak256(abi.encode(id, round, caller, outcome, trace, salt)).
    function commit(AgreementId id, uint8 seat, bytes32 commitment) external;

    /// @notice Reveals a vote.
    /// @param trace What only a full replay yields; zero unless outcome is Match or Mismatch.
    /// @param salt 32 random bytes.
    function reveal(AgreementId id, uint8 seat, Outcome outcome, bytes32 trace, bytes32 salt) external;

    /// @notice Takes the way out of a phase whose time is over or in which nobody is left to act; open to anyone.
    function advance(AgreementId id) external;

    /// @notice After a Match: hands the job's identity to the scientist, which pays the owner. Until the deadline the
    ///         owner and each joined seat may release it again, lest a wrong one stands alone.
    /// @dev Once every vote is revealed it takes the way out of Revealing itself, as `advance` does; if that leads to
    ///      anything but a Match that awaits its key, the call is refused with PhaseForbids of that phase.
    /// @param keyCid Binary CID of the job's identity sealed to the scientist.
    function release(AgreementId id, bytes calldata keyCid) external;

    // --- views

    /// @notice An audit; phase None where there is none.
    function audit(AgreementId id) external view returns (Audit memory);

    /// @notice Who sits in each seat in the present round; zero where nobody does.
    function seated(AgreementId id) external view returns (address[] memory);

    /// @notice A verifier's money; all zero where there is none.
    function verifier(address account) external view returns (Verifier memory);

    /// @notice When an account could be drawn; number 0 where it never staked.
    function membership(address account) external view returns (Membership memory);

    /// @notice How many accounts ever staked.
    function poolLength() external view returns (uint256);

    /// @notice Entry `index` of the pool, from 0; zero beyond its length.
    function poolMember(uint256 index) external view returns (address);

    /// @notice How many verifiers could be drawn now besides the parties, counted no further than `enough` in a panel.
    /// @param panel The panel's number; 0: the whole pool.
    function available(uint256 panel, address owner, address scientist, uint256 enough) external view returns (uint256);

    /// @notice What each verifier locks, in base units of FIT.
    function fullStake() external view returns (uint256);

    /// @notice Seconds from `unstake` until the stake is free; longer than the longest audit.
    function unbondingTime() external view returns (uint256);

    /// @notice The contract that holds terms and money, and deploys this one.
    function agreements() external view returns (IAgreements);

    /// @notice The token.
    function fitCoin() external view returns (IFitCoin);

    /// @notice The registry that names panels.
    function registry() external view returns (IRegistry);
}
