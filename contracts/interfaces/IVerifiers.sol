// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Jury, SeatSettlement} from "../types/Audit.sol";
import {PanelId} from "../types/Ids.sol";
import {Permit} from "../types/Terms.sol";
import {Membership, Places, Verifier} from "../types/Verifier.sol";
import {IAudits} from "./IAudits.sol";
import {IFitCoin} from "./IFitCoin.sol";
import {IRegistry} from "./IRegistry.sol";

/// @title Verifiers
/// @notice Who may be drawn, with what stake, and how a draw finds them.
/// @dev *Stake.* Free is what no seat has reserved. A seat reserves its stake when its verifier joins it, so one
///      stake never covers two. What is taken back leaves after the unbonding time.
///      *Places.* A panel or the pool has places 0 to n - 1, all taken. Who joins is appended; who leaves is replaced
///      by who has the last place. A jury is who stood at the end of the block before a request: places are looked up
///      as they stood then. Whoever has left since is not found, also if it came back; whoever was expelled since, or
///      moved, is.
///      *Chain.* link(i) = bytes26(keccak256(link(i + 1))), 26 bytes hashed. A verifier commits to link(g), g the
///      audits opened so far; its link to the opening number h > g is link(h), which `join` reveals. So the link
///      belongs to the audit and not to the order in which a verifier joins its audits: it can only stay away.
///      *Draw.* Position i of the draw is place E(i): E permutes the places, by six alternating steps over the
///      coordinates (x mod a, x / a), a = ceil(sqrt(n)), b = ceil(n / a), step r adding keccak256(abi.encode(seed, r
///      << 32 | other coordinate)) mod a or b, walked on while the result is n or more. Seat s of m looks at
///      positions s, s + m, s + 2 m, ..., its own; once they are all looked at, at those that nobody has looked at,
///      from the last backwards. So as long as a seat has positions of its own left nobody can change who sits there
///      but those whose positions they are.
/// @dev Warning: the last deadline to join is the end of a joining window; a verifier that neither joins nor declines
///      by then is out of every draw until it calls `present`.
/// @dev Warning: a link that is lost cannot be revealed; commit to a new chain with `renewChain`. It counts for
///      audits that are opened afterwards.
/// @dev Warning: a verifier that shows its links to anybody before it joins lets others aim at segments.
interface IVerifiers {
    /// @notice `account`, short for `number`, added `amount` to its stake.
    event Staked(address indexed account, uint32 number, uint256 amount);
    /// @notice `account` committed to a chain; its links count for openings after `opening`.
    event ChainRenewed(address indexed account, bytes26 link, uint48 opening);
    /// @notice `amount` leaves; it may be withdrawn from `unbonded` (Unix time) on, with all that was leaving before.
    event Unstaked(address indexed account, uint256 amount, uint256 unbonded);
    /// @notice `account` collected `earned` fees and `stake`.
    event Withdrawn(address indexed account, uint256 earned, uint256 stake);
    /// @notice A verifier lost `amount` of its stake, which was burned.
    event Penalised(address indexed account, uint256 amount);
    /// @notice A verifier is out of every draw until it says that it is there again.
    event WentAway(address indexed account);
    /// @notice A verifier is there again.
    event CameBack(address indexed account);
    /// @notice The panel's creator invited `accounts`.
    event Invited(PanelId indexed panel, address[] accounts);
    /// @notice The panel's creator took the invitation back and, for later requests, the place.
    event Expelled(PanelId indexed panel, address indexed account);
    /// @notice `account` stands in the panel of that number, 0 the pool, for requests in later blocks.
    event Joined(uint32 indexed panel, address indexed account);
    /// @notice `account` stands there no more for requests in later blocks.
    event Left(uint32 indexed panel, address indexed account);

    /// @notice The account never staked.
    error NotAVerifier(address account);
    /// @notice More than is free.
    error StakeTooSmall(uint256 free, uint256 needed);
    /// @notice A place in the pool is held by `needed` of stake.
    error PoolNeedsStake(uint256 stake, uint256 needed);
    /// @notice A first stake comes with a chain.
    error LinkIsZero();
    /// @notice The link does not lead to the one that is known.
    error LinkDiffers(bytes26 computed, bytes26 known);
    /// @notice The chain was committed to at opening `chainFrom`, when this audit could be seen.
    error ChainIsYounger(uint256 chainFrom, uint256 opening);
    /// @notice Too many audits were opened since a link was last revealed; `renewChain`.
    error ChainTooFarBehind(uint256 links, uint256 limit);
    /// @notice There is nothing to withdraw.
    error NothingToWithdraw(address account);
    /// @notice The account is not away.
    error NotAway(address account);
    /// @notice The account stands there already.
    error StandsAlready(uint32 panel, address account);
    /// @notice The account does not stand there.
    error DoesNotStand(uint32 panel, address account);
    /// @notice The panel's creator did not invite the account.
    error NotInvited(PanelId panel, address account);
    /// @notice The call is the panel creator's to make.
    error CallerIsNotCreator(address caller, address creator);
    /// @notice No more places.
    error PanelIsFull(uint32 panel, uint256 limit);
    /// @notice The seat is another verifier's.
    error CallerIsNotDrawn(address caller, address drawn);

    // --- stake

    /// @notice Adds to the caller's stake; 0 is allowed, to commit to a chain without one.
    /// @param link The commitment to its chain; zero keeps the one that stands.
    /// @param permit For this contract; deadline 0 if the allowance stands already.
    function stake(uint256 amount, bytes26 link, Permit calldata permit) external;

    /// @notice Commits to another chain, for audits that are opened afterwards.
    function renewChain(bytes26 link) external;

    /// @notice Takes free stake back; it stays bound for the unbonding time, from now on with all that was leaving
    ///         before.
    function unstake(uint256 amount) external;

    /// @notice Pays the caller its fees, and what is unbonded. Never expires.
    function withdraw() external;

    /// @notice The caller, who let a joining window pass, is there again.
    function present() external;

    // --- places

    /// @notice Takes a place in the pool, for requests in later blocks.
    function joinPool() external;

    /// @notice Gives it up, for requests in later blocks.
    function leavePool() external;

    /// @notice The creator of a panel invites accounts.
    function invite(PanelId panel, address[] calldata accounts) external;

    /// @notice The creator of a panel takes an invitation back; juries of earlier requests keep who stood.
    function expel(PanelId panel, address account) external;

    /// @notice Takes a place in a panel that the caller is invited to, for requests in later blocks.
    function joinPanel(PanelId panel) external;

    /// @notice Gives it up, for requests in later blocks.
    function leavePanel(PanelId panel) external;

    // --- as Audits says

    /// @notice Audits reserves the stake of a seat whose verifier joins, and reveals its link.
    /// @param number The verifier that was drawn.
    /// @param account Who joins.
    function engage(uint32 number, address account, uint80 seatStake, uint40 opening, bytes26 link) external;

    /// @notice Audits frees seats, pays them and burns what they lose. What they earn was transferred here beforehand.
    function settle(SeatSettlement[] calldata settlements) external;

    /// @notice Audits says who let a joining window pass.
    function dismiss(uint32 number) external;

    // --- views

    /// @notice Whom a request would have as a jury: places at the end of the block before this one, and of those who
    ///         took them the number besides owner, scientist and asker.
    /// @param panel The panel's number; 0: the pool.
    function standing(uint32 panel, address owner, address scientist, address asker)
        external
        view
        returns (uint16 length, uint256 eligible);

    /// @notice Draws for the seats `wanted`, a bitmap; each looks at up to 64 positions.
    /// @param seats The audit's seats as `Seats` packs them.
    /// @return after_ The seats after it.
    /// @return drawn For each seat who was drawn in this call; zero where nobody was.
    function draw(Jury calldata jury, bytes32 seed, uint8 count, uint256[3] calldata seats, uint256 wanted)
        external
        view
        returns (uint256[3] memory after_, address[] memory drawn);

    /// @notice A verifier; account zero where there is none.
    function verifier(address account) external view returns (Verifier memory);

    /// @notice The verifiers with these numbers; zero for 0.
    function accountsOf(uint32[] calldata numbers) external view returns (address[] memory);

    /// @notice The number of a verifier; 0 where there is none.
    function numberOf(address account) external view returns (uint32);

    /// @notice The places of a panel, by its number; 0: of the pool.
    function placesOf(uint32 panel) external view returns (Places memory);

    /// @notice Who holds `count` places from `from` on, and since which blocks they stand.
    function members(uint32 panel, uint256 from, uint256 count)
        external
        view
        returns (address[] memory accounts, uint40[] memory joined);

    /// @notice An account in a panel, by its number, or in the pool.
    function membership(uint32 panel, address account) external view returns (Membership memory);

    /// @notice What a place in the pool costs, in base units of FIT.
    function poolStake() external view returns (uint256);

    /// @notice Seconds from `unstake` until what leaves may be withdrawn.
    function unbondingTime() external view returns (uint256);

    /// @notice The token.
    function fitCoin() external view returns (IFitCoin);

    /// @notice The registry that names panels.
    function registry() external view returns (IRegistry);

    /// @notice The contract that reserves and settles seats.
    function audits() external view returns (IAudits);
}
