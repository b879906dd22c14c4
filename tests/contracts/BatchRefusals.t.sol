// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order} from "../../contracts/interfaces/IExchange.sol";
import {Batches, Draft, Match} from "./support/BatchBuilder.sol";
import {Market} from "./support/Market.sol";

/// @dev What the two keys, the numbers, the journal's head, times and bytes of a batch must be.
contract BatchRefusalsTest is Market {
    function setUp() public {
        open();
    }

    function plain() private view returns (Draft memory) {
        return draftOf(sell(1, 100), buy(1, 100), 10, NOW);
    }

    /// @dev Any signatures, and only the selector of what refuses: values may be random signers.
    function refusedBy(bytes4 selector, bytes memory batch, bytes memory signatures) private {
        (bool done, bytes memory why) =
            address(exchange).call(abi.encodeCall(IExchange.settle, (batch, signatures)));
        check(!done, "settled");
        equal(bytes32(bytes4(why)), bytes32(selector), "refused for another reason");
    }

    function keysDiffer(uint256 first, uint256 second) private pure returns (bytes memory) {
        return abi.encodeWithSelector(
            IExchange.ExchangeKeysDiffer.selector, vm.addr(first), vm.addr(second)
        );
    }

    // -------------------------------------------------------------- L5: both keys

    function test_L5_a_batch_with_one_signature_is_refused() public {
        Draft memory draft = plain();
        (bytes memory batch, bytes memory traders) = (Batches.pack(draft), signaturesOf(draft));
        bytes32 digest = exchange.hashBatch(batch);
        bytes4 differ = IExchange.ExchangeKeysDiffer.selector;
        refusedBy(differ, batch, bytes.concat(compact(SEQUENCER, digest), traders));
        refusedBy(differ, batch, bytes.concat(compact(WATCHER, digest), traders));
        refusedBy(
            differ, batch, bytes.concat(compact(SEQUENCER, digest), new bytes(64), traders)
        );
        refusedBy(differ, batch, bytes.concat(new bytes(128), traders));
        refusedBy(differ, batch, traders);
        refusedBy(differ, batch, "");
    }

    function test_L5_both_signatures_by_one_key_are_refused() public {
        bySigners(SEQUENCER, SEQUENCER);
        bySigners(WATCHER, WATCHER);
    }

    function test_L5_the_keys_sign_each_in_its_place() public {
        bySigners(WATCHER, SEQUENCER);
        bySigners(SEQUENCER, THIEF);
        bySigners(THIEF, WATCHER);
    }

    function bySigners(uint256 first, uint256 second) private {
        Draft memory draft = plain();
        (bytes memory batch, bytes memory traders) = (Batches.pack(draft), signaturesOf(draft));
        bytes memory signatures =
            bytes.concat(byKeys(exchange.hashBatch(batch), first, second), traders);
        vm.expectRevert(keysDiffer(first, second));
        exchange.settle(batch, signatures);
    }

    function test_L5_keys_that_were_replaced_sign_nothing_any_more() public {
        exchange.setKeys(vm.addr(SEQUENCER), vm.addr(THIEF));
        refused(plain(), keysDiffer(SEQUENCER, WATCHER));
    }

    function test_L5_keys_are_two() public {
        (address one, address none) = (vm.addr(SEQUENCER), address(0));
        bytes4 invalid = IExchange.ExchangeKeysInvalid.selector;
        vm.expectRevert(abi.encodeWithSelector(invalid, one, one));
        exchange.setKeys(one, one);
        vm.expectRevert(abi.encodeWithSelector(invalid, none, one));
        exchange.setKeys(none, one);
        vm.expectRevert(abi.encodeWithSelector(invalid, one, none));
        exchange.setKeys(one, none);
    }

    function test_L5_before_keys_are_set_nothing_settles() public {
        Draft memory draft = plain();
        (bytes memory batch, bytes memory traders) = (Batches.pack(draft), signaturesOf(draft));
        IExchange young = IExchange(
            create(
                "Exchange",
                abi.encode(manager, address(participants), address(credits), WINDOW, SKEW)
            )
        );
        bytes memory nobodys = bytes.concat(new bytes(128), traders);
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeKeysDiffer.selector, address(0), address(0)
            )
        );
        young.settle(batch, nobodys);
    }

    function test_L5_a_signature_is_for_one_exchange_and_one_chain() public {
        Draft memory draft = plain();
        (bytes memory batch, bytes memory traders) = (Batches.pack(draft), signaturesOf(draft));
        bytes memory signatures = signed(batch, traders);
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        refusedBy(IExchange.ExchangeKeysDiffer.selector, batch, signatures);
        vm.chainId(chain);
        exchange.settle(batch, signatures);
    }

    // -------------------------------------------------------------- L9, L10: numbers and heads

    function test_L10_a_batch_sent_twice_is_refused() public {
        Draft memory draft = plain();
        (bytes memory batch, bytes memory traders) = (Batches.pack(draft), signaturesOf(draft));
        settleBytes(batch, traders);
        refusedBytes(
            batch, traders, abi.encodeWithSelector(IExchange.ExchangeNumberNotNext.selector, 2, 1)
        );
    }

    function test_L10_a_gap_in_trades_or_withdrawals_is_refused() public {
        Draft memory draft = plain();
        bytes4 gap = IExchange.ExchangeNumberNotNext.selector;
        draft.firstTrade = 2;
        refused(draft, abi.encodeWithSelector(gap, 1, 2));
        (draft.firstTrade, draft.firstWithdrawal) = (1, 2);
        refused(draft, abi.encodeWithSelector(gap, 1, 2));
        (draft.firstTrade, draft.firstWithdrawal) = (0, 1);
        refused(draft, abi.encodeWithSelector(gap, 1, 0));
    }

    function test_L9_a_head_below_the_anchored_one_changes_nothing() public {
        settle(plain());
        anchor(50, HASH);
        Draft memory draft = plain();
        (draft.seq, draft.head) = (49, keccak256("another journal"));
        settle(draft);
        (uint64 seq, bytes32 head) = exchange.anchored();
        check(seq == 50 && head == HASH, "the anchor moved back");
        anchor(7, keccak256("older"));
        (seq, head) = exchange.anchored();
        check(seq == 50 && head == HASH, "the anchor moved back");
    }

    function test_L9_the_same_seq_with_another_head_is_refused() public {
        anchor(50, HASH);
        Draft memory draft = plain();
        (draft.seq, draft.head) = (50, keccak256("another journal"));
        bytes memory reason = abi.encodeWithSelector(
            IExchange.ExchangeAnchorDiffers.selector, 50, HASH, draft.head
        );
        refused(draft, reason);
        bytes memory signatures = byKeys(anchorDigest(50, draft.head), SEQUENCER, WATCHER);
        vm.expectRevert(reason);
        exchange.anchor(50, draft.head, signatures);
        draft.head = HASH;
        settle(draft);
    }

    function anchor(uint64 seq, bytes32 head) private {
        exchange.anchor(seq, head, byKeys(anchorDigest(seq, head), SEQUENCER, WATCHER));
    }

    function test_L5_an_anchor_needs_both_keys() public {
        bytes memory signatures = byKeys(anchorDigest(5, HASH), SEQUENCER, SEQUENCER);
        vm.expectRevert(keysDiffer(SEQUENCER, SEQUENCER));
        exchange.anchor(5, HASH, signatures);
        signatures = compact(SEQUENCER, anchorDigest(5, HASH));
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.BatchSignaturesWrong.selector, 64, 128)
        );
        exchange.anchor(5, HASH, signatures);
    }

    function test_a_void_begins_with_the_next_numbers_and_needs_both_keys() public {
        settle(plain());
        bytes4 gap = IExchange.ExchangeNumberNotNext.selector;
        refusedVoid([uint64(1), 5, 1, 0], abi.encodeWithSelector(gap, 2, 1));
        refusedVoid([uint64(3), 5, 1, 0], abi.encodeWithSelector(gap, 2, 3));
        refusedVoid([uint64(2), 5, 2, 5], abi.encodeWithSelector(gap, 1, 2));
        refusedVoid(
            [uint64(2), 1, 1, 0],
            abi.encodeWithSelector(IExchange.ExchangeNothingToVoid.selector, 2, 1)
        );
        bytes memory signatures =
            byKeys(voidDigest([uint64(2), 5, 1, 0], 1, 9, HASH), WATCHER, WATCHER);
        vm.expectRevert(keysDiffer(WATCHER, WATCHER));
        exchange.voidTrades(2, 5, 1, 0, 1, 9, HASH, signatures);
        voidRange([uint64(2), 101, 1, 3], 9, HASH);
        (uint64 trade, uint64 withdrawal,) = exchange.settled();
        check(trade == 101 && withdrawal == 3, "passed over");
        Draft memory draft = plain();
        draft.firstTrade = 2;
        refused(draft, abi.encodeWithSelector(gap, 102, 2));
        draft.firstTrade = 102;
        settle(draft);
    }

    function refusedVoid(uint64[4] memory range, bytes memory reason) private {
        bytes memory signatures = byKeys(voidDigest(range, 1, 9, HASH), SEQUENCER, WATCHER);
        vm.expectRevert(reason);
        exchange.voidTrades(range[0], range[1], range[2], range[3], 1, 9, HASH, signatures);
    }

    // -------------------------------------------------------------- times and pauses

    function test_a_trade_older_than_the_window_is_refused() public {
        refused(
            draftOf(sell(1, 10), buy(1, 10), 10, NOW - WINDOW - 1),
            abi.encodeWithSelector(IExchange.TradeBeforeSigned.selector, 1, NOW - 601, NOW - 100)
        );
        vm.warp(NOW + WINDOW + 1);
        refused(
            plain(),
            abi.encodeWithSelector(IExchange.TradeTooOld.selector, 1, NOW, NOW + WINDOW + 1)
        );
        vm.warp(NOW + WINDOW);
        settle(plain());
    }

    function test_a_trade_ahead_of_the_chain_by_more_than_the_skew_is_refused() public {
        refused(
            draftOf(sell(1, 10), buy(1, 10), 10, NOW + SKEW + 1),
            abi.encodeWithSelector(IExchange.TradeAhead.selector, 1, NOW + SKEW + 1, NOW)
        );
        settle(draftOf(sell(1, 10), buy(1, 10), 10, NOW + SKEW));
    }

    function test_match_times_never_go_back_within_a_batch_or_over_batches() public {
        Draft memory draft = plain();
        draft.trades = new Match[](2);
        draft.trades[0] = Match(0, 1, 5, uint40(NOW));
        draft.trades[1] = Match(0, 1, 5, uint40(NOW - 1));
        bytes4 back = IExchange.TradeBeforePrevious.selector;
        refused(draft, abi.encodeWithSelector(back, 2, NOW - 1, NOW));
        settle(plain());
        refused(
            draftOf(sell(2, 10), buy(2, 10), 10, NOW - 1),
            abi.encodeWithSelector(back, 2, NOW - 1, NOW)
        );
    }

    function test_a_pause_refuses_matches_of_it_and_settles_earlier_ones() public {
        exchange.pause();
        bytes4 paused = IExchange.TradeWhilePaused.selector;
        refused(plain(), abi.encodeWithSelector(paused, 1, NOW));
        settle(draftOf(sell(1, 100), buy(1, 100), 10, NOW - 1));
        vm.warp(NOW + 60);
        refused(
            draftOf(sell(1, 100), buy(1, 100), 10, NOW + 59),
            abi.encodeWithSelector(paused, 2, NOW + 59)
        );
        exchange.unpause();
        // What was matched in the pause stays refused; what is matched from its end on settles.
        refused(
            draftOf(sell(1, 100), buy(1, 100), 10, NOW + 59),
            abi.encodeWithSelector(paused, 2, NOW + 59)
        );
        settle(draftOf(sell(1, 100), buy(1, 100), 10, NOW + 60));
    }

    function test_one_match_of_a_pause_refuses_its_whole_batch() public {
        exchange.pause();
        vm.warp(NOW + 10);
        exchange.unpause();
        vm.warp(NOW + 20);
        Draft memory draft = draftOf(sell(1, 100), buy(1, 100), 10, NOW - 1);
        draft.trades = new Match[](3);
        draft.trades[0] = Match(0, 1, 1, uint40(NOW - 1));
        draft.trades[1] = Match(0, 1, 1, uint40(NOW + 5));
        draft.trades[2] = Match(0, 1, 1, uint40(NOW + 15));
        refused(
            draft, abi.encodeWithSelector(IExchange.TradeWhilePaused.selector, 2, NOW + 5)
        );
        draft.trades[1].time = uint40(NOW + 10);
        settle(draft);
    }

    function test_every_pause_of_a_window_is_remembered() public {
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(NOW + 20 * i);
            exchange.pause();
            vm.warp(NOW + 20 * i + 10);
            exchange.unpause();
        }
        for (uint256 i = 0; i < 4; ++i) {
            check(exchange.isPausedAt(NOW + 20 * i), "first second of a pause");
            check(exchange.isPausedAt(NOW + 20 * i + 9), "last second of a pause");
            check(!exchange.isPausedAt(NOW + 20 * i + 10), "its end");
            check(!exchange.isPausedAt(NOW + 20 * i - 1), "before it");
            refused(
                draftOf(sell(1, 100), buy(1, 100), 10, NOW + 20 * i + 3),
                abi.encodeWithSelector(
                    IExchange.TradeWhilePaused.selector, 1, NOW + 20 * i + 3
                )
            );
        }
    }

    function test_pausing_twice_and_ending_no_pause_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.ExchangeVenueNotPaused.selector));
        exchange.unpause();
        exchange.pause();
        vm.expectRevert(abi.encodeWithSelector(IExchange.ExchangeVenuePaused.selector, NOW));
        exchange.pause();
    }

    // -------------------------------------------------------------- L9: one form of the bytes

    function test_truncated_bytes_are_refused_wherever_they_end() public {
        Draft memory draft = plain();
        bytes memory batch = Batches.pack(draft);
        bytes memory traders = signaturesOf(draft);
        for (uint256 length = 0; length < batch.length; ++length) {
            bytes memory begun = part(batch, 0, length);
            bytes memory signatures = signed(begun, traders);
            (bool done,) =
                address(exchange).call(abi.encodeCall(IExchange.settle, (begun, signatures)));
            check(!done, string.concat("settled with bytes: ", vm.toString(length)));
        }
        settleBytes(batch, traders);
    }

    function test_trailing_bytes_are_refused() public {
        Draft memory draft = plain();
        bytes memory batch = Batches.pack(draft);
        refusedBytes(
            bytes.concat(batch, hex"00"),
            signaturesOf(draft),
            abi.encodeWithSelector(
                IExchange.BatchLengthWrong.selector, batch.length + 1, batch.length
            )
        );
    }

    function test_trailing_and_missing_signatures_are_refused() public {
        Draft memory draft = plain();
        bytes memory batch = Batches.pack(draft);
        bytes memory traders = signaturesOf(draft);
        refusedBytes(
            batch,
            bytes.concat(traders, hex"00"),
            abi.encodeWithSelector(IExchange.BatchSignaturesWrong.selector, 257, 256)
        );
        traders = part(traders, 0, 64);
        refusedBy(IExchange.OrderSignatureWrong.selector, batch, signed(batch, traders));
    }

    function test_assets_accounts_and_legs_ascend_strictly() public {
        Draft memory draft = plain();
        bytes memory batch = Batches.pack(draft);
        bytes memory traders = signaturesOf(draft);
        // One settlement asset, one class, then the accounts; each with two legs and an order.
        uint256 accounts = Batches.HEADER + 20 + 32;
        uint256 second = accounts + 24 + 2 * 2 + Batches.ORDER;
        (address low, address high) = seller < buying ? (seller, buying) : (buying, seller);
        bytes4 unordered = IExchange.BatchAccountsNotAscending.selector;
        refusedBytes(
            patched(batch, second, abi.encodePacked(low)),
            traders,
            abi.encodeWithSelector(unordered, low, low)
        );
        refusedBytes(
            bytes.concat(
                part(batch, 0, accounts),
                part(batch, second, 2 * second - accounts),
                part(batch, accounts, second),
                part(batch, 2 * second - accounts, batch.length)
            ),
            bytes.concat(part(traders, 64, 128), part(traders, 0, 64)),
            abi.encodeWithSelector(unordered, high, low)
        );
        refusedBytes(
            patched(batch, accounts, abi.encodePacked(address(0))),
            traders,
            abi.encodeWithSelector(unordered, address(0), address(0))
        );
        refusedBytes(
            patched(batch, accounts + 24, hex"00000000"),
            traders,
            abi.encodeWithSelector(
                IExchange.BatchLegsNotAscending.selector, low, cash(), cash()
            )
        );
        refusedBytes(
            patched(batch, accounts + 24, hex"00000002"),
            traders,
            abi.encodeWithSelector(IExchange.BatchIndexOutOfRange.selector, 2, 2)
        );
        refusedBytes(
            patched(batch, Batches.HEADER, abi.encodePacked(address(0))),
            traders,
            abi.encodeWithSelector(IExchange.BatchAssetsNotAscending.selector, 0, 0)
        );
        refusedBytes(
            patched(batch, Batches.HEADER + 20, abi.encodePacked(uint256(1 << 160) - 1)),
            traders,
            abi.encodeWithSelector(
                IExchange.ExchangeAssetInvalid.selector, uint256(1 << 160) - 1
            )
        );
        settleBytes(batch, traders);
    }

    function test_two_assets_in_the_wrong_order_are_refused() public {
        Draft memory draft = plain();
        draft.orders[1].asset = address(otherMoney);
        draft.orders[0].asset = address(otherMoney);
        Order[] memory orders = new Order[](4);
        (orders[0], orders[1]) = (draft.orders[0], draft.orders[1]);
        (orders[2], orders[3]) = (sell(2, 10), buy(2, 10));
        draft.orders = orders;
        draft.trades = new Match[](2);
        (draft.trades[0], draft.trades[1]) =
            (Match(0, 1, 5, uint40(NOW)), Match(2, 3, 5, uint40(NOW)));
        bytes memory batch = Batches.pack(draft);
        bytes memory traders = signaturesOf(draft);
        uint256[] memory assets = Batches.tablesOf(draft).assets;
        bytes memory swapped = abi.encodePacked(uint160(assets[1]), uint160(assets[0]));
        refusedBytes(
            patched(batch, Batches.HEADER, swapped),
            traders,
            abi.encodeWithSelector(
                IExchange.BatchAssetsNotAscending.selector, assets[1], assets[0]
            )
        );
        settleBytes(batch, traders);
    }

    function test_tables_hold_what_the_header_counts() public {
        Draft memory draft = plain();
        bytes memory batch = Batches.pack(draft);
        bytes memory traders = signaturesOf(draft);
        bytes4 wrong = IExchange.BatchTableWrong.selector;
        // Legs at 68, orders at 70 of the header.
        refusedTables(wrong, patched(batch, 68, hex"0003"), traders);
        refusedTables(wrong, patched(batch, 68, hex"0005"), traders);
        refusedTables(wrong, patched(batch, 70, hex"0003"), traders);
        refusedBytes(
            patched(batch, 0, hex"02"),
            traders,
            abi.encodeWithSelector(IExchange.BatchVersionUnknown.selector, 2)
        );
        refusedBytes(
            patched(batch, 7, hex"0000"),
            traders,
            abi.encodeWithSelector(IExchange.BatchEmpty.selector, 1, 1)
        );
        // The trade names an order that is not there.
        refusedBytes(
            patched(batch, batch.length - 14, hex"0002"),
            traders,
            abi.encodeWithSelector(IExchange.BatchIndexOutOfRange.selector, 2, 2)
        );
    }

    function refusedTables(bytes4 selector, bytes memory batch, bytes memory traders) private {
        refusedBy(selector, batch, signed(batch, traders));
    }

    /// @dev The bytes of [from, to).
    function part(bytes memory whole, uint256 from, uint256 to)
        private
        pure
        returns (bytes memory cut)
    {
        cut = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            cut[i - from] = whole[i];
        }
    }

    function patched(bytes memory original, uint256 place, bytes memory with)
        private
        pure
        returns (bytes memory changed)
    {
        changed = bytes.concat(original);
        for (uint256 i = 0; i < with.length; ++i) {
            changed[place + i] = with[i];
        }
    }
}
