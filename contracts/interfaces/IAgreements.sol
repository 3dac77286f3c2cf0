// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Agreement, Asking, State} from "../types/Agreement.sol";
import {AuditKind, Jury, Outcome} from "../types/Audit.sol";
import {AgreementId} from "../types/Ids.sol";
import {RunEnd} from "../types/Run.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "../types/Terms.sol";
import {IAudits} from "./IAudits.sol";
import {IFitCoin} from "./IFitCoin.sol";
import {IProofOfTrain} from "./IProofOfTrain.sol";
import {IRegistry} from "./IRegistry.sol";
import {IVerifiers} from "./IVerifiers.sol";

/// @title Agreements
/// @notice Terms, money and life cycle of jobs.
/// @dev | state             | steps in time                               | the one way out on time-out   |
///      |-------------------|---------------------------------------------|-------------------------------|
///      | Requested         | owner: `accept` -> Accepted,                | scientist: `cancel`           |
///      |                   |        `reject` -> Cancelled                |           -> Cancelled        |
///      | Accepted          | owner: `ProofOfTrain.begin` -> Training     | anyone: `expire` -> Forfeited |
///      | Training          | owner: `ProofOfTrain.finish` -> Trained,    | anyone: `expire` -> Forfeited |
///      |                   |        `ProofOfTrain.diverge` -> Diverged,  |                               |
///      |                   |        or Forfeited where no group is       |                               |
///      |                   |        anchored and no dispute agreed on;   |                               |
///      |                   |        with verifiers both -> Auditing      |                               |
///      | Trained, Diverged | scientist: `acceptResult` -> Settled,       | anyone: `settle` -> Settled   |
///      |                   |            `dispute` -> Auditing            |                               |
///      | Auditing          | as Audits concludes -> Settled, Forfeited,  | anyone: `Audits.advance`      |
///      |                   | Refunded or Halved                          |                               |
///      A step is in time up to and including its deadline and late after it. Who gets what stands in the library
///      Payouts, and nowhere else. Payments are credited and withdrawn, never pushed; a credit has no deadline.
/// @dev Warning: terms are kept as a hash. Who has lost them finds them in `Requested`.
/// @dev Warning: an owner that lets a training deadline pass loses its bond, whatever else it is busy with.
/// @dev Warning: a scientist that is silent for the dispute window has accepted the result.
/// @dev Warning: a permit can be spent by anyone who sees it; the allowance it leaves is for this contract alone.
interface IAgreements {
    /// @notice `scientist` asks `owner` for a training and has locked price and audit fees. `eligible` of the
    ///         `places` of panel `panel` (0: the pool) are its jury.
    event Requested(
        AgreementId indexed id,
        address indexed scientist,
        address indexed owner,
        Terms terms,
        uint32 panel,
        uint16 places,
        uint256 eligible,
        bytes offerCid
    );
    /// @notice The owner locked its bond; the block of this event is the seed block. The job's charge is on the
    ///         dataset's privacy ledger, which has now spent `spent`; 0 where it has none.
    event Accepted(AgreementId indexed id, bytes32 keyCommitment, uint40 trainingDeadline, uint256 spent);
    /// @notice The owner declined; the price went back. `reasonCid` names a reason sealed to the scientist, or is
    ///         empty.
    event Rejected(AgreementId indexed id, uint256 toScientist, bytes reasonCid);
    /// @notice The scientist took back an unanswered request.
    event Cancelled(AgreementId indexed id, uint256 toScientist);
    /// @notice The run diverged: the owner is due `price` for the steps done, the rest of it is the scientist's again.
    event PriceReduced(AgreementId indexed id, uint256 price, uint256 toScientist);
    /// @notice The scientist says that what it was handed does not open the delivery.
    event Complained(AgreementId indexed id);
    /// @notice The scientist disputes the result and has locked audit fees and counter-bond.
    event Disputed(AgreementId indexed id, uint256 locked);
    /// @notice The price and the bond of an agreement are divided, and it stands in `state`.
    event Settled(AgreementId indexed id, State state, uint256 toOwner, uint256 toScientist, uint256 burned);
    /// @notice An audit is paid: `toVerifiers` went to Verifiers, `back` to whoever paid its fees, `toOwner` and
    ///         `burned` are of a counter-bond, or of fees that a complaint cost.
    event AuditPaid(
        AgreementId indexed id, uint16 ordinal, uint256 toVerifiers, uint256 back, uint256 toOwner, uint256 burned
    );
    /// @notice `asker` wants the run audited again and has locked the fees.
    event AuditAsked(
        AgreementId indexed id,
        uint16 ordinal,
        address indexed asker,
        AuditTerms terms,
        bytes32 nonceCommitment,
        uint32 panel,
        uint16 places,
        uint256 eligible,
        uint40 deadline
    );
    /// @notice The owner consents; the audit is opened.
    event AuditConsented(AgreementId indexed id, uint16 ordinal);
    /// @notice The owner did not consent; the fees went back.
    event AuditTakenBack(AgreementId indexed id, uint16 ordinal, uint256 toAsker);
    /// @notice `account` collected what it was owed.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice The scientist used this salt before.
    error AgreementExists(AgreementId id);
    /// @notice The agreement's state does not allow the call.
    error StateForbids(AgreementId id, State state);
    /// @notice These are not the terms of the agreement.
    error TermsDiffer(bytes32 given, bytes32 agreed);
    /// @notice The scientist complained already.
    error ComplainedAlready(AgreementId id);
    /// @notice An audit has an odd number of seats, at most `limit`.
    error SeatCountRefused(uint8 seats, uint8 limit);
    /// @notice With verifiers there is no dispute.
    error DisputeBesideAudit(uint8 verifiers, uint8 disputeVerifiers);
    /// @notice A seat earns at least what the deployment says.
    error FeeBelowFloor(uint128 feePerSeat, uint256 floor);
    /// @notice A seat's stake is ten to twenty times its fee.
    error SeatStakeRefused(uint128 seatStake, uint256 least, uint256 most);
    /// @notice An audit draws at most `limit` segments.
    error TooManySegments(uint16 drawnSegments, uint16 limit);
    /// @notice The fees of a caught owner come out of its bond.
    error BondBelowFees(uint128 bond, uint256 fees);
    /// @notice A phase of an audit, or the wait for one, has a longest duration.
    error WindowTooLong(uint32 window, uint32 maximum);
    /// @notice Data that is not public goes to members of a panel that both parties named.
    error PanelNeeded(DisclosureMode mode);
    /// @notice Too few of those who stood before this block are no party: `needed` is m + (m + 1) / 2, so that some
    ///         can be absent.
    error TooFewEligible(uint256 eligible, uint256 needed);
    /// @notice The terms name no verifiers for a dispute.
    error DisputeNotAgreed(AgreementId id);
    /// @notice A window is shorter than the pods need.
    error WindowTooShort(uint32 window, uint32 minimum);
    /// @notice A run has at least `minimum` steps, lest a vote follow from what everybody knows.
    error TooFewSteps(uint32 steps, uint32 minimum);
    /// @notice A segment has at least `minimum` steps.
    error SegmentTooShort(uint32 segmentSteps, uint32 minimum);
    /// @notice Only groups of a power of two of leaves are nodes of the transcript's tree.
    error GroupIsNotPowerOfTwo(uint32 groupLeaves);
    /// @notice A recipe has a digest.
    error RecipeIsZero();
    /// @notice Where there are seats the asker commits to a nonce.
    error NonceCommitmentIsZero();
    /// @notice No such amount of FIT is taken.
    error AmountTooLarge(uint256 amount, uint256 limit);
    /// @notice The dataset belongs to somebody else.
    error DatasetOwnerDiffers(address given, address registered);
    /// @notice The dataset has another root.
    error DatasetRootDiffers(bytes32 given, bytes32 registered);
    /// @notice The model has another root.
    error ModelRootDiffers(bytes32 given, bytes32 registered);
    /// @notice A job is charged exactly where its dataset has a privacy ledger.
    error ChargeRefused(uint256 charge, uint8 ledger);
    /// @notice The owner must commit to a nonce.
    error KeyCommitmentIsZero();
    /// @notice There is no such question for an audit, or it is answered.
    error NothingAsked(AgreementId id, uint16 ordinal);
    /// @notice There is nothing to withdraw.
    error NothingOwed(address account);

    /// @notice Asks the owner of a dataset for a training and locks the price, with verifiers also their fees. Who
    ///         stands in the panel, or in the pool, before this block is the jury of any audit that follows from the
    ///         terms.
    /// @dev The permit is tried and may fail; the allowance decides.
    /// @param salt The caller's choice, once.
    /// @param terms What is offered.
    /// @param offerCid Binary CID of the sealed offer (recipe, graph, weights).
    /// @param permit For what is locked; deadline 0 if the allowance stands already.
    /// @return id keccak256(abi.encode(chain id, this, caller, salt)).
    function request(bytes32 salt, Terms calldata terms, bytes calldata offerCid, Permit calldata permit)
        external
        returns (AgreementId id);

    /// @notice Accepts a request, locks the bond, charges the dataset's privacy ledger and commits to nonce and noise.
    /// @param terms As requested.
    /// @param keyCommitment keccak256(abi.encode(nonce, noise root)).
    /// @param permit For the bond; deadline 0 if the allowance stands already.
    function accept(AgreementId id, Terms calldata terms, bytes32 keyCommitment, Permit calldata permit) external;

    /// @notice Declines a request in time; what it locked is the scientist's again.
    /// @param reasonCid Binary CID of a reason sealed to the scientist; may be empty.
    function reject(AgreementId id, bytes calldata reasonCid) external;

    /// @notice Takes back a request that nobody answered in time.
    function cancel(AgreementId id) external;

    /// @notice The scientist accepts the result before the dispute window ends.
    function acceptResult(AgreementId id) external;

    /// @notice The scientist says, before it disputes, that what `finish` handed to it does not open the delivery. If
    ///         a seat of the dispute then releases the job's identity, the counter-bond is the scientist's again.
    function complain(AgreementId id) external;

    /// @notice The scientist has a run without verifiers audited before the dispute window ends.
    /// @param terms As requested.
    /// @param permit For fees and counter-bond; deadline 0 if the allowance stands already.
    function dispute(AgreementId id, Terms calldata terms, Permit calldata permit) external;

    /// @notice Settles a result once the dispute window has passed in silence; open to anyone.
    function settle(AgreementId id) external;

    /// @notice Forfeits the bond of an owner that did not end the run in time; open to anyone.
    function expire(AgreementId id) external;

    /// @notice Asks for another audit of a run that was delivered, by a panel of the caller's trust, and locks its
    ///         fees. It moves no money of the parties and slashes nobody of an earlier audit. Counter-bond and
    ///         dispute verifiers are 0.
    /// @param nonceCommitment keccak256(abi.encode(nonce)).
    /// @param consentWindow Seconds for the owner to consent.
    /// @return ordinal The audit's ordinal, from 1.
    function askAgain(
        AgreementId id,
        AuditTerms calldata terms,
        bytes32 nonceCommitment,
        uint32 consentWindow,
        Permit calldata permit
    ) external returns (uint16 ordinal);

    /// @notice The owner consents to another audit, which opens it.
    /// @param terms As asked.
    /// @param nonceCommitment As asked.
    function consent(AgreementId id, uint16 ordinal, AuditTerms calldata terms, bytes32 nonceCommitment) external;

    /// @notice Gives the fees of an audit that was not consented to in time back to the asker; open to anyone.
    function takeBack(AgreementId id, uint16 ordinal) external;

    /// @notice Pays the caller all that it is owed.
    function withdraw() external;

    /// @notice ProofOfTrain reports that the run begins.
    /// @param terms keccak256(abi.encode(terms)).
    /// @param keyCommitment Of what the owner reveals.
    /// @return scientist Who asked.
    /// @return deadline The training deadline.
    /// @return seedBlock The block of acceptance.
    function startTraining(AgreementId id, bytes32 terms, bytes32 keyCommitment)
        external
        returns (address scientist, uint40 deadline, uint40 seedBlock);

    /// @notice ProofOfTrain reports that the run ended.
    /// @param terms keccak256(abi.encode(terms)).
    /// @param end How far it came; the rest, and `audit`, are of the terms.
    /// @return scientist Who asked.
    function endTraining(AgreementId id, bytes32 terms, RunEnd calldata end, AuditTerms calldata audit)
        external
        returns (address scientist);

    /// @notice Audits reports a verdict other than a Match that awaits the key, and pays `paid` seats.
    function concludeAudit(
        AgreementId id,
        uint16 ordinal,
        AuditKind kind,
        Outcome verdict,
        uint256 feePerSeat,
        uint256 seats,
        uint256 paid
    ) external;

    /// @notice Audits reports that the key of a matched run is released, which pays the owner.
    function settleMatched(AgreementId id) external;

    /// @notice Audits reports that the release window of a matched run is over.
    /// @param matching Seats that voted for the Match.
    /// @param paid How many of them are paid.
    /// @param settled Whether anybody released the key; if nobody did, the bond is forfeited.
    /// @param answered Whether a seat released it.
    /// @param accepting Who ends the window early: the scientist, or zero where its time is over.
    function closeMatched(
        AgreementId id,
        AuditKind kind,
        uint256 feePerSeat,
        uint256 seats,
        uint256 matching,
        uint256 paid,
        bool settled,
        bool answered,
        address accepting
    ) external;

    /// @notice An agreement; state None where there is none.
    function agreement(AgreementId id) external view returns (Agreement memory);

    /// @notice Owner and scientist; zero where there is no agreement.
    function parties(AgreementId id) external view returns (address owner, address scientist);

    /// @notice Whom an audit may draw.
    function jury(AgreementId id, uint16 ordinal) external view returns (Jury memory);

    /// @notice How often another audit was asked for, and how often the owner consented.
    function askedAndConsented(AgreementId id) external view returns (uint16 asked, uint16 consented);

    /// @notice A question for another audit; asker zero where there is none.
    function asking(AgreementId id, uint16 ordinal) external view returns (Asking memory);

    /// @notice What a dispute locked beside the fees; 0 before it and once it is paid.
    function counterBond(AgreementId id) external view returns (uint256);

    /// @notice What an account can withdraw, in base units of FIT.
    function owed(address account) external view returns (uint256);

    /// @notice The shortest window that a request may carry, in seconds.
    function minimumWindow() external view returns (uint32);

    /// @notice The least that a seat earns, in base units of FIT.
    function feeFloor() external view returns (uint256);

    /// @notice The token.
    function fitCoin() external view returns (IFitCoin);

    /// @notice The registry that names datasets, models and panels.
    function registry() external view returns (IRegistry);

    /// @notice The contract that knows who may be drawn.
    function verifiers() external view returns (IVerifiers);

    /// @notice The contract that proves runs.
    function proofOfTrain() external view returns (IProofOfTrain);

    /// @notice The contract that audits runs.
    function audits() external view returns (IAudits);
}
