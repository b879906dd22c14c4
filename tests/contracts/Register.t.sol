// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {CreditClass, ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {Exchange, RegistryRetirement} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust, Receipt, Series} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev What the register of serials and the classes refuse, with the values that explain it.
contract RegisterTest is Deployment {
    uint64 private constant MAX_SERIAL = (1 << 63) - 2;

    function setUp() public {
        deploy();
    }

    // -------------------------------------------------------------- serials

    function test_L2_refuses_an_overlap_also_by_one_serial() public {
        mint(holder, 100, 199);
        mint(holder, 300, 399);
        bytes32 series = trust.hashSeries(vcsSeries());
        uint64[2][8] memory overlaps = [
            [uint64(199), 250],
            [uint64(50), 100],
            [uint64(100), 199],
            [uint64(150), 150],
            [uint64(1), 500],
            [uint64(399), 399],
            [uint64(200), 300],
            [uint64(100), 100]
        ];
        uint64[2][8] memory taken = [
            [uint64(100), 199],
            [uint64(100), 199],
            [uint64(100), 199],
            [uint64(100), 199],
            [uint64(100), 199],
            [uint64(300), 399],
            [uint64(300), 399],
            [uint64(100), 199]
        ];
        for (uint256 i = 0; i < overlaps.length; ++i) {
            (uint64 first, uint64 last) = (overlaps[i][0], overlaps[i][1]);
            Receipt memory receipt = receiptFor(buyer, one(first, last));
            bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
            vm.expectRevert(
                abi.encodeWithSelector(
                    ITrust.SerialsOverlap.selector, series, first, last, taken[i][0], taken[i][1]
                )
            );
            trust.mintWithReceipt(receipt, noHints(1), "", signatures);
        }
        // Its neighbours to both sides touch no serial of it.
        mint(holder, 200, 299);
        mint(holder, 99, 99);
        mint(holder, MAX_SERIAL - 1, MAX_SERIAL);
    }

    function test_refuses_serials_that_the_index_cannot_hold() public {
        uint64[2][4] memory tries = [
            [uint64(0), 1],
            [MAX_SERIAL, MAX_SERIAL + 1],
            [MAX_SERIAL + 1, MAX_SERIAL + 1],
            [type(uint64).max, type(uint64).max]
        ];
        for (uint256 i = 0; i < tries.length; ++i) {
            (uint64 first, uint64 last) = (tries[i][0], tries[i][1]);
            expectMintRefused(
                receiptFor(holder, one(first, last)),
                abi.encodeWithSelector(ITrust.SerialIntervalInvalid.selector, first, last)
            );
        }
    }

    function test_L2_refuses_two_intervals_of_one_receipt_that_overlap() public {
        Interval[] memory intervals = new Interval[](2);
        intervals[0] = Interval(vcsSeries(), 10, 20);
        intervals[1] = Interval(vcsSeries(), 20, 30);
        Receipt memory receipt = receiptFor(holder, intervals);
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        bytes32 series = trust.hashSeries(vcsSeries());
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.SerialsOverlap.selector, series, 20, 30, 10, 20)
        );
        trust.mintWithReceipt(receipt, noHints(2), "", signatures);
    }

    function test_refuses_an_interval_that_begins_at_0_or_ends_before_it_begins() public {
        uint64[2][2] memory wrong = [[uint64(0), 5], [uint64(6), 5]];
        for (uint256 i = 0; i < 2; ++i) {
            Receipt memory receipt = receiptFor(holder, one(wrong[i][0], wrong[i][1]));
            bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
            vm.expectRevert(
                abi.encodeWithSelector(
                    ITrust.SerialIntervalInvalid.selector, wrong[i][0], wrong[i][1]
                )
            );
            trust.mintWithReceipt(receipt, noHints(1), "", signatures);
        }
    }

    function test_refuses_a_wrong_hint_and_repairs_a_stale_one_within_32_nodes() public {
        for (uint64 i = 1; i <= 40; ++i) {
            mintHinted(i * 100, (i - 1) * 100, 1);
        }
        bytes32 series = trust.hashSeries(vcsSeries());
        // Not registered, at the place itself, and above it.
        uint64[3] memory wrong = [uint64(150), 250, 300];
        for (uint256 i = 0; i < wrong.length; ++i) {
            bytes memory refusal = abi.encodeWithSelector(
                ITrust.SerialHintInvalid.selector, series, wrong[i], 250
            );
            hinted(250, wrong[i], 2, refusal);
        }
        hinted(
            3350,
            0,
            2,
            abi.encodeWithSelector(ITrust.SerialHintTooFar.selector, series, 0, 3350)
        );
        mintHinted(3250, 0, 3);
        (uint64 last, uint64 next, uint256 classId) = trust.registered(series, 3250);
        (,, uint256 id) = credits.hashClass(vcs());
        equal(last, 3250, "last");
        equal(next, 3300, "next");
        equal(classId, id, "class");
        (last, next, classId) = trust.registered(series, 0);
        equal(next, 100, "lowest");
        equal(classId, 0, "the head is of no class");
    }

    /// @dev One serial; the salt makes receipts differ.
    function mintHinted(uint64 serial, uint64 hint, uint256 salt) private {
        hinted(serial, hint, salt, "");
    }

    /// @dev Expects the refusal when there is one, after everything else has been read.
    function hinted(uint64 serial, uint64 hint, uint256 salt, bytes memory refusal) private {
        Receipt memory receipt = receiptFor(holder, one(serial, serial));
        receipt.evidenceHash = bytes32(salt);
        uint64[] memory hints = new uint64[](1);
        hints[0] = hint;
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        bytes memory proof = backed(receipt);
        if (refusal.length != 0) vm.expectRevert(refusal);
        trust.mintWithReceipt(receipt, hints, proof, signatures);
    }

    function test_L2_refuses_series_that_are_not_canonical_or_of_another_programme() public {
        (string[9] memory names, uint256[][9] memory codes) = wrongSeries();
        for (uint256 i = 0; i < names.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    ITrust.TrustSeriesNotCanonical.selector, names[i], codes[i]
                )
            );
            trust.hashSeries(Series(names[i], codes[i]));
        }

        Interval[] memory intervals = new Interval[](1);
        intervals[0] = Interval(gsSeries(1), 1, 5);
        Receipt memory receipt = receiptFor(holder, intervals);
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustSeriesForeign.selector, "VCS", "GS")
        );
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    function wrongSeries()
        private
        pure
        returns (string[9] memory names, uint256[][9] memory codes)
    {
        names = ["VCS", "VCS", "vcs", "", "GS", "GS", "CDM", "CDM", "CCER"];
        for (uint256 i = 0; i < 9; ++i) {
            codes[i] = new uint256[](i == 4 || i == 5 ? 3 : 1);
        }
        codes[1][0] = 3;
        codes[2][0] = 1;
        codes[4][1] = 65_536;
        codes[5][2] = 1 << 32;
        // "rw" and a code above two bytes whose low bytes are "RW".
        codes[6][0] = 0x7277;
        codes[7][0] = 0x15257;
    }

    function test_a_gold_standard_class_takes_cer_serials_of_the_cdm() public {
        uint256[] memory codes = new uint256[](1);
        codes[0] = 0x5257;
        Interval[] memory intervals = new Interval[](1);
        intervals[0] = Interval(Series("CDM", codes), 7, 9);
        Receipt memory receipt = receiptFor(holder, intervals);
        receipt.creditClass = classOf("GS", "11603");
        mint(receipt);
        (,, uint256 id) = credits.hashClass(receipt.creditClass);
        equal(credits.totalSupply(id), 3000, "supply");

        receipt.creditClass = classOf("VCS", "11603");
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustSeriesForeign.selector, "VCS", "CDM")
        );
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    // -------------------------------------------------------------- classes

    function test_refuses_a_class_whose_hash_differs() public {
        uint256 id = mint(holder, 100, 199);
        (bytes32 project, bytes32 vintage) = credits.classHashes(id);
        // Two classes with the same id are out of reach, so another hash is written in.
        bytes32 slot = halvesSlot(id);
        vm.store(address(credits), slot, vm.load(address(credits), slot) ^ bytes32(uint256(1)));
        Receipt memory receipt = receiptFor(holder, one(200, 299));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        bytes32 stored = vintage ^ bytes32(uint256(1) << 128);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICarbonCredits.CreditsClassHashDiffers.selector, id, stored, vintage
            )
        );
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);

        vm.store(
            address(credits),
            slot,
            vm.load(address(credits), slot) ^ bytes32(uint256(1) << 255)
        );
        stored = project ^ bytes32(uint256(1) << 255);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICarbonCredits.CreditsClassHashDiffers.selector, id, stored, project
            )
        );
        trust.mintWithReceipt(receipt, noHints(1), "", signatures);
    }

    /// @dev Finds the slot of the halves by what it must hold, wherever the mapping is.
    function halvesSlot(uint256 id) private view returns (bytes32) {
        (bytes32 project, bytes32 vintage) = credits.classHashes(id);
        bytes32 halves = bytes32((uint256(project) >> 128 << 128) | uint256(vintage) >> 128);
        for (uint256 base = 0; base < 12; ++base) {
            bytes32 slot = keccak256(abi.encode(id, base));
            if (vm.load(address(credits), slot) == halves) return slot;
        }
        revert Fails("no slot holds the halves");
    }

    function test_refuses_a_class_that_is_not_canonical() public {
        Receipt memory receipt = receiptFor(holder, one(100, 199));
        bytes[4] memory names = [bytes(""), bytes("15\x0029"), bytes("1529\x7f"), new bytes(65)];
        for (uint256 i = 0; i < names.length; ++i) {
            receipt.creditClass.project = string(names[i]);
            expectMintRefused(
                receipt,
                abi.encodeWithSelector(ICarbonCredits.CreditsClassNameInvalid.selector, names[i])
            );
        }
        receipt.creditClass = vcs();
        receipt.creditClass.unitType = 2;
        expectMintRefused(
            receipt, abi.encodeWithSelector(ICarbonCredits.CreditsUnitTypeInvalid.selector, 2)
        );
        receipt.creditClass = vcs();
        receipt.creditClass.vintageEnd = 20191231;
        expectMintRefused(
            receipt,
            abi.encodeWithSelector(
                ICarbonCredits.CreditsVintageInvalid.selector, 20200101, 20191231
            )
        );
        uint32[4] memory ends = [uint32(20201301), 20200230, 20210229, 20200431];
        for (uint256 i = 0; i < ends.length; ++i) {
            receipt.creditClass.vintageEnd = ends[i];
            expectMintRefused(
                receipt,
                abi.encodeWithSelector(
                    ICarbonCredits.CreditsVintageInvalid.selector, 20200101, ends[i]
                )
            );
        }
        (receipt.creditClass.vintageStart, receipt.creditClass.vintageEnd) = (101, 20200229);
        expectMintRefused(
            receipt,
            abi.encodeWithSelector(ICarbonCredits.CreditsVintageInvalid.selector, 101, 20200229)
        );
        receipt.creditClass = vcs();
        bytes32[] memory cohort = new bytes32[](2);
        (cohort[0], cohort[1]) = (bytes32(uint256(7)), bytes32(uint256(7)));
        receipt.creditClass.cohort = cohort;
        expectMintRefused(
            receipt,
            abi.encodeWithSelector(
                ICarbonCredits.CreditsCohortNotAscending.selector, cohort[0], cohort[1]
            )
        );
    }

    function test_refuses_more_tonnes_than_a_class_can_count() public {
        mint(holder, 1, 10);
        Receipt memory receipt = receiptFor(holder, one(100, 99 + (1 << 48) - 10));
        expectMintRefused(
            receipt,
            abi.encodeWithSelector(
                ICarbonCredits.CreditsTonnesInvalid.selector, (1 << 48) - 10
            )
        );
        mint(holder, 100, 99 + (1 << 48) - 11);
    }
}
