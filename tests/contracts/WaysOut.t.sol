// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order, Withdrawal} from "../../contracts/interfaces/IExchange.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {Draft} from "./support/BatchBuilder.sol";
import {Market} from "./support/Market.sol";

/// @dev Withdrawals, claims, exits, invalidations: what leaves, for whom, and never as an option.
contract WaysOutTest is Market {
    function setUp() public {
        open();
    }

    function trade(uint256 time) private view returns (Draft memory) {
        return draftOf(sell(1, 100), buy(1, 100), 10, time);
    }

    function exit(address account, uint256 asset) private {
        vm.prank(account);
        exchange.requestExit(only(asset));
    }

    // -------------------------------------------------------------- withdrawals

    function test_L5_a_withdrawal_moves_to_claimable_and_is_claimed_by_anybody_for_its_owner()
        public
    {
        settle(draftOf(aWithdrawal(buying, 4, cash(), 500)));
        equal(balance(buying, cash()), CASH - 500, "trading");
        equal(claimable(buying, cash()), 500, "claimable");
        vm.prank(other);
        exchange.claim(buying, cash());
        equal(money.balanceOf(buying), 500, "to its owner");
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangeNothingToClaim.selector, buying, cash())
        );
        exchange.claim(buying, cash());
        solvent(cash());
    }

    function test_L5_a_withdrawal_signed_by_another_is_refused() public {
        keyOf[buying] = THIEF;
        refused(
            draftOf(aWithdrawal(buying, 4, cash(), 500)),
            abi.encodeWithSelector(
                IExchange.WithdrawalSignatureWrong.selector, buying, 4, vm.addr(THIEF)
            )
        );
    }

    function test_L5_a_contract_wallet_withdraws_by_pre_signature() public {
        Withdrawal memory wanted = aWithdrawal(buying, 4, cash(), 500);
        wanted.signatureKind = 1;
        bytes32 digest = exchange.hashWithdrawal(wanted);
        refused(
            draftOf(wanted),
            abi.encodeWithSelector(
                IExchange.WithdrawalNotPreSigned.selector, buying, 4, digest
            )
        );
        vm.prank(buying);
        exchange.preSign(digest);
        settle(draftOf(wanted));
    }

    function test_L10_a_nonce_withdraws_once_and_then_fills_nothing() public {
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        bytes4 used = IExchange.WithdrawalNonceUsed.selector;
        refused(
            draftOf(aWithdrawal(buying, 1, cash(), 500)),
            abi.encodeWithSelector(used, buying, 1)
        );
        uint256 full = (1 << 53) - 1;
        refused(
            trade(NOW),
            abi.encodeWithSelector(
                IExchange.OrderOverfilled.selector, buying, 1, full + 10, 100
            )
        );
    }

    function test_L10_a_nonce_that_filled_withdraws_nothing() public {
        settle(trade(NOW));
        refused(
            draftOf(aWithdrawal(buying, 1, cash(), 500)),
            abi.encodeWithSelector(IExchange.WithdrawalNonceUsed.selector, buying, 1)
        );
    }

    function test_a_withdrawal_of_nothing_is_refused() public {
        refused(
            draftOf(aWithdrawal(buying, 1, cash(), 0)),
            abi.encodeWithSelector(IExchange.WithdrawalAmountInvalid.selector, buying, 1, 0)
        );
    }

    function test_L7_a_withdrawal_after_an_exit_moves_what_is_left() public {
        exit(buying, cash());
        vm.warp(NOW + 2 * WINDOW + 1);
        exchange.executeExit(buying, only(cash()));
        depositMoney(buying, money, 200);
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        equal(balance(buying, cash()), 0, "all of it");
        equal(claimable(buying, cash()), CASH + 200, "and no more");
        solvent(cash());
    }

    // -------------------------------------------------------------- L8: claims

    function test_L8_an_expired_account_claims_credits_and_money() public {
        settle(draftOf(aWithdrawal(seller, 1, id, 7_000)));
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        participants.admit(seller, 1, "HK", uint40(NOW - 1));
        participants.admit(buying, 1, "HK", uint40(NOW - 1));
        exchange.claim(seller, id);
        exchange.claim(buying, cash());
        equal(credits.balanceOf(seller, id), TONNES * 500 + 7_000, "its own credits");
        equal(money.balanceOf(buying), 500, "its own money");
    }

    function test_L8_only_a_frozen_account_waits_for_its_claim() public {
        settle(draftOf(aWithdrawal(seller, 1, id, 7_000)));
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        setFrozen(seller, true, 1);
        setFrozen(buying, true, 2);
        bytes4 frozen = IParticipants.ParticipantIsFrozen.selector;
        vm.expectRevert(abi.encodeWithSelector(frozen, seller, NOW));
        exchange.claim(seller, id);
        vm.expectRevert(abi.encodeWithSelector(frozen, buying, NOW));
        exchange.claim(buying, cash());
        setFrozen(seller, false, 3);
        exchange.claim(seller, id);
    }

    function test_L8_claims_exits_and_retirement_work_while_paused_and_without_the_keys() public {
        Order memory taker = buy(1, 10);
        (taker.conditions, taker.detailsHash) = (33, HASH);
        settle(draftOf(sell(1, 10), taker, 10, NOW));
        settle(draftOf(aWithdrawal(buying, 2, cash(), 500)));
        exchange.pause();
        exchange.setKeys(vm.addr(THIEF), vm.addr(STRANGER));
        exchange.claim(buying, cash());
        exchange.completeRetirement(taker);
        exit(seller, id);
        vm.warp(NOW + 2 * WINDOW + 1);
        exchange.executeExit(seller, only(id));
        exchange.claim(seller, id);
        equal(balance(seller, id), 0, "everything is out");
        solvent(id);
        solvent(cash());
    }

    function test_L8_a_delisted_asset_still_goes_out() public {
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        exchange.setAsset(address(money), false);
        exchange.claim(buying, cash());
        exit(buying, cash());
        vm.warp(NOW + 2 * WINDOW + 1);
        exchange.executeExit(buying, only(cash()));
        exchange.claim(buying, cash());
        equal(money.balanceOf(buying), CASH, "all of it");
    }

    // -------------------------------------------------------------- exits are no option

    function test_L8_an_exit_matures_after_two_windows_and_lapses_after_a_third() public {
        exit(seller, id);
        bytes memory early = abi.encodeWithSelector(
            IExchange.ExitNotDue.selector,
            seller,
            id,
            NOW + 2 * WINDOW + 1,
            NOW + 3 * WINDOW
        );
        vm.warp(NOW + 2 * WINDOW);
        vm.expectRevert(early);
        exchange.executeExit(seller, only(id));
        vm.warp(NOW + 3 * WINDOW + 1);
        vm.expectRevert(early);
        exchange.executeExit(seller, only(id));
        // One that lapsed is as none: it can be asked for again, and waits again.
        exit(seller, id);
        (,, uint40 requestedAt) = exchange.accountOf(seller, id);
        equal(requestedAt, NOW + 3 * WINDOW + 1, "begun anew");
        vm.expectRevert();
        exchange.executeExit(seller, only(id));
        vm.warp(NOW + 6 * WINDOW + 1);
        exchange.executeExit(seller, only(id));
        equal(claimable(seller, id), TONNES * 500, "all of it");
    }

    function test_an_exit_runs_once_and_is_executed_once() public {
        exit(seller, id);
        vm.warp(NOW + WINDOW);
        vm.prank(seller);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitRunning.selector, seller, id, NOW)
        );
        exchange.requestExit(only(id));
        vm.warp(NOW + 2 * WINDOW + 1);
        exchange.executeExit(seller, only(id));
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitNotRequested.selector, seller, id)
        );
        exchange.executeExit(seller, only(id));
    }

    function test_an_exit_that_keeps_matches_back_can_be_cancelled_no_more() public {
        exit(seller, id);
        vm.warp(NOW + WINDOW + 5);
        bytes memory exiting = abi.encodeWithSelector(
            IExchange.OrderExiting.selector, seller, 1, NOW + WINDOW + 5, NOW
        );
        refused(trade(NOW + WINDOW + 5), exiting);
        vm.prank(seller);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitRunning.selector, seller, id, NOW)
        );
        exchange.cancelExit(only(id));
        refused(trade(NOW + WINDOW + 5), exiting);
    }

    function test_a_cancelled_exit_is_not_executed_and_its_owner_trades_again() public {
        exit(seller, id);
        vm.warp(NOW + WINDOW);
        vm.prank(seller);
        exchange.cancelExit(only(id));
        vm.warp(NOW + WINDOW + 5);
        settle(trade(NOW + WINDOW + 5));
        vm.warp(NOW + 2 * WINDOW + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitNotRequested.selector, seller, id)
        );
        exchange.executeExit(seller, only(id));
        vm.prank(seller);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitNotRequested.selector, seller, id)
        );
        exchange.cancelExit(only(id));
    }

    function test_no_exit_takes_back_a_match_that_can_still_settle() public {
        // The last match that may settle, settled at the last moment: before any exit can be.
        exit(seller, id);
        exit(buying, cash());
        vm.warp(NOW + 2 * WINDOW);
        vm.expectRevert();
        exchange.executeExit(seller, only(id));
        settle(trade(NOW + WINDOW));
        equal(balance(buying, id), 10_000, "settled");
        vm.warp(NOW + 2 * WINDOW + 1);
        exchange.executeExit(seller, only(id));
        equal(claimable(seller, id), TONNES * 500 - 10_000, "what was left");
    }

    function test_matches_of_either_side_later_than_a_window_after_an_exit_are_refused() public {
        exit(buying, cash());
        vm.warp(NOW + WINDOW + 1);
        bytes4 exiting = IExchange.OrderExiting.selector;
        refused(
            trade(NOW + WINDOW + 1),
            abi.encodeWithSelector(exiting, buying, 1, NOW + WINDOW + 1, NOW)
        );
        vm.warp(NOW + 3 * WINDOW);
        refused(
            trade(NOW + 3 * WINDOW),
            abi.encodeWithSelector(exiting, buying, 1, NOW + 3 * WINDOW, NOW)
        );
        // Lapsed: as if there had been none.
        vm.warp(NOW + 3 * WINDOW + 1);
        settle(trade(NOW + 3 * WINDOW + 1));
    }

    function test_an_exit_of_one_asset_leaves_other_markets_alone() public {
        exit(buying, uint160(address(otherMoney)));
        vm.warp(NOW + WINDOW + 1);
        settle(trade(NOW + WINDOW + 1));
    }

    function test_a_frozen_account_neither_asks_for_nor_takes_an_exit() public {
        exit(seller, id);
        setFrozen(seller, true, 1);
        bytes memory frozen = abi.encodeWithSelector(
            IParticipants.ParticipantIsFrozen.selector, seller, NOW
        );
        vm.warp(NOW + 2 * WINDOW + 1);
        vm.expectRevert(frozen);
        exchange.executeExit(seller, only(id));
        vm.prank(seller);
        vm.expectRevert(frozen);
        exchange.requestExit(only(id));
        vm.prank(seller);
        vm.expectRevert(frozen);
        exchange.cancelExit(only(id));
    }

    function test_a_frozen_account_cannot_have_its_purchase_retired_until_it_is_freed() public {
        Order memory taker = buy(1, 10);
        (taker.conditions, taker.detailsHash) = (33, HASH);
        settle(draftOf(sell(1, 10), taker, 10, NOW));
        setFrozen(buying, true, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantIsFrozen.selector, buying, NOW)
        );
        exchange.completeRetirement(taker);
        setFrozen(buying, false, 2);
        exchange.completeRetirement(taker);
    }

    function test_matches_before_a_freeze_still_settle() public {
        setFrozen(buying, true, 1);
        settle(trade(NOW));
        equal(balance(buying, id), 10_000, "settled");
    }

    // -------------------------------------------------------------- invalidation

    function invalidate(address account, uint64 nonce) private {
        uint64[] memory nonces = new uint64[](1);
        nonces[0] = nonce;
        vm.prank(account);
        exchange.invalidate(nonces);
    }

    function test_L6_matches_later_than_a_window_after_an_invalidation_are_refused() public {
        invalidate(seller, 1);
        vm.warp(NOW + WINDOW + 1);
        refused(
            trade(NOW + WINDOW + 1),
            abi.encodeWithSelector(
                IExchange.OrderInvalidated.selector, seller, 1, NOW + WINDOW + 1, NOW
            )
        );
        settle(trade(NOW + WINDOW));
    }

    function test_an_invalidation_is_for_ever_for_its_nonce_and_for_its_sender_alone() public {
        invalidate(seller, 1);
        vm.warp(NOW + WINDOW + 1);
        invalidate(seller, 1);
        (,, uint40 invalidatedAt) = exchange.fillOf(seller, 1);
        equal(invalidatedAt, NOW, "its time never moves");
        // Neighbours in the same fill word, and the same nonce of others, go on.
        settle(draftOf(sell(2, 10), buy(1, 100), 10, NOW + WINDOW + 1));
        vm.prank(seller);
        uint64[] memory large = new uint64[](1);
        large[0] = 1 << 48;
        vm.expectRevert(abi.encodeWithSelector(IExchange.NonceTooLarge.selector, 1 << 48));
        exchange.invalidate(large);
    }

    function test_a_pre_signature_ends_only_with_its_nonce() public {
        Order memory taker = buy(9, 10);
        taker.signatureKind = 1;
        bytes32 digest = exchange.hashOrder(taker);
        vm.prank(buying);
        exchange.preSign(digest);
        invalidate(buying, 9);
        vm.warp(NOW + WINDOW + 1);
        refused(
            draftOf(sell(1, 10), taker, 10, NOW + WINDOW + 1),
            abi.encodeWithSelector(
                IExchange.OrderInvalidated.selector, buying, 9, NOW + WINDOW + 1, NOW
            )
        );
    }
}
