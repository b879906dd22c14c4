// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Positions} from "../../contracts/interfaces/ICarbonCredits.sol";
import {
    Exchange,
    IRegistryRecords,
    RegistryRetirement
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust, Series} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev What a registry's answer may say and what it may not.
contract ConfirmationsTest is Deployment {
    IRegistryRecords.Settled private constant CONFIRMED = IRegistryRecords.Settled.Confirmed;

    uint256 private id;
    bytes32 private series;

    /// @dev Positions 0 … 49 on serials 101 … 150, 50 … 99 on 201 … 250; 30 t and 500 kg retired.
    function setUp() public {
        deploy();
        id = mint(holder, 101, 150);
        mint(holder, 201, 250);
        series = trust.hashSeries(vcsSeries());
        retire(holder, id, 30_500);
    }

    function expectRefused(RegistryRetirement memory done, bytes memory reason) private {
        expectRefused(done, new Exchange[](0), 0, reason);
    }

    function expectRefused(
        RegistryRetirement memory done,
        Exchange[] memory exchanges,
        uint64 hint,
        bytes memory reason
    ) private {
        bytes[] memory signatures = by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        records.recordRegistryRetirement(done, exchanges, hint, signatures);
    }

    function swap(uint48 position, uint48 counterpart, uint48 tonnes)
        private
        pure
        returns (Exchange[] memory swaps)
    {
        swaps = new Exchange[](1);
        swaps[0] = Exchange(position, counterpart, tonnes, 0);
    }

    function test_L4_refuses_a_confirmation_that_overlaps_another() public {
        confirm(id, 10, 111, 115);
        uint48[2][4] memory ranges =
            [[uint48(10), 14], [uint48(14), 20], [uint48(5), 10], [uint48(0), 25]];
        for (uint256 i = 0; i < ranges.length; ++i) {
            (uint48 first, uint48 last) = (ranges[i][0], ranges[i][1]);
            expectRefused(
                retirement(id, first, one(101 + first, 101 + last)),
                abi.encodeWithSelector(
                    IRegistryRecords.PositionsSettledAlready.selector, id, 10, 14, CONFIRMED
                )
            );
            (IRegistryRecords.Settled kind,,) = records.settledWithin(id, first, last, 0);
            check(kind == IRegistryRecords.Settled.Confirmed, "settledWithin");
        }
        confirm(id, 15, 116, 116);
        confirm(id, 9, 110, 110);
        (IRegistryRecords.Settled kind,,) = records.settledWithin(id, 0, 8, 0);
        check(kind == IRegistryRecords.Settled.None, "below");
        (kind,,) = records.settledWithin(id, 16, 99, 11);
        check(kind == IRegistryRecords.Settled.None, "above, with a stale hint");
        // Signing the same again confirms nothing twice.
        expectRefused(
            retirement(id, 10, one(111, 115)),
            abi.encodeWithSelector(
                IRegistryRecords.PositionsSettledAlready.selector, id, 10, 14, CONFIRMED
            )
        );
    }

    function test_refuses_positions_that_have_not_exited_or_lie_outside_the_class() public {
        Positions memory state = credits.positions(id);
        equal(state.exited, 31, "exited");
        expectRefused(
            retirement(id, 31, one(132, 132)),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementNotRetired.selector, id, 32, 31
            )
        );
        expectRefused(
            retirement(id, 95, one(246, 255)),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementNotRetired.selector, id, 105, 31
            )
        );
        expectRefused(
            retirement(id, type(uint64).max, one(101, 101)),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementNotRetired.selector, id, type(uint64).max, 31
            )
        );
        expectRefused(
            retirement(id + 1, 0, one(101, 101)),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementNotRetired.selector, id + 1, 1, 0
            )
        );
    }

    function test_L3_refuses_the_open_tonne_until_it_is_closed() public {
        bytes memory reason =
            abi.encodeWithSelector(IRegistryRecords.RegistryRetirementOpenTonne.selector, id, 30);
        expectRefused(retirement(id, 30, one(131, 131)), reason);
        expectRefused(retirement(id, 25, one(126, 131)), reason);
        vm.prank(holder);
        credits.closeOpenTonne(id, 30);
        confirm(id, 25, 126, 131);
    }

    function test_refuses_serials_on_which_the_positions_do_not_stand() public {
        expectRefused(
            retirement(id, 0, one(102, 103)),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementSerialsDiffer.selector,
                id,
                0,
                series,
                101,
                series,
                102
            )
        );
        // Right serials in another order than the positions.
        Interval[] memory actual = new Interval[](2);
        actual[0] = Interval(vcsSeries(), 103, 104);
        actual[1] = Interval(vcsSeries(), 101, 102);
        expectRefused(
            retirement(id, 0, actual),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementSerialsDiffer.selector,
                id,
                0,
                series,
                101,
                series,
                103
            )
        );
        // Serials that are in no class.
        uint256[] memory codes = new uint256[](1);
        codes[0] = 1;
        actual = new Interval[](1);
        actual[0] = Interval(Series("VCS", codes), 101, 101);
        expectRefused(
            retirement(id, 0, actual),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementSerialsDiffer.selector,
                id,
                0,
                series,
                101,
                trust.hashSeries(actual[0].series),
                101
            )
        );
    }

    function test_refuses_tonnes_that_differ_no_interval_and_no_reference() public {
        RegistryRetirement memory done = retirement(id, 0, one(101, 105));
        done.tonnes = 6;
        expectRefused(
            done,
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementTonnesDiffer.selector, 6, 5
            )
        );
        done.tonnes = 5;
        done.registryReference = "";
        expectRefused(
            done, abi.encodeWithSelector(IRegistryRecords.RegistryReferenceInvalid.selector, 0)
        );
        done.registryReference = "REF";
        uint32[4] memory dates = [uint32(0), 20260229, 20260431, 20261301];
        for (uint256 i = 0; i < dates.length; ++i) {
            done.registryDate = dates[i];
            expectRefused(
                done,
                abi.encodeWithSelector(IRegistryRecords.RegistryDateInvalid.selector, dates[i])
            );
        }
        done = retirement(id, 0, one((1 << 63) - 2, (1 << 63) - 1));
        expectRefused(
            done,
            abi.encodeWithSelector(
                ITrust.SerialIntervalInvalid.selector, (1 << 63) - 2, (1 << 63) - 1
            )
        );
        done = retirement(id, 0, new Interval[](0));
        expectRefused(done, abi.encodeWithSelector(ITrust.TrustIntervalCount.selector, 0, 0));
        done = retirement(id, 0, one(7, 7));
        done.actual[0].last = 6;
        expectRefused(done, abi.encodeWithSelector(ITrust.SerialIntervalInvalid.selector, 7, 6));
    }

    function test_L5_refuses_a_confirmation_with_one_signature() public {
        RegistryRetirement memory done = retirement(id, 0, one(101, 105));
        bytes[] memory signatures = by(records.hashRegistryRetirement(done), CUSTODIAN);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustApprovalsMissing.selector, 1, 1, 0, 1)
        );
        records.recordRegistryRetirement(done, new Exchange[](0), 0, signatures);
    }

    function test_refuses_a_wrong_hint_among_the_confirmed() public {
        confirm(id, 10, 111, 115);
        bytes32 key = bytes32(id);
        // Not the first of a range (+1), and above the place.
        expectRefused(
            retirement(id, 20, one(121, 121)),
            new Exchange[](0),
            12,
            abi.encodeWithSelector(ITrust.SerialHintInvalid.selector, key, 12, 21)
        );
        expectRefused(
            retirement(id, 5, one(106, 106)),
            new Exchange[](0),
            11,
            abi.encodeWithSelector(ITrust.SerialHintInvalid.selector, key, 11, 6)
        );
        confirm(retirement(id, 20, one(121, 121)), new Exchange[](0), 11);
    }

    function test_exchanges_serials_of_two_blocks_and_keeps_the_blocks_as_minted() public {
        confirm(retirement(id, 10, one(211, 214)), swap(10, 60, 4), 0);
        (,, uint64 serial, uint48 run) = records.serialAt(id, 10);
        equal(serial, 211, "actual serial");
        equal(run, 4, "run");
        (,, serial, run) = records.serialAt(id, 61);
        equal(serial, 112, "displaced serial");
        equal(run, 3, "run");
        (, uint64 first, uint64 last, uint48 position) = trust.blockAt(id, 0);
        equal(first, 101, "block as minted");
        equal(last, 150, "block as minted");
        equal(position, 0, "block as minted");
    }

    function test_L4_an_exchange_takes_no_confirmed_serial_on_either_side_of_it() public {
        confirm(id, 4, 105, 106);
        confirm(retirement(id, 20, one(121, 122)), new Exchange[](0), 5);
        Exchange[] memory swaps = swap(10, 4, 2);
        bytes memory reason =
            abi.encodeWithSelector(
                IRegistryRecords.PositionsSettledAlready.selector, id, 4, 5, CONFIRMED
            );
        expectRefused(retirement(id, 10, one(105, 106)), swaps, 5, reason);
        expectRefused(retirement(id, 10, one(104, 105)), swap(10, 3, 2), 5, reason);
        reason = abi.encodeWithSelector(
            IRegistryRecords.PositionsSettledAlready.selector, id, 20, 21, CONFIRMED
        );
        expectRefused(retirement(id, 10, one(122, 123)), swap(10, 21, 2), 5, reason);
    }

    function test_L5_refuses_exchanges_that_leave_the_submitter_a_choice() public {
        RegistryRetirement memory done = retirement(id, 10, one(111, 114));
        Exchange[][6] memory tries = [
            // Outside the confirmation, partly outside, of nothing, overlapping itself, inside
            // the part already settled, past the last position there can be.
            swap(5, 60, 1),
            swap(13, 60, 2),
            swap(10, 60, 0),
            swap(10, 11, 2),
            swap(12, 10, 1),
            swap(10, type(uint48).max, 2)
        ];
        for (uint256 i = 0; i < tries.length; ++i) {
            Exchange memory tried = tries[i][0];
            expectRefused(
                done,
                tries[i],
                0,
                abi.encodeWithSelector(
                    IRegistryRecords.ExchangeInvalid.selector,
                    id,
                    tried.position,
                    tried.counterpart,
                    tried.tonnes
                )
            );
        }
        // A swap there and back moves other positions' serials round: the second is refused.
        Exchange[] memory back = new Exchange[](2);
        back[0] = Exchange(10, 60, 4, 0);
        back[1] = Exchange(10, 70, 4, 0);
        expectRefused(
            done,
            back,
            0,
            abi.encodeWithSelector(IRegistryRecords.ExchangeInvalid.selector, id, 10, 70, 4)
        );
    }

    function chain(uint48 position, uint48 counterpart, uint48[3] memory tonnes)
        private
        pure
        returns (Exchange[] memory swaps)
    {
        swaps = new Exchange[](3);
        for (uint256 i = 0; i < 3; ++i) {
            swaps[i] = Exchange(position, counterpart, tonnes[i], 0);
            position += tonnes[i];
            counterpart += tonnes[i];
        }
    }

    function expectFragment(uint48 position, uint48 counterpart, uint48[3] memory tonnes)
        private
    {
        uint48 sum = tonnes[0] + tonnes[1] + tonnes[2];
        Interval[] memory actual = new Interval[](1);
        (,, uint64 serial,) = records.serialAt(id, counterpart);
        actual[0] = Interval(vcsSeries(), serial, serial + sum - 1);
        expectRefused(
            retirement(id, position, actual),
            chain(position, counterpart, tonnes),
            0,
            abi.encodeWithSelector(
                IRegistryRecords.ExchangeInvalid.selector,
                id,
                position + tonnes[0],
                counterpart + tonnes[0],
                tonnes[1]
            )
        );
    }

    /// @dev The submitter is anyone: cut finer than needed, pieces would grow without bound.
    function test_L5_refuses_an_exchange_cut_into_fragments() public {
        expectFragment(10, 60, [uint48(4), 2, 1]);
        expectFragment(0, 50, [uint48(1), 1, 1]);
        // Inside one piece, above and below.
        expectFragment(0, 30, [uint48(1), 1, 3]);
        expectFragment(20, 5, [uint48(2), 2, 2]);
        confirm(retirement(id, 10, one(211, 217)), swap(10, 60, 7), 0);
    }

    function testFuzz_L5_one_exchange_is_taken_whole_or_not_at_all(
        uint8 from,
        uint8 to,
        uint8 length,
        uint8 cut
    ) public {
        uint48 first = uint48(within(from, 0, 25));
        uint48 tonnes = uint48(within(length, 2, 30 - first));
        uint48 other = uint48(within(to, 50, 100 - tonnes));
        uint48 part = uint48(within(cut, 1, tonnes - 1));
        RegistryRetirement memory done =
            retirement(id, first, one(151 + other, 150 + other + tonnes));
        Exchange[] memory swaps = new Exchange[](2);
        swaps[0] = Exchange(first, other, part, 0);
        swaps[1] = Exchange(first + part, other + part, tonnes - part, 0);
        expectRefused(
            done,
            swaps,
            0,
            abi.encodeWithSelector(
                IRegistryRecords.ExchangeInvalid.selector,
                id,
                first + part,
                other + part,
                tonnes - part
            )
        );
        confirm(done, swap(first, other, tonnes), 0);
    }

    function test_exchanges_may_follow_each_other_where_a_piece_ends_or_the_sides_meet() public {
        // The pieces of the counterparts end at 63 and of the positions at 23.
        confirm(retirement(id, 23, one(211, 214)), swap(23, 60, 4), 0);
        Exchange[] memory swaps = new Exchange[](2);
        (swaps[0], swaps[1]) = (Exchange(10, 58, 2, 0), Exchange(12, 60, 4, 24));
        Interval[] memory actual = new Interval[](2);
        actual[0] = Interval(vcsSeries(), 209, 210);
        actual[1] = Interval(vcsSeries(), 124, 127);
        confirm(retirement(id, 10, actual), swaps, 0);
        // Serials three positions ahead: each exchange ends where its two sides meet.
        (swaps[0], swaps[1]) = (Exchange(0, 3, 3, 0), Exchange(3, 6, 3, 0));
        confirm(retirement(id, 0, one(104, 109)), swaps, 0);
    }

    function test_unjoined_neighbours_confirm_with_one_exchange() public {
        Interval[] memory actual = new Interval[](3);
        for (uint64 i = 0; i < 3; ++i) {
            actual[i] = Interval(vcsSeries(), 211 + 2 * i, 212 + 2 * i);
        }
        RegistryRetirement memory done = retirement(id, 10, actual);
        expectRefused(
            done,
            chain(10, 60, [uint48(2), 2, 2]),
            0,
            abi.encodeWithSelector(IRegistryRecords.ExchangeInvalid.selector, id, 12, 62, 2)
        );
        confirm(done, swap(10, 60, 6), 0);
    }

    function test_refuses_more_exchanges_than_a_confirmation_may_hold() public {
        expectRefused(
            retirement(id, 0, one(101, 101)),
            new Exchange[](65),
            0,
            abi.encodeWithSelector(IRegistryRecords.ExchangeCount.selector, 65)
        );
    }

    function test_an_exchange_lies_inside_one_piece_and_inside_the_class() public {
        RegistryRetirement memory done = retirement(id, 10, one(149, 152));
        expectRefused(
            done,
            swap(10, 48, 4),
            0,
            abi.encodeWithSelector(IRegistryRecords.ExchangeInvalid.selector, id, 10, 48, 4)
        );
        expectRefused(
            done,
            swap(10, 100, 4),
            0,
            abi.encodeWithSelector(ITrust.PositionUnknown.selector, id, 100)
        );
        vm.expectRevert(abi.encodeWithSelector(ITrust.PositionUnknown.selector, id, 100));
        records.serialAt(id, 100);
        vm.expectRevert(abi.encodeWithSelector(ITrust.PositionUnknown.selector, 7, 0));
        records.serialAt(7, 0);
    }

    /// @dev Any number of blocks: the directory of four keys in a slot against its definition.
    function testFuzz_every_position_is_found_in_its_block(uint8 blocks, uint16 place) public {
        uint256 count = within(blocks, 1, 21);
        uint48 position = 100;
        for (uint64 i = 0; i < count; ++i) {
            mint(buyer, 1000 + 100 * i, 1000 + 100 * i + i % 5);
        }
        equal(trust.blockCount(id), count + 2, "blocks");
        for (uint256 i = 0; i < count; ++i) {
            (bytes32 inSeries, uint64 first, uint64 last, uint48 start) = trust.blockAt(id, i + 2);
            equal(inSeries, series, "series");
            equal(first, 1000 + 100 * i, "first");
            equal(last, first + i % 5, "last");
            equal(start, position, "start");
            position += uint48(last - first + 1);
        }
        uint48 any = uint48(place % position);
        (,, uint64 serial, uint48 run) = records.serialAt(id, any);
        uint256 index = indexOf(any, count + 2);
        (, uint64 from, uint64 to, uint48 at_) = trust.blockAt(id, index);
        equal(serial, from + (any - at_), "serial");
        equal(run, to - serial + 1, "run");
    }

    function indexOf(uint48 position, uint256 count) private view returns (uint256 index) {
        for (index = count - 1; index > 0; --index) {
            (,,, uint48 start) = trust.blockAt(id, index);
            if (start <= position) break;
        }
    }
}
