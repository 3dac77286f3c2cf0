// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Seats} from "../../contracts/libraries/Seats.sol";
import {Jury} from "../../contracts/types/Audit.sol";
import {AgreementId, PanelId} from "../../contracts/types/Ids.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {Verifier} from "../../contracts/types/Verifier.sol";
import {AuditFixture} from "./AuditFixture.sol";
import {Vm} from "./Vm.sol";

/// @notice Everybody does what they like between the opening of an audit and its last redraw. The handler keeps, for
///         each seat, the list of those whom the draw would ask in their order if nobody did anything, and walks it
///         by what *they* do alone: left, away, declined, silent. If the seats are where the lists say, nobody else
///         moved them.
contract StabilityHandler {
    using Seats for uint256[3];

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint8 private constant COUNT = 5;

    IAudits private immutable audits;
    IVerifiers private immutable verifiers;
    AgreementId private immutable id;
    PanelId private immutable panel;
    address private immutable creator;

    address[] private accounts;
    uint160 private newcomers;
    /// Whom each seat asks, in this order, and how far it has come.
    address[][COUNT] private lists;
    uint256[COUNT] private next;
    address[COUNT] public expected;
    /// Some seat has no places of its own left: it takes what the others' lists have at their ends.
    bool public exhausted;
    /// Who left, or came back, by its own will.
    mapping(address => bool) private lost;
    uint256 public redraws;

    constructor(
        IAudits audits_,
        IVerifiers verifiers_,
        AgreementId id_,
        PanelId panel_,
        address creator_,
        address[] memory accounts_
    ) {
        (audits, verifiers, id, panel, creator) = (audits_, verifiers_, id_, panel_, creator_);
        accounts = accounts_;
    }

    /// @dev Each seat alone declines until its own places are used up, on the state at the opening.
    function begin(Jury memory jury, bytes32 seed) external {
        if (expected[0] != address(0)) return; // once, before the game
        for (uint256 seat = 0; seat < COUNT; seat++) {
            uint256[3] memory seats;
            while (true) {
                address[] memory drawn;
                (seats, drawn) = verifiers.draw(jury, seed, COUNT, seats, 1 << seat);
                if (drawn[seat] == address(0) || seats.back() != 0) break;
                lists[seat].push(drawn[seat]);
                seats.put(seat, 0, seats.cursorAt(seat));
            }
            walk(seat);
        }
    }

    /// @dev The next of the list that is not away and has not left.
    function walk(uint256 seat) private {
        while (next[seat] < lists[seat].length) {
            address account = lists[seat][next[seat]++];
            if (lost[account] || verifiers.verifier(account).away) continue;
            expected[seat] = account;
            return;
        }
        expected[seat] = address(0);
        exhausted = true;
    }

    function some(uint256 luck) private view returns (address) {
        return accounts[luck % accounts.length];
    }

    function attempt(address by, address target, bytes memory data) private returns (bool ok) {
        vm.prank(by);
        (ok,) = target.call(data);
    }

    // --- what anybody does elsewhere

    function leave(uint256 luck) external {
        address account = some(luck);
        if (attempt(account, address(verifiers), abi.encodeCall(verifiers.leavePanel, (panel)))) lost[account] = true;
        vm.roll(vm.getBlockNumber() + luck % 2);
    }

    function comeBack(uint256 luck) external {
        address account = some(luck);
        if (attempt(account, address(verifiers), abi.encodeCall(verifiers.joinPanel, (panel)))) lost[account] = true;
    }

    function expel(uint256 luck) external {
        attempt(creator, address(verifiers), abi.encodeCall(verifiers.expel, (panel, some(luck))));
    }

    function inviteAgain(uint256 luck) external {
        address[] memory one = new address[](1);
        one[0] = some(luck);
        attempt(creator, address(verifiers), abi.encodeCall(verifiers.invite, (panel, one)));
    }

    function joinAnew() external {
        address[] memory one = new address[](1);
        one[0] = address(0xABC0000 + newcomers++);
        attempt(creator, address(verifiers), abi.encodeCall(verifiers.invite, (panel, one)));
        vm.prank(one[0]);
        verifiers.stake(0, "link", noPermit());
        attempt(one[0], address(verifiers), abi.encodeCall(verifiers.joinPanel, (panel)));
    }

    function unstake(uint256 luck, uint80 amount) external {
        address account = some(luck);
        Verifier memory known = verifiers.verifier(account);
        amount = known.stake == known.locked ? 0 : amount % (known.stake - known.locked);
        attempt(account, address(verifiers), abi.encodeCall(verifiers.unstake, (amount)));
    }

    /// @dev It was silent in some other audit.
    function goAway(uint256 luck) external {
        if (luck % 3 != 0) return;
        uint32 which = verifiers.numberOf(some(luck >> 2));
        attempt(address(audits), address(verifiers), abi.encodeCall(verifiers.dismiss, (which)));
    }

    function present(uint256 luck) external {
        attempt(some(luck), address(verifiers), abi.encodeCall(verifiers.present, ()));
    }

    function renewChain(uint256 luck) external {
        attempt(
            some(luck), address(verifiers), abi.encodeCall(verifiers.renewChain, (bytes26(keccak256(abi.encode(luck)))))
        );
    }

    // --- what a seat does

    function decline(uint256 luck) external {
        uint8 seat = uint8(luck % COUNT);
        address account = audits.seated(id, 0)[seat];
        if (exhausted || account == address(0)) return;
        vm.prank(account);
        audits.decline(id, 0, seat);
        redraws++;
        walk(seat);
    }

    /// @dev The joining window passes; who is drawn and silent is away.
    function silence(uint256 luck) external {
        if (exhausted || luck % 4 != 0) return;
        vm.warp(uint256(audits.audit(id, 0).deadline) + 1);
        if (vm.getBlockTimestamp() > audits.audit(id, 0).waitDeadline) return;
        audits.advance(id, 0);
        redraws++;
        for (uint256 seat = 0; seat < COUNT; seat++) {
            walk(seat);
        }
    }

    function noPermit() private pure returns (Permit memory) {
        return Permit(0, 0, 0, 0, 0);
    }
}

/// @notice What anybody does between the opening and the last redraw changes no seat but its own.
contract StabilityTest is AuditFixture {
    uint160 private constant CROWD = 60;

    AgreementId private id;
    StabilityHandler private handler;

    function setUp() public override {
        super.setUp();
        address[] memory accounts = new address[](CROWD);
        for (uint160 i = 0; i < CROWD; i++) {
            accounts[i] = address(0xF0000 + i);
            enrol(accounts[i]);
        }
        PanelId many = panelOf("many", accounts);
        Terms memory terms = auditedTerms(5);
        (terms.audit.panel, terms.audit.wait) = (many, 7 days);
        id = trained(terms);
        draw(id);
        handler = new StabilityHandler(audits, verifiers, id, many, address(this), accounts);
        handler.begin(agreements.jury(id, 0), audit(id).seed);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice Who is drawn to a seat is the first of its own places whose holder has not left, gone away, declined
    ///         or been silent.
    function invariant_nobodyMovesASeatButItsOwn() public view {
        if (handler.exhausted()) return;
        address[] memory seats = audits.seated(id, 0);
        for (uint256 seat = 0; seat < 5; seat++) {
            vm.assertEq(seats[seat], handler.expected(seat), "a seat was moved by somebody else");
        }
    }
}
