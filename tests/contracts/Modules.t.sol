// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass} from "../../contracts/interfaces/ICarbonCredits.sol";
import {Interval, ITrust} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev What Trust's modules may do to the register and to the blocks, and nobody else.
contract ModulesTest is Deployment {
    uint256 private id;
    bytes32 private series;

    function setUp() public {
        deploy();
        id = mint(holder, 101, 200);
        series = trust.hashSeries(vcsSeries());
    }

    function release(uint64 first, uint64 last, uint64 hint) private {
        vm.prank(address(deliveries));
        trust.release(series, first, last, hint);
    }

    function expectReleaseRefused(uint64 first, uint64 last) private {
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.SerialsNotRegistered.selector, series, first, last)
        );
        release(first, last, 0);
    }

    function test_nobody_but_the_modules_changes_register_or_blocks() public {
        address[4] memory callers =
            [address(this), address(credits), address(reserve), vm.addr(CUSTODIAN)];
        for (uint256 i = 0; i < callers.length; ++i) {
            bytes memory reason =
                abi.encodeWithSelector(ITrust.TrustOnlyModule.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(reason);
            trust.register(HASH, id, one(1, 2), noHints(1));
            vm.expectRevert(reason);
            trust.append(HASH, id, 1, 101, 100, 1);
            vm.expectRevert(reason);
            trust.release(series, 101, 101, 0);
            vm.expectRevert(reason);
            trust.mintConverted(HASH, vcs(), 1, 1, 101, new Interval[](0), noHints(0));
            vm.stopPrank();
        }
        // Each module only what is its own.
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustOnlyModule.selector, address(deliveries))
        );
        vm.prank(address(deliveries));
        trust.register(HASH, id, one(1, 2), noHints(1));
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustOnlyModule.selector, address(events))
        );
        vm.prank(address(events));
        trust.release(series, 101, 101, 0);
    }

    function test_L2_a_delivered_serial_comes_in_again_and_its_neighbours_do_not() public {
        release(120, 129, 0);
        expectMintRefused(
            receiptFor(buyer, one(119, 120)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 119, 120, 101, 119
            )
        );
        expectMintRefused(
            receiptFor(buyer, one(129, 130)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 129, 130, 130, 200
            )
        );
        mint(buyer, 120, 129);
        equal(credits.balanceOf(buyer, id), 10_000, "minted again");
        expectMintRefused(
            receiptFor(holder, one(125, 125)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 125, 125, 120, 129
            )
        );
    }

    function test_releases_at_the_ends_of_an_interval_leave_the_rest() public {
        release(101, 110, 0);
        release(191, 200, 0);
        (uint64 last, uint64 next, uint256 classId) = trust.registered(series, 111);
        check(last == 190 && next == 0 && classId == id, "the middle");
        (, next,) = trust.registered(series, 0);
        equal(next, 111, "the lowest");
        release(111, 190, 0);
        (, next,) = trust.registered(series, 0);
        equal(next, 0, "nothing is left");
        // The series keeps its number when it is empty.
        equal(trust.seriesNumber(series), 1, "number");
        mint(buyer, 1, 5);
        equal(trust.seriesNumber(series), 1, "number");
    }

    function test_L4_only_what_one_interval_holds_is_released() public {
        mint(holder, 201, 210);
        expectReleaseRefused(200, 201);
        expectReleaseRefused(100, 101);
        expectReleaseRefused(210, 211);
        expectReleaseRefused(105, 104);
        expectReleaseRefused(0, 0);
        expectReleaseRefused(0, 150);
        release(105, 105, 101);
        expectReleaseRefused(105, 105);
        expectReleaseRefused(104, 106);
        // An interval that went is no hint any more.
        release(101, 104, 0);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.SerialHintInvalid.selector, series, 101, 150)
        );
        release(150, 150, 101);
    }

    function test_a_block_is_appended_where_the_blocks_end() public {
        uint48[3] memory wrong = [uint48(0), 99, 101];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    ITrust.TrustAppendPositionDiffers.selector, id, wrong[i], 100
                )
            );
            vm.prank(address(deliveries));
            trust.append(HASH, id, 1, 101, wrong[i], 5);
        }
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustSeriesUnknown.selector, 2));
        vm.prank(address(deliveries));
        trust.append(HASH, id, 2, 101, 100, 5);
        // The same source may come back: what makes a block unique is where it stands.
        vm.prank(address(deliveries));
        trust.append(HASH, id, 1, 101, 100, 5);
        vm.prank(address(deliveries));
        trust.append(HASH, id, 1, 106, 105, 2);
        equal(trust.blockCount(id), 3, "blocks");
        (bytes32 inSeries, uint64 first, uint64 last, uint48 start) = trust.blockAt(id, 2);
        check(inSeries == series && first == 106 && last == 107 && start == 105, "the block");
        (uint48 begin, uint48 end, uint32 number, uint64 serial) = trust.findBlock(id, 103);
        check(begin == 100 && end == 105 && number == 1 && serial == 101, "found");
        check(trust.receiptStatus(HASH) == ITrust.ReceiptStatus.Unknown, "is no receipt");
    }

    function test_serials_are_registered_without_positions_and_refused_twice() public {
        vm.prank(address(events));
        uint32[] memory numbers = trust.register(HASH, id, one(301, 310), noHints(1));
        equal(numbers[0], 1, "series");
        (uint64 last,, uint256 classId) = trust.registered(series, 301);
        check(last == 310 && classId == id, "registered");
        equal(trust.blockCount(id), 1, "no block");
        vm.expectRevert(
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 310, 311, 301, 310
            )
        );
        vm.prank(address(events));
        trust.register(HASH, id, one(310, 311), noHints(1));
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustIntervalCount.selector, 1, 2));
        vm.prank(address(events));
        trust.register(HASH, id, one(320, 321), noHints(2));
    }

    function test_conversions_are_minted_to_the_module_on_the_same_serials_or_on_new_ones() public {
        CreditClass memory other = classOf("VCS", "2000");
        vm.prank(address(events));
        (uint256 toClass, uint48 position) =
            trust.mintConverted(HASH, other, 20, 1, 151, new Interval[](0), noHints(0));
        equal(credits.balanceOf(address(events), toClass), 20_000, "tokens of the module");
        equal(position, 0, "position");
        (,, uint64 serial, uint48 run) = records.serialAt(toClass, 5);
        check(serial == 156 && run == 15, "the same serials");

        Interval[] memory serials = new Interval[](2);
        serials[0] = Interval(vcsSeries(), 501, 504);
        serials[1] = Interval(vcsSeries(), 601, 601);
        vm.prank(address(events));
        (, position) = trust.mintConverted(HASH, other, 5, 0, 0, serials, noHints(2));
        equal(position, 20, "behind");
        (,, serial,) = records.serialAt(toClass, 24);
        equal(serial, 601, "new serials");
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustConvertedTonnesDiffer.selector, 6, 5)
        );
        vm.prank(address(events));
        trust.mintConverted(HASH, other, 6, 0, 0, serials, noHints(2));
        serials[0] = Interval(gsSeries(1), 1, 4);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustSeriesForeign.selector, "VCS", "GS")
        );
        vm.prank(address(events));
        trust.mintConverted(HASH, other, 5, 0, 0, serials, noHints(2));
    }
}
