// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {Contracts, IDirectory} from "./interfaces/IDirectory.sol";
import {IFitCoin} from "./interfaces/IFitCoin.sol";
import {IProofOfTrain} from "./interfaces/IProofOfTrain.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IVerifiers} from "./interfaces/IVerifiers.sol";
import {Payment} from "./libraries/Payment.sol";
import {Payouts} from "./libraries/Payouts.sol";
import {TermsDigest} from "./libraries/TermsDigest.sol";
import {Tree} from "./libraries/Tree.sol";
import {Agreement, Asking, State} from "./types/Agreement.sol";
import {AuditKind, Jury, Opening, Outcome, SEAT_LIMIT} from "./types/Audit.sol";
import {
    CallerIsNotAudits,
    CallerIsNotOwner,
    CallerIsNotProofOfTrain,
    CallerIsNotScientist,
    DeadlineNotPassed,
    DeadlinePassed,
    ListedElsewhere,
    requireCid,
    requireCidOrNone
} from "./types/Errors.sol";
import {AgreementId, NO_PANEL} from "./types/Ids.sol";
import {RunEnd} from "./types/Run.sol";
import {AuditTerms, DisclosureMode, Permit, Terms} from "./types/Terms.sol";

/// @title Agreements
/// @notice Terms, money and life cycle of jobs; what it promises stands in IAgreements, who gets what in Payouts.
/// @dev Every function runs checks, effects, event, interaction in this order, so no callee can find it half done;
///      `accept` charges the registry before, which calls nobody.
contract Agreements is IAgreements {
    using SafeERC20 for IFitCoin;
    using Payment for IFitCoin;
    using SafeCast for uint256;
    using TermsDigest for Terms;

    uint32 private constant MINIMUM_STEPS = 2;
    uint32 private constant MAXIMUM_WINDOW = 30 days;
    uint32 private constant MAXIMUM_WAIT = 7 days;
    uint16 private constant SEGMENT_LIMIT = 4096;
    uint256 private constant LEAST_STAKE_IN_FEES = 10;
    uint256 private constant MOST_STAKE_IN_FEES = 20;
    /// @dev On a private chain for trials windows may be as short as a test needs.
    uint256 private constant DEVNET_CHAIN_ID = 31337;

    IFitCoin public immutable fitCoin;
    IRegistry public immutable registry;
    IVerifiers public immutable verifiers;
    IProofOfTrain public immutable proofOfTrain;
    IAudits public immutable audits;
    uint256 public immutable feeFloor;
    uint32 public immutable minimumWindow;

    /// @dev How often another audit was asked for and consented to.
    struct Counts {
        uint16 asked;
        uint16 consented;
    }

    mapping(AgreementId id => Agreement) private _agreements;
    mapping(AgreementId id => uint256) public counterBond;
    mapping(AgreementId id => Counts) private _counts;
    mapping(AgreementId id => mapping(uint256 ordinal => Asking)) private _askings;
    mapping(address account => uint256) public owed;

    constructor(IDirectory directory, uint256 feeFloor_) {
        Contracts memory listed = directory.contracts();
        if (listed.agreements != address(this)) revert ListedElsewhere(address(this), listed.agreements);
        fitCoin = IFitCoin(listed.fitCoin);
        registry = IRegistry(listed.registry);
        verifiers = IVerifiers(listed.verifiers);
        proofOfTrain = IProofOfTrain(listed.proofOfTrain);
        audits = IAudits(listed.audits);
        feeFloor = feeFloor_;
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
        uint8 ledger = _requireOffered(terms);
        (uint32 panel, uint16 places, uint256 eligible) = _standing(terms.audit, terms.owner, msg.sender, msg.sender);
        uint256 fees = uint256(terms.audit.verifiers) * terms.audit.feePerSeat;

        _agreements[id] = Agreement({
            scientist: msg.sender,
            state: State.Requested,
            deadline: _after(terms.acceptanceWindow),
            requestBlock: block.number.toUint40(),
            complained: false,
            owner: terms.owner,
            panel: panel,
            places: places,
            seedBlock: 0,
            ledger: ledger,
            price: uint88(terms.price),
            bond: uint88(terms.bond),
            fees: uint80(fees),
            digest: terms.digest()
        });

        emit Requested(id, msg.sender, terms.owner, terms, panel, places, eligible, offerCid);

        fitCoin.collect(terms.price + fees, permit);
    }

    /// @inheritdoc IAgreements
    function accept(AgreementId id, Terms calldata terms, bytes32 keyCommitment, Permit calldata permit) external {
        Agreement storage known = _agreements[id];
        _requireOwner(known);
        _requireState(id, known.state == State.Requested);
        _requireInTime(known.deadline);
        _requireTerms(known.digest, terms.digest());
        if (keyCommitment == 0) revert KeyCommitmentIsZero();
        uint256 spent = known.ledger == 0 ? 0 : registry.charge(msg.sender, known.ledger, terms.charge);

        known.state = State.Accepted;
        known.deadline = _after(terms.trainingWindow);
        known.seedBlock = uint40(block.number);
        known.digest = keccak256(abi.encode(known.digest, keyCommitment));

        emit Accepted(id, keyCommitment, known.deadline, spent);

        fitCoin.collect(known.bond, permit);
    }

    /// @inheritdoc IAgreements
    function reject(AgreementId id, bytes calldata reasonCid) external {
        Agreement storage known = _agreements[id];
        _requireOwner(known);
        _requireState(id, known.state == State.Requested);
        _requireInTime(known.deadline);
        requireCidOrNone(reasonCid);

        emit Rejected(id, _giveBack(known), reasonCid);
    }

    /// @inheritdoc IAgreements
    function cancel(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireState(id, known.state == State.Requested);
        _requireTimedOut(known.deadline);

        emit Cancelled(id, _giveBack(known));
    }

    // --- the run, as ProofOfTrain reports it

    /// @inheritdoc IAgreements
    function startTraining(AgreementId id, bytes32 terms, bytes32 keyCommitment)
        external
        returns (address scientist, uint40 deadline, uint40 seedBlock)
    {
        Agreement storage known = _agreements[id];
        _requireProofOfTrain();
        _requireState(id, known.state == State.Accepted);
        _requireInTime(known.deadline);
        _requireTerms(known.digest, keccak256(abi.encode(terms, keyCommitment)));

        known.state = State.Training;
        known.digest = terms;
        return (known.scientist, known.deadline, known.seedBlock);
    }

    /// @inheritdoc IAgreements
    function endTraining(AgreementId id, bytes32 terms, RunEnd calldata end, AuditTerms calldata audit)
        external
        returns (address scientist)
    {
        Agreement storage known = _agreements[id];
        _requireProofOfTrain();
        _requireState(id, known.state == State.Training);
        _requireInTime(known.deadline);
        _requireTerms(known.digest, terms);
        scientist = known.scientist;

        bool isWhole = end.stepsDone == end.steps;
        if (!isWhole && end.groups == 0 && _seatCount(audit) == 0) {
            // Nobody could dispute it: else an owner that trained nothing would have its bond back.
            _divide(id, known, State.Forfeited, Payouts.deadlineMissed(_escrow(known)));
            return scientist;
        }
        if (!isWhole) _reducePrice(id, known, uint256(known.price) * end.stepsDone / end.steps);
        if (audit.verifiers > 0) {
            _openAudit(id, known, AuditKind.First, audit, end.nonceCommitment, end.audited);
        } else {
            known.state = isWhole ? State.Trained : State.Diverged;
            known.deadline = _after(end.disputeWindow);
        }
    }

    // --- after the run

    /// @inheritdoc IAgreements
    function acceptResult(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireEnded(id, known);
        _requireInTime(known.deadline);

        _divide(id, known, State.Settled, Payouts.settled(_escrow(known)));
    }

    /// @inheritdoc IAgreements
    function complain(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireEnded(id, known);
        _requireInTime(known.deadline);
        if (known.complained) revert ComplainedAlready(id);

        known.complained = true;

        emit Complained(id);
    }

    /// @inheritdoc IAgreements
    function dispute(AgreementId id, Terms calldata terms, Permit calldata permit) external {
        Agreement storage known = _agreements[id];
        _requireScientist(known);
        _requireEnded(id, known);
        _requireInTime(known.deadline);
        _requireTerms(known.digest, terms.digest());
        AuditTerms calldata audit = terms.audit;
        if (audit.disputeVerifiers == 0) revert DisputeNotAgreed(id);
        uint256 fees = uint256(audit.disputeVerifiers) * audit.feePerSeat;
        uint256 locked = fees + audit.counterBond;

        known.fees = uint80(fees);
        counterBond[id] = audit.counterBond;

        emit Disputed(id, locked);

        uint24 audited = proofOfTrain.auditedSegments(id, audit.drawnSegments);
        _openAudit(id, known, AuditKind.Dispute, audit, terms.nonceCommitment, audited);
        fitCoin.collect(locked, permit);
    }

    /// @inheritdoc IAgreements
    function settle(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireEnded(id, known);
        _requireTimedOut(known.deadline);

        _divide(id, known, State.Settled, Payouts.settled(_escrow(known)));
    }

    /// @inheritdoc IAgreements
    function expire(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireState(id, known.state == State.Accepted || known.state == State.Training);
        _requireTimedOut(known.deadline);

        _divide(id, known, State.Forfeited, Payouts.deadlineMissed(_escrow(known)));
    }

    // --- audits asked again

    /// @inheritdoc IAgreements
    function askAgain(
        AgreementId id,
        AuditTerms calldata terms,
        bytes32 nonceCommitment,
        uint32 consentWindow,
        Permit calldata permit
    ) external returns (uint16 ordinal) {
        Agreement storage known = _agreements[id];
        _requireState(id, known.state == State.Settled || known.state == State.Halved);
        _requireSoundAudit(terms);
        if (terms.verifiers == 0) revert SeatCountRefused(0, SEAT_LIMIT);
        _requireAmount(terms.counterBond, 0);
        _requireWindow(consentWindow);
        if (nonceCommitment == 0) revert NonceCommitmentIsZero();
        (uint32 panel, uint16 places, uint256 eligible) = _standing(terms, known.owner, known.scientist, msg.sender);
        ordinal = (uint256(_counts[id].asked) + 1).toUint16();
        uint256 fees = uint256(terms.verifiers) * terms.feePerSeat;

        _counts[id].asked = ordinal;
        Asking storage question = _askings[id][ordinal];
        (question.asker, question.panel, question.places) = (msg.sender, panel, places);
        question.requestBlock = uint48(block.number);
        question.digest = keccak256(abi.encode(terms, nonceCommitment));
        (question.fees, question.deadline) = (uint80(fees), _after(consentWindow));

        emit AuditAsked(id, ordinal, msg.sender, terms, nonceCommitment, panel, places, eligible, question.deadline);

        fitCoin.collect(fees, permit);
    }

    /// @inheritdoc IAgreements
    function consent(AgreementId id, uint16 ordinal, AuditTerms calldata terms, bytes32 nonceCommitment) external {
        Asking storage question = _askings[id][ordinal];
        _requireOwner(_agreements[id]);
        _requireUnanswered(id, ordinal, question);
        _requireInTime(question.deadline);
        _requireTerms(question.digest, keccak256(abi.encode(terms, nonceCommitment)));

        question.consented = true;
        _counts[id].consented++;

        emit AuditConsented(id, ordinal);

        uint24 audited = proofOfTrain.auditedSegments(id, terms.drawnSegments);
        audits.open(id, ordinal, _opening(AuditKind.Again, terms, nonceCommitment, audited));
    }

    /// @inheritdoc IAgreements
    function takeBack(AgreementId id, uint16 ordinal) external {
        Asking storage question = _askings[id][ordinal];
        _requireUnanswered(id, ordinal, question);
        _requireTimedOut(question.deadline);
        uint256 fees = question.fees;

        question.fees = 0;
        _credit(question.asker, fees);

        emit AuditTakenBack(id, ordinal, fees);
    }

    // --- the audit, as Audits reports it

    /// @inheritdoc IAgreements
    function concludeAudit(
        AgreementId id,
        uint16 ordinal,
        AuditKind kind,
        Outcome verdict,
        uint256 feePerSeat,
        uint256 seats,
        uint256 paid
    ) external {
        _requireAudits();
        if (kind == AuditKind.Again) {
            Asking storage question = _askings[id][ordinal];
            question.fees = 0;
            _payAudit(id, ordinal, question.asker, Payouts.askedAgain(feePerSeat, seats, paid));
        } else {
            Agreement storage known = _agreements[id];
            _requireState(id, known.state == State.Auditing);
            State state = State.Forfeited;
            if (verdict == Outcome.Inconclusive) {
                state = kind == AuditKind.Dispute ? State.Halved : State.Refunded;
            }
            Payouts.Escrow memory escrow = _escrow(known);
            if (kind == AuditKind.Dispute) escrow.counterBond = counterBond[id];
            Payouts.Payout memory payout = Payouts.verdict(kind, verdict, escrow, paid * feePerSeat);
            if (kind == AuditKind.Dispute) delete counterBond[id];
            _divide(id, known, state, payout);
            _transferFees(payout.toVerifiers);
        }
    }

    /// @inheritdoc IAgreements
    function settleMatched(AgreementId id) external {
        Agreement storage known = _agreements[id];
        _requireAudits();
        _requireState(id, known.state == State.Auditing);

        _divide(id, known, State.Settled, Payouts.settled(_escrow(known)));
    }

    /// @inheritdoc IAgreements
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
    ) external {
        Agreement storage known = _agreements[id];
        _requireAudits();
        if (accepting != address(0) && accepting != known.scientist) {
            revert CallerIsNotScientist(accepting, known.scientist);
        }
        _requireState(id, known.state == (settled ? State.Settled : State.Auditing));
        uint256 deposit = kind == AuditKind.Dispute ? counterBond[id] : 0;
        bool returned = !settled || answered && known.complained;
        Payouts.Payout memory payout = Payouts.releaseOver(feePerSeat, seats, matching, paid, deposit, returned);

        if (deposit != 0) delete counterBond[id];
        if (!settled) _divide(id, known, State.Forfeited, Payouts.neverReleased(_escrow(known)));
        _credit(known.owner, payout.toOwner);
        _payAudit(id, 0, known.scientist, payout);
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
    function jury(AgreementId id, uint16 ordinal) external view returns (Jury memory) {
        Agreement storage known = _agreements[id];
        (address owner, address scientist) = (known.owner, known.scientist);
        if (ordinal == 0) {
            return Jury(owner, scientist, scientist, known.panel, known.places, known.requestBlock);
        }
        Asking storage question = _askings[id][ordinal];
        return Jury(owner, scientist, question.asker, question.panel, question.places, uint40(question.requestBlock));
    }

    /// @inheritdoc IAgreements
    function askedAndConsented(AgreementId id) external view returns (uint16 asked, uint16 consented) {
        return (_counts[id].asked, _counts[id].consented);
    }

    /// @inheritdoc IAgreements
    function asking(AgreementId id, uint16 ordinal) external view returns (Asking memory) {
        return _askings[id][ordinal];
    }

    // --- checks

    function _requireSound(Terms calldata terms) private view {
        if (terms.recipe == 0) revert RecipeIsZero();
        if (terms.steps < MINIMUM_STEPS) revert TooFewSteps(terms.steps, MINIMUM_STEPS);
        if (terms.segmentSteps < MINIMUM_STEPS) revert SegmentTooShort(terms.segmentSteps, MINIMUM_STEPS);
        if (Tree.peakCount(terms.groupLeaves) != 1) revert GroupIsNotPowerOfTwo(terms.groupLeaves);
        _requireAmount(terms.price, type(uint88).max);
        _requireAmount(terms.bond, type(uint88).max);
        _requireWindow(terms.acceptanceWindow);
        _requireWindow(terms.trainingWindow);
        _requireWindow(terms.disputeWindow);
        _requireSoundAudit(terms.audit);
        uint256 seats = _seatCount(terms.audit);
        if (seats == 0) return;
        uint256 fees = seats * terms.audit.feePerSeat;
        if (terms.bond < fees) revert BondBelowFees(terms.bond, fees);
        if (terms.nonceCommitment == 0) revert NonceCommitmentIsZero();
    }

    function _requireSoundAudit(AuditTerms calldata terms) private view {
        if (terms.verifiers != 0 && terms.disputeVerifiers != 0) {
            revert DisputeBesideAudit(terms.verifiers, terms.disputeVerifiers);
        }
        uint8 seats = _seatCount(terms);
        if (seats == 0) return;
        if (seats % 2 == 0 || seats > SEAT_LIMIT) revert SeatCountRefused(seats, SEAT_LIMIT);
        if (terms.drawnSegments > SEGMENT_LIMIT) revert TooManySegments(terms.drawnSegments, SEGMENT_LIMIT);
        if (terms.panel == NO_PANEL && terms.mode != DisclosureMode.Open) revert PanelNeeded(terms.mode);
        uint256 fee = terms.feePerSeat;
        if (fee < feeFloor) revert FeeBelowFloor(terms.feePerSeat, feeFloor);
        _requireAmount(fee * seats, type(uint80).max);
        _requireAmount(terms.seatStake, type(uint80).max);
        _requireAmount(terms.counterBond, type(uint88).max);
        if (terms.seatStake < LEAST_STAKE_IN_FEES * fee || terms.seatStake > MOST_STAKE_IN_FEES * fee) {
            revert SeatStakeRefused(terms.seatStake, LEAST_STAKE_IN_FEES * fee, MOST_STAKE_IN_FEES * fee);
        }
        _requireWindow(terms.window);
        if (terms.window > MAXIMUM_WINDOW) revert WindowTooLong(terms.window, MAXIMUM_WINDOW);
        _requireWindow(terms.wait);
        if (terms.wait > MAXIMUM_WAIT) revert WindowTooLong(terms.wait, MAXIMUM_WAIT);
    }

    /// @dev Dataset and model are on offer, are the owner's and what the terms say, and a ledger is charged.
    function _requireOffered(Terms calldata terms) private view returns (uint8 ledger) {
        address owner;
        bytes32 root;
        (owner, root, ledger) = registry.offeredDataset(terms.dataset);
        if (terms.owner != owner) revert DatasetOwnerDiffers(terms.owner, owner);
        if (terms.datasetRoot != root) revert DatasetRootDiffers(terms.datasetRoot, root);
        if ((terms.charge == 0) != (ledger == 0)) revert ChargeRefused(terms.charge, ledger);
        root = registry.offeredModel(terms.model);
        if (terms.modelRoot != root) revert ModelRootDiffers(terms.modelRoot, root);
    }

    /// @dev The jury is fixed here: who stood before this block. So many more than m that a quorum can be absent.
    function _standing(AuditTerms calldata terms, address owner, address scientist, address asker)
        private
        view
        returns (uint32 panel, uint16 places, uint256 eligible)
    {
        uint256 seats = _seatCount(terms);
        if (seats == 0) return (0, 0, 0);
        panel = terms.panel == NO_PANEL ? 0 : registry.panelNumber(terms.panel);
        (places, eligible) = verifiers.standing(panel, owner, scientist, asker);
        uint256 needed = seats + (seats + 1) / 2;
        if (eligible < needed) revert TooFewEligible(eligible, needed);
    }

    function _requireAmount(uint256 amount, uint256 limit) private pure {
        if (amount > limit) revert AmountTooLarge(amount, limit);
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

    function _requireAudits() private view {
        if (msg.sender != address(audits)) revert CallerIsNotAudits(msg.sender, address(audits));
    }

    function _requireEnded(AgreementId id, Agreement storage known) private view {
        State state = known.state;
        _requireState(id, state == State.Trained || state == State.Diverged);
    }

    function _requireUnanswered(AgreementId id, uint16 ordinal, Asking storage question) private view {
        if (question.asker == address(0) || question.consented || question.fees == 0) revert NothingAsked(id, ordinal);
    }

    function _requireState(AgreementId id, bool allowed) private view {
        if (!allowed) revert StateForbids(id, _agreements[id].state);
    }

    function _requireTerms(bytes32 agreed, bytes32 given) private pure {
        if (given != agreed) revert TermsDiffer(given, agreed);
    }

    function _requireInTime(uint256 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
    }

    function _requireTimedOut(uint256 deadline) private view {
        if (block.timestamp <= deadline) revert DeadlineNotPassed(deadline, block.timestamp);
    }

    function _seatCount(AuditTerms calldata terms) private pure returns (uint8) {
        return terms.verifiers > 0 ? terms.verifiers : terms.disputeVerifiers;
    }

    function _after(uint256 window) private view returns (uint40) {
        return (block.timestamp + window).toUint40();
    }

    // --- effects and interactions

    function _openAudit(
        AgreementId id,
        Agreement storage known,
        AuditKind kind,
        AuditTerms calldata terms,
        bytes32 nonceCommitment,
        uint24 audited
    ) private {
        Opening memory opening = _opening(kind, terms, nonceCommitment, audited);
        opening.complained = known.complained;
        known.state = State.Auditing;
        audits.open(id, 0, opening);
    }

    function _opening(AuditKind kind, AuditTerms calldata terms, bytes32 nonceCommitment, uint24 audited)
        private
        pure
        returns (Opening memory)
    {
        return Opening({
            kind: kind,
            seats: _seatCount(terms),
            window: uint24(terms.window),
            wait: terms.wait,
            audited: audited,
            feePerSeat: uint80(terms.feePerSeat),
            seatStake: uint80(terms.seatStake),
            nonceCommitment: nonceCommitment,
            complained: false
        });
    }

    /// @dev What is not due goes back at once, whatever becomes of the rest.
    function _reducePrice(AgreementId id, Agreement storage known, uint256 due) private {
        uint256 rest = known.price - due;
        known.price = uint88(due);
        _credit(known.scientist, rest);

        emit PriceReduced(id, due, rest);
    }

    function _giveBack(Agreement storage known) private returns (uint256 toScientist) {
        toScientist = Payouts.givenBack(_escrow(known)).toScientist;
        known.state = State.Cancelled;
        _credit(known.scientist, toScientist);
    }

    function _escrow(Agreement storage known) private view returns (Payouts.Escrow memory) {
        return Payouts.Escrow({price: known.price, bond: known.bond, fees: known.fees, counterBond: 0});
    }

    /// @dev Owner and scientist are credited, and what is forfeited is burned; fees are transferred apart.
    function _divide(AgreementId id, Agreement storage known, State state, Payouts.Payout memory payout) private {
        known.state = state;
        _credit(known.owner, payout.toOwner);
        _credit(known.scientist, payout.toScientist);

        emit Settled(id, state, payout.toOwner, payout.toScientist, payout.burned);

        _burn(payout.burned);
    }

    /// @dev Fees go to the seats, and what of them is left to who locked them.
    function _payAudit(AgreementId id, uint16 ordinal, address payer, Payouts.Payout memory payout) private {
        _credit(payer, payout.toScientist);

        emit AuditPaid(id, ordinal, payout.toVerifiers, payout.toScientist, payout.toOwner, payout.burned);

        _burn(payout.burned);
        _transferFees(payout.toVerifiers);
    }

    function _transferFees(uint256 amount) private {
        if (amount > 0) fitCoin.safeTransfer(address(verifiers), amount);
    }

    function _credit(address account, uint256 amount) private {
        if (amount > 0) owed[account] += amount;
    }

    function _burn(uint256 amount) private {
        if (amount > 0) fitCoin.burn(amount);
    }
}
