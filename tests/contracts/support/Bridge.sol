// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass, Positions} from "../../../contracts/interfaces/ICarbonCredits.sol";
import {Finalisation, IDeliveries, Rejection} from "../../../contracts/interfaces/IDeliveries.sol";
import {
    Conversion,
    Invalidation,
    IProgrammeEvents,
    ProgrammeEvent,
    Substitution
} from "../../../contracts/interfaces/IProgrammeEvents.sol";
import {Interval} from "../../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./Deployment.sol";
import {SumPath} from "./Reserves.sol";

/// @dev What holders, custodians and programmes do to credits besides mint, transfer and retire.
abstract contract Bridge is Deployment {
    uint32 internal constant DAY = 20260131;

    // -------------------------------------------------------------- deliveries

    function request(address from, uint256 id, uint256 tonnes) internal returns (uint64) {
        vm.prank(from);
        return deliveries.request(from, id, tonnes, "Account 4711");
    }

    function begin(uint64 deliveryId) internal {
        vm.prank(vm.addr(CUSTODIAN));
        deliveries.begin(deliveryId);
    }

    function dispatch(uint64 deliveryId, uint256 expiresAt) internal {
        vm.prank(vm.addr(CUSTODIAN));
        deliveries.dispatch(deliveryId, "TRANSFER-1", uint40(expiresAt));
    }

    function finalisationOf(uint64 deliveryId) internal pure returns (Finalisation memory) {
        return Finalisation(deliveryId, "TRANSFER-1", DAY, HASH);
    }

    function finalise(uint64 deliveryId, uint64 hint) internal {
        Finalisation memory made = finalisationOf(deliveryId);
        bytes[] memory signatures = by(deliveries.hashFinalisation(made), CUSTODIAN, ATTESTOR);
        deliveries.finalise(made, hint, signatures);
    }

    function reject(uint64 deliveryId) internal {
        Rejection memory made = Rejection(deliveryId, "The recipient did not accept", HASH);
        bytes[] memory signatures = by(deliveries.hashRejection(made), CUSTODIAN, ATTESTOR);
        deliveries.reject(made, signatures);
    }

    function refund(address from, uint64 deliveryId) internal {
        vm.prank(from);
        deliveries.refund(deliveryId);
    }

    /// @dev A call of its own, so that a revert can be expected of what follows signing.
    function finaliseOutside(uint64 deliveryId) external {
        finalise(deliveryId, 0);
    }

    function rejectOutside(uint64 deliveryId) external {
        reject(deliveryId);
    }

    function recordBreak(uint64 deliveryId) public {
        Finalisation memory made = finalisationOf(deliveryId);
        bytes[] memory signatures = by(deliveries.hashFinalisation(made), CUSTODIAN, ATTESTOR);
        deliveries.recordBreak(made, signatures);
    }

    function expectState(uint64 deliveryId, IDeliveries.State state) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryStateIs.selector, deliveryId, state)
        );
    }

    function expectEarly(uint64 deliveryId, uint256 earliest, uint256 time) internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryRefundTooEarly.selector, deliveryId, earliest, time
            )
        );
    }

    /// @dev A report of now that lists these serials of the class as live, and the proof of it.
    function listing(uint256 id, uint64 first, uint64 last) internal returns (bytes memory) {
        ClassReserve[] memory classes = new ClassReserve[](1);
        classes[0].classId = id;
        classes[0].covered = credits.positions(id).minted;
        classes[0].blocks = new Listed[](1);
        classes[0].blocks[0] = Listed(trust.hashSeries(vcsSeries()), first, last, HASH);
        report(classes);
        return packedLive(proofOf(classes, 0, new uint256[](1)));
    }

    // -------------------------------------------------------------- programme events

    function publish(uint256 id, IProgrammeEvents.Kind kind, uint64 nonce) internal {
        ProgrammeEvent memory made =
            ProgrammeEvent(uint8(kind), id, "", "The programme said so", DAY, HASH, nonce);
        events.publish(made, by(events.hashProgrammeEvent(made), CUSTODIAN, ATTESTOR));
    }

    function invalidationOf(uint256 id, uint64 position, uint64 first, uint64 last)
        internal
        pure
        returns (Invalidation memory)
    {
        Interval memory serials = Interval(vcsSeries(), first, last);
        return Invalidation(id, position, last - first + 1, serials, "Over-issued", DAY, HASH);
    }

    function invalidate(uint256 id, uint64 position, uint64 first, uint64 last) internal {
        Invalidation memory made = invalidationOf(id, position, first, last);
        events.invalidate(made, 0, by(events.hashInvalidation(made), CUSTODIAN, ATTESTOR));
    }

    function expectInvalidationRefused(Invalidation memory made, bytes memory reason) internal {
        bytes[] memory signatures = by(events.hashInvalidation(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        events.invalidate(made, 0, signatures);
    }

    function substitute(uint256 id, uint64 position, Interval[] memory serials) internal {
        Substitution memory made =
            Substitution(id, position, serials, "Equal credits of the project", DAY, HASH);
        bytes[] memory signatures = by(events.hashSubstitution(made), CUSTODIAN, ATTESTOR);
        events.substitute(made, noHints(serials.length), signatures);
    }

    function relabelled() internal pure returns (CreditClass memory made) {
        made = vcs();
        made.cohort = new bytes32[](0);
    }

    function conversionOf(
        uint256 id,
        IProgrammeEvents.Kind kind,
        uint64 position,
        uint64 tonnes,
        bytes32 root
    ) internal pure returns (Conversion memory made) {
        made.kind = uint8(kind);
        made.fromClass = id;
        made.toClass = relabelled();
        made.firstPosition = position;
        made.tonnes = tonnes;
        made.root = root;
        made.reason = "The label reached a part";
        made.asOf = DAY;
        made.evidenceHash = HASH;
    }

    function convert(Conversion memory made) internal returns (bytes32) {
        bytes[] memory signatures = by(events.hashConversion(made), CUSTODIAN, ATTESTOR);
        return events.convert(made, noHints(made.serials.length), 0, signatures);
    }

    function claim(bytes32 conversionId, address who, uint64 kilograms, SumPath memory path)
        internal
    {
        events.claimConversion(
            conversionId, who, kilograms, path.rightBits, path.siblings, path.sums
        );
    }

    // -------------------------------------------------------------- checks

    function flagsOf(uint256 id) internal view returns (uint256) {
        Positions memory state = credits.positions(id);
        return state.flags | (state.hasGaps ? 256 : 0);
    }

    function supplyHolds(uint256 id) internal view {
        Positions memory state = credits.positions(id);
        uint256 supply = uint256(state.minted - state.exited) * 1000 + state.dust;
        equal(credits.totalSupply(id), supply, "L1");
    }

    function stands(uint256 id, uint48 position, uint64 serial) internal view {
        (,, uint64 found,) = records.serialAt(id, position);
        equal(found, serial, "serial");
    }

    function stateOf(uint64 deliveryId) internal view returns (IDeliveries.State) {
        return deliveries.delivery(deliveryId).state;
    }

    function isIn(uint64 deliveryId, IDeliveries.State state) internal view {
        equal(uint256(stateOf(deliveryId)), uint256(state), "state of the delivery");
    }
}
