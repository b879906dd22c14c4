// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Finalisation, IDeliveries, Rejection} from "../../contracts/interfaces/IDeliveries.sol";
import {Conversion, IProgrammeEvents} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev docs/stolen-keys.md, the bridge: what custody keys can do to credits that are not theirs.
contract StolenBridgeKeysTest is Bridge {
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
    }

    function refusedBy(address target, bytes memory call) private {
        (bool done,) = target.call(call);
        check(!done, "done with the keys of one role");
    }

    function test_stolen_custodian_keys_alone_delay_a_delivery_and_end_nothing() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        Finalisation memory made = finalisationOf(deliveryId);
        bytes[] memory keys = by(deliveries.hashFinalisation(made), CUSTODIAN, CUSTODIAN_2);
        refusedBy(address(deliveries), abi.encodeCall(IDeliveries.finalise, (made, 0, keys)));
        Rejection memory refused = Rejection(deliveryId, "No", HASH);
        keys = by(deliveries.hashRejection(refused), CUSTODIAN, CUSTODIAN_2);
        refusedBy(address(deliveries), abi.encodeCall(IDeliveries.reject, (refused, keys)));
        Conversion memory worse =
            conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 50, 10, HASH);
        keys = by(events.hashConversion(worse), CUSTODIAN, CUSTODIAN_2);
        refusedBy(
            address(events),
            abi.encodeCall(IProgrammeEvents.convert, (worse, noHints(0), 0, keys))
        );
        // The longest it can take: the holder has the tokens again, whatever the thief does.
        dispatch(deliveryId, NOW + TRANSFER);
        vm.warp(NOW + TRANSFER + GRACE);
        refund(holder, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "all of it");
    }

    function test_stolen_custody_keys_end_what_was_asked_for_and_nothing_else() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        finalise(deliveryId, 0);
        // Their bound: the tonnes that holders have asked to be delivered.
        equal(credits.balanceOf(holder, id), 90_000, "the delivery is lost");
        uint64 other = request(holder, id, 10);
        vm.warp(NOW + REQUEST);
        refund(holder, other);
        refusedBy(address(this), abi.encodeCall(this.finaliseOutside, (other)));
        equal(credits.balanceOf(holder, id), 90_000, "what was refunded is safe");
        equal(credits.balanceOf(buyer, id), 50_000, "who asked for nothing is safe");
    }

    function test_stolen_custody_keys_halt_a_class_and_take_nothing_of_it() public {
        publish(id, IProgrammeEvents.Kind.Hold, 1);
        invalidate(id, 0, 100, 199);
        invalidate(id, 100, 500, 549);
        transfer(holder, third, id, 100_000);
        equal(credits.balanceOf(third, id), 100_000, "holders move what they have");
        // Other signers end the hold; what is dead stays on record as a shortfall.
        publish(id, IProgrammeEvents.Kind.Release, 2);
        (,, uint48 uncovered) = gaps.shortfall(id);
        equal(uncovered, 150, "shortfall");
        equal(credits.totalSupply(id), 150_000, "nothing is gone");
    }

    function test_stolen_custody_keys_convert_kilogram_for_kilogram_and_never_a_pool() public {
        address pool = address(0x2001);
        participants.addCausewayContract(pool);
        transfer(buyer, pool, id, 50_000);
        Node[] memory leaves = new Node[](2);
        leaves[0] = leafOf(id, pool, 10_000);
        leaves[1] = leafOf(id, holder, 40_000);
        bytes32 conversionId = convert(
            conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 0, 50, rootOf(leaves).hash)
        );
        (, uint256 worse,,,) = events.conversion(conversionId);
        claim(conversionId, holder, 40_000, pathOf(leaves, 1));
        equal(credits.balanceOf(holder, id) + credits.balanceOf(holder, worse), 100_000, "all");
        refusedBy(
            address(this),
            abi.encodeCall(this.claimOutside, (conversionId, pool, 10_000, 0))
        );
        equal(credits.balanceOf(pool, id), 50_000, "the pool's accounts");
    }

    function claimOutside(bytes32 conversionId, address who, uint64 kilograms, uint256 index)
        external
    {
        Node[] memory leaves = new Node[](2);
        leaves[0] = leafOf(id, who, kilograms);
        leaves[1] = leafOf(id, holder, 40_000);
        claim(conversionId, who, kilograms, pathOf(leaves, index));
    }
}
