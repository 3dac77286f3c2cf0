// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ProofOfTrain} from "./ProofOfTrain.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IFitCoin} from "./interfaces/IFitCoin.sol";
import {IProofOfTrain} from "./interfaces/IProofOfTrain.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Tree} from "./libraries/Tree.sol";
import {Agreement, State} from "./types/Agreement.sol";
import {CID_LIMIT, CallerIsNotOwner, CidLengthRefused, DeadlinePassed, requireCid} from "./types/Errors.sol";
import {AgreementId, NO_PANEL} from "./types/Ids.sol";
import {Permit, Terms} from "./types/Terms.sol";

/// @title Agreements
/// @notice Terms, money and life cycle of jobs; what it promises stands in IAgreements.
/// @dev Every function runs checks, effects, event, interaction in this order, so no callee can find it half done.
contract Agreements is IAgreements {
    using SafeERC20 for IFitCoin;

    uint32 private constant MINIMUM_SEGMENT = 2;
    /// @dev On a private chain for trials windows may be as short as a test needs.
    uint256 private constant DEVNET_CHAIN_ID = 31337;

    IFitCoin public immutable fitCoin;
    IRegistry public immutable registry;
    IProofOfTrain public immutable proofOfTrain;
    uint32 public immutable minimumWindow;

    mapping(AgreementId id => Agreement) private _agreements;
    mapping(address account => uint256) public owed;

    constructor(IFitCoin fitCoin_, IRegistry registry_) {
        fitCoin = fitCoin_;
        registry = registry_;
        proofOfTrain = new ProofOfTrain(this);
        minimumWindow = block.chainid == DEVNET_CHAIN_ID ? 1 : 600;
    }

    // --- before the run

    /// @inheritdoc IAgreements
    function request(bytes32 salt, Terms calldata terms, bytes calldata offerCid, Permit calldata permit)
        external
        returns (AgreementId id)
    {
        id = AgreementId.wrap(keccak256(abi.encode(block.chainid, address(this), msg.sender, salt)));
        if (_agreements[id].state != State.None) revert AgreementExists(id);
        requireCid(offerCid);
        _requireSound(terms);
        bytes32 ctx = _context(id, terms);

        _store(id, terms, ctx);

        emit Requested(id, msg.sender, terms.owner, terms, offerCid);

        _collect(terms.price, permit);
    }

    /// @inheritdoc IAgreements
    function accept(AgreementId id, bytes32 nonceCommitment, Permit calldata permit) external {
        Agreement storage known = _agreements[id];
        _requireOwner(known);
        _requireState(id, known.state == State.Requested);
        _requireInTime(known);
        if (nonceCommitment == 0) revert NonceCommitmentIsZero();

        known.state = State.Accepted;
        known.deadline = uint40(block.timestamp) + known.trainingWindow;
        known.seedBlock = uint40(block.number);
        known.nonceCommitment = nonceCommitment;

        emit Accepted(id, nonceCommitment, known.deadline);

        _collect(known.bond, permit);
    }

    /// @inheritdoc IAgreements
    function reject(AgreementId id, bytes calldata reasonCid) external {
        Agreement storage known = _agreements[id];
        _requireOwner(known);
        _requireState(id, known.state == State.Requested);
        _requireInTime(known);
        if (reasonCid.length > CID_LIMIT) revert CidLengthRefused(reasonCid.length, CID_LIMIT);

        known.state = State.Cancelled;
        owed[known.scientist] += known.price;

        emit Rejected(id, known.price, reasonCid);
    }

    /// @inheritdoc IAgreements
    function cancel(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireState(id, known.state == State.Requested);
        _requireTimedOut(known);

        known.state = State.Cancelled;
        owed[known.scientist] += known.price;

        emit Cancelled(id, known.price);
    }

    // --- the run, as ProofOfTrain reports it

    /// @inheritdoc IAgreements
    function startTraining(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireProofOfTrain();
        _requireState(id, known.state == State.Accepted);
        _requireInTime(known);

        known.state = State.Training;
    }

    /// @inheritdoc IAgreements
    function endTraining(AgreementId id, uint32 stepsDone) external {
        Agreement storage known = _agreements[id];
        _requireProofOfTrain();
        _requireState(id, known.state == State.Training);
        _requireInTime(known);

        known.state = stepsDone == known.steps ? State.Trained : State.Diverged;
        known.deadline = uint40(block.timestamp) + known.disputeWindow;
        known.stepsDone = stepsDone;
    }

    // --- after the run

    /// @inheritdoc IAgreements
    function acceptResult(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireState(id, known.state == State.Trained || known.state == State.Diverged);
        _requireInTime(known);

        _settle(id, known);
    }

    /// @inheritdoc IAgreements
    function settle(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireState(id, known.state == State.Trained || known.state == State.Diverged);
        _requireTimedOut(known);

        _settle(id, known);
    }

    /// @inheritdoc IAgreements
    function expire(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireState(id, known.state == State.Accepted || known.state == State.Training);
        _requireTimedOut(known);
        uint256 toScientist = known.price + known.bond / 2;
        uint256 burned = known.bond - known.bond / 2;

        known.state = State.Forfeited;
        owed[known.scientist] += toScientist;

        emit Forfeited(id, toScientist, burned);

        fitCoin.burn(burned);
    }

    /// @inheritdoc IAgreements
    function withdraw() external {
        uint256 amount = owed[msg.sender];
        if (amount == 0) revert NothingOwed(msg.sender);

        owed[msg.sender] = 0;

        emit Withdrawn(msg.sender, amount);

        fitCoin.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IAgreements
    function agreement(AgreementId id) external view returns (Agreement memory) {
        return _agreements[id];
    }

    // --- checks

    function _requireSound(Terms calldata terms) private view {
        if (terms.audit.verifiers != 0) revert AuditsUnavailable(terms.audit.verifiers);
        if (terms.audit.panel != NO_PANEL) registry.panelLength(terms.audit.panel);
        if (terms.recipe == 0) revert RecipeIsZero();
        if (terms.steps == 0) revert StepsAreZero();
        if (terms.segment < MINIMUM_SEGMENT) revert SegmentTooShort(terms.segment, MINIMUM_SEGMENT);
        if (Tree.peakCount(terms.group) != 1) revert GroupIsNotPowerOfTwo(terms.group);
        _requireAmount(terms.price);
        _requireAmount(terms.bond);
        _requireWindow(terms.acceptanceWindow);
        _requireWindow(terms.trainingWindow);
        _requireWindow(terms.disputeWindow);
    }

    function _requireAmount(uint128 amount) private pure {
        if (amount > type(uint96).max) revert AmountTooLarge(amount, type(uint96).max);
    }

    function _requireWindow(uint32 window) private view {
        if (window < minimumWindow) revert WindowTooShort(window, minimumWindow);
    }

    function _requireOwner(Agreement storage known) private view {
        if (msg.sender != known.owner) revert CallerIsNotOwner(msg.sender, known.owner);
    }

    function _requireScientist(Agreement storage known) private view {
        if (msg.sender != known.scientist) revert CallerIsNotScientist(msg.sender, known.scientist);
    }

    function _requireProofOfTrain() private view {
        if (msg.sender != address(proofOfTrain)) revert CallerIsNotProofOfTrain(msg.sender, address(proofOfTrain));
    }

    function _requireState(AgreementId id, bool allowed) private view {
        if (!allowed) revert StateForbids(id, _agreements[id].state);
    }

    function _requireInTime(Agreement storage known) private view {
        if (block.timestamp > known.deadline) revert DeadlinePassed(known.deadline, block.timestamp);
    }

    function _requireTimedOut(Agreement storage known) private view {
        if (block.timestamp <= known.deadline) revert DeadlineNotPassed(known.deadline, block.timestamp);
    }

    /// @dev Also checks that dataset and model are on offer and that the dataset is the owner's.
    function _context(AgreementId id, Terms calldata terms) private view returns (bytes32) {
        (address datasetOwner, bytes32 datasetRoot) = registry.offeredDataset(terms.dataset);
        if (terms.owner != datasetOwner) revert DatasetOwnerDiffers(terms.owner, datasetOwner);
        bytes32 initialRoot = registry.offeredModel(terms.model);
        return keccak256(
            abi.encode(
                block.chainid,
                address(this),
                proofOfTrain,
                id,
                terms.owner,
                msg.sender,
                terms.recipe,
                datasetRoot,
                initialRoot,
                terms.steps,
                terms.segment,
                terms.group
            )
        );
    }

    // --- effects and interactions

    function _store(AgreementId id, Terms calldata terms, bytes32 ctx) private {
        _agreements[id] = Agreement({
            scientist: msg.sender,
            state: State.Requested,
            deadline: uint40(block.timestamp) + terms.acceptanceWindow,
            seedBlock: 0,
            groupBits: uint8(Tree.lastPeakHeight(terms.group)),
            owner: terms.owner,
            steps: terms.steps,
            segment: terms.segment,
            stepsDone: 0,
            price: uint96(terms.price),
            bond: uint96(terms.bond),
            trainingWindow: terms.trainingWindow,
            disputeWindow: terms.disputeWindow,
            ctx: ctx,
            model: terms.model,
            nonceCommitment: 0
        });
    }

    /// @dev The owner is due the price for the steps proven, rounded down, and has its bond back.
    function _settle(AgreementId id, Agreement storage known) private {
        uint256 due = uint256(known.price) * known.stepsDone / known.steps;
        uint256 toOwner = due + known.bond;
        uint256 toScientist = known.price - due;

        known.state = State.Settled;
        owed[known.owner] += toOwner;
        owed[known.scientist] += toScientist;

        emit Settled(id, toOwner, toScientist, 0);
    }

    /// @dev A permit is public before it is mined and anyone may spend it first, so its failure says nothing: the
    ///      allowance decides (EIP-2612, security considerations).
    function _collect(uint256 amount, Permit calldata p) private {
        if (p.deadline != 0) {
            try fitCoin.permit(msg.sender, address(this), p.value, p.deadline, p.v, p.r, p.s) {} catch {}
        }
        fitCoin.safeTransferFrom(msg.sender, address(this), amount);
    }
}
