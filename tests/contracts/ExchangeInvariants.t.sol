// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../../contracts/interfaces/IExchange.sol";
import {MarketHandler} from "./support/MarketHandler.sol";
import {Checks} from "./support/Vm.sol";

/// @dev The laws of DESIGN.md that concern the Exchange, after any sequence of acts.
contract ExchangeInvariantsTest is Checks {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    MarketHandler private handler;
    IExchange private exchange;
    address private operator;
    address private developer;

    function setUp() public {
        handler = new MarketHandler();
        address venue;
        (venue, operator, developer) = handler.venue();
        exchange = IExchange(venue);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](18);
        selectors[0] = MarketHandler.trade.selector;
        selectors[1] = MarketHandler.trade.selector;
        selectors[2] = MarketHandler.trade.selector;
        selectors[3] = MarketHandler.trade.selector;
        selectors[4] = MarketHandler.depositFor.selector;
        selectors[5] = MarketHandler.withdraw.selector;
        selectors[6] = MarketHandler.claim.selector;
        selectors[7] = MarketHandler.leave.selector;
        selectors[8] = MarketHandler.stay.selector;
        selectors[9] = MarketHandler.execute.selector;
        selectors[10] = MarketHandler.invalidate.selector;
        selectors[11] = MarketHandler.retireNext.selector;
        selectors[12] = MarketHandler.collect.selector;
        selectors[13] = MarketHandler.replay.selector;
        selectors[14] = MarketHandler.voidNext.selector;
        selectors[15] = MarketHandler.pauseOrResume.selector;
        selectors[16] = MarketHandler.freeze.selector;
        selectors[17] = MarketHandler.passTime.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    /// @dev Invariants over acts that all fail would hold too: here the acts are shown to happen.
    function test_the_acts_of_the_exchanges_invariants_go_through() public {
        for (uint256 i = 0; i < 900; ++i) {
            act(uint256(keccak256(abi.encode("market", i))));
        }
        check(handler.settledBatches() > 30, "few batches");
        check(handler.refusedBatches() > 40, "few refusals");
        check(handler.retirements() > 2, "few retirements");
        check(handler.exits() > 1, "few exits");
        check(handler.claims() > 5, "few claims");
        check(handler.voids() > 3, "few voids");
        this.invariant_L5_L10_nothing_wrong_or_repeated_settles_and_nothing_right_is_refused();
        this.invariant_L6_no_order_is_filled_beyond_its_quantity();
        this.invariant_L7_every_asset_is_held_in_full();
        this.invariant_L8_ways_out_open_for_everybody_not_frozen();
        this.invariant_L11_every_unit_is_somebodys_and_as_the_book_says();
    }

    function act(uint256 seed) private {
        uint256 kind = seed % 18;
        (uint256 a, uint256 b, uint256 c) = (seed >> 8, seed >> 72, seed >> 136);
        if (kind < 4) handler.trade(a, b, c);
        else if (kind == 4) handler.depositFor(a, b, c);
        else if (kind == 5) handler.withdraw(a, b, c);
        else if (kind == 6) handler.claim(a, b);
        else if (kind == 7) handler.leave(a, b, c);
        else if (kind == 8) handler.stay(a, b);
        else if (kind == 9) handler.execute(a, b, c % 2 == 0);
        else if (kind == 10) handler.invalidate(a, b);
        else if (kind == 11) handler.retireNext();
        else if (kind == 12) handler.collect();
        else if (kind == 13) handler.replay();
        else if (kind == 14) handler.voidNext(a);
        else if (kind == 15) handler.pauseOrResume(a);
        else if (kind == 16) handler.freeze(a);
        else handler.passTime(a);
    }

    function invariant_L5_L10_nothing_wrong_or_repeated_settles_and_nothing_right_is_refused()
        external
        view
    {
        equal(handler.wrongAccepted(), 0, "L5, L6: settled what nobody signed or allowed");
        equal(handler.replayed(), 0, "L10: settled twice");
        equal(handler.rightRefused(), 0, "refused what is in order");
        (uint64 trade, uint64 withdrawal,) = exchange.settled();
        equal(trade, handler.trades(), "L10: trades without gap");
        equal(withdrawal, handler.withdrawals(), "L10: withdrawals without gap");
        equal(exchange.depositCount(), handler.deposits(), "L10: deposits without gap");
    }

    function invariant_L6_no_order_is_filled_beyond_its_quantity() external view {
        for (uint256 a = 0; a < 4; ++a) {
            address account = handler.actors(a);
            for (uint64 nonce = 0; nonce < handler.nonces(account); ++nonce) {
                (uint64 filled,,) = exchange.fillOf(account, nonce);
                // A withdrawal's nonce is full for ever and no order's.
                if (filled == (1 << 53) - 1) continue;
                equal(filled, handler.filledIs(account, nonce), "L6: fill");
                check(filled <= handler.quantityOf(account, nonce), "L6: beyond quantity");
            }
        }
    }

    function invariant_L7_every_asset_is_held_in_full() external view {
        for (uint256 i = 0; i < 3; ++i) {
            (uint256 held, uint256 owed) = exchange.solvency(handler.assets(i));
            equal(held, owed, "L7: held and owed");
        }
    }

    function invariant_L8_ways_out_open_for_everybody_not_frozen() external view {
        equal(handler.exitsRefused(), 0, "L8: a way out was closed");
        equal(handler.frozenTook(), 0, "a frozen account took something out");
    }

    function invariant_L11_every_unit_is_somebodys_and_as_the_book_says() external view {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 asset = handler.assets(i);
            uint256 sum = handler.earmarkedIs(asset);
            for (uint256 a = 0; a < 6; ++a) {
                address account = a < 4 ? handler.actors(a) : a == 4 ? operator : developer;
                (uint256 balance, uint256 claimable,) = exchange.accountOf(account, asset);
                equal(balance, handler.balanceIs(account, asset), "L5: a balance changed");
                equal(claimable, handler.claimableIs(account, asset), "L5: a claim changed");
                sum += balance + claimable;
            }
            (uint256 toOperator, uint256 toDeveloper) = exchange.feesOf(asset);
            equal(sum + toOperator + toDeveloper, exchange.total(asset), "L11: sum of parts");
            if (i == 2) {
                equal(toOperator, handler.operatorFees(), "L11: operator's fees");
                equal(toDeveloper, handler.developerFees(), "L11: developer's floor");
            }
        }
    }
}
