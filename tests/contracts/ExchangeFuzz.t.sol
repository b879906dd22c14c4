// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order} from "../../contracts/interfaces/IExchange.sol";
import {Batches, Draft} from "./support/BatchBuilder.sol";
import {Market} from "./support/Market.sol";

/// @dev Numbers and bytes of any size: sums are kept, and what is not signed never settles.
contract ExchangeFuzzTest is Market {
    function setUp() public {
        open();
    }

    function pair(uint256 price, uint256 quantity) private view returns (Draft memory) {
        Order memory maker = sell(1, uint64(quantity));
        Order memory taker = buy(1, uint64(quantity));
        (maker.price, taker.price) = (uint128(price), uint128(price));
        return draftOf(maker, taker, uint64(quantity), NOW);
    }

    function test_fuzz_L11_every_fee_is_a_floor_and_no_unit_is_lost(
        uint256 price,
        uint256 quantity,
        uint256 makerFee,
        uint256 takerFee
    ) public {
        quantity = within(quantity, 1, 500);
        price = within(price, 1, CASH * 100 / 101 / quantity);
        Draft memory draft = pair(price, quantity);
        draft.makerFee = uint8(within(makerFee, 0, 100));
        draft.takerFee = uint8(within(takerFee, 0, 100));
        uint256 notional = price * quantity;
        uint256 fromMaker = notional * draft.makerFee / 10_000;
        uint256 fromTaker = notional * draft.takerFee / 10_000;
        settle(draft);
        equal(balance(buying, cash()), CASH - notional - fromTaker, "buyer");
        equal(balance(seller, cash()), notional - fromMaker, "seller");
        (uint256 toOperator, uint256 toDeveloper) = exchange.feesOf(cash());
        equal(toOperator + toDeveloper, fromMaker + fromTaker, "fees");
        equal(toDeveloper, (fromMaker + fromTaker) * SHARE / 10_000, "developer's floor");
        equal(balance(buying, id), quantity * 1000, "tonnes are a thousand kilograms");
        equal(exchange.total(cash()), 2 * CASH, "nothing appears and nothing is lost");
    }

    /// @dev However large price and quantity, nothing wraps: it settles in full or not at all.
    function test_fuzz_L7_no_product_wraps(uint104 price, uint56 quantity) public {
        if (price == 0) price = 1;
        if (quantity == 0) quantity = 1;
        Draft memory draft = pair(price, quantity);
        bytes memory batch = Batches.pack(draft);
        bytes memory signatures = signed(batch, signaturesOf(draft));
        uint256 notional = uint256(price) * quantity;
        bool covered = quantity <= 500 && notional + notional * 20 / 10_000 <= CASH;
        try exchange.settle(batch, signatures) {
            check(covered, "settled what nobody had");
        } catch {
            check(!covered, "refused what both had");
            equal(balance(buying, cash()), CASH, "unchanged");
            equal(balance(seller, id), TONNES * 500, "unchanged");
        }
        solvent(id);
        solvent(cash());
    }

    /// @dev Any one byte of a batch changed, with both keys willing to sign it: the traders are
    /// not, and so nothing that they signed for can come out differently.
    function test_fuzz_L5_no_changed_byte_changes_what_a_trader_signed(
        uint256 place,
        uint8 flip
    ) public {
        vm.assume(flip != 0);
        Draft memory draft = pair(PRICE, 100);
        draft.trades[0].quantity = 10;
        bytes memory batch = Batches.pack(draft);
        bytes memory traders = signaturesOf(draft);
        place = within(place, 0, batch.length - 1);
        batch[place] = bytes1(uint8(batch[place]) ^ flip);
        bytes memory signatures = signed(batch, traders);
        try exchange.settle(batch, signatures) {
            // Header's journal, fees and the match itself are the keys' to say; within the limits
            // that the traders signed, at the maker's price, and no more than both ordered.
            uint256 bought = balance(buying, id) / 1000;
            check(bought != 0 && bought <= 100, "beyond quantity");
            uint256 paid = CASH - balance(buying, cash());
            check(paid <= bought * PRICE * 10_100 / 10_000, "beyond price and fee cap");
            check(balance(seller, cash()) >= bought * PRICE * 9_900 / 10_000, "below its limit");
        } catch {
            equal(balance(buying, cash()), CASH, "unchanged");
        }
        equal(balance(other, cash()), CASH, "somebody else's");
        solvent(id);
        solvent(cash());
    }

    function test_fuzz_L5_bytes_of_nobody_settle_nothing(
        bytes calldata batch,
        bytes calldata signatures
    ) public {
        (bool done,) =
            address(exchange).call(abi.encodeCall(IExchange.settle, (batch, signatures)));
        check(!done, "settled");
        (uint64 trade,,) = exchange.settled();
        equal(trade, 0, "settled");
    }

    /// @dev The same with both keys' signatures: arbitrary bytes move nothing.
    function test_fuzz_L5_arbitrary_bytes_move_nothing_even_with_both_keys(bytes calldata junk)
        public
    {
        bytes memory batch = bytes.concat(Batches.pack(pair(PRICE, 10)));
        // A true header's numbers, so that the tables are read at all.
        bytes memory made = bytes.concat(bytes12(bytes.concat(batch)), junk);
        bytes memory signatures = signed(made, junk);
        (bool done,) =
            address(exchange).call(abi.encodeCall(IExchange.settle, (made, signatures)));
        check(!done, "settled");
        equal(balance(buying, cash()), CASH, "unchanged");
        equal(balance(seller, id), TONNES * 500, "unchanged");
    }

    /// @dev Many orders of four nonces a word: neighbours in a fill word never touch each other.
    function test_fuzz_L6_fills_of_neighbouring_nonces_stand_apart(uint256 seed) public {
        uint64 first = uint64(within(seed, 0, 1 << 40));
        uint64[6] memory filled;
        for (uint256 i = 0; i < 6; ++i) {
            uint64 tonnes = uint64(1 + (seed >> 8 * i) % 30);
            filled[i] = tonnes;
            settle(draftOf(sell(first + uint64(i), 30), buy(uint64(i), 30), tonnes, NOW));
        }
        for (uint256 i = 0; i < 6; ++i) {
            (uint64 found, bool ended,) = exchange.fillOf(seller, first + uint64(i));
            check(found == filled[i] && !ended, "its own fill");
        }
    }
}
