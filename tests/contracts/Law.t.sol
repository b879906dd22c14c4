// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILegalOrders} from "../../contracts/interfaces/ILegalOrders.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev Freeze, forced transfer and key recovery: by M of N, on record, and nothing more.
contract LawTest is Deployment {
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
    }

    function orderOf(ILegalOrders.Kind kind, uint256 amount)
        private
        view
        returns (ILegalOrders.Order memory order)
    {
        uint256[] memory ids = new uint256[](1);
        ids[0] = id;
        uint256[] memory amounts = new uint256[](kind == ILegalOrders.Kind.Transfer ? 1 : 0);
        if (amounts.length == 1) amounts[0] = amount;
        order = ILegalOrders.Order(kind, holder, buyer, ids, amounts, HASH, 1);
    }

    function scheduled(ILegalOrders.Order memory order) private returns (bytes32) {
        return legal.schedule(order, by(legal.hashOrder(order), ENFORCER));
    }

    function test_a_forced_transfer_waits_and_moves_out_of_a_frozen_account_once() public {
        setFrozen(holder, true, 1);
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Transfer, 40_000);
        bytes32 orderId = scheduled(order);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILegalOrders.LegalOrderEarly.selector, orderId, NOW + DELAY, NOW
            )
        );
        legal.execute(order);
        vm.warp(NOW + DELAY);
        legal.execute(order);
        equal(credits.balanceOf(buyer, id), 40_000, "moved");
        equal(credits.balanceOf(holder, id), 60_000, "left");
        equal(credits.retiredBalanceOf(holder, id), 0, "nothing was retired");

        vm.expectRevert(
            abi.encodeWithSelector(
                ILegalOrders.LegalOrderState.selector, orderId, ILegalOrders.State.Executed
            )
        );
        legal.execute(order);
        bytes[] memory signatures = by(orderId, ENFORCER);
        vm.expectRevert(
            abi.encodeWithSelector(ILegalOrders.LegalOrderUsed.selector, orderId)
        );
        legal.schedule(order, signatures);
    }

    function test_a_recovery_moves_whole_balances_as_they_are_when_executed() public {
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Recovery, 0);
        scheduled(order);
        transfer(holder, third, id, 1);
        vm.warp(NOW + DELAY);
        legal.execute(order);
        equal(credits.balanceOf(buyer, id), 99_999, "recovered");
        equal(credits.balanceOf(holder, id), 0, "nothing left");
    }

    function test_a_cancelled_order_is_never_executed() public {
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Transfer, 1);
        bytes32 orderId = scheduled(order);
        legal.cancel(orderId, by(legal.hashCancel(orderId), ENFORCER));
        vm.warp(NOW + DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILegalOrders.LegalOrderState.selector, orderId, ILegalOrders.State.Cancelled
            )
        );
        legal.execute(order);
    }

    function test_the_recipient_of_an_order_must_be_admitted() public {
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Transfer, 1);
        order.to = unknown;
        scheduled(order);
        vm.warp(NOW + DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantNotAdmitted.selector, unknown)
        );
        legal.execute(order);
    }

    function test_L7_no_order_takes_out_of_a_contract_of_causeway() public {
        address venue = address(0x2001);
        participants.admit(venue, 3, "HK", FAR);
        transfer(holder, venue, id, 50_000);
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Transfer, 1);
        ILegalOrders.Order memory recovery = orderOf(ILegalOrders.Kind.Recovery, 0);
        order.from = recovery.from = venue;
        scheduled(order);
        scheduled(recovery);
        // Also when it becomes one only after the order was scheduled.
        participants.addCausewayContract(venue);
        vm.warp(NOW + DELAY);
        bytes memory reason =
            abi.encodeWithSelector(IParticipants.ParticipantIsCausewayContract.selector, venue);
        vm.expectRevert(reason);
        legal.execute(order);
        vm.expectRevert(reason);
        legal.execute(recovery);
        equal(credits.balanceOf(venue, id), 50_000, "what its accounts own");
    }

    function test_L5_roles_do_not_mix_and_thresholds_count() public {
        address freezer = vm.addr(FREEZER);
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Transfer, 1);
        bytes[] memory signatures = by(legal.hashOrder(order), FREEZER);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILegalOrders.LegalSignerWrongRole.selector, freezer, ILegalOrders.Role.Freezer
            )
        );
        legal.schedule(order, signatures);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILegalOrders.LegalSignerHasRole.selector, freezer, ILegalOrders.Role.Freezer
            )
        );
        legal.setSigner(freezer, ILegalOrders.Role.Enforcer);
        vm.expectRevert(
            abi.encodeWithSelector(ILegalOrders.LegalApprovalsMissing.selector, 0, 1)
        );
        legal.setFrozen(holder, true, HASH, 1, new bytes[](0));
        legal.setThresholds(2, 1);
        signatures = by(legal.hashFreeze(holder, true, HASH, 1), FREEZER);
        vm.expectRevert(
            abi.encodeWithSelector(ILegalOrders.LegalApprovalsMissing.selector, 1, 2)
        );
        legal.setFrozen(holder, true, HASH, 1, signatures);
        bytes[] memory twice = new bytes[](2);
        (twice[0], twice[1]) = (signatures[0], signatures[0]);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILegalOrders.LegalSignaturesNotAscending.selector, freezer, freezer
            )
        );
        legal.setFrozen(holder, true, HASH, 1, twice);
        vm.expectRevert(
            abi.encodeWithSelector(ILegalOrders.LegalThresholdInvalid.selector, 0, 1)
        );
        legal.setThresholds(0, 1);
    }

    function test_L10_an_act_happens_once() public {
        setFrozen(holder, true, 1);
        bytes32 act = legal.hashFreeze(holder, true, HASH, 1);
        setFrozen(holder, false, 2);
        bytes[] memory signatures = by(act, FREEZER);
        vm.expectRevert(abi.encodeWithSelector(ILegalOrders.LegalOrderUsed.selector, act));
        legal.setFrozen(holder, true, HASH, 1, signatures);
        signatures = by(legal.hashFreeze(holder, false, HASH, 3), FREEZER);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantNotFrozen.selector, holder)
        );
        legal.setFrozen(holder, false, HASH, 3, signatures);
    }

    function test_an_order_names_ids_and_as_many_amounts_or_none() public {
        ILegalOrders.Order memory order = orderOf(ILegalOrders.Kind.Transfer, 1);
        order.amounts = new uint256[](2);
        vm.expectRevert(
            abi.encodeWithSelector(ILegalOrders.LegalOrderMalformed.selector, 1, 2)
        );
        legal.schedule(order, new bytes[](0));
        order = orderOf(ILegalOrders.Kind.Recovery, 0);
        order.amounts = new uint256[](1);
        vm.expectRevert(
            abi.encodeWithSelector(ILegalOrders.LegalOrderMalformed.selector, 1, 1)
        );
        legal.schedule(order, new bytes[](0));
    }
}
