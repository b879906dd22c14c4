// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {
    Conversion,
    IProgrammeEvents,
    Substitution
} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {Exchange} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust} from "../../contracts/interfaces/ITrust.sol";
import {Bridge} from "./support/Bridge.sol";
import {SumPath} from "./support/Reserves.sol";

/// @dev A part of a class becomes another: every kilogram of it once.
contract ConversionsTest is Bridge {
    uint256 private id;
    uint256 private other;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
        (,, other) = credits.hashClass(relabelled());
    }

    function expectSubstituteRefused(
        uint64 position,
        Interval[] memory serials,
        bytes memory reason
    ) private {
        Substitution memory made = Substitution(id, position, serials, "Equal", DAY, HASH);
        bytes[] memory signatures = by(events.hashSubstitution(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        events.substitute(made, noHints(serials.length), signatures);
    }

    // -------------------------------------------------------------- conversions

    function entitled() private view returns (Node[] memory leaves) {
        leaves = new Node[](3);
        leaves[0] = leafOf(id, holder, 12_000);
        leaves[1] = leafOf(id, buyer, 6_500);
        leaves[2] = leafOf(id, third, 1_500);
    }

    function labelSplit() private returns (bytes32 conversionId) {
        bytes32 root = rootOf(entitled()).hash;
        conversionId =
            convert(conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 20, 20, root));
    }

    function locked() private view returns (uint256 kilograms) {
        (, kilograms,) = gaps.shortfall(id);
        equal(credits.balanceOf(address(events), id), kilograms, "locked tokens");
    }

    function test_a_label_split_gives_each_holder_its_part_kilogram_for_kilogram() public {
        transfer(holder, third, id, 10_000);
        bytes32 conversionId = labelSplit();
        equal(flagsOf(id), 256 + 2, "short while nothing is claimed");
        equal(credits.balanceOf(address(events), other), 20_000, "escrow");
        (bytes32 seriesId,, uint64 serial,) = records.serialAt(other, 0);
        equal(seriesId, trust.hashSeries(vcsSeries()), "on the same series");
        equal(serial, 120, "on the same serials");
        // By anyone, for each.
        vm.prank(unknown);
        claim(conversionId, holder, 12_000, pathOf(entitled(), 0));
        equal(credits.balanceOf(holder, id), 78_000, "given");
        equal(credits.balanceOf(holder, other), 12_000, "got");
        equal(locked(), 12_000, "locked");
        (,, uint48 uncovered) = gaps.shortfall(id);
        equal(uncovered, 8, "the rest is short");
        claim(conversionId, buyer, 6_500, pathOf(entitled(), 1));
        (,, uncovered) = gaps.shortfall(id);
        equal(uncovered, 2, "rounded up: 1.5 tonnes");
        claim(conversionId, third, 1_500, pathOf(entitled(), 2));
        equal(locked(), 20_000, "all of it");
        equal(flagsOf(id), 256, "a gap, and nothing short: the class goes on");
        equal(credits.balanceOf(address(events), other), 0, "nothing is left in escrow");
        (,,, uint64 kilograms, uint64 claimed) = events.conversion(conversionId);
        equal(kilograms, claimed, "all claimed");
        mint(buyer, 1_000, 1_009);
        retire(holder, id, 20_000);
        // Passes the converted part, and takes nothing of it.
        retire(holder, id, 20_000);
        retire(holder, other, 12_000);
        supplyHolds(id);
        supplyHolds(other);
    }

    function test_a_claim_is_proven_and_happens_once() public {
        bytes32 conversionId = labelSplit();
        SumPath memory path = pathOf(entitled(), 0);
        bytes4 invalid = IProgrammeEvents.ConversionProofInvalid.selector;
        vm.expectRevert(abi.encodeWithSelector(invalid, conversionId, holder, 12_001));
        claim(conversionId, holder, 12_001, path);
        vm.expectRevert(abi.encodeWithSelector(invalid, conversionId, buyer, 12_000));
        claim(conversionId, buyer, 12_000, path);
        vm.expectRevert(abi.encodeWithSelector(invalid, HASH, holder, 12_000));
        claim(HASH, holder, 12_000, path);
        path.sums[0] += 1;
        vm.expectRevert(abi.encodeWithSelector(invalid, conversionId, holder, 12_000));
        claim(conversionId, holder, 12_000, path);
        path.sums[0] -= 1;
        path.rightBits = 4;
        vm.expectRevert(abi.encodeWithSelector(invalid, conversionId, holder, 12_000));
        claim(conversionId, holder, 12_000, path);
        path.rightBits = 0;
        // An inner node is no leaf.
        Node[] memory inner = new Node[](2);
        inner[0] = nodeOf(entitled()[0], entitled()[1]);
        inner[1] = entitled()[2];
        vm.expectRevert(abi.encodeWithSelector(invalid, conversionId, holder, 18_500));
        claim(conversionId, holder, 18_500, pathOf(inner, 0));
        claim(conversionId, holder, 12_000, path);
        vm.expectRevert(
            abi.encodeWithSelector(
                IProgrammeEvents.ConversionDone.selector, conversionId, holder
            )
        );
        claim(conversionId, holder, 12_000, path);
    }

    function test_a_root_of_another_sum_pays_nobody() public {
        Node[] memory leaves = entitled();
        leaves[0] = leafOf(id, holder, 13_000);
        bytes32 conversionId = convert(
            conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 20, 20, rootOf(leaves).hash)
        );
        vm.expectRevert(
            abi.encodeWithSelector(
                IProgrammeEvents.ConversionProofInvalid.selector, conversionId, holder, 13_000
            )
        );
        claim(conversionId, holder, 13_000, pathOf(leaves, 0));
    }

    function test_a_claim_takes_what_the_wallet_has_and_the_rest_later() public {
        bytes32 conversionId = labelSplit();
        transfer(holder, buyer, id, 95_000);
        claim(conversionId, holder, 12_000, pathOf(entitled(), 0));
        equal(events.claimed(conversionId, holder), 5_000, "what it had");
        equal(credits.balanceOf(holder, other), 5_000, "got");
        vm.expectRevert(
            abi.encodeWithSelector(
                IProgrammeEvents.ConversionNothingHeld.selector, conversionId, holder
            )
        );
        claim(conversionId, holder, 12_000, pathOf(entitled(), 0));
        transfer(buyer, holder, id, 50_000);
        claim(conversionId, holder, 12_000, pathOf(entitled(), 0));
        equal(credits.balanceOf(holder, other), 12_000, "no more than its part");
        equal(credits.balanceOf(holder, id), 43_000, "and no more is taken");
    }

    function test_a_conversion_takes_nothing_from_the_frozen_or_from_a_pool() public {
        address pool = address(0x2001);
        participants.addCausewayContract(pool);
        transfer(holder, pool, id, 20_000);
        Node[] memory leaves = new Node[](2);
        leaves[0] = leafOf(id, pool, 12_000);
        leaves[1] = leafOf(id, holder, 8_000);
        bytes32 conversionId = convert(
            conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 20, 20, rootOf(leaves).hash)
        );
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantIsCausewayContract.selector, pool)
        );
        claim(conversionId, pool, 12_000, pathOf(leaves, 0));
        setFrozen(holder, true, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantIsFrozen.selector, holder, NOW)
        );
        claim(conversionId, holder, 8_000, pathOf(leaves, 1));
        setFrozen(holder, false, 2);
        participants.admit(holder, 1, "HK", uint40(NOW - 1));
        claim(conversionId, holder, 8_000, pathOf(leaves, 1));
        equal(credits.balanceOf(holder, other), 8_000, "an expired holder is paid");
    }

    function test_L8_a_claim_works_while_its_classes_are_held() public {
        bytes32 conversionId = labelSplit();
        publish(id, IProgrammeEvents.Kind.Hold, 1);
        publish(other, IProgrammeEvents.Kind.Hold, 1);
        claim(conversionId, holder, 12_000, pathOf(entitled(), 0));
        equal(credits.balanceOf(holder, other), 12_000, "claimed");
        equal(flagsOf(id), 256 + 3, "still held and short");
    }

    function test_an_exchange_of_units_stands_on_new_serials() public {
        Conversion memory made =
            conversionOf(id, IProgrammeEvents.Kind.Conversion, 20, 20, rootOf(entitled()).hash);
        made.toClass = classOf("CAR", "1067");
        made.serials = new Interval[](2);
        uint256[] memory codes = new uint256[](3);
        (codes[0], codes[1], codes[2]) = (1067, 2020, 1);
        made.serials[0].series.programme = "CAR";
        made.serials[0].series.codes = codes;
        (made.serials[0].first, made.serials[0].last) = (1, 15);
        made.serials[1] = Interval(made.serials[0].series, 21, 25);
        bytes32 conversionId = convert(made);
        (, uint256 carClass,,,) = events.conversion(conversionId);
        equal(credits.positions(carClass).minted, 20, "minted");
        (bytes32 seriesId,, uint64 serial,) = records.serialAt(carClass, 15);
        equal(seriesId, trust.hashSeries(made.serials[0].series), "series");
        equal(serial, 21, "serial");
        claim(conversionId, holder, 12_000, pathOf(entitled(), 0));
        retire(holder, carClass, 12_000);
        // The same serials cannot be used for another conversion.
        made.firstPosition = 60;
        made.asOf = 20260201;
        bytes[] memory signatures = by(events.hashConversion(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.SerialsOverlap.selector, seriesId, 1, 15, 1, 15)
        );
        events.convert(made, noHints(2), 0, signatures);
    }

    function expectConvertRefused(Conversion memory made, bytes memory reason) private {
        bytes[] memory signatures = by(events.hashConversion(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        events.convert(made, noHints(made.serials.length), 0, signatures);
    }

    function test_a_conversion_is_of_live_positions_into_another_class() public {
        bytes32 root = rootOf(entitled()).hash;
        Conversion memory made =
            conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 20, 20, root);
        made.toClass = vcs();
        // Its own class is short at once, so that nothing can be minted into it.
        expectConvertRefused(
            made, abi.encodeWithSelector(ICarbonCredits.CreditsClassHalted.selector, id, 2)
        );
        made.toClass = relabelled();
        made.kind = uint8(IProgrammeEvents.Kind.Corsia);
        expectConvertRefused(
            made, abi.encodeWithSelector(IProgrammeEvents.ProgrammeEventKindInvalid.selector, 7)
        );
        made.kind = uint8(IProgrammeEvents.Kind.Exchange);
        expectConvertRefused(
            made,
            abi.encodeWithSelector(
                IProgrammeEvents.ConversionInvalid.selector, events.hashConversion(made)
            )
        );
        made.serials = one(900, 918);
        expectConvertRefused(
            made, abi.encodeWithSelector(ITrust.TrustConvertedTonnesDiffer.selector, 20, 19)
        );
        made.kind = uint8(IProgrammeEvents.Kind.LabelSplit);
        expectConvertRefused(
            made,
            abi.encodeWithSelector(
                IProgrammeEvents.ConversionInvalid.selector, events.hashConversion(made)
            )
        );
        made.serials = new Interval[](0);
        made.chainBlock = uint64(block.number + 1);
        expectConvertRefused(
            made,
            abi.encodeWithSelector(
                IProgrammeEvents.ConversionInvalid.selector, events.hashConversion(made)
            )
        );
        made.chainBlock = 0;
        invalidate(id, 39, 139, 139);
        expectConvertRefused(
            made,
            abi.encodeWithSelector(
                IGaps.GapOverlaps.selector, id, 39, 1, IGaps.GapKind.Invalidated
            )
        );
        retire(holder, id, 20_001);
        expectConvertRefused(
            made, abi.encodeWithSelector(IGaps.GapPositionsInvalid.selector, id, 20, 20)
        );
    }

    function test_what_was_converted_neither_dies_nor_is_substituted_in_its_old_class() public {
        labelSplit();
        bytes memory overlaps = abi.encodeWithSelector(
            IGaps.GapOverlaps.selector, id, 20, 20, IGaps.GapKind.Converting
        );
        expectInvalidationRefused(invalidationOf(id, 25, 125, 126), overlaps);
        expectSubstituteRefused(
            20, one(900, 919), abi.encodeWithSelector(IGaps.GapUnknown.selector, id, 20)
        );
        // In its new class its serials may die, as any.
        invalidate(other, 5, 125, 126);
        equal(flagsOf(other), 256 + 2, "short");
    }

    function test_nobody_sends_credits_where_nothing_comes_out_again() public {
        vm.expectRevert(
            abi.encodeWithSelector(IProgrammeEvents.EventsTakeNoTokens.selector, holder)
        );
        transfer(holder, address(events), id, 1);
        uint256[] memory ids = new uint256[](2);
        (ids[0], ids[1]) = (id, id);
        vm.expectRevert(
            abi.encodeWithSelector(IProgrammeEvents.EventsTakeNoTokens.selector, holder)
        );
        vm.prank(holder);
        credits.safeBatchTransferFrom(holder, address(events), ids, new uint256[](2), "");
    }
}
