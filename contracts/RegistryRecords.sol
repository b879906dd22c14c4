// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ICarbonCredits, Positions} from "./interfaces/ICarbonCredits.sol";
import {IGaps} from "./interfaces/IGaps.sol";
import {
    Exchange,
    IRegistryRecords,
    MadeGood,
    RegistryFailure,
    RegistryRetirement
} from "./interfaces/IRegistryRecords.sol";
import {Interval, ITrust} from "./interfaces/ITrust.sol";
import {Assignment} from "./libraries/Assignment.sol";
import {ClassLib} from "./libraries/ClassLib.sol";
import {IntervalLib} from "./libraries/IntervalLib.sol";
import {RecordHashes} from "./libraries/RecordHashes.sol";
import {SerialIntervals} from "./libraries/SerialIntervals.sol";
import {SeriesLib} from "./libraries/SeriesLib.sol";

/// @title See IRegistryRecords: every rule and every power is written there.
/// @dev It calls nothing but Trust and CarbonCredits, and neither calls anybody back from there.
contract RegistryRecords is IRegistryRecords, EIP712 {
    using Assignment for Assignment.Store;
    using IntervalLib for Interval[];
    using SerialIntervals for SerialIntervals.Register;
    using SerialIntervals for SerialIntervals.Place;

    uint256 private constant MAX_EXCHANGES = 64;
    uint256 private constant MAX_TEXT_BYTES = 256;

    ICarbonCredits public immutable CREDITS;
    ITrust public immutable TRUST;
    address public immutable DELIVERIES;
    address public immutable EVENTS;
    IGaps public immutable GAPS;

    /// @dev Per class; numbers are positions + 1, payload is the kind. The payload of the head is
    /// the `first` of the highest range, where `settle` begins its search.
    SerialIntervals.Register private _settled;
    /// @dev What exchanges and substitutes made of Trust's blocks.
    Assignment.Store private _assignment;
    mapping(bytes32 failureId => bool) private _failures;

    constructor(
        address credits,
        address trust,
        address deliveries,
        address events,
        address gaps
    ) EIP712("Causeway Registry Records", "1") {
        CREDITS = ICarbonCredits(credits);
        TRUST = ITrust(trust);
        DELIVERIES = deliveries;
        EVENTS = events;
        GAPS = IGaps(gaps);
    }

    /// @inheritdoc IRegistryRecords
    function recordRegistryRetirement(
        RegistryRetirement calldata retirement,
        Exchange[] calldata exchanges,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external returns (bytes32 confirmationId) {
        confirmationId = hashRegistryRetirement(retirement);
        address[] memory signers = TRUST.requireApprovals(confirmationId, signatures);
        uint256 classId = retirement.classId;
        _requireAnswer(
            bytes(retirement.registryReference).length,
            retirement.registryDate,
            retirement.actual,
            retirement.tonnes
        );
        (uint48 first, uint48 end) =
            _requireRetired(classId, retirement.firstPosition, retirement.tonnes);
        SerialIntervals.Place memory place =
            _requireUnsettled(classId, first, end - 1, positionHint);

        _exchange(classId, first, end, exchanges);
        _requireSerials(classId, first, retirement.actual);
        _link(classId, place, first, end, Settled.Confirmed);

        emit RegistryRetirementRecorded(
            confirmationId,
            classId,
            first,
            end - first,
            retirement.actual,
            retirement.registryReference,
            retirement.registryDate,
            retirement.evidenceHash,
            signers
        );
    }

    /// @inheritdoc IRegistryRecords
    function recordRegistryFailure(
        RegistryFailure calldata failure,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external returns (bytes32 failureId) {
        failureId = hashRegistryFailure(failure);
        address[] memory signers = TRUST.requireApprovals(failureId, signatures);
        if (_failures[failureId]) revert RegistryFailureRepeated(failureId);
        uint256 length = bytes(failure.reason).length;
        if (length == 0 || length > MAX_TEXT_BYTES) revert RegistryReasonInvalid(length);
        _requireDay(failure.registryDate);
        (uint48 first, uint48 end) =
            _requireRetired(failure.classId, failure.firstPosition, failure.tonnes);
        _requireUnsettled(failure.classId, first, end - 1, positionHint);

        _failures[failureId] = true;

        emit RegistryFailureRecorded(
            failureId,
            failure.classId,
            first,
            end - first,
            failure.reason,
            failure.registryDate,
            failure.evidenceHash,
            signers
        );
    }

    /// @inheritdoc IRegistryRecords
    function recordMadeGood(
        MadeGood calldata madeGood,
        uint64[] calldata serialHints,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external returns (bytes32 madeGoodId) {
        madeGoodId = hashMadeGood(madeGood);
        address[] memory signers = TRUST.requireApprovals(madeGoodId, signatures);
        uint256 classId = madeGood.classId;
        _requireAnswer(
            bytes(madeGood.registryReference).length,
            madeGood.registryDate,
            madeGood.substitutes,
            madeGood.tonnes
        );
        (uint48 first, uint48 end) =
            _requireRetired(classId, madeGood.firstPosition, madeGood.tonnes);
        SerialIntervals.Place memory place =
            _requireUnsettled(classId, first, end - 1, positionHint);

        _link(classId, place, first, end, Settled.MadeGood);

        emit MadeGoodRecorded(
            madeGoodId,
            classId,
            first,
            end - first,
            madeGood.substituteClass,
            madeGood.substitutes,
            madeGood.registryReference,
            madeGood.registryDate,
            madeGood.evidenceHash,
            signers
        );
        TRUST.register(madeGoodId, madeGood.substituteClass, madeGood.substitutes, serialHints);
    }

    /// @inheritdoc IRegistryRecords
    function settle(uint256 classId, uint48 firstPosition, uint48 tonnes, Settled kind) external {
        bool may = kind == Settled.Delivered
            ? msg.sender == DELIVERIES
            : kind == Settled.Void && msg.sender == address(GAPS);
        if (!may) revert RecordsOnlyModule(msg.sender);
        if (tonnes == 0) revert RegistryPositionsInvalid(classId, firstPosition, tonnes);
        uint64 hint = uint64(_settled.nodeAt(bytes32(classId), 0).payload);
        if (hint > firstPosition) hint = 0;
        uint48 end = firstPosition + tonnes;
        SerialIntervals.Place memory place =
            _requireUnsettled(classId, firstPosition, end - 1, hint);

        _link(classId, place, firstPosition, end, kind);

        emit PositionsSettled(classId, firstPosition, tonnes, kind);
    }

    /// @inheritdoc IRegistryRecords
    function rebind(
        uint256 classId,
        uint48 position,
        uint48 tonnes,
        uint32 seriesNumber,
        uint64 first
    ) external {
        if (msg.sender != EVENTS) revert RecordsOnlyModule(msg.sender);
        bytes32 seriesId = TRUST.seriesId(seriesNumber);

        _assignment.rebind(TRUST, classId, position, tonnes, seriesNumber, first);

        emit SerialsRebound(classId, position, tonnes, seriesId, first);
    }

    /// @inheritdoc IRegistryRecords
    function serialAt(uint256 classId, uint48 position)
        external
        view
        returns (bytes32 seriesId, uint32 seriesNumber, uint64 serial, uint48 run)
    {
        (uint48 start, Assignment.Piece memory piece) =
            _assignment.locate(TRUST, classId, position);
        uint48 before = position - start;
        return (
            TRUST.seriesId(piece.series),
            piece.series,
            piece.serial + before,
            piece.tonnes - before
        );
    }

    /// @inheritdoc IRegistryRecords
    function settledWithin(uint256 classId, uint48 first, uint48 last, uint64 positionHint)
        external
        view
        returns (Settled kind, uint48 settledFirst, uint48 settledLast)
    {
        if (last < first) revert RegistryPositionsInvalid(classId, first, 0);
        (, kind, settledFirst, settledLast) = _settledIn(classId, first, last, positionHint);
    }

    /// @inheritdoc IRegistryRecords
    function hashRegistryRetirement(RegistryRetirement calldata retirement)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(RecordHashes.hash(retirement));
    }

    /// @inheritdoc IRegistryRecords
    function hashRegistryFailure(RegistryFailure calldata failure) public view returns (bytes32) {
        return _hashTypedDataV4(RecordHashes.hash(failure));
    }

    /// @inheritdoc IRegistryRecords
    function hashMadeGood(MadeGood calldata madeGood) public view returns (bytes32) {
        return _hashTypedDataV4(RecordHashes.hash(madeGood));
    }

    /// @dev Applies the exchanges of one confirmation; see `Exchange` on why they need this order.
    function _exchange(uint256 classId, uint48 first, uint48 end, Exchange[] calldata exchanges)
        private
    {
        if (exchanges.length > MAX_EXCHANGES) revert ExchangeCount(exchanges.length);
        uint48 settled = first;
        bool gaps = exchanges.length != 0 && CREDITS.positions(classId).hasGaps;
        // Where the exchange before could have gone on. The last position has none above it, so
        // no exchange may name it as counterpart: it stands for "nowhere".
        uint48 onward = type(uint48).max;
        for (uint256 i = 0; i < exchanges.length; ++i) {
            Exchange calldata swap = exchanges[i];
            (uint48 position, uint48 other, uint48 tonnes) =
                (swap.position, swap.counterpart, swap.tonnes);
            bool inside = position >= settled && position < end && tonnes <= end - position;
            // The counterpart lies above this position or wholly below the confirmation.
            bool apart = other > position
                ? tonnes <= type(uint48).max - other
                : other < first && tonnes <= first - other;
            // Else anyone could submit a confirmation in crumbs that no later one can join.
            bool fragment = position == settled && other == onward;
            if (tonnes == 0 || !inside || !apart || fragment) {
                revert ExchangeInvalid(classId, position, other, tonnes);
            }
            // The whole confirmation is unsettled so far; what lies outside it may not be.
            if (other < first || other >= end || tonnes > end - other) {
                _requireUnsettled(classId, other, other + tonnes - 1, swap.hint);
            }
            if (gaps) _requireNoGap(classId, other, other + tonnes - 1);

            bool open = _assignment.exchange(TRUST, classId, swap);
            settled = position + tonnes;
            onward = open ? other + tonnes : type(uint48).max;
        }
    }

    /// @dev Links [first, end) in where nothing is settled, and notes the highest range.
    function _link(
        uint256 classId,
        SerialIntervals.Place memory place,
        uint48 first,
        uint48 end,
        Settled kind
    ) private {
        bytes32 key = bytes32(classId);
        uint64 low = uint64(first) + 1;
        bool highest = uint64(place.word >> 64) == 0;
        _settled.link(key, place, low, end, uint128(uint8(kind)));
        if (highest) _settled.setHeadPayload(key, low);
    }

    /// @dev Where [first, last] would be linked in; reverts when part of it is settled.
    function _requireUnsettled(uint256 classId, uint48 first, uint48 last, uint64 hint)
        private
        view
        returns (SerialIntervals.Place memory place)
    {
        Settled kind;
        uint48 otherFirst;
        uint48 otherLast;
        (place, kind, otherFirst, otherLast) = _settledIn(classId, first, last, hint);
        if (kind != Settled.None) {
            revert PositionsSettledAlready(classId, otherFirst, otherLast, kind);
        }
    }

    /// @dev Serials of a gap are dead or doubtful: no registry retires them for a position.
    function _requireNoGap(uint256 classId, uint48 first, uint48 last) private view {
        (uint48 gapFirst, uint48 gapTonnes, IGaps.GapKind kind) =
            GAPS.gapWithin(classId, first, last);
        if (gapTonnes != 0) revert IGaps.GapOverlaps(classId, gapFirst, gapTonnes, kind);
    }

    /// @dev The lowest settled range that shares a position with [first, last].
    function _settledIn(uint256 classId, uint48 first, uint48 last, uint64 hint)
        private
        view
        returns (
            SerialIntervals.Place memory place,
            Settled kind,
            uint48 settledFirst,
            uint48 settledLast
        )
    {
        bytes32 key = bytes32(classId);
        (uint64 low, uint64 high) = (uint64(first) + 1, uint64(last) + 1);
        place = _settled.find(key, low, hint);
        uint64 other = place.taken(low, high);
        if (other != 0) {
            SerialIntervals.Node memory node = _settled.nodeAt(key, other);
            return (
                place,
                Settled(uint8(node.payload)),
                uint48(other - 1),
                uint48(node.last - 1)
            );
        }
    }

    /// @dev The positions as [first, end): they have exited and none of them is still open.
    function _requireRetired(uint256 classId, uint64 first, uint64 tonnes)
        private
        view
        returns (uint48, uint48)
    {
        if (tonnes == 0) revert RegistryPositionsInvalid(classId, first, tonnes);
        Positions memory state = CREDITS.positions(classId);
        uint64 exited = state.exited;
        if (first > exited || tonnes > exited - first) {
            // Saturated for the message alone.
            uint256 end = uint256(first) + tonnes;
            uint64 shown = end > type(uint64).max ? type(uint64).max : uint64(end);
            revert RegistryRetirementNotRetired(classId, shown, state.exited);
        }
        uint64 open = state.openTonne;
        if (state.dust != 0 && open >= first && open - first < tonnes) {
            revert RegistryRetirementOpenTonne(classId, state.openTonne);
        }
        return (uint48(first), uint48(first + tonnes));
    }

    /// @dev The positions from `first` on must stand on exactly `actual`, in this order (L4).
    function _requireSerials(uint256 classId, uint48 first, Interval[] calldata actual)
        private
        view
    {
        uint48 position = first;
        for (uint256 i = 0; i < actual.length; ++i) {
            Interval calldata interval = actual[i];
            bytes32 seriesId = SeriesLib.id(interval.series);
            uint32 seriesNumber = TRUST.seriesNumber(seriesId);
            // 256 bits, because it ends one above `last`.
            uint256 serial = interval.first;
            uint48 left = uint48(interval.last - serial + 1);
            while (left != 0) {
                (uint48 start, Assignment.Piece memory piece) =
                    _assignment.locate(TRUST, classId, position);
                uint48 before = position - start;
                if (piece.series != seriesNumber || piece.serial + before != serial) {
                    revert RegistryRetirementSerialsDiffer(
                        classId,
                        position,
                        TRUST.seriesId(piece.series),
                        piece.serial + before,
                        seriesId,
                        uint64(serial)
                    );
                }
                uint48 run = piece.tonnes - before;
                if (run > left) run = left;
                position += run;
                serial += run;
                left -= run;
            }
        }
    }

    /// @dev What a registry's answer must have: a reference, a day, and as many serials as tonnes.
    function _requireAnswer(
        uint256 referenceLength,
        uint32 registryDate,
        Interval[] calldata serials,
        uint64 tonnes
    ) private pure {
        IntervalLib.requireCount(serials.length, serials.length);
        if (referenceLength == 0 || referenceLength > MAX_TEXT_BYTES) {
            revert RegistryReferenceInvalid(referenceLength);
        }
        _requireDay(registryDate);
        uint256 sum = serials.tonnes();
        if (sum != tonnes) revert RegistryRetirementTonnesDiffer(tonnes, sum);
    }

    function _requireDay(uint32 registryDate) private pure {
        if (!ClassLib.isDay(registryDate)) revert RegistryDateInvalid(registryDate);
    }
}
