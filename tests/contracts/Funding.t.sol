// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IExchange} from "../../contracts/interfaces/IExchange.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {Receipt} from "../../contracts/interfaces/ITrust.sol";
import {Market} from "./support/Market.sol";

/// @dev Credits of somebody else's making.
contract ForeignCredits is ERC1155("") {
    constructor(address holder) {
        _mint(holder, 1, 1000, "");
        _mint(holder, type(uint256).max, 1000, "");
    }
}

/// @dev Keeps a hundredth of every transfer, as settlement assets may not.
contract TaxedMoney is ERC20("Taxed", "TAX") {
    constructor() {
        _mint(msg.sender, 10_000);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(1), value / 100);
    }
}

/// @dev What comes in: whose it is, how much it is, and with whose consent.
contract FundingTest is Market {
    struct Permit {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    uint256 private constant AMOUNT = 5_000;

    function setUp() public {
        open();
        money.mint(buying, 100 * AMOUNT);
        // Consent must come from permits here.
        vm.prank(buying);
        money.approve(address(exchange), 0);
    }

    function permitted(uint256 key, uint256 amount) private view returns (Permit memory made) {
        bytes32 kind = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        address owner = vm.addr(key);
        bytes32 message = keccak256(
            abi.encode(
                kind, owner, address(exchange), amount, money.nonces(owner), type(uint256).max
            )
        );
        bytes32 digest =
            keccak256(abi.encodePacked(hex"1901", money.DOMAIN_SEPARATOR(), message));
        (made.v, made.r, made.s) = vm.sign(key, digest);
    }

    function intended(uint256 key, address owner, uint256 amount, uint256 nonce, uint256 until)
        private
        view
        returns (bytes memory)
    {
        bytes32 kind = keccak256(
            "DepositIntent(address owner,address asset,uint256 amount,uint256 nonce,"
            "uint256 deadline)"
        );
        bytes32 message =
            keccak256(abi.encode(kind, owner, address(money), amount, nonce, until));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(message));
        return abi.encodePacked(r, s, v);
    }

    function bring(
        address sender,
        Permit memory permit,
        uint256 nonce,
        uint256 until,
        bytes memory intent
    ) private returns (uint256) {
        vm.prank(sender);
        return exchange.depositWithPermit(
            buying,
            address(money),
            AMOUNT,
            type(uint256).max,
            permit.v,
            permit.r,
            permit.s,
            nonce,
            until,
            intent
        );
    }

    /// @dev Somebody sends the permit to the token itself, before the deposit that carries it.
    function runAhead(Permit memory permit) private {
        vm.prank(STRANGER_ACCOUNT);
        money.permit(
            buying, address(exchange), AMOUNT, type(uint256).max, permit.v, permit.r, permit.s
        );
    }

    address private constant STRANGER_ACCOUNT = address(0x4001);

    // -------------------------------------------------------------- money

    function test_L10_deposits_are_numbered_without_gaps() public {
        uint256 before = exchange.depositCount();
        vm.prank(buying);
        money.approve(address(exchange), 2);
        for (uint256 i = 1; i <= 2; ++i) {
            vm.prank(buying);
            equal(exchange.deposit(address(money), 1), before + i, "next");
        }
        transfer(seller, address(exchange), id, 1);
        equal(exchange.depositCount(), before + 3, "credits too");
    }

    function test_only_listed_settlement_assets_come_in() public {
        TaxedMoney foreign = new TaxedMoney();
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeAssetNotListed.selector, address(foreign)
            )
        );
        exchange.deposit(address(foreign), 1);
        exchange.setAsset(address(money), false);
        vm.prank(buying);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangeAssetNotListed.selector, address(money))
        );
        exchange.deposit(address(money), 1);
        Permit memory permit = permitted(BUYER, AMOUNT);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangeAssetNotListed.selector, address(money))
        );
        bring(buying, permit, 0, 0, "");
    }

    function test_what_is_no_settlement_asset_is_not_listed() public {
        address[4] memory wrong =
            [address(0), address(0x77), address(credits), address(exchange)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IExchange.ExchangeAssetInvalid.selector, uint256(uint160(wrong[i]))
                )
            );
            exchange.setAsset(wrong[i], true);
        }
    }

    function test_L7_a_deposit_counts_what_arrived() public {
        TaxedMoney taxed = new TaxedMoney();
        exchange.setAsset(address(taxed), true);
        participants.admit(address(this), 1, "HK", FAR);
        taxed.approve(address(exchange), 1000);
        exchange.deposit(address(taxed), 1000);
        equal(balance(address(this), uint160(address(taxed))), 990, "what arrived");
        solvent(uint160(address(taxed)));
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeNothingArrived.selector, uint256(uint160(address(taxed)))
            )
        );
        exchange.deposit(address(taxed), 0);
    }

    function test_L11_no_asset_grows_beyond_what_a_balance_holds() public {
        uint256 most = type(uint104).max;
        uint256 owed = exchange.total(cash());
        money.mint(other, most);
        vm.prank(other);
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeDepositTooMuch.selector, cash(), owed, most - owed + 1
            )
        );
        exchange.deposit(address(money), most - owed + 1);
        vm.prank(other);
        exchange.deposit(address(money), most - owed);
        equal(exchange.total(cash()), most, "full");
    }

    function test_whoever_is_not_admitted_deposits_nothing() public {
        participants.admit(buying, 1, "HK", uint40(NOW - 1));
        vm.prank(buying);
        money.approve(address(exchange), 1);
        vm.prank(buying);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantExpired.selector, buying, NOW - 1)
        );
        exchange.deposit(address(money), 1);
        participants.admit(seller, 0, 0, 0);
        vm.prank(seller);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantNotAdmitted.selector, seller)
        );
        credits.safeTransferFrom(seller, address(exchange), id, 1, "");
    }

    // -------------------------------------------------------------- permits

    function test_a_permit_brings_its_owners_money_to_its_owners_account() public {
        bring(STRANGER_ACCOUNT, permitted(BUYER, AMOUNT), 0, 0, "");
        equal(balance(buying, cash()), CASH + AMOUNT, "the owner's");
        equal(balance(STRANGER_ACCOUNT, cash()), 0, "not the sender's");
    }

    function test_a_permit_that_was_run_ahead_still_deposits_for_the_owner_itself() public {
        Permit memory permit = permitted(BUYER, AMOUNT);
        runAhead(permit);
        bring(buying, permit, 0, 0, "");
        equal(balance(buying, cash()), CASH + AMOUNT, "deposited");
    }

    function test_a_permit_that_was_run_ahead_deposits_with_the_owners_intent() public {
        Permit memory permit = permitted(BUYER, AMOUNT);
        runAhead(permit);
        bytes memory intent = intended(BUYER, buying, AMOUNT, 0, NOW);
        bring(STRANGER_ACCOUNT, permit, 0, NOW, intent);
        equal(balance(buying, cash()), CASH + AMOUNT, "deposited");
    }

    function test_L5_a_permit_that_was_run_ahead_deposits_for_nobody_without_intent() public {
        Permit memory permit = permitted(BUYER, AMOUNT);
        runAhead(permit);
        bytes4 notOwners = IExchange.ExchangeIntentNotOwners.selector;
        bytes memory none = intended(THIEF, buying, AMOUNT, 0, NOW);
        vm.expectRevert(abi.encodeWithSelector(notOwners, buying, vm.addr(THIEF)));
        bring(STRANGER_ACCOUNT, permit, 0, NOW, none);
        vm.expectRevert(abi.encodeWithSelector(notOwners, buying, address(0)));
        bring(STRANGER_ACCOUNT, permit, 0, NOW, "");
        bytes memory late = intended(BUYER, buying, AMOUNT, 0, NOW - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangeIntentExpired.selector, NOW - 1, NOW)
        );
        bring(STRANGER_ACCOUNT, permit, 0, NOW - 1, late);
    }

    function test_L5_an_allowance_alone_is_no_consent_to_a_deposit() public {
        vm.prank(buying);
        money.approve(address(exchange), type(uint256).max);
        Permit memory forged = permitted(THIEF, AMOUNT);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangePermitUnproven.selector, buying, 0)
        );
        bring(STRANGER_ACCOUNT, forged, 0, NOW, "");
        // Not even with an intent, of which no permit was ever used.
        bytes memory intent = intended(BUYER, buying, AMOUNT, 0, NOW);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangePermitUnproven.selector, buying, 0)
        );
        bring(STRANGER_ACCOUNT, forged, 0, NOW, intent);
    }

    function test_L10_an_intent_deposits_once() public {
        Permit memory permit = permitted(BUYER, AMOUNT);
        runAhead(permit);
        bytes memory intent = intended(BUYER, buying, AMOUNT, 0, NOW);
        bring(STRANGER_ACCOUNT, permit, 0, NOW, intent);
        vm.prank(buying);
        money.approve(address(exchange), type(uint256).max);
        bytes memory used = abi.encodeWithSelector(
            IExchange.ExchangeIntentUsed.selector, buying, address(money), 0
        );
        vm.expectRevert(used);
        bring(STRANGER_ACCOUNT, permit, 0, NOW, intent);
        vm.expectRevert(used);
        bring(buying, permit, 0, NOW, "");
        // Nor after a permit that deposited by itself.
        Permit memory second = permitted(BUYER, AMOUNT);
        bring(STRANGER_ACCOUNT, second, 0, 0, "");
        bytes memory again = intended(BUYER, buying, AMOUNT, 1, NOW);
        vm.prank(buying);
        money.approve(address(exchange), type(uint256).max);
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeIntentUsed.selector, buying, address(money), 1
            )
        );
        bring(STRANGER_ACCOUNT, second, 1, NOW, again);
    }

    // -------------------------------------------------------------- credits

    function test_L7_credits_of_somebody_else_are_refused() public {
        ForeignCredits foreign = new ForeignCredits(seller);
        bytes memory reason = abi.encodeWithSelector(
            IExchange.ExchangeSenderNotCredits.selector, address(foreign)
        );
        vm.prank(seller);
        vm.expectRevert(reason);
        foreign.safeTransferFrom(seller, address(exchange), 1, 1, "");
        uint256[] memory ids = new uint256[](2);
        uint256[] memory values = new uint256[](2);
        (ids[0], ids[1], values[0], values[1]) = (1, type(uint256).max, 5, 5);
        vm.prank(seller);
        vm.expectRevert(reason);
        foreign.safeBatchTransferFrom(seller, address(exchange), ids, values, "");
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExchangeSenderNotCredits.selector, address(this)
            )
        );
        IERC1155Receiver(address(exchange)).onERC1155Received(seller, seller, id, 1000, "");
        equal(balance(seller, id), TONNES * 500, "nothing was credited");
    }

    function test_L7_a_mint_to_the_exchange_is_refused() public {
        Receipt memory receipt = receiptFor(address(exchange), one(9_000_000, 9_000_009));
        expectMintRefused(
            receipt,
            abi.encodeWithSelector(IExchange.ExchangeMintedDeposit.selector, id, 10_000)
        );
    }

    function test_credits_are_deposited_for_whom_they_come_from() public {
        vm.prank(seller);
        credits.setApprovalForAll(other, true);
        vm.prank(other);
        credits.safeTransferFrom(seller, address(exchange), id, 700, "");
        equal(balance(seller, id), TONNES * 500 + 700, "the holder's");
        equal(balance(other, id), 0, "not the operator's");
        vm.prank(seller);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExchangeNothingArrived.selector, id)
        );
        credits.safeTransferFrom(seller, address(exchange), id, 0, "");
    }

    function test_several_classes_in_one_transfer_are_as_many_deposits() public {
        uint256 before = exchange.depositCount();
        uint256[] memory ids = new uint256[](2);
        uint256[] memory values = new uint256[](2);
        (ids[0], ids[1], values[0], values[1]) = (id, otherId, 70, 80);
        vm.prank(seller);
        credits.safeBatchTransferFrom(seller, address(exchange), ids, values, "");
        equal(exchange.depositCount(), before + 2, "two");
        equal(balance(seller, otherId), TONNES * 500 + 80, "each its own");
        solvent(otherId);
    }

    // -------------------------------------------------------------- powers

    function test_powers_are_the_managers_to_give() public {
        bytes[5] memory calls = [
            abi.encodeCall(IExchange.setKeys, (address(1), address(2))),
            abi.encodeCall(IExchange.setFeePayees, (address(1), address(2), 1)),
            abi.encodeCall(IExchange.setAsset, (address(money), false)),
            abi.encodeCall(IExchange.pause, ()),
            abi.encodeCall(IExchange.unpause, ())
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(STRANGER_ACCOUNT);
            (bool done, bytes memory why) = address(exchange).call(calls[i]);
            check(!done, "anybody may");
            equal(
                bytes32(bytes4(why)),
                bytes32(IAccessManaged.AccessManagedUnauthorized.selector),
                "refused by its role"
            );
        }
    }

    function test_payees_are_somebody_and_shares_are_parts() public {
        bytes4 invalid = IExchange.ExchangePayeesInvalid.selector;
        vm.expectRevert(abi.encodeWithSelector(invalid, address(0), developer, 1));
        exchange.setFeePayees(address(0), developer, 1);
        vm.expectRevert(abi.encodeWithSelector(invalid, operator, address(0), 1));
        exchange.setFeePayees(operator, address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(invalid, operator, developer, 10_001));
        exchange.setFeePayees(operator, developer, 10_001);
    }
}
