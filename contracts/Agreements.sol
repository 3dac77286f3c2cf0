// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Audits} from "./Audits.sol";
import {ProofOfTrain} from "./ProofOfTrain.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IFitCoin} from "./interfaces/IFitCoin.sol";
import {IProofOfTrain} from "./interfaces/IProofOfTrain.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Payment} from "./libraries/Payment.sol";
import {Tree} from "./libraries/Tree.sol";
import {Agreement, State} from "./types/Agreement.sol";
import {AgreedAudit, FULL_STAKE, Outcome, SEAT_LIMIT} from "./types/Audit.sol";
import {
    CID_LIMIT,
    CallerIsNotOwner,
    CidLengthRefused,
    DeadlineNotPassed,
    DeadlinePassed,
    requireCid
} from "./types/Errors.sol";
import {AgreementId, NO_PANEL} from "./types/Ids.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "./types/Terms.sol";

/// @title Agreements
/// @notice Terms, money and life cycle of jobs; what it promises stands in IAgreements.
/// @dev Every function runs checks, effects, event, interaction in this order, so no callee can find it half done.
contract Agreements is IAgreements {
    using SafeERC20 for IFitCoin;
    using Payment for IFitCoin;

    uint32 private constant MINIMUM_SEGMENT = 2;
    uint32 private constant MAXIMUM_AUDIT_WINDOW = 1 days;
    /// @dev On a private chain for trials windows may be as short as a test needs.
    uint256 private constant DEVNET_CHAIN_ID = 31337;

    IFitCoin public immutable fitCoin;
    IRegistry public immutable registry;
    IProofOfTrain public immutable proofOfTrain;
    IAudits public immutable audits;
    uint32 public immutable minimumWindow;

    mapping(AgreementId id => Agreement) private _agreements;
    mapping(AgreementId id => AgreedAudit) private _agreedAudits;
    mapping(address account => uint256) public owed;

    constructor(IFitCoin fitCoin_, IRegistry registry_) {
        fitCoin = fitCoin_;
        registry = registry_;
        proofOfTrain = new ProofOfTrain(this);
        audits = new Audits(this, fitCoin_, registry_);
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
        _storeAudit(id, terms.audit);

        emit Requested(id, msg.sender, terms.owner, terms, offerCid);

        fitCoin.collect(terms.price + _auditFee(id), permit);
    }

    /// @inheritdoc IAgreements
    function accept(AgreementId id, bytes32 nonceCommitment, Permit calldata permit) external {
        Agreement storage known = _agreements[id];
        _requireOwner(known);
        _requireState(id, known.state == State.Requested);
        _requireInTime(known);
        if (nonceCommitment == 0) revert NonceCommitmentIsZero();
        if (isAudited(id)) _requireVerifiers(id, known);

        known.state = State.Accepted;
        known.deadline = uint40(block.timestamp) + known.trainingWindow;
        known.seedBlock = uint40(block.number);
        known.nonceCommitment = nonceCommitment;

        emit Accepted(id, nonceCommitment, known.deadline);

        fitCoin.collect(known.bond, permit);
    }

    /// @inheritdoc IAgreements
    function reject(AgreementId id, bytes calldata reasonCid) external {
        Agreement storage known = _agreements[id];
        _requireOwner(known);
        _requireState(id, known.state == State.Requested);
        _requireInTime(known);
        if (reasonCid.length > CID_LIMIT) revert CidLengthRefused(reasonCid.length, CID_LIMIT);

        emit Rejected(id, _cancel(id, known), reasonCid);
    }

    /// @inheritdoc IAgreements
    function cancel(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireState(id, known.state == State.Requested);
        _requireTimedOut(known);

        emit Cancelled(id, _cancel(id, known));
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

        known.stepsDone = stepsDone;
        if (isAudited(id)) {
            _openAudit(id, known, false);
        } else {
            known.state = stepsDone == known.steps ? State.Trained : State.Diverged;
            known.deadline = uint40(block.timestamp) + known.disputeWindow;
        }
    }

    // --- after the run

    /// @inheritdoc IAgreements
    function acceptResult(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireEnded(id, known);
        _requireInTime(known);

        _settle(id, known, 0, 0, 0);
    }

    /// @inheritdoc IAgreements
    function dispute(AgreementId id, Permit calldata permit) external {
        Agreement storage known = _agreements[id];
        AgreedAudit memory agreed = _agreedAudits[id];
        _requireScientist(known);
        _requireEnded(id, known);
        _requireInTime(known);
        if (agreed.disputeVerifiers == 0) revert DisputeNotAgreed(id);
        _requireVerifiers(id, known);
        uint256 locked = uint256(agreed.fee) + agreed.counterBond;

        emit Disputed(id, locked);

        _openAudit(id, known, true);
        fitCoin.collect(locked, permit);
    }

    /// @inheritdoc IAgreements
    function settle(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireEnded(id, known);
        _requireTimedOut(known);

        _settle(id, known, 0, 0, 0);
    }

    /// @inheritdoc IAgreements
    function expire(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireState(id, known.state == State.Accepted || known.state == State.Training);
        _requireTimedOut(known);

        _forfeit(id, known, known.bond, _auditFee(id));
    }

    // --- the audit, as Audits reports it

    /// @inheritdoc IAgreements
    function concludeAudit(AgreementId id, Outcome verdict, uint256 paidSeats) external {
        Agreement storage known = _agreements[id];
        _requireAudits(id, known);
        AgreedAudit memory agreed = _agreedAudits[id];
        uint256 fees = paidSeats * agreed.feePerSeat();
        bool caught = verdict == Outcome.Mismatch || verdict == Outcome.Withheld;
        uint256 rest = caught ? agreed.fee : agreed.fee - fees;

        _credit(known.scientist, rest);

        emit AuditPaid(id, fees, rest);

        uint256 counterBond = agreed.verifiers == 0 ? agreed.counterBond : 0;
        if (caught) _forfeit(id, known, known.bond - fees, counterBond);
        else if (agreed.verifiers == 0) _settleDispute(id, known, verdict, counterBond);
        else if (verdict == Outcome.Inconclusive) _refund(id, known);
        fitCoin.safeTransfer(address(audits), fees);
    }

    /// @inheritdoc IAgreements
    function settleAudited(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireAudits(id, known);

        _settle(id, known, 0, 0, 0);
    }

    /// @inheritdoc IAgreements
    function forfeitAudited(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireAudits(id, known);

        _forfeit(id, known, known.bond, 0);
    }

    // --- payments and views

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

    /// @inheritdoc IAgreements
    function parties(AgreementId id) external view returns (address owner, address scientist) {
        return (_agreements[id].owner, _agreements[id].scientist);
    }

    /// @inheritdoc IAgreements
    function agreedAudit(AgreementId id) external view returns (AgreedAudit memory) {
        return _agreedAudits[id];
    }

    /// @inheritdoc IAgreements
    function isAudited(AgreementId id) public view returns (bool) {
        return _agreedAudits[id].verifiers > 0;
    }

    // --- checks

    function _requireSound(Terms calldata terms) private view {
        if (terms.recipe == 0) revert RecipeIsZero();
        if (terms.steps == 0) revert StepsAreZero();
        if (terms.segment < MINIMUM_SEGMENT) revert SegmentTooShort(terms.segment, MINIMUM_SEGMENT);
        if (Tree.peakCount(terms.group) != 1) revert GroupIsNotPowerOfTwo(terms.group);
        _requireAmount(terms.price);
        _requireAmount(terms.bond);
        _requireWindow(terms.acceptanceWindow);
        _requireWindow(terms.trainingWindow);
        _requireWindow(terms.disputeWindow);
        _requireSoundAudit(terms.audit, terms.bond);
    }

    function _requireSoundAudit(AuditTerms calldata terms, uint128 bond) private view {
        uint256 panel = _panelNumber(terms);
        uint8 seats = _seatCount(terms);
        if (seats == 0) return;
        if (seats > SEAT_LIMIT) revert TooManySeats(seats, SEAT_LIMIT);
        if (panel == 0 && terms.mode != DisclosureMode.Open) revert PanelNeeded(terms.mode);
        uint256 length = panel == 0 ? 0 : registry.panelLength(panel);
        if (length > type(uint16).max) revert PanelTooLong(length, type(uint16).max);
        _requireAmount(terms.fee);
        _requireAmount(terms.counterBond);
        if (terms.fee / seats > FULL_STAKE) revert FeeAboveStake(terms.fee / seats, FULL_STAKE);
        if (bond < terms.fee) revert BondBelowFee(bond, terms.fee);
        _requireWindow(terms.window);
        if (terms.window > MAXIMUM_AUDIT_WINDOW) revert WindowTooLong(terms.window, MAXIMUM_AUDIT_WINDOW);
    }

    function _requireVerifiers(AgreementId id, Agreement storage known) private view {
        AgreedAudit memory agreed = _agreedAudits[id];
        uint256 needed = agreed.seatCount();
        uint256 available = audits.available(agreed.panel, known.owner, known.scientist, needed);
        if (available < needed) revert TooFewVerifiers(available, needed);
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

    function _requireAudits(AgreementId id, Agreement storage known) private view {
        if (msg.sender != address(audits)) revert CallerIsNotAudits(msg.sender, address(audits));
        _requireState(id, known.state == State.Auditing);
    }

    function _requireEnded(AgreementId id, Agreement storage known) private view {
        State state = known.state;
        _requireState(id, state == State.Trained || state == State.Diverged);
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

    function _storeAudit(AgreementId id, AuditTerms calldata terms) private {
        if (_seatCount(terms) == 0) return;
        AgreedAudit storage agreed = _agreedAudits[id];
        (agreed.fee, agreed.counterBond) = (uint96(terms.fee), uint96(terms.counterBond));
        (agreed.window, agreed.panel) = (uint24(terms.window), uint24(_panelNumber(terms)));
        (agreed.verifiers, agreed.disputeVerifiers) = (terms.verifiers, terms.disputeVerifiers);
    }

    /// @dev 0 where none is named.
    function _panelNumber(AuditTerms calldata terms) private view returns (uint256) {
        return terms.panel == NO_PANEL ? 0 : registry.panelNumber(terms.panel);
    }

    function _seatCount(AuditTerms calldata terms) private pure returns (uint8) {
        return terms.verifiers > 0 ? terms.verifiers : terms.disputeVerifiers;
    }

    /// @dev What a request locks beside the price.
    function _auditFee(AgreementId id) private view returns (uint256) {
        return isAudited(id) ? _agreedAudits[id].fee : 0;
    }

    function _openAudit(AgreementId id, Agreement storage known, bool disputed) private {
        AgreedAudit memory agreed = _agreedAudits[id];
        known.state = State.Auditing;
        audits.open(id, agreed.panel, agreed.seatCount(), agreed.window, disputed);
    }

    function _cancel(AgreementId id, Agreement storage known) private returns (uint256 toScientist) {
        toScientist = known.price + _auditFee(id);
        known.state = State.Cancelled;
        _credit(known.scientist, toScientist);
    }

    /// @dev The owner is due the price for the steps proven, rounded down, and has its bond back.
    function _settle(
        AgreementId id,
        Agreement storage known,
        uint256 moreToOwner,
        uint256 moreToScientist,
        uint256 burned
    ) private {
        uint256 due = uint256(known.price) * known.stepsDone / known.steps;
        uint256 toOwner = due + known.bond + moreToOwner;
        uint256 toScientist = known.price - due + moreToScientist;

        known.state = State.Settled;
        _credit(known.owner, toOwner);
        _credit(known.scientist, toScientist);

        emit Settled(id, toOwner, toScientist, burned);

        _burn(burned);
    }

    /// @dev The model is out already, so without verdict the run counts as undisputed.
    function _settleDispute(AgreementId id, Agreement storage known, Outcome verdict, uint256 counterBond) private {
        if (verdict == Outcome.Inconclusive) _settle(id, known, 0, counterBond, 0);
        else _settle(id, known, counterBond / 2, 0, counterBond - counterBond / 2);
    }

    function _refund(AgreementId id, Agreement storage known) private {
        known.state = State.Refunded;
        _credit(known.owner, known.bond);
        _credit(known.scientist, known.price);

        emit Refunded(id, known.bond, known.price);
    }

    /// @dev The scientist has the price, half of what is left of the bond, and `more`.
    function _forfeit(AgreementId id, Agreement storage known, uint256 bond, uint256 more) private {
        uint256 toScientist = known.price + bond / 2 + more;
        uint256 burned = bond - bond / 2;

        known.state = State.Forfeited;
        _credit(known.scientist, toScientist);

        emit Forfeited(id, toScientist, burned);

        _burn(burned);
    }

    function _credit(address account, uint256 amount) private {
        if (amount > 0) owed[account] += amount;
    }

    function _burn(uint256 amount) private {
        if (amount > 0) fitCoin.burn(amount);
    }
}
