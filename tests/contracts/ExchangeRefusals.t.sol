// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order} from "../../contracts/interfaces/IExchange.sol";
import {Batches, Draft, Match} from "./support/BatchBuilder.sol";
import {Market} from "./support/Market.sol";

/// @dev Batches that both keys signed and the contract refuses all the same: what orders bind.
contract ExchangeRefusalsTest is Market {
    uint8 private constant IOC = 1;
    uint8 private constant RETIRE = 32;

    function setUp() public {
        open();
    }

    function met(Order memory maker, Order memory taker) private view returns (Draft memory) {
        return draftOf(maker, taker, 10, NOW);
    }

    // -------------------------------------------------------------- what goes through

    function test_L11_a_trade_moves_tonnes_money_and_fees_and_nothing_else() public {
        Order memory maker = sell(1, 10);
        Order memory taker = buy(1, 25);
        taker.price += 5;
        settle(draftOf(maker, taker, 10, NOW));
        uint256 notional = 10 * PRICE;
        (uint256 makerFee, uint256 takerFee) = (notional / 1000, notional * 20 / 10_000);
        equal(balance(seller, id), TONNES * 500 - 10_000, "delivered");
        equal(balance(buying, id), 10_000, "received");
        equal(balance(buying, cash()), CASH - notional - takerFee, "paid at the maker's price");
        equal(balance(seller, cash()), notional - makerFee, "got");
        (uint256 toOperator, uint256 toDeveloper) = exchange.feesOf(cash());
        equal(toOperator + toDeveloper, makerFee + takerFee, "fees");
        equal(toDeveloper, (makerFee + takerFee) * SHARE / 10_000, "developer's floor");
        (uint64 filled, bool ended,) = exchange.fillOf(buying, 1);
        check(filled == 10 && !ended, "filled");
        solvent(id);
        solvent(cash());
    }

    function test_fees_are_paid_to_the_payees_and_only_once() public {
        settle(met(sell(1, 10), buy(1, 10)));
        (uint256 toOperator, uint256 toDeveloper) = exchange.feesOf(cash());
        exchange.collectFees(cash());
        exchange.collectFees(cash());
        equal(claimable(operator, cash()), toOperator, "operator");
        equal(claimable(developer, cash()), toDeveloper, "developer");
        vm.prank(other);
        exchange.claim(operator, cash());
        equal(money.balanceOf(operator), toOperator, "to the payee itself");
        solvent(cash());
    }

    // -------------------------------------------------------------- L6: the order's bounds

    function test_L6_no_fill_beyond_an_orders_quantity_in_one_batch() public {
        Draft memory draft = met(sell(1, 100), buy(1, 15));
        draft.trades = new Match[](2);
        draft.trades[0] = draft.trades[1] = Match(0, 1, 8, uint40(NOW));
        refused(
            draft, abi.encodeWithSelector(IExchange.OrderOverfilled.selector, buying, 1, 16, 15)
        );
    }

    function test_L6_no_fill_beyond_an_orders_quantity_over_batches() public {
        settle(met(sell(1, 100), buy(1, 15)));
        refused(
            draftOf(sell(1, 100), buy(1, 15), 6, NOW),
            abi.encodeWithSelector(IExchange.OrderOverfilled.selector, buying, 1, 16, 15)
        );
        settle(draftOf(sell(1, 100), buy(1, 15), 5, NOW));
        equal(balance(buying, id), 15_000, "to the last tonne");
    }

    function test_L10_a_second_order_under_a_nonce_gets_only_what_the_first_left() public {
        settle(met(sell(1, 100), buy(1, 15)));
        Order memory second = buy(1, 12);
        second.price += 1;
        refused(
            draftOf(sell(1, 100), second, 3, NOW),
            abi.encodeWithSelector(IExchange.OrderOverfilled.selector, buying, 1, 13, 12)
        );
        settle(draftOf(sell(1, 100), second, 2, NOW));
    }

    function test_L6_no_fill_beyond_a_price_limit() public {
        Order memory maker = sell(1, 10);
        Order memory taker = buy(1, 10);
        taker.price -= 1;
        refused(
            met(maker, taker),
            abi.encodeWithSelector(
                IExchange.TradePriceBeyondLimit.selector, 1, PRICE, PRICE - 1
            )
        );
        // The other way: a seller that takes gets no less than its limit.
        maker.price += 7;
        refused(
            met(taker, maker),
            abi.encodeWithSelector(
                IExchange.TradePriceBeyondLimit.selector, 1, PRICE - 1, PRICE + 7
            )
        );
    }

    function test_L6_no_fee_above_an_orders_cap() public {
        Order memory maker = sell(1, 10);
        Order memory taker = buy(1, 10);
        maker.maxFeeBps = 9;
        refused(
            met(maker, taker),
            abi.encodeWithSelector(IExchange.TradeFeeAboveCap.selector, 1, 10, 9)
        );
        (maker.maxFeeBps, taker.maxFeeBps) = (10, 19);
        refused(
            met(maker, taker),
            abi.encodeWithSelector(IExchange.TradeFeeAboveCap.selector, 1, 20, 19)
        );
        taker.maxFeeBps = 20;
        settle(met(maker, taker));
    }

    function test_L6_no_fee_above_the_hard_cap_whatever_orders_allow() public {
        Order memory maker = sell(1, 10);
        maker.maxFeeBps = 255;
        Draft memory draft = met(maker, buy(1, 10));
        draft.makerFee = 101;
        refused(draft, abi.encodeWithSelector(IExchange.BatchFeeTooHigh.selector, 101, 20));
        (draft.makerFee, draft.takerFee) = (10, 101);
        refused(draft, abi.encodeWithSelector(IExchange.BatchFeeTooHigh.selector, 10, 101));
        (draft.makerFee, draft.takerFee) = (100, 100);
        settle(draft);
    }

    function test_L6_no_fill_after_an_orders_expiry_or_before_it_was_signed() public {
        Order memory maker = sell(1, 10);
        maker.expiry = uint40(NOW - 1);
        refused(
            met(maker, buy(1, 10)),
            abi.encodeWithSelector(IExchange.TradeExpired.selector, 1, NOW, NOW - 1)
        );
        maker.expiry = uint40(NOW);
        maker.signedAt = uint40(NOW - SKEW);
        Draft memory draft = draftOf(maker, buy(1, 10), 10, NOW - 2 * SKEW - 1);
        refused(
            draft,
            abi.encodeWithSelector(
                IExchange.TradeBeforeSigned.selector, 1, NOW - 2 * SKEW - 1, NOW - SKEW
            )
        );
        settle(met(maker, buy(1, 10)));
    }

    function test_L6_no_order_lives_longer_than_30_days() public {
        Order memory maker = sell(1, 10);
        maker.expiry = maker.signedAt + 30 days + 1;
        refused(
            met(maker, buy(1, 10)),
            abi.encodeWithSelector(
                IExchange.OrderLifetimeTooLong.selector, seller, 1, 30 days + 1
            )
        );
        maker.expiry -= 1;
        settle(met(maker, buy(1, 10)));
    }

    // -------------------------------------------------------------- what a match is

    function test_nobody_trades_with_itself() public {
        Order memory maker = sell(1, 10);
        refused(
            met(maker, anOrder(seller, 2, 0, 10)),
            abi.encodeWithSelector(IExchange.TradeSelf.selector, 1, seller)
        );
    }

    function test_two_orders_of_one_side_do_not_meet() public {
        refused(
            met(buy(1, 10), anOrder(other, 1, 0, 10)),
            abi.encodeWithSelector(IExchange.TradeSidesEqual.selector, 1)
        );
    }

    function test_orders_of_two_markets_do_not_meet() public {
        Order memory taker = buy(1, 10);
        bytes memory reason = abi.encodeWithSelector(IExchange.TradeMarketsDiffer.selector, 1);
        taker.instrument = otherId;
        refused(met(sell(1, 10), taker), reason);
        taker.instrument = id;
        taker.asset = address(otherMoney);
        refused(met(sell(1, 10), taker), reason);
    }

    function test_an_instrument_is_a_class_and_is_paid_in_a_settlement_asset() public {
        Order memory maker = sell(1, 10);
        maker.instrument = uint160(address(otherMoney));
        refused(
            met(maker, buy(1, 10)),
            abi.encodeWithSelector(
                IExchange.OrderAssetsInvalid.selector, seller, 1, maker.instrument, cash()
            )
        );
    }

    function test_a_match_of_nothing_is_refused() public {
        refused(
            draftOf(sell(1, 10), buy(1, 10), 0, NOW),
            abi.encodeWithSelector(IExchange.TradeQuantityInvalid.selector, 1, 0, PRICE)
        );
    }

    function test_an_order_that_no_match_uses_is_refused() public {
        Draft memory draft = met(sell(1, 10), buy(1, 10));
        Order[] memory orders = new Order[](3);
        (orders[0], orders[1]) = (draft.orders[0], draft.orders[1]);
        orders[2] = anOrder(other, 77, 0, 1);
        draft.orders = orders;
        refused(
            draft, abi.encodeWithSelector(IExchange.BatchOrderUnused.selector, other, 77)
        );
    }

    function test_L7_nobody_delivers_or_pays_what_it_does_not_have() public {
        Draft memory draft = draftOf(anOrder(other, 1, 1, 10), buy(1, 10), 10, NOW);
        refused(
            draft,
            abi.encodeWithSelector(
                IExchange.AccountShort.selector, other, id, 0, -int256(10_000)
            )
        );
        Order memory maker = sell(2, 500);
        Order memory taker = buy(2, 500);
        maker.price = taker.price = uint128(CASH / 400);
        int256 owed = int256(500 * (CASH / 400) + 500 * (CASH / 400) * 20 / 10_000);
        refused(
            draftOf(maker, taker, 500, NOW),
            abi.encodeWithSelector(
                IExchange.AccountShort.selector, buying, cash(), CASH, -owed
            )
        );
    }

    // -------------------------------------------------------------- L5: signatures

    function test_L5_an_order_signed_by_another_is_refused() public {
        keyOf[buying] = THIEF;
        refused(
            met(sell(1, 10), buy(1, 10)),
            abi.encodeWithSelector(
                IExchange.OrderSignatureWrong.selector, buying, 1, vm.addr(THIEF)
            )
        );
    }

    function test_L5_an_order_that_was_changed_after_it_was_signed_is_refused() public {
        Draft memory draft = met(sell(1, 10), buy(1, 10));
        bytes memory traders = signaturesOf(draft);
        draft.orders[1].price += 1;
        (bool done, bytes memory why) = send(Batches.pack(draft), traders);
        check(!done && bytes4(why) == IExchange.OrderSignatureWrong.selector, "a changed price");
        draft.orders[1].price -= 1;
        draft.orders[1].expiry += 1;
        (done, why) = send(Batches.pack(draft), traders);
        check(!done && bytes4(why) == IExchange.OrderSignatureWrong.selector, "a changed expiry");
    }

    function send(bytes memory batch, bytes memory traders) private returns (bool, bytes memory) {
        return address(exchange).call(
            abi.encodeCall(IExchange.settle, (batch, signed(batch, traders)))
        );
    }

    function test_L5_a_contract_wallet_needs_its_pre_signature_and_its_own() public {
        Order memory taker = buy(1, 10);
        taker.signatureKind = 1;
        bytes32 digest = exchange.hashOrder(taker);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.OrderNotPreSigned.selector, buying, 1, digest);
        refused(met(sell(1, 10), taker), reason);
        vm.prank(other);
        exchange.preSign(digest);
        refused(met(sell(1, 10), taker), reason);
        vm.prank(buying);
        exchange.preSign(digest);
        settle(met(sell(1, 10), taker));
        check(exchange.isPreSigned(buying, digest), "never taken back");
    }

    function test_L5_the_stated_kind_of_signature_counts_and_not_the_code() public {
        // A pre-signature does not serve an order that says it is signed by a key.
        Order memory taker = buy(1, 10);
        bytes32 digest = exchange.hashOrder(taker);
        vm.prank(buying);
        exchange.preSign(digest);
        keyOf[buying] = THIEF;
        refused(
            met(sell(1, 10), taker),
            abi.encodeWithSelector(
                IExchange.OrderSignatureWrong.selector, buying, 1, vm.addr(THIEF)
            )
        );
        // A key's signature still serves when there is code at its address (EIP-7702).
        keyOf[buying] = BUYER;
        vm.etch(buying, hex"60016001");
        settle(met(sell(1, 10), taker));
    }

    // -------------------------------------------------------------- buy and retire

    function retiring(uint64 nonce, uint64 quantity) private view returns (Order memory order) {
        order = buy(nonce, quantity);
        order.conditions = RETIRE | IOC;
        order.detailsHash = keccak256("details");
    }

    function test_an_order_that_retires_buys_and_does_not_rest() public {
        Order memory maker = sell(1, 10);
        (maker.conditions, maker.detailsHash) = (RETIRE | IOC, HASH);
        refused(
            met(maker, buy(1, 10)),
            abi.encodeWithSelector(
                IExchange.OrderConditionsInvalid.selector, seller, 1, RETIRE | IOC
            )
        );
        Order memory taker = retiring(1, 10);
        taker.conditions = RETIRE;
        refused(
            met(sell(1, 10), taker),
            abi.encodeWithSelector(
                IExchange.OrderConditionsInvalid.selector, buying, 1, RETIRE
            )
        );
    }

    function test_L10_what_was_bought_to_retire_is_retired_once_and_for_its_buyer() public {
        Order memory taker = retiring(1, 10);
        settle(met(sell(1, 10), taker));
        bytes32 digest = exchange.hashOrder(taker);
        equal(exchange.earmarked(digest), 10_000, "earmarked");
        equal(balance(buying, id), 0, "nobody can trade it");
        solvent(id);
        vm.prank(other);
        uint256 certificate = exchange.completeRetirement(taker);
        equal(certificates.ownerOf(certificate), buying, "the buyer's certificate");
        equal(exchange.earmarked(digest), 0, "no more");
        solvent(id);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangeNothingToRetire.selector, digest)
        );
        exchange.completeRetirement(taker);
        // Another order, even of the same nonce, has nothing.
        taker.detailsHash = HASH;
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeNothingToRetire.selector, exchange.hashOrder(taker)
            )
        );
        exchange.completeRetirement(taker);
    }

    function test_L4_texts_of_a_retirement_are_those_that_were_signed() public {
        Order memory taker = retiring(1, 10);
        taker.detailsHash = keccak256(abi.encode(bytes32(0), "Ferry", "Scope 1", "2025", HASH));
        settle(met(sell(1, 10), taker));
        bytes32 given = keccak256(abi.encode(bytes32(0), "Thief", "Scope 1", "2025", HASH));
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeDetailsDiffer.selector, taker.detailsHash, given
            )
        );
        exchange.completeRetirementPublicly(taker, "Thief", "Scope 1", "2025", HASH);
        exchange.completeRetirementPublicly(taker, "Ferry", "Scope 1", "2025", HASH);
    }
}
