// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order} from "../../contracts/interfaces/IExchange.sol";
import {ILegalOrders} from "../../contracts/interfaces/ILegalOrders.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {
    Exchange,
    RegistryFailure,
    RegistryRetirement
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {ReserveReport} from "../../contracts/interfaces/IReserve.sol";
import {ITrust, Receipt} from "../../contracts/interfaces/ITrust.sol";
import {Batches, Draft} from "./support/BatchBuilder.sol";
import {Market} from "./support/Market.sol";

/// @dev docs/stolen-keys.md, bound by bound: what a thief can take with each key, and what not.
contract StolenKeysTest is Market {
    address private thief;

    function setUp() public {
        open();
        thief = trader(THIEF);
    }

    function attempt(bytes memory call) private returns (bool done) {
        (done,) = address(exchange).call(call);
    }

    /// @dev Everything the venue's keys sign, with these two as sequencer and watcher.
    function nothingGoes(uint256 first, uint256 second) private {
        Draft memory draft = draftOf(sell(1, 10), buy(1, 10), 10, NOW);
        bytes memory batch = Batches.pack(draft);
        bytes memory signatures = bytes.concat(
            byKeys(exchange.hashBatch(batch), first, second), signaturesOf(draft)
        );
        check(!attempt(abi.encodeCall(IExchange.settle, (batch, signatures))), "settled");
        signatures = byKeys(anchorDigest(9, HASH), first, second);
        check(!attempt(abi.encodeCall(IExchange.anchor, (9, HASH, signatures))), "anchored");
        signatures = byKeys(voidDigest([uint64(1), 9, 1, 0], 1, 9, HASH), first, second);
        check(
            !attempt(
                abi.encodeCall(
                    IExchange.voidTrades, (1, 9, 1, 0, 1, 9, HASH, signatures)
                )
            ),
            "voided"
        );
        (uint64 trade,,) = exchange.settled();
        equal(trade, 0, "something settled");
    }

    // -------------------------------------------------------------- the venue's keys

    function test_stolen_sequencer_key_alone_moves_nothing() public {
        nothingGoes(SEQUENCER, THIEF);
        nothingGoes(SEQUENCER, SEQUENCER);
    }

    function test_stolen_watcher_key_alone_moves_nothing() public {
        nothingGoes(THIEF, WATCHER);
        nothingGoes(WATCHER, WATCHER);
    }

    function test_stolen_both_venue_keys_cannot_move_an_account_that_signed_nothing() public {
        // The thief buys at its own price from somebody who signed no order.
        keyOf[seller] = THIEF;
        Draft memory draft = draftOf(sell(1, 10), anOrder(thief, 1, 0, 10), 10, NOW);
        draft.orders[0].price = 1;
        refused(
            draft,
            abi.encodeWithSelector(
                IExchange.OrderSignatureWrong.selector, seller, 1, thief
            )
        );
        keyOf[buying] = THIEF;
        refused(
            draftOf(aWithdrawal(buying, 1, cash(), CASH)),
            abi.encodeWithSelector(
                IExchange.WithdrawalSignatureWrong.selector, buying, 1, thief
            )
        );
    }

    function test_stolen_both_venue_keys_take_what_open_orders_give_at_their_worst() public {
        // The victim bids 5 above the market; the thief sells to it at the victim's own limit,
        // past everybody who was first, and the fee goes to its cap: that is the loss, whole.
        Order memory open_ = buy(1, 100);
        open_.price = uint128(PRICE + 5);
        open_.maxFeeBps = 30;
        vm.prank(seller);
        credits.safeTransferFrom(seller, thief, id, 200_000, "");
        depositClass(thief, id, 200_000);
        Order memory thiefs = anOrder(thief, 1, 1, 200);
        thiefs.price = 1;
        Draft memory draft = draftOf(open_, thiefs, 100, NOW);
        draft.makerFee = 30;
        settle(draft);
        uint256 notional = 100 * (PRICE + 5);
        equal(balance(buying, cash()), CASH - notional - notional * 30 / 10_000, "its limit");
        equal(balance(buying, id), 100_000, "it got what it paid for");
        // No tonne more, no worse price, no higher fee, and no order again that is filled.
        refused(
            draftOf(open_, thiefs, 1, NOW),
            abi.encodeWithSelector(IExchange.OrderOverfilled.selector, buying, 1, 101, 100)
        );
    }

    function test_stolen_both_venue_keys_fill_a_cancelled_order_until_its_nonce_is_ended()
        public
    {
        // Cancelled off chain: the contract cannot know. Invalidated on chain: it ends it.
        uint64[] memory nonces = new uint64[](1);
        nonces[0] = 1;
        vm.prank(buying);
        exchange.invalidate(nonces);
        vm.warp(NOW + WINDOW + 1);
        refused(
            draftOf(sell(1, 10), buy(1, 10), 10, NOW + WINDOW + 1),
            abi.encodeWithSelector(
                IExchange.OrderInvalidated.selector, buying, 1, NOW + WINDOW + 1, NOW
            )
        );
        // A backdated match reaches back no further than the window.
        vm.warp(NOW + 2 * WINDOW + 1);
        refused(
            draftOf(sell(1, 10), buy(1, 10), 10, NOW + WINDOW),
            abi.encodeWithSelector(
                IExchange.TradeTooOld.selector, 1, NOW + WINDOW, NOW + 2 * WINDOW + 1
            )
        );
    }

    function test_stolen_both_venue_keys_and_a_stopped_venue_hold_nobody_back() public {
        // The worst void there is: no trade ever settles again. Everybody leaves all the same.
        uint64 end = type(uint48).max;
        voidRange([uint64(1), end, 1, end], 9, HASH);
        vm.prank(seller);
        exchange.requestExit(only(id));
        vm.prank(buying);
        exchange.requestExit(only(cash()));
        vm.warp(NOW + 2 * WINDOW + 1);
        exchange.executeExit(seller, only(id));
        exchange.executeExit(buying, only(cash()));
        exchange.claim(seller, id);
        exchange.claim(buying, cash());
        equal(credits.balanceOf(seller, id), TONNES * 1000, "all its credits");
        equal(money.balanceOf(buying), CASH, "all its money");
    }

    // -------------------------------------------------------------- custody

    function receiptOfThief() private view returns (Receipt memory) {
        return receiptFor(thief, one(5_000_000, 5_000_099));
    }

    function test_stolen_custodian_key_alone_mints_nothing() public {
        mintRefused(CUSTODIAN, CUSTODIAN_2);
    }

    function test_stolen_attestor_key_alone_mints_nothing() public {
        mintRefused(ATTESTOR, ATTESTOR_2);
    }

    function mintRefused(uint256 key, uint256 other_) private {
        Receipt memory receipt = receiptOfThief();
        bytes32 digest = trust.hashReceipt(receipt);
        bytes[] memory signatures = by(digest, key);
        (bool done,) = address(trust).call(
            abi.encodeCall(trust.mintWithReceipt, (receipt, noHints(1), "", signatures))
        );
        check(!done, "minted with one signature");
        signatures = by(digest, key, other_);
        (done,) = address(trust).call(
            abi.encodeCall(trust.mintWithReceipt, (receipt, noHints(1), "", signatures))
        );
        check(!done, "minted with two of one role");
        equal(credits.balanceOf(thief, id), 0, "nothing");
    }

    function test_stolen_custodian_and_attestor_keys_mint_no_serial_twice() public {
        // Both together report and mint credits that no registry holds: that is their bound, and
        // L3's audit finds it. What is in trust already they can neither mint again nor take.
        Receipt memory receipt = receiptFor(thief, one(1, 10));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        (bool done,) = address(trust).call(
            abi.encodeCall(trust.mintWithReceipt, (receipt, noHints(1), "", signatures))
        );
        check(!done, "minted twice");
        mint(receiptOfThief());
        equal(credits.balanceOf(thief, id), 100_000, "unbacked");
        equal(credits.balanceOf(seller, id), TONNES * 500, "nobody else's");
        solvent(id);
    }

    function test_stolen_custody_keys_mint_nothing_without_a_public_report() public {
        Receipt memory receipt = receiptOfThief();
        bytes memory proof = backed(receipt);
        // The report before it lists other serials: a proof of those mints nothing of these.
        backed(receiptFor(thief, one(6_000_000, 6_000_099)));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        (bool done,) = address(trust).call(
            abi.encodeCall(trust.mintWithReceipt, (receipt, noHints(1), proof, signatures))
        );
        check(!done, "minted on a report that is not the newest");
        (uint64 sequence,, bytes32 root,) = reserve.current();
        check(sequence > 0 && root != 0, "what was reported is public");
    }

    function test_stolen_custodian_keys_alone_write_no_report_and_no_record() public {
        nothingIsWritten(CUSTODIAN, CUSTODIAN_2);
    }

    function test_stolen_attestor_keys_alone_write_no_report_and_no_record() public {
        nothingIsWritten(ATTESTOR, ATTESTOR_2);
    }

    function nothingIsWritten(uint256 key, uint256 other_) private {
        vm.prank(seller);
        credits.retire(seller, id, 2_000, seller, HASH);
        ReserveReport memory made = reportOf(Node(HASH, 1));
        bytes[] memory signatures = by(reserve.hashReport(made), key, other_);
        (bool done,) = address(reserve).call(abi.encodeCall(reserve.report, (made, signatures)));
        check(!done, "reported");
        (bytes32 seriesId,, uint64 serial,) = records.serialAt(id, 0);
        check(seriesId != 0, "a position to confirm");
        RegistryRetirement memory said = retirement(id, 0, one(serial, serial));
        signatures = by(records.hashRegistryRetirement(said), key, other_);
        (done,) = address(records).call(
            abi.encodeCall(
                records.recordRegistryRetirement, (said, new Exchange[](0), 0, signatures)
            )
        );
        check(!done, "confirmed");
    }

    function test_stolen_custody_keys_change_no_certificate_and_settle_nothing_twice() public {
        vm.prank(seller);
        uint256 certificateId = credits.retire(seller, id, 2_000, seller, HASH);
        bytes32 before = keccak256(bytes(certificates.tokenURI(certificateId)));
        (,, uint64 serial,) = records.serialAt(id, 0);
        confirm(id, 0, serial, serial);
        RegistryFailure memory failure = RegistryFailure(id, 0, 1, "None", 20260131, HASH);
        bytes[] memory signatures =
            by(records.hashRegistryFailure(failure), CUSTODIAN, ATTESTOR);
        (bool done,) = address(records).call(
            abi.encodeCall(records.recordRegistryFailure, (failure, 0, signatures))
        );
        check(!done, "failed what was confirmed");
        equal(keccak256(bytes(certificates.tokenURI(certificateId))), before, "certificate");
    }

    function test_stolen_custody_keys_stop_no_claim_and_no_exit() public {
        settle(draftOf(aWithdrawal(seller, 1, id, 5_000)));
        trust.setSigner(vm.addr(CUSTODIAN), ITrust.Role.None);
        exchange.claim(seller, id);
        equal(credits.balanceOf(seller, id), TONNES * 500 + 5_000, "claimed");
    }

    // -------------------------------------------------------------- law

    function test_stolen_freezer_keys_hold_an_account_and_take_nothing() public {
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        setFrozen(buying, true, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantIsFrozen.selector, buying, NOW)
        );
        exchange.claim(buying, cash());
        equal(claimable(buying, cash()), 500, "still its own");
        bytes[] memory signatures = by(
            legal.hashFreeze(address(exchange), true, HASH, 2), FREEZER
        );
        vm.expectRevert(
            abi.encodeWithSelector(
                IParticipants.ParticipantIsCausewayContract.selector, address(exchange)
            )
        );
        legal.setFrozen(address(exchange), true, HASH, 2, signatures);
    }

    function test_stolen_enforcer_keys_reach_wallets_after_the_delay_and_never_the_pool() public {
        ILegalOrders.Order memory order = ILegalOrders.Order(
            ILegalOrders.Kind.Recovery, seller, thief, only(id), new uint256[](0), HASH, 1
        );
        legal.schedule(order, by(legal.hashOrder(order), ENFORCER));
        ILegalOrders.Order memory pool = order;
        pool.from = address(exchange);
        legal.schedule(pool, by(legal.hashOrder(pool), ENFORCER));
        vm.expectRevert();
        legal.execute(pool);
        // In the delay the owner can bring what it holds where no order reaches.
        depositClass(seller, id, TONNES * 500);
        vm.warp(NOW + DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                IParticipants.ParticipantIsCausewayContract.selector, address(exchange)
            )
        );
        legal.execute(pool);
        order.from = seller;
        legal.execute(order);
        equal(credits.balanceOf(thief, id), 0, "nothing was left there");
        equal(balance(seller, id), TONNES * 1000, "still its own");
    }

    // -------------------------------------------------------------- people of the manager

    function test_stolen_guardian_key_pauses_and_everybody_can_leave() public {
        // The guardian's one act: see WaysOut for everything that goes on meanwhile.
        exchange.pause();
        refused(
            draftOf(sell(1, 10), buy(1, 10), 10, NOW),
            abi.encodeWithSelector(IExchange.TradeWhilePaused.selector, 1, NOW)
        );
        settle(draftOf(aWithdrawal(buying, 2, cash(), CASH)));
        exchange.claim(buying, cash());
        equal(money.balanceOf(buying), CASH, "all of it");
    }

    function test_stolen_registrar_key_delays_claims_of_credits_and_takes_nothing() public {
        settle(draftOf(aWithdrawal(seller, 1, id, 5_000)));
        settle(draftOf(aWithdrawal(buying, 1, cash(), 500)));
        // The registrar ends the admission of both: money is paid, credits wait for admission.
        participants.admit(seller, 0, 0, 0);
        participants.admit(buying, 0, 0, 0);
        exchange.claim(buying, cash());
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantNotAdmitted.selector, seller)
        );
        exchange.claim(seller, id);
        equal(claimable(seller, id), 5_000, "still its own");
        participants.admit(seller, 1, "HK", FAR);
        exchange.claim(seller, id);
    }

    function test_stolen_admin_key_waits_and_lists_or_pays_nothing_out_of_accounts() public {
        // Even without its delays: no power of the admin over the Exchange moves a balance.
        exchange.setKeys(thief, address(0x9999));
        exchange.setFeePayees(thief, thief, 10_000);
        exchange.setAsset(address(money), false);
        exchange.collectFees(cash());
        exchange.collectFees(id);
        equal(claimable(thief, cash()), 0, "no fees were there");
        equal(balance(buying, cash()), CASH, "unchanged");
        equal(balance(seller, id), TONNES * 500, "unchanged");
        solvent(cash());
        solvent(id);
    }

    function test_stolen_traders_key_takes_that_traders_account_and_no_other() public {
        settle(draftOf(aWithdrawal(buying, 1, cash(), CASH)));
        // It goes to the trader's own address first; the venue pays nobody else.
        exchange.claim(buying, cash());
        equal(money.balanceOf(buying), CASH, "to the account itself");
        equal(balance(other, cash()), CASH, "nobody else's");
    }
}
