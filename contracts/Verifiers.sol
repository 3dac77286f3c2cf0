// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {Contracts, IDirectory} from "./interfaces/IDirectory.sol";
import {IFitCoin} from "./interfaces/IFitCoin.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IVerifiers} from "./interfaces/IVerifiers.sol";
import {Links} from "./libraries/Links.sol";
import {Payment} from "./libraries/Payment.sol";
import {Permutation} from "./libraries/Permutation.sol";
import {Seats} from "./libraries/Seats.sol";
import {Jury, SeatSettlement} from "./types/Audit.sol";
import {CallerIsNotAudits, ListedElsewhere} from "./types/Errors.sol";
import {PanelId} from "./types/Ids.sol";
import {Permit} from "./types/Terms.sol";
import {Membership, Places, Verifier} from "./types/Verifier.sol";

/// @dev The most places of a panel or the pool: what 16 bits number, but for one that says `nobody`.
uint256 constant PLACE_LIMIT = 65_534;

/// @title Verifiers
/// @notice Stake, places and draws; what it promises stands in IVerifiers.
/// @dev Every function runs checks, effects, event, interaction in this order. The balance of this contract is at
///      least the sum of all stakes, unpaid fees and what is unbonding.
contract Verifiers is IVerifiers {
    using SafeERC20 for IFitCoin;
    using Payment for IFitCoin;
    using SafeCast for uint256;
    using Seats for uint256[3];
    using Checkpoints for Checkpoints.Trace224;

    /// @dev The places of a panel. An entry holds in its upper 32 bits the block from which on its holder stands
    ///      there, in the lower 31 the holder's number (0: it was given up), and in between whether earlier holders
    ///      are kept.
    struct Table {
        Places places;
        uint64[PLACE_LIMIT] entries;
        /// Of a place, who held it from which block on, where that must be known of an earlier block; 0: who left.
        mapping(uint256 place => Checkpoints.Trace224) holders;
    }

    /// @dev How a draw looks for verifiers.
    struct Search {
        Jury jury;
        bytes32 seed;
        uint256 count;
        uint256[3] seats;
        /// Whether somebody who sits may be looked at once more, for the draw began anew.
        bool mayRepeat;
        /// The rectangle of the permutation, and the places there are now.
        uint256 a;
        uint256 b;
        uint256 length;
    }

    uint32 private constant POOL = 0;
    uint256 private constant NUMBER_BITS = 31;
    uint256 private constant NUMBER_LIMIT = (1 << NUMBER_BITS) - 1;
    uint256 private constant KEPT = 1 << NUMBER_BITS;
    uint256 private constant SINCE_SHIFT = 32;

    /// @dev While a fifth of the places still hold who stood there, all of so many tries miss once in 2^20.
    uint256 private constant TRIES_PER_SEAT = 64;
    /// @dev What following a chain may cost: 4,096 links take 0.3 M gas.
    uint256 private constant LINK_LIMIT = 4096;

    uint256 public constant poolStake = 1000 ether;
    uint256 public constant unbondingTime = 21 days;

    IFitCoin public immutable fitCoin;
    IRegistry public immutable registry;
    IAudits public immutable audits;

    mapping(uint256 number => Verifier) private _verifiers;
    mapping(address account => uint32) public numberOf;
    uint256 private _count;
    mapping(uint256 panel => Table) private _tables;
    mapping(uint256 panel => mapping(address account => Membership)) private _memberships;

    constructor(IDirectory directory) {
        Contracts memory listed = directory.contracts();
        if (listed.verifiers != address(this)) revert ListedElsewhere(address(this), listed.verifiers);
        fitCoin = IFitCoin(listed.fitCoin);
        registry = IRegistry(listed.registry);
        audits = IAudits(listed.audits);
    }

    // --- stake

    /// @inheritdoc IVerifiers
    function stake(uint256 amount, bytes26 link, Permit calldata permit) external {
        uint32 number = numberOf[msg.sender];
        if (number == 0) number = _enlist(link);
        Verifier storage known = _verifiers[number];

        known.stake = (known.stake + amount).toUint80();
        if (link != 0) _commitTo(known, link);

        emit Staked(msg.sender, number, amount);

        fitCoin.collect(amount, permit);
    }

    /// @inheritdoc IVerifiers
    function renewChain(bytes26 link) external {
        if (link == 0) revert LinkIsZero();
        _commitTo(_caller(), link);
    }

    /// @inheritdoc IVerifiers
    function unstake(uint256 amount) external {
        Verifier storage known = _caller();
        uint256 free = known.stake - known.locked;
        if (amount > free) revert StakeTooSmall(free, amount);
        uint256 left = known.stake - amount;
        if (_stands(POOL, msg.sender) && left < poolStake) revert PoolNeedsStake(left, poolStake);

        uint256 unbonded = block.timestamp + unbondingTime;
        known.stake = left.toUint80();
        (known.unbonding, known.unbonded) = ((known.unbonding + amount).toUint80(), unbonded.toUint40());

        emit Unstaked(msg.sender, amount, unbonded);
    }

    /// @inheritdoc IVerifiers
    function withdraw() external {
        Verifier storage known = _caller();
        uint256 earned = known.earned;
        uint256 freed = block.timestamp >= known.unbonded ? known.unbonding : 0;
        if (earned + freed == 0) revert NothingToWithdraw(msg.sender);

        known.earned = 0;
        if (freed != 0) known.unbonding = 0;

        emit Withdrawn(msg.sender, earned, freed);

        fitCoin.safeTransfer(msg.sender, earned + freed);
    }

    /// @inheritdoc IVerifiers
    function present() external {
        Verifier storage known = _caller();
        if (!known.away) revert NotAway(msg.sender);

        known.away = false;

        emit CameBack(msg.sender);
    }

    // --- places

    /// @inheritdoc IVerifiers
    function joinPool() external {
        Verifier storage known = _caller();
        if (known.stake < poolStake) revert PoolNeedsStake(known.stake, poolStake);

        _enter(POOL);
    }

    /// @inheritdoc IVerifiers
    function leavePool() external {
        _leave(POOL, msg.sender);
    }

    /// @inheritdoc IVerifiers
    function invite(PanelId panel, address[] calldata accounts) external {
        uint32 number = _requireCreator(panel);

        for (uint256 i = 0; i < accounts.length; i++) {
            _memberships[number][accounts[i]].invited = true;
        }

        emit Invited(panel, accounts);
    }

    /// @inheritdoc IVerifiers
    function expel(PanelId panel, address account) external {
        uint32 number = _requireCreator(panel);
        Membership storage known = _memberships[number][account];
        if (!known.invited) revert NotInvited(panel, account);

        known.invited = false;
        if (known.place != 0) _vacate(number, account, known, true);

        emit Expelled(panel, account);
    }

    /// @inheritdoc IVerifiers
    function joinPanel(PanelId panel) external {
        _caller();
        uint32 number = registry.panelNumber(panel);
        if (!_memberships[number][msg.sender].invited) revert NotInvited(panel, msg.sender);

        _enter(number);
    }

    /// @inheritdoc IVerifiers
    function leavePanel(PanelId panel) external {
        _leave(registry.panelNumber(panel), msg.sender);
    }

    // --- as Audits says

    /// @inheritdoc IVerifiers
    function engage(uint32 number, address account, uint80 seatStake, uint40 opening, bytes26 link) external {
        _requireAudits();
        Verifier storage known = _verifiers[number];
        if (number == 0 || known.account != account) revert CallerIsNotDrawn(account, known.account);
        uint256 free = known.stake - known.locked;
        if (free < seatStake) revert StakeTooSmall(free, seatStake);

        known.locked += seatStake;
        _reveal(known, opening, link);
    }

    /// @inheritdoc IVerifiers
    function settle(SeatSettlement[] calldata settlements) external {
        _requireAudits();
        uint256 burned;
        for (uint256 i = 0; i < settlements.length; i++) {
            burned += _settle(settlements[i]);
        }
        if (burned > 0) fitCoin.burn(burned);
    }

    /// @inheritdoc IVerifiers
    function dismiss(uint32 number) external {
        _requireAudits();
        Verifier storage known = _verifiers[number];
        if (known.away) return;

        known.away = true;

        emit WentAway(known.account);
    }

    // --- the draw

    /// @inheritdoc IVerifiers
    function draw(Jury calldata jury, bytes32 seed, uint8 count, uint256[3] calldata seats, uint256 wanted)
        external
        view
        returns (uint256[3] memory after_, address[] memory drawn)
    {
        drawn = new address[](count);
        if (jury.places == 0) return (seats, drawn);
        Table storage table = _tables[jury.panel];
        (uint256 a, uint256 b) = Permutation.sides(jury.places);
        Search memory search = Search(jury, seed, count, seats, false, a, b, table.places.length);
        search.mayRepeat = search.seats.beganAnew(count);
        for (uint256 seat = 0; seat < count; seat++) {
            if (wanted >> seat & 1 == 1) drawn[seat] = _drawOne(table, search, seat);
        }
        after_ = search.seats;
    }

    /// @dev Looks at positions until somebody is found, none is left, or the tries run out.
    function _drawOne(Table storage table, Search memory search, uint256 seat) private view returns (address) {
        uint256 places = search.jury.places;
        uint256 count = search.count;
        uint256[3] memory seats = search.seats;
        uint256 cursor = seats.cursorAt(seat);
        uint256 back = seats.back();
        for (uint256 tries = 0; tries < TRIES_PER_SEAT; tries++) {
            uint256 position;
            unchecked {
                // None is above the places, of which there are less than 2^16.
                position = seat + cursor * count;
                if (position < places - back) {
                    cursor++;
                } else if (back < places) {
                    position = places - ++back;
                    if (_wasLookedAt(search, seat, cursor, position)) continue;
                } else {
                    break;
                }
            }
            (uint256 number, address account) = _at(table, search, position);
            if (number == 0) continue;
            seats.put(seat, number, cursor);
            seats.putBack(back);
            return account;
        }
        seats.put(seat, 0, cursor);
        seats.putBack(back);
        return address(0);
    }

    /// @dev Whether the seat whose own the position is has passed it.
    function _wasLookedAt(Search memory search, uint256 seat, uint256 cursor, uint256 position)
        private
        pure
        returns (bool)
    {
        uint256 whose = position % search.count;
        uint256 passed = whose == seat ? cursor : search.seats.cursorAt(whose);
        return position / search.count < passed;
    }

    /// @dev Who is drawn at a position; number 0: it cannot be drawn.
    function _at(Table storage table, Search memory search, uint256 position)
        private
        view
        returns (uint256 number, address account)
    {
        Jury memory jury = search.jury;
        uint256 place = Permutation.placeAt(search.seed, jury.places, search.a, search.b, position);
        bool isHeld;
        (number, isHeld) = _holder(table, place, search.length, jury.requestBlock);
        if (number == 0) return (0, address(0));
        if (search.mayRepeat && search.seats.holds(search.count, number)) return (0, address(0));

        Verifier storage known = _verifiers[number];
        account = known.account;
        bool isParty = account == jury.owner || account == jury.scientist || account == jury.asker;
        if (known.away || isParty) return (0, address(0));
        if (!isHeld && _hasLeftSince(jury, account)) return (0, address(0));
    }

    /// @dev By its own will; also if it came back, for whether an earlier entry of it still stands depends on what
    ///      others did.
    function _hasLeftSince(Jury memory jury, address account) private view returns (bool) {
        Membership storage known = _memberships[jury.panel][account];
        return known.gone || known.joined >= jury.requestBlock;
    }

    /// @dev Who held a place at the end of the block before `number`, and whether it holds it still; 0: it left since.
    /// @param length Places that there are now; an entry beyond is of who moved away from it.
    function _holder(Table storage table, uint256 place, uint256 length, uint256 number)
        private
        view
        returns (uint256, bool)
    {
        uint256 entry = table.entries[place];
        if (entry >> SINCE_SHIFT < number) return (entry & NUMBER_LIMIT, place < length);
        if (entry & KEPT == 0) return (0, false);
        return (table.holders[place].upperLookupRecent(uint32(number - 1)), false);
    }

    // --- views

    /// @inheritdoc IVerifiers
    function standing(uint32 panel, address owner, address scientist, address asker)
        external
        view
        returns (uint16 length, uint256 eligible)
    {
        length = _lengthBefore(_tables[panel].places);
        eligible = length;
        if (_stoodBefore(panel, owner)) eligible--;
        if (scientist != owner && _stoodBefore(panel, scientist)) eligible--;
        if (asker != owner && asker != scientist && _stoodBefore(panel, asker)) eligible--;
    }

    /// @inheritdoc IVerifiers
    function verifier(address account) external view returns (Verifier memory) {
        return _verifiers[numberOf[account]];
    }

    /// @inheritdoc IVerifiers
    function accountsOf(uint32[] calldata numbers) external view returns (address[] memory accounts) {
        accounts = new address[](numbers.length);
        for (uint256 i = 0; i < numbers.length; i++) {
            accounts[i] = _verifiers[numbers[i]].account;
        }
    }

    /// @inheritdoc IVerifiers
    function placesOf(uint32 panel) external view returns (Places memory) {
        return _tables[panel].places;
    }

    /// @inheritdoc IVerifiers
    function members(uint32 panel, uint256 from, uint256 count)
        external
        view
        returns (address[] memory accounts, uint40[] memory joined)
    {
        (accounts, joined) = (new address[](count), new uint40[](count));
        for (uint256 i = 0; i < count; i++) {
            uint256 number = _tables[panel].entries[from + i] & NUMBER_LIMIT;
            accounts[i] = _verifiers[number].account;
            joined[i] = _memberships[panel][accounts[i]].joined;
        }
    }

    /// @inheritdoc IVerifiers
    function membership(uint32 panel, address account) external view returns (Membership memory) {
        return _memberships[panel][account];
    }

    // --- checks

    function _caller() private view returns (Verifier storage) {
        uint32 number = numberOf[msg.sender];
        if (number == 0) revert NotAVerifier(msg.sender);
        return _verifiers[number];
    }

    function _requireAudits() private view {
        if (msg.sender != address(audits)) revert CallerIsNotAudits(msg.sender, address(audits));
    }

    function _requireCreator(PanelId panel) private view returns (uint32 number) {
        address creator;
        (number, creator) = registry.panelCreator(panel);
        if (msg.sender != creator) revert CallerIsNotCreator(msg.sender, creator);
    }

    function _stands(uint32 panel, address account) private view returns (bool) {
        return _memberships[panel][account].place != 0;
    }

    /// @dev Whether it stood at the end of the block before this one. Who left in this block counts as one that did.
    function _stoodBefore(uint32 panel, address account) private view returns (bool) {
        Membership memory known = _memberships[panel][account];
        return known.left == block.number && known.left != 0 || known.place != 0 && known.joined < block.number;
    }

    function _lengthBefore(Places memory known) private view returns (uint16) {
        return known.changed == block.number ? known.lengthBefore : known.length;
    }

    // --- effects: the chain

    function _enlist(bytes26 link) private returns (uint32 number) {
        if (link == 0) revert LinkIsZero();
        uint256 count = ++_count;
        if (count > NUMBER_LIMIT) revert PanelIsFull(POOL, NUMBER_LIMIT);
        number = uint32(count);
        numberOf[msg.sender] = number;
        _verifiers[number].account = msg.sender;
    }

    function _commitTo(Verifier storage known, bytes26 link) private {
        uint48 opening = audits.opened();
        (known.link, known.position, known.chainFrom) = (link, opening, opening);

        emit ChainRenewed(known.account, link, opening);
    }

    /// @dev A link before the last one that was revealed is public already; it has to be said all the same.
    function _reveal(Verifier storage known, uint256 opening, bytes26 link) private {
        (bytes26 last, uint256 position, uint256 from) = (known.link, known.position, known.chainFrom);
        if (opening <= from) revert ChainIsYounger(from, opening);
        bool isNew = opening > position;
        uint256 links = isNew ? opening - position : position - opening;
        if (links > LINK_LIMIT) revert ChainTooFarBehind(links, LINK_LIMIT);
        bytes26 computed = Links.before(isNew ? link : last, links);
        bytes26 expected = isNew ? last : link;
        if (computed != expected) revert LinkDiffers(computed, expected);

        if (isNew) (known.link, known.position) = (link, uint48(opening));
    }

    // --- effects: places

    function _enter(uint32 panel) private {
        Membership storage known = _memberships[panel][msg.sender];
        if (known.place != 0) revert StandsAlready(panel, msg.sender);
        Table storage table = _tables[panel];
        uint256 place = table.places.length;
        if (place == PLACE_LIMIT) revert PanelIsFull(panel, PLACE_LIMIT);

        uint256 entry = table.entries[place];
        if (entry & NUMBER_LIMIT != 0) _keep(table, place, entry, entry & NUMBER_LIMIT); // who moved away from here
        _write(table, place, numberOf[msg.sender]);
        _resize(table, uint16(place + 1));
        (known.place, known.joined, known.gone) = (uint16(place + 1), block.number.toUint40(), false);

        emit Joined(panel, msg.sender);
    }

    function _leave(uint32 panel, address account) private {
        Membership storage known = _memberships[panel][account];
        if (known.place == 0) revert DoesNotStand(panel, account);

        _vacate(panel, account, known, false);
    }

    /// @dev The last place moves into the one that is given up, for later requests; for earlier ones its holder is
    ///      still found in the last place, where its entry stays.
    function _vacate(uint32 panel, address account, Membership storage known, bool expelled) private {
        Table storage table = _tables[panel];
        uint256 place = known.place - 1;
        uint256 last = table.places.length - 1;
        uint256 entry = table.entries[place];
        uint256 moved = place == last ? 0 : table.entries[last] & NUMBER_LIMIT;

        if (expelled) _keep(table, place, entry, entry & NUMBER_LIMIT);
        else if (entry & KEPT != 0) _keep(table, place, entry, 0);
        _write(table, place, moved);
        if (moved != 0) _memberships[panel][_verifiers[moved].account].place = uint16(place + 1);
        _resize(table, uint16(last));
        (known.place, known.left, known.gone) = (0, block.number.toUint40(), !expelled);

        emit Left(panel, account);
    }

    /// @dev Remembers who held a place from the block of its entry on.
    function _keep(Table storage table, uint256 place, uint256 entry, uint256 number) private {
        table.holders[place].push(uint32(entry >> SINCE_SHIFT), uint224(number));
        table.entries[place] = uint64(entry | KEPT);
    }

    function _write(Table storage table, uint256 place, uint256 number) private {
        uint256 kept = table.entries[place] & KEPT;
        table.entries[place] = uint64(uint256(block.number.toUint32()) << SINCE_SHIFT | kept | number);
    }

    function _resize(Table storage table, uint16 length) private {
        Places memory known = table.places;
        table.places = Places(length, block.number.toUint40(), _lengthBefore(known));
    }

    // --- effects: seats

    /// @dev Frees a seat's stake, less what it loses, and credits what it earned.
    function _settle(SeatSettlement calldata seat) private returns (uint256 lost) {
        Verifier storage known = _verifiers[seat.number];
        lost = seat.lost;

        known.locked -= seat.unlocked;
        known.earned += seat.earned;
        if (lost == 0) return 0;
        known.stake -= seat.lost;
        address account = known.account;
        if (known.stake < poolStake && _stands(POOL, account)) _leave(POOL, account);

        emit Penalised(account, lost);
    }
}
