// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICarbonCredits, Positions} from "./interfaces/ICarbonCredits.sol";
import {DeadPart, IGaps} from "./interfaces/IGaps.sol";
import {IRegistryRecords} from "./interfaces/IRegistryRecords.sol";
import {ITrust} from "./interfaces/ITrust.sol";
import {GapList} from "./libraries/GapList.sol";
import {PositionsLib} from "./libraries/PositionsLib.sol";

/// @title See IGaps: every rule is written there.
/// @dev It calls Trust, RegistryRecords and CarbonCredits alone, and none of them calls back.
contract Gaps is IGaps {
    using GapList for GapList.List;

    /// @dev Parts of one delivery that died; a refund opens a gap for each.
    uint256 private constant MAX_DEAD_PARTS = 16;

    /// @dev What a class lacks, one slot. `flags` and `hasGaps` are what CarbonCredits was told.
    struct Totals {
        uint48 gapTonnes;
        uint64 lockedKilograms;
        uint8 flags;
        bool hasGaps;
    }

    ICarbonCredits public immutable CREDITS;
    ITrust public immutable TRUST;
    IRegistryRecords public immutable RECORDS;
    address public immutable DELIVERIES;
    address public immutable EVENTS;

    mapping(uint256 classId => Totals) private _totals;
    mapping(uint256 classId => GapList.List) private _gaps;
    /// @dev By the first position of a delivery, ascending.
    mapping(uint256 classId => mapping(uint48 delivered => DeadPart[])) private _dead;
    mapping(uint256 classId => mapping(uint48 delivered => bool)) private _ended;

    modifier onlyCredits() {
        if (msg.sender != address(CREDITS)) revert GapsOnlyCredits(msg.sender);
        _;
    }

    modifier onlyDeliveries() {
        if (msg.sender != DELIVERIES) revert GapsOnlyDeliveries(msg.sender);
        _;
    }

    modifier onlyEvents() {
        if (msg.sender != EVENTS) revert GapsOnlyEvents(msg.sender);
        _;
    }

    constructor(
        address credits,
        address trust,
        address records,
        address deliveries,
        address events
    ) {
        CREDITS = ICarbonCredits(credits);
        TRUST = ITrust(trust);
        RECORDS = IRegistryRecords(records);
        DELIVERIES = deliveries;
        EVENTS = events;
    }

    /// @inheritdoc IGaps
    function beforeConsumption(uint256 classId, uint48 exited, uint48 minted, uint256 tonnes)
        external
        onlyCredits
        returns (uint48 passed)
    {
        // Dust alone takes no position.
        if (tonnes == 0) return 0;
        _requireBeforeGap(classId, exited, minted, tonnes);
        return _pass(classId, exited, minted, type(uint256).max);
    }

    /// @inheritdoc IGaps
    function passGaps(uint256 classId, uint48 exited, uint48 minted, uint256 most)
        external
        onlyCredits
        returns (uint48 passed)
    {
        if (_totals[classId].gapTonnes == minted - exited) return 0;
        return _pass(classId, exited, minted, most);
    }

    /// @inheritdoc IGaps
    function beforeRefund(
        uint256 classId,
        uint48 firstPosition,
        uint48 tonnes,
        uint48 newPosition,
        bool disputed
    ) external onlyDeliveries {
        _ended[classId][firstPosition] = true;
        DeadPart[] storage parts = _dead[classId][firstPosition];
        uint256 count = parts.length;
        // Offsets from the delivery's first position, which are those of the refund too.
        uint48 done;
        for (uint256 i = 0; i < count; ++i) {
            DeadPart memory part = parts[i];
            uint48 offset = part.first - firstPosition;
            if (disputed) _append(classId, newPosition + done, offset - done, GapKind.Disputed);
            _append(classId, newPosition + offset, part.tonnes, GapKind.Invalidated);
            done = offset + part.tonnes;
        }
        if (disputed) _append(classId, newPosition + done, tonnes - done, GapKind.Disputed);
    }

    /// @inheritdoc IGaps
    function beforeRelease(uint256 classId, uint48 firstPosition)
        external
        onlyDeliveries
        returns (DeadPart[] memory)
    {
        _ended[classId][firstPosition] = true;
        return _dead[classId][firstPosition];
    }

    /// @inheritdoc IGaps
    function closeDispute(uint256 classId, uint48 firstPosition, uint48 tonnes)
        external
        onlyDeliveries
    {
        GapList.List storage gaps = _gaps[classId];
        bool any;
        uint48 end = firstPosition + tonnes;
        for (uint48 name = firstPosition; name < end;) {
            (uint64 key, uint48 tile) = gaps.named(name);
            if (tile == 0) revert GapUnknown(classId, name);
            if (GapList.kind(gaps.wordAt(key)) == GapKind.Disputed) {
                any = true;
                _close(classId, key);
            }
            name += tile;
        }
        if (!any) revert GapUnknown(classId, firstPosition);
    }

    /// @inheritdoc IGaps
    function invalidate(
        bytes32 eventId,
        uint256 classId,
        uint48 firstPosition,
        uint48 tonnes,
        uint64 gapHint
    ) external onlyEvents {
        if (!_requireRun(classId, firstPosition, tonnes)) {
            _killDelivered(eventId, classId, firstPosition, tonnes, gapHint);
        } else if (!_killDisputed(classId, firstPosition, tonnes, gapHint)) {
            _open(classId, firstPosition, tonnes, gapHint, GapKind.Invalidated);
        }
    }

    /// @inheritdoc IGaps
    function openConversion(
        uint256 classId,
        uint48 firstPosition,
        uint48 tonnes,
        uint64 gapHint
    ) external onlyEvents {
        if (!_requireRun(classId, firstPosition, tonnes)) {
            revert GapPositionsInvalid(classId, firstPosition, tonnes);
        }
        _open(classId, firstPosition, tonnes, gapHint, GapKind.Converting);
    }

    /// @inheritdoc IGaps
    function closeForSubstitute(uint256 classId, uint64 named)
        external
        onlyEvents
        returns (uint48 firstPosition, uint48 tonnes)
    {
        GapList.List storage gaps = _gaps[classId];
        uint64 key = named > PositionsLib.MAX_TONNES ? 0 : gaps.resolve(uint48(named));
        uint256 word = gaps.wordAt(key);
        GapKind kind = GapList.kind(word);
        if (kind != GapKind.Invalidated && kind != GapKind.Disputed) {
            revert GapUnknown(classId, named);
        }
        _close(classId, key);
        return (uint48(key - 1), GapList.tonnes(word));
    }

    /// @inheritdoc IGaps
    function lock(uint256 classId, uint64 kilograms) external onlyEvents {
        Totals memory totals = _totals[classId];
        totals.lockedKilograms += kilograms;
        _tell(classId, totals, totals.flags);
    }

    /// @inheritdoc IGaps
    function setHeld(uint256 classId, bool held) external onlyEvents {
        _tell(classId, _totals[classId], held ? PositionsLib.HELD : 0);
    }

    /// @inheritdoc IGaps
    function gapNow(uint256 classId, uint48 firstPosition) external view returns (uint48) {
        uint64 key = _gaps[classId].resolve(firstPosition);
        if (key == 0) revert GapUnknown(classId, firstPosition);
        return uint48(key - 1);
    }

    /// @inheritdoc IGaps
    function gapWithin(uint256 classId, uint48 first, uint48 last)
        external
        view
        returns (uint48 gapFirst, uint48 gapTonnes, GapKind kind)
    {
        GapList.List storage gaps = _gaps[classId];
        uint64 key = gaps.lowest();
        uint256 word = gaps.wordAt(key);
        // Ends at the first gap that ends above `first`.
        while (key != 0 && key - 1 + GapList.tonnes(word) <= first) {
            key = GapList.next(word);
            word = gaps.wordAt(key);
        }
        if (key != 0 && key - 1 <= last) return _shown(key, word);
    }

    /// @inheritdoc IGaps
    function nextGap(uint256 classId, uint48 position)
        external
        view
        returns (uint48 firstPosition, uint48 tonnes, GapKind kind)
    {
        GapList.List storage gaps = _gaps[classId];
        uint64 key = gaps.lowest();
        while (key != 0 && key - 1 < position) {
            key = GapList.next(gaps.wordAt(key));
        }
        if (key != 0) return _shown(key, gaps.wordAt(key));
    }

    /// @inheritdoc IGaps
    function shortfall(uint256 classId)
        external
        view
        returns (uint48 gapTonnes, uint64 lockedKilograms, uint48 uncovered)
    {
        Totals memory totals = _totals[classId];
        return (totals.gapTonnes, totals.lockedKilograms, _uncovered(totals));
    }

    /// @dev Part of a dispute dies: it stays a gap and is no longer cleared by a report.
    function _killDisputed(uint256 classId, uint48 first, uint48 tonnes, uint64 gapHint)
        private
        returns (bool)
    {
        GapList.List storage gaps = _gaps[classId];
        uint64 key = gaps.find(classId, first, gapHint);
        uint256 word = gaps.wordAt(key);
        if (GapList.kind(word) != GapKind.Disputed) return false;
        uint48 offset = first - uint48(key - 1);
        uint48 length = GapList.tonnes(word);
        // An overlap that is not inside the dispute is refused by `open`.
        if (offset >= length || tonnes > length - offset) return false;

        gaps.cut(key, offset, tonnes, GapKind.Invalidated);

        emit GapClosed(classId, first, tonnes, GapKind.Disputed);
        emit GapOpened(classId, first, tonnes, GapKind.Invalidated);
        return true;
    }

    /// @dev Keeps the parts of a delivery in order, so that its refund opens their gaps in order.
    function _killDelivered(
        bytes32 eventId,
        uint256 classId,
        uint48 first,
        uint48 tonnes,
        uint64 settledHint
    ) private {
        uint48 last = first + tonnes - 1;
        (IRegistryRecords.Settled kind, uint48 delivered, uint48 deliveredLast) =
            RECORDS.settledWithin(classId, first, last, settledHint);
        if (kind != IRegistryRecords.Settled.Delivered || first < delivered || last > deliveredLast)
        {
            revert GapPositionsInvalid(classId, first, tonnes);
        }
        if (_ended[classId][delivered]) revert DeliveryEnded(classId, delivered);
        DeadPart[] storage parts = _dead[classId][delivered];
        uint256 index = parts.length;
        if (index == MAX_DEAD_PARTS) revert GapPositionsInvalid(classId, first, tonnes);
        parts.push(DeadPart(first, tonnes));
        for (; index != 0 && parts[index - 1].first > first; --index) {
            parts[index] = parts[index - 1];
        }
        parts[index] = DeadPart(first, tonnes);
        if (index != 0) _requireApart(classId, parts[index - 1], first);
        if (index + 1 < parts.length) {
            _requireApart(classId, DeadPart(first, tonnes), parts[index + 1].first);
        }

        emit DeliveryInvalidated(eventId, classId, first, tonnes);
    }

    /// @dev Passes the gaps at the cursor, of which there are fewer tonnes than live ones: the loop
    /// ends before it comes to what it has put at the back.
    function _pass(uint256 classId, uint48 exited, uint48 minted, uint256 most)
        private
        returns (uint48 passed)
    {
        GapList.List storage gaps = _gaps[classId];
        for (; most != 0; --most) {
            uint48 cursor = exited + passed;
            uint48 back = minted + passed;
            uint64 key = uint64(cursor) + 1;
            uint256 word = gaps.wordAt(key);
            if (word == 0) break;
            uint48 run = GapList.tonnes(word);
            (, uint32 seriesNumber, uint64 serial,) = RECORDS.serialAt(classId, cursor);

            gaps.move(key, word, back);
            passed += run;

            emit GapPassed(classId, cursor, run, back);
            RECORDS.settle(classId, cursor, run, IRegistryRecords.Settled.Void);
            TRUST.append(bytes32(uint256(cursor)), classId, seriesNumber, serial, back, run);
        }
    }

    function _open(uint256 classId, uint48 first, uint48 tonnes, uint64 gapHint, GapKind kind)
        private
    {
        GapList.List storage gaps = _gaps[classId];
        uint64 before = gaps.find(classId, first, gapHint);
        gaps.open(classId, before, first, tonnes, kind);
        _grow(classId, first, tonnes, kind);
    }

    /// @dev A gap of what a refund is about to append.
    function _append(uint256 classId, uint48 first, uint48 tonnes, GapKind kind) private {
        if (tonnes == 0) return;
        _gaps[classId].append(first, tonnes, kind);
        _grow(classId, first, tonnes, kind);
    }

    function _grow(uint256 classId, uint48 first, uint48 tonnes, GapKind kind) private {
        Totals memory totals = _totals[classId];
        totals.gapTonnes += tonnes;

        emit GapOpened(classId, first, tonnes, kind);
        _tell(classId, totals, totals.flags);
    }

    function _close(uint256 classId, uint64 key) private {
        GapList.List storage gaps = _gaps[classId];
        uint256 word = gaps.wordAt(key);
        uint48 tonnes = GapList.tonnes(word);
        gaps.close(key, word);
        Totals memory totals = _totals[classId];
        totals.gapTonnes -= tonnes;

        emit GapClosed(classId, uint48(key - 1), tonnes, GapList.kind(word));
        _tell(classId, totals, totals.flags);
    }

    /// @dev Stores the totals and tells CarbonCredits what changed for it.
    function _tell(uint256 classId, Totals memory totals, uint8 held) private {
        uint8 flags = held & PositionsLib.HELD;
        if (_uncovered(totals) != 0) flags |= PositionsLib.SHORT;
        bool hasGaps = totals.gapTonnes != 0;
        bool same = flags == totals.flags && hasGaps == totals.hasGaps;
        (totals.flags, totals.hasGaps) = (flags, hasGaps);
        _totals[classId] = totals;
        if (!same) CREDITS.setFlags(classId, flags, hasGaps);
    }

    /// @dev Whether all of the run is live; else all of it has exited.
    function _requireRun(uint256 classId, uint48 first, uint48 tonnes)
        private
        view
        returns (bool live)
    {
        Positions memory state = CREDITS.positions(classId);
        bool exists = tonnes != 0 && first <= state.minted && tonnes <= state.minted - first;
        live = first >= state.exited;
        if (!exists || (!live && tonnes > state.exited - first)) {
            revert GapPositionsInvalid(classId, first, tonnes);
        }
    }

    /// @dev The gap that stops a consumption is the next one behind those at the cursor; when they
    /// are all there are, it is the first of them, which would stand at the back.
    function _requireBeforeGap(uint256 classId, uint48 exited, uint48 minted, uint256 tonnes)
        private
        view
    {
        GapList.List storage gaps = _gaps[classId];
        uint64 key = gaps.lowest();
        uint256 word = gaps.wordAt(key);
        (uint48 next, uint48 nextTonnes) = (minted, GapList.tonnes(word));
        uint48 cursor = exited;
        while (key != 0 && key - 1 == cursor) {
            cursor += GapList.tonnes(word);
            key = GapList.next(word);
            word = gaps.wordAt(key);
        }
        if (key != 0) (next, nextTonnes) = (uint48(key - 1), GapList.tonnes(word));
        if (tonnes > next - cursor) {
            revert GapReached(classId, tonnes, next - cursor, next, nextTonnes);
        }
    }

    function _shown(uint64 key, uint256 word) private pure returns (uint48, uint48, GapKind) {
        return (uint48(key - 1), GapList.tonnes(word), GapList.kind(word));
    }

    function _requireApart(uint256 classId, DeadPart memory part, uint48 next) private pure {
        if (next - part.first < part.tonnes) {
            revert GapOverlaps(classId, part.first, part.tonnes, GapKind.Invalidated);
        }
    }

    /// @dev Locked tokens are whole claims of converted tonnes: never more than the gaps.
    function _uncovered(Totals memory totals) private pure returns (uint48) {
        return totals.gapTonnes - uint48(totals.lockedKilograms / PositionsLib.KILOGRAMS_PER_TONNE);
    }
}
