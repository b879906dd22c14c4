// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {CreditClass, ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {Exchange, RegistryRetirement} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust, Receipt} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev Everything the first issue says must be refused, each with the values that explain it.
contract RefusalsTest is Deployment {
    function setUp() public {
        deploy();
    }

    // ------------------------------------------------------------- receipts

    function test_L10_refuses_a_receipt_used_twice() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes32 id = mint(receipt);
        check(trust.receiptStatus(id) == ITrust.ReceiptStatus.Minted, "minted");
        bytes[] memory signatures = by(id, CUSTODIAN, ATTESTOR);

        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustReceiptUsed.selector, id));
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    function test_L5_refuses_a_receipt_signed_for_another_chain() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.chainId(999);

        // For this chain the signatures are of somebody who is nobody here.
        vm.expectRevert();
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    function test_refuses_a_receipt_past_its_validity_and_takes_it_on_the_last_second() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        receipt.validUntil = uint64(NOW);
        bytes32 id = trust.hashReceipt(receipt);
        bytes[] memory signatures = by(id, CUSTODIAN, ATTESTOR);
        vm.warp(NOW + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ITrust.TrustReceiptExpired.selector,
                id,
                receipt.validUntil,
                uint256(receipt.validUntil) + 1
            )
        );
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);

        vm.warp(receipt.validUntil);
        bytes memory proof = backed(receipt);
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
    }

    function test_L5_refuses_one_signature_or_two_of_one_role() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes32 id = trust.hashReceipt(receipt);
        bytes[][5] memory tries = [
            new bytes[](0),
            by(id, CUSTODIAN),
            by(id, ATTESTOR),
            by(id, CUSTODIAN, CUSTODIAN_2),
            by(id, ATTESTOR, ATTESTOR_2)
        ];
        uint8[2][5] memory given =
            [[uint8(0), 0], [uint8(1), 0], [uint8(0), 1], [uint8(2), 0], [uint8(0), 2]];
        for (uint256 i = 0; i < tries.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    ITrust.TrustApprovalsMissing.selector, given[i][0], 1, given[i][1], 1
                )
            );
            trust.mintWithReceipt(receipt, noHints(1), "", tries[i]);
        }
    }

    function test_L5_refuses_the_same_party_in_both_roles() public {
        address party = vm.addr(CUSTODIAN);
        vm.expectRevert(
            abi.encodeWithSelector(
                ITrust.TrustSignerHasRole.selector, party, ITrust.Role.Custodian
            )
        );
        trust.setSigner(party, ITrust.Role.Attestor);

        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes32 id = trust.hashReceipt(receipt);
        bytes[] memory twice = new bytes[](2);
        twice[0] = by(id, CUSTODIAN)[0];
        twice[1] = twice[0];
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustSignaturesNotAscending.selector, party, party)
        );
        trust.mintWithReceipt(receipt, noHints(1), "", twice);
    }

    function test_L5_refuses_a_stranger_and_one_who_lost_the_role() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes32 id = trust.hashReceipt(receipt);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustSignerUnknown.selector, vm.addr(STRANGER))
        );
        trust.mintWithReceipt(receipt, noHints(1), "", by(id, STRANGER));

        trust.setSigner(vm.addr(ATTESTOR), ITrust.Role.None);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustSignerUnknown.selector, vm.addr(ATTESTOR))
        );
        trust.mintWithReceipt(receipt, noHints(1), "", by(id, ATTESTOR));
    }

    function test_L5_thresholds_count_and_are_never_nothing() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes memory proof = backed(receipt);
        trust.setThresholds(2, 2);
        bytes32 id = trust.hashReceipt(receipt);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustApprovalsMissing.selector, 1, 2, 1, 2)
        );
        trust.mintWithReceipt(receipt, noHints(1), "", by(id, CUSTODIAN, ATTESTOR));
        uint256[] memory keys = new uint256[](4);
        (keys[0], keys[1], keys[2], keys[3]) = (CUSTODIAN, ATTESTOR, CUSTODIAN_2, ATTESTOR_2);
        trust.mintWithReceipt(receipt, noHints(1), proof, signed(id, keys));

        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustThresholdInvalid.selector, 0, 1));
        trust.setThresholds(0, 1);
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustThresholdInvalid.selector, 1, 0));
        trust.setThresholds(1, 0);
    }

    function test_L10_a_cancelled_receipt_never_mints_and_either_signer_cancels() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes32 id = trust.hashReceipt(receipt);
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustNotASigner.selector, address(this)));
        trust.cancelReceipt(id);
        vm.prank(vm.addr(ATTESTOR));
        trust.cancelReceipt(id);
        check(trust.receiptStatus(id) == ITrust.ReceiptStatus.Cancelled, "cancelled");

        bytes[] memory signatures = by(id, CUSTODIAN, ATTESTOR);
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustReceiptCancelled.selector, id));
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    function test_refuses_a_receipt_that_only_shares_the_63_bits_of_its_key() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes32 id = trust.hashReceipt(receipt);
        bytes32 twin = bytes32(uint256(id) ^ (1 << 255));
        vm.prank(vm.addr(CUSTODIAN));
        trust.cancelReceipt(twin);
        check(trust.receiptStatus(id) == ITrust.ReceiptStatus.Unknown, "the twin's status");

        bytes[] memory signatures = by(id, CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(
                ITrust.TrustReceiptKeyTaken.selector, id, uint64(uint256(id)) & ~(uint64(1) << 63)
            )
        );
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    function test_refuses_no_interval_too_many_or_hints_that_do_not_match() public {
        Receipt memory receipt = receiptFor(holder, new Interval[](0));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustIntervalCount.selector, 0, 0));
        trust.mintWithReceipt(receipt, noHints(0), "", signatures);

        receipt = receiptFor(holder, one(1, 2));
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustIntervalCount.selector, 1, 2));
        trust.mintWithReceipt(receipt, noHints(2), "", signatures);

        Interval[] memory many = new Interval[](65);
        for (uint64 i = 0; i < 65; ++i) {
            many[i] = Interval(vcsSeries(), 10 * i + 1, 10 * i + 2);
        }
        receipt = receiptFor(holder, many);
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustIntervalCount.selector, 65, 65));
        trust.mintWithReceipt(receipt, noHints(65), "", signatures);
    }

    // --------------------------------------------------------- participants

    function test_refuses_a_mint_without_admission() public {
        Receipt memory receipt = receiptFor(unknown, one(100, 199));
        expectMintRefused(
            receipt, abi.encodeWithSelector(IParticipants.ParticipantNotAdmitted.selector, unknown)
        );
    }

    function test_refuses_a_transfer_to_an_unknown_an_expired_or_a_frozen_wallet() public {
        uint256 id = mint(holder, 100, 199);
        expectTransferRefused(
            id,
            unknown,
            abi.encodeWithSelector(IParticipants.ParticipantNotAdmitted.selector, unknown)
        );
        uint40 expiry = uint40(NOW);
        participants.admit(third, 1, "HK", expiry);
        transfer(holder, third, id, 5);
        vm.warp(NOW + 1);
        expectTransferRefused(
            id,
            third,
            abi.encodeWithSelector(IParticipants.ParticipantExpired.selector, third, expiry)
        );
        // Who has expired may still send.
        transfer(third, holder, id, 5);

        setFrozen(buyer, true, 1);
        expectTransferRefused(
            id,
            buyer,
            abi.encodeWithSelector(
                IParticipants.ParticipantIsFrozen.selector, buyer, NOW + 1
            )
        );
    }

    function expectTransferRefused(uint256 id, address to, bytes memory reason) private {
        vm.prank(holder);
        vm.expectRevert(reason);
        credits.safeTransferFrom(holder, to, id, 1, "");
    }

    function test_a_frozen_holder_neither_transfers_nor_retires() public {
        uint256 id = mint(holder, 100, 199);
        setFrozen(holder, true, 1);
        bytes memory reason = abi.encodeWithSelector(
            IParticipants.ParticipantIsFrozen.selector, holder, NOW
        );
        expectTransferRefused(id, buyer, reason);
        vm.prank(holder);
        vm.expectRevert(reason);
        credits.retire(holder, id, 1, holder, HASH);

        vm.warp(NOW + 100);
        setFrozen(holder, false, 2);
        equal(participants.participant(holder).frozenSeconds, 100, "frozen seconds");
        transfer(holder, buyer, id, 1);
    }

    function test_a_contract_of_causeway_is_never_frozen_nor_admitted_away() public {
        participants.addCausewayContract(third);
        bytes memory reason =
            abi.encodeWithSelector(IParticipants.ParticipantIsCausewayContract.selector, third);
        bytes[] memory signatures = by(legal.hashFreeze(third, true, HASH, 9), FREEZER);
        vm.expectRevert(reason);
        legal.setFrozen(third, true, HASH, 9, signatures);
        vm.expectRevert(reason);
        participants.admit(third, 1, "HK", FAR);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantTierInvalid.selector, 4)
        );
        participants.admit(buyer, 4, "HK", FAR);
        vm.expectRevert(
            abi.encodeWithSelector(
                IParticipants.ParticipantsOnlyLegalOrders.selector, address(this)
            )
        );
        participants.freeze(buyer);
    }

    function test_admits_only_with_a_jurisdiction_of_two_capitals() public {
        bytes2[7] memory codes = [bytes2("hk"), "Hk", "H", "H1", "@A", "[A", 0x0041];
        for (uint256 i = 0; i < codes.length; ++i) {
            for (uint8 tier = 0; tier < 4; ++tier) {
                vm.expectRevert(
                    abi.encodeWithSelector(
                        IParticipants.ParticipantJurisdictionInvalid.selector, codes[i]
                    )
                );
                participants.admit(unknown, tier, codes[i], FAR);
            }
        }
        vm.expectRevert(
            abi.encodeWithSelector(
                IParticipants.ParticipantJurisdictionInvalid.selector, bytes2(0)
            )
        );
        participants.admit(unknown, 1, 0, FAR);
        participants.admit(unknown, 1, "AZ", FAR);
        participants.admit(unknown, 0, "ZA", 0);
        participants.admit(unknown, 0, 0, 0);
        equal(participants.participant(unknown).tier, 0, "admitted nowhere");
    }

    function test_records_a_fact_only_with_a_real_day() public {
        uint256 id = mint(holder, 100, 199);
        uint32[4] memory dates = [uint32(0), 20260229, 20261301, 20260100];
        for (uint256 i = 0; i < dates.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(ICarbonCredits.CreditsFactDateInvalid.selector, dates[i])
            );
            credits.recordFact(id, "k", "v", dates[i], "1");
        }
        credits.recordFact(id, "k", "v", 20240229, "1");
    }

    // ---------------------------------------------------------- retirements

    function test_refuses_to_retire_more_than_owned_nothing_or_for_others() public {
        uint256 id = mint(holder, 100, 199);
        transfer(holder, buyer, id, 500);
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC1155Errors.ERC1155InsufficientBalance.selector, buyer, 500, 501, id
            )
        );
        credits.retire(buyer, id, 501, buyer, HASH);
        vm.prank(buyer);
        vm.expectRevert(ICarbonCredits.CreditsNothingToRetire.selector);
        credits.retire(buyer, id, 0, buyer, HASH);
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICarbonCredits.CreditsCertificateOwnerInvalid.selector, address(0)
            )
        );
        credits.retire(buyer, id, 1, address(0), HASH);
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredits.CreditsNotApproved.selector, buyer, holder)
        );
        credits.retire(holder, id, 1, buyer, HASH);

        vm.prank(holder);
        credits.setApprovalForAll(buyer, true);
        vm.prank(buyer);
        credits.retire(holder, id, 1, buyer, HASH);
        equal(credits.retiredBalanceOf(holder, id), 1, "retired");
        equal(credits.retiredBalanceOf(buyer, id), 0, "the operator retired nothing of its own");
    }

    function test_public_texts_are_bounded() public {
        uint256 id = mint(holder, 100, 199);
        string memory long = string(new bytes(257));
        vm.prank(holder);
        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredits.CreditsDetailsTextTooLong.selector, 257)
        );
        credits.retirePublicly(holder, id, 1, holder, "", long, "", HASH);
    }

    function test_closes_exactly_the_open_tonne() public {
        uint256 id = mint(holder, 100, 199);
        vm.prank(holder);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICarbonCredits.CreditsOpenTonneDiffers.selector, id, 0, 0, 0
            )
        );
        credits.closeOpenTonne(id, 0);
        retire(holder, id, 2300);
        vm.prank(holder);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICarbonCredits.CreditsOpenTonneDiffers.selector, id, 2, 700, 1
            )
        );
        credits.closeOpenTonne(id, 1);
        vm.prank(holder);
        uint256 certificateId = credits.closeOpenTonne(id, 2);
        equal(certificates.certificate(certificateId).kilograms, 700, "what was left");
        equal(credits.positions(id).dust, 0, "dust");
    }

    function test_only_causeway_calls_what_is_causeways() public {
        bytes memory self = abi.encode(address(this));
        vm.expectRevert(bytes.concat(ICarbonCredits.CreditsOnlyTrust.selector, self));
        credits.mint(holder, vcs(), 1);
        vm.expectRevert(bytes.concat(ICarbonCredits.CreditsOnlyLegalOrders.selector, self));
        credits.forceTransfer(HASH, holder, buyer, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredits.CreditsClassUnknown.selector, 5));
        credits.recordFact(5, "k", "v", 20260101, "1");
        vm.prank(unknown);
        vm.expectRevert(abi.encodeWithSignature("AccessManagedUnauthorized(address)", unknown));
        credits.recordFact(5, "k", "v", 20260101, "1");
        vm.prank(unknown);
        vm.expectRevert(abi.encodeWithSignature("AccessManagedUnauthorized(address)", unknown));
        trust.setSigner(unknown, ITrust.Role.Custodian);
    }
}
