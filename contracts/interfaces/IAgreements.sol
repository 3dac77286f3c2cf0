// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Agreement, State} from "../types/Agreement.sol";
import {AgreementId} from "../types/Ids.sol";
import {Permit, Terms} from "../types/Terms.sol";
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
///      |                   |        `ProofOfTrain.diverge` -> Diverged   |                               |
///      | Trained, Diverged | scientist: `acceptResult` -> Settled        | anyone: `settle` -> Settled   |
///      A step is in time up to and including its deadline and late after it. Payments are credited and withdrawn,
///      never pushed; a credit has no deadline.
interface IAgreements {
    /// @notice `scientist` asks `owner` for a training and has locked the price.
    event Requested(
        AgreementId indexed id, address indexed scientist, address indexed owner, Terms terms, bytes offerCid
    );
    /// @notice The owner locked its bond; the block of this event is the seed block.
    event Accepted(AgreementId indexed id, bytes32 nonceCommitment, uint40 trainingDeadline);
    /// @notice The owner declined; the price went back. `reasonCid` names a reason sealed to the scientist, or is empty.
    event Rejected(AgreementId indexed id, uint256 toScientist, bytes reasonCid);
    /// @notice The scientist took back an unanswered request.
    event Cancelled(AgreementId indexed id, uint256 toScientist);
    /// @notice The run is paid: `toOwner` holds the bond and the price due, `toScientist` the rest of the price.
    event Settled(AgreementId indexed id, uint256 toOwner, uint256 toScientist, uint256 burned);
    /// @notice The owner let the training deadline pass: `toScientist` holds the price and half of the bond.
    event Forfeited(AgreementId indexed id, uint256 toScientist, uint256 burned);
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
    /// @notice The time-out has not come yet (both Unix time).
    error DeadlineNotPassed(uint256 deadline, uint256 present);
    /// @notice No contract for audits is deployed, so no verifier can be drawn.
    error AuditsUnavailable(uint8 verifiers);
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

    /// @notice Asks the owner of a dataset for a training and locks the price.
    /// @dev The permit is tried and may fail (it can be spent by anyone who sees it); the allowance decides.
    /// @param salt The caller's choice, once.
    /// @param terms What is offered.
    /// @param offerCid Binary CID of the sealed offer (recipe, graph, weights).
    /// @param permit For the price; deadline 0 if the allowance stands already.
    /// @return id keccak256(abi.encode(chain id, this, caller, salt)).
    function request(bytes32 salt, Terms calldata terms, bytes calldata offerCid, Permit calldata permit)
        external
        returns (AgreementId id);

    /// @notice Accepts a request, locks the bond and commits to a nonce.
    /// @param nonceCommitment keccak256(abi.encode(nonce)).
    /// @param permit For the bond; deadline 0 if the allowance stands already.
    function accept(AgreementId id, bytes32 nonceCommitment, Permit calldata permit) external;

    /// @notice Declines a request in time; the price is the scientist's again.
    /// @param reasonCid Binary CID of a reason sealed to the scientist; may be empty.
    function reject(AgreementId id, bytes calldata reasonCid) external;

    /// @notice Takes back a request that nobody answered in time.
    function cancel(AgreementId id) external;

    /// @notice The scientist accepts the result before the dispute window ends.
    function acceptResult(AgreementId id) external;

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

    /// @notice An agreement; state None where there is none.
    function agreement(AgreementId id) external view returns (Agreement memory);

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
}
