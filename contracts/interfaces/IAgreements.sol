// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Agreement, State} from "../types/Agreement.sol";
import {AgreedAudit, Outcome} from "../types/Audit.sol";
import {AgreementId} from "../types/Ids.sol";
import {DisclosureMode, Permit, Terms} from "../types/Terms.sol";
import {IAudits} from "./IAudits.sol";
import {IFitCoin} from "./IFitCoin.sol";
import {IProofOfTrain} from "./IProofOfTrain.sol";
import {IRegistry} from "./IRegistry.sol";

/// @title Agreements
/// @notice Terms, money and life cycle of jobs.
/// @dev | state             | steps in time                               | the one way out on time-out   |
///      |-------------------|---------------------------------------------|-------------------------------|
///      | Requested         | owner: `accept` -> Accepted,                | scientist: `cancel`           |
///      |                   |        `reject` -> Cancelled                |           -> Cancelled        |
///      | Accepted          | owner: `ProofOfTrain.begin` -> Training     | anyone: `expire` -> Forfeited |
///      | Training          | owner: `ProofOfTrain.finish` -> Trained,    | anyone: `expire` -> Forfeited |
///      |                   |        `ProofOfTrain.diverge` -> Diverged;  |                               |
///      |                   |        with verifiers both -> Auditing      |                               |
///      | Trained, Diverged | scientist: `acceptResult` -> Settled,       | anyone: `settle` -> Settled   |
///      |                   |            `dispute` -> Auditing            |                               |
///      | Auditing          | as Audits concludes -> Settled, Forfeited   | anyone: `Audits.advance`      |
///      |                   | or Refunded                                 |                               |
///      A step is in time up to and including its deadline and late after it. Payments are credited and withdrawn,
///      never pushed; a credit has no deadline.
interface IAgreements {
    /// @notice `scientist` asks `owner` for a training and has locked the price.
    event Requested(
        AgreementId indexed id, address indexed scientist, address indexed owner, Terms terms, bytes offerCid
    );
    /// @notice The owner locked its bond; the block of this event is the seed block.
    event Accepted(AgreementId indexed id, bytes32 nonceCommitment, uint40 trainingDeadline);
    /// @notice The owner declined; the price went back. `reasonCid` names a reason sealed to the scientist, or is
    ///         empty.
    event Rejected(AgreementId indexed id, uint256 toScientist, bytes reasonCid);
    /// @notice The scientist took back an unanswered request.
    event Cancelled(AgreementId indexed id, uint256 toScientist);
    /// @notice The scientist disputes the result and has locked audit fee and counter-bond.
    event Disputed(AgreementId indexed id, uint256 locked);
    /// @notice An audit is paid: `toVerifiers` went to Audits; `toScientist` is what it has back of the audit fee.
    event AuditPaid(AgreementId indexed id, uint256 toVerifiers, uint256 toScientist);
    /// @notice The run is paid: `toOwner` holds the bond and the price due, `toScientist` the rest of the price. Of a
    ///         counter-bond the owner has half and half is burned where the dispute is lost; where it ends without
    ///         verdict the scientist has it back.
    event Settled(AgreementId indexed id, uint256 toOwner, uint256 toScientist, uint256 burned);
    /// @notice The owner let the training deadline pass, or an audit found against it: `toScientist` holds the price,
    ///         half of the bond (less the verifiers' fees) and whatever else the scientist had locked.
    event Forfeited(AgreementId indexed id, uint256 toScientist, uint256 burned);
    /// @notice An audit ended without verdict: `toOwner` holds the bond, `toScientist` the price.
    event Refunded(AgreementId indexed id, uint256 toOwner, uint256 toScientist);
    /// @notice `account` collected what it was owed.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice The scientist used this salt before.
    error AgreementExists(AgreementId id);
    /// @notice The agreement's state does not allow the call.
    error StateForbids(AgreementId id, State state);
    /// @notice The call is the scientist's to make.
    error CallerIsNotScientist(address caller, address scientist);
    /// @notice The call is the ProofOfTrain contract's to make.
    error CallerIsNotProofOfTrain(address caller, address proofOfTrain);
    /// @notice The call is the Audits contract's to make.
    error CallerIsNotAudits(address caller, address audits);
    /// @notice An audit has at most `limit` seats.
    error TooManySeats(uint8 seats, uint8 limit);
    /// @notice A verifier's stake must cover the fee that an absent seat loses.
    error FeeAboveStake(uint256 feePerSeat, uint256 stake);
    /// @notice The fees of a caught owner come out of its bond.
    error BondBelowFee(uint128 bond, uint128 fee);
    /// @notice Stakes stay bound for the longest audit, so its phases have a longest window.
    error WindowTooLong(uint32 window, uint32 maximum);
    /// @notice Data that is not public goes to members of a panel that both parties named.
    error PanelNeeded(DisclosureMode mode);
    /// @notice A panel to draw from has at most `limit` members.
    error PanelTooLong(uint256 length, uint256 limit);
    /// @notice Too few members of the panel, or of the pool, have staked and are no party.
    error TooFewVerifiers(uint256 available, uint256 needed);
    /// @notice The terms name no verifiers for a dispute.
    error DisputeNotAgreed(AgreementId id);
    /// @notice A window is shorter than the pods need.
    error WindowTooShort(uint32 window, uint32 minimum);
    /// @notice A run has at least one step.
    error StepsAreZero();
    /// @notice A segment has at least `minimum` steps.
    error SegmentTooShort(uint32 segment, uint32 minimum);
    /// @notice Only groups of a power of two of leaves are nodes of the transcript's tree.
    error GroupIsNotPowerOfTwo(uint32 group);
    /// @notice A recipe has a digest.
    error RecipeIsZero();
    /// @notice No such amount of FIT can exist.
    error AmountTooLarge(uint256 amount, uint256 limit);
    /// @notice The dataset belongs to somebody else.
    error DatasetOwnerDiffers(address given, address registered);
    /// @notice The owner must commit to a nonce.
    error NonceCommitmentIsZero();
    /// @notice There is nothing to withdraw.
    error NothingOwed(address account);

    /// @notice Asks the owner of a dataset for a training and locks the price, with verifiers also the audit fee.
    /// @dev The permit is tried and may fail (it can be spent by anyone who sees it); the allowance decides.
    /// @param salt The caller's choice, once.
    /// @param terms What is offered.
    /// @param offerCid Binary CID of the sealed offer (recipe, graph, weights).
    /// @param permit For what is locked; deadline 0 if the allowance stands already.
    /// @return id keccak256(abi.encode(chain id, this, caller, salt)).
    function request(bytes32 salt, Terms calldata terms, bytes calldata offerCid, Permit calldata permit)
        external
        returns (AgreementId id);

    /// @notice Accepts a request, locks the bond and commits to a nonce.
    /// @param nonceCommitment keccak256(abi.encode(nonce)).
    /// @param permit For the bond; deadline 0 if the allowance stands already.
    function accept(AgreementId id, bytes32 nonceCommitment, Permit calldata permit) external;

    /// @notice Declines a request in time; what it locked is the scientist's again.
    /// @param reasonCid Binary CID of a reason sealed to the scientist; may be empty.
    function reject(AgreementId id, bytes calldata reasonCid) external;

    /// @notice Takes back a request that nobody answered in time.
    function cancel(AgreementId id) external;

    /// @notice The scientist accepts the result before the dispute window ends.
    function acceptResult(AgreementId id) external;

    /// @notice The scientist has a run without verifiers audited before the dispute window ends.
    /// @param permit For audit fee and counter-bond; deadline 0 if the allowance stands already.
    function dispute(AgreementId id, Permit calldata permit) external;

    /// @notice Settles a result once the dispute window has passed in silence; open to anyone.
    function settle(AgreementId id) external;

    /// @notice Forfeits the bond of an owner that did not end the run in time; open to anyone.
    function expire(AgreementId id) external;

    /// @notice Pays the caller all that it is owed.
    function withdraw() external;

    /// @notice ProofOfTrain reports that the run began.
    function startTraining(AgreementId id) external;

    /// @notice ProofOfTrain reports that the run ended after `stepsDone` of its steps.
    function endTraining(AgreementId id, uint32 stepsDone) external;

    /// @notice Audits reports a verdict: pays `paidSeats` seats, and whatever no release has to wait for.
    function concludeAudit(AgreementId id, Outcome verdict, uint256 paidSeats) external;

    /// @notice Audits reports that the key of a matched run is released.
    function settleAudited(AgreementId id) external;

    /// @notice Audits reports that nobody released the key of a matched run in time.
    function forfeitAudited(AgreementId id) external;

    /// @notice An agreement; state None where there is none.
    function agreement(AgreementId id) external view returns (Agreement memory);

    /// @notice Owner and scientist; zero where there is no agreement.
    function parties(AgreementId id) external view returns (address owner, address scientist);

    /// @notice What was agreed on audits; all zero where no seats are.
    function agreedAudit(AgreementId id) external view returns (AgreedAudit memory);

    /// @notice Whether verifiers audit the run without a dispute.
    function isAudited(AgreementId id) external view returns (bool);

    /// @notice What an account can withdraw, in base units of FIT.
    function owed(address account) external view returns (uint256);

    /// @notice The shortest window that a request may carry, in seconds.
    function minimumWindow() external view returns (uint32);

    /// @notice The token.
    function fitCoin() external view returns (IFitCoin);

    /// @notice The registry that names datasets and models.
    function registry() external view returns (IRegistry);

    /// @notice The contract that proves runs; this one deploys it.
    function proofOfTrain() external view returns (IProofOfTrain);

    /// @notice The contract that audits runs; this one deploys it.
    function audits() external view returns (IAudits);
}
