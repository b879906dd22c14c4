// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Signers} from "./Signers.sol";
import {ICarbonCredits, Positions} from "./interfaces/ICarbonCredits.sol";
import {
    Exchange,
    Interval,
    ITrust,
    Receipt,
    RegistryRetirement,
    Series
} from "./interfaces/ITrust.sol";
import {Assignment} from "./libraries/Assignment.sol";
import {Blocks} from "./libraries/Blocks.sol";
import {ClassLib} from "./libraries/ClassLib.sol";
import {SerialIntervals} from "./libraries/SerialIntervals.sol";
import {SeriesLib} from "./libraries/SeriesLib.sol";
import {TrustHashes} from "./libraries/TrustHashes.sol";

/// @title See ITrust: every rule and every power is written there.
contract Trust is ITrust, Signers, EIP712, AccessManaged, ReentrancyGuardTransient {
    using Assignment for Assignment.Store;
    using Blocks for Blocks.Store;
    using SerialIntervals for SerialIntervals.Register;
    using SerialIntervals for SerialIntervals.Place;

    /// @dev The gas of one transaction bounds what one receipt or confirmation names.
    uint256 private constant MAX_INTERVALS = 64;
    uint256 private constant MAX_EXCHANGES = 64;
    uint256 private constant MAX_REFERENCE_BYTES = 256;
    /// @dev The index keeps [first, last + 1) as signed 64-bit numbers.
    uint64 private constant MAX_SERIAL = (1 << 63) - 2;

    ICarbonCredits public immutable CREDITS;

    /// @dev Per series; payload: series number 32 in every node, class number 32 above it.
    SerialIntervals.Register private _serials;
    /// @dev Per class; numbers are positions + 1.
    SerialIntervals.Register private _confirmed;
    /// @dev Receipts, blocks of each class and what exchanges made of them.
    Assignment.Store private _assignment;
    /// @dev Series ids by series number − 1.
    bytes32[] private _seriesIds;

    constructor(address authority, address credits)
        EIP712("Causeway Trust", "1")
        AccessManaged(authority)
    {
        CREDITS = ICarbonCredits(credits);
        emit ThresholdsSet(1, 1);
    }

    /// @inheritdoc ITrust
    function setSigner(address signer, Role newRole) external restricted {
        Role held = role(signer);
        if (held != Role.None && newRole != Role.None) revert TrustSignerHasRole(signer, held);

        _roles[signer] = uint8(newRole);

        emit SignerSet(signer, newRole);
    }

    /// @inheritdoc ITrust
    function setThresholds(uint8 custodians, uint8 attestors) external restricted {
        if (custodians == 0 || attestors == 0) {
            revert TrustThresholdInvalid(custodians, attestors);
        }

        _thresholds = Thresholds(custodians, attestors);

        emit ThresholdsSet(custodians, attestors);
    }

    /// @inheritdoc ITrust
    /// @dev The class number and the first position come from the mint, which calls a recipient
    /// that is a contract; the lock keeps that recipient out until the register is written.
    function mintWithReceipt(
        Receipt calldata receipt,
        uint64[] calldata hints,
        bytes[] calldata signatures
    ) external nonReentrant returns (bytes32 receiptId) {
        receiptId = hashReceipt(receipt);
        uint256 count = receipt.intervals.length;
        if (count == 0 || count > MAX_INTERVALS || count != hints.length) {
            revert TrustIntervalCount(count, hints.length);
        }
        _requireUnused(receiptId);
        if (block.timestamp > receipt.validUntil) {
            revert TrustReceiptExpired(receiptId, receipt.validUntil, block.timestamp);
        }
        address[] memory signers = _requireApprovals(receiptId, signatures);
        uint256 tonnes = _tonnes(receipt.intervals);

        uint256 classId = _mintAndRegister(receipt, receiptId, tonnes, hints);

        emit ReceiptMinted(
            receiptId,
            classId,
            receipt.recipient,
            uint48(tonnes),
            receipt.account,
            receipt.evidenceHash,
            receipt.termsHash,
            signers
        );
    }

    /// @inheritdoc ITrust
    function cancelReceipt(bytes32 receiptId) external {
        if (role(msg.sender) == Role.None) revert TrustNotASigner(msg.sender);
        _requireUnused(receiptId);

        _assignment.blocks.setStatus(receiptId, uint8(ReceiptStatus.Cancelled));

        emit ReceiptCancelled(receiptId, msg.sender);
    }

    /// @inheritdoc ITrust
    function recordRegistryRetirement(
        RegistryRetirement calldata retirement,
        Exchange[] calldata exchanges,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external nonReentrant returns (bytes32 confirmationId) {
        confirmationId = hashRegistryRetirement(retirement);
        address[] memory signers = _requireApprovals(confirmationId, signatures);
        (uint48 first, uint48 end) = _requireRetired(retirement);
        SerialIntervals.Place memory place =
            _requireUnconfirmed(retirement.classId, first, end - 1, positionHint);

        _exchange(retirement.classId, first, end, exchanges);
        _requireSerials(retirement, first);
        _confirmed.link(bytes32(retirement.classId), place, uint64(first) + 1, end, 0);

        emit RegistryRetirementRecorded(
            confirmationId,
            retirement.classId,
            first,
            end - first,
            retirement.actual,
            retirement.registryReference,
            retirement.registryDate,
            retirement.evidenceHash,
            signers
        );
    }

    /// @inheritdoc ITrust
    function thresholds() external view returns (uint8 custodians, uint8 attestors) {
        return (_thresholds.first, _thresholds.second);
    }

    /// @inheritdoc ITrust
    function receiptStatus(bytes32 receiptId) external view returns (ReceiptStatus) {
        return ReceiptStatus(_assignment.blocks.status(receiptId));
    }

    /// @inheritdoc ITrust
    function hashSeries(Series calldata series) external pure returns (bytes32) {
        return SeriesLib.id(series);
    }

    /// @inheritdoc ITrust
    function registered(bytes32 seriesId, uint64 first)
        external
        view
        returns (uint64 last, uint64 next, uint256 classId)
    {
        SerialIntervals.Node memory node = _serials.nodeAt(seriesId, first);
        if (first != 0 && node.last != 0) classId = CREDITS.classAt(uint32(node.payload >> 32));
        return (node.last, node.next, classId);
    }

    /// @inheritdoc ITrust
    function blockCount(uint256 classId) external view returns (uint256) {
        return _assignment.blocks.count(classId);
    }

    /// @inheritdoc ITrust
    function blockAt(uint256 classId, uint256 index)
        external
        view
        returns (bytes32 seriesId, uint64 first, uint64 last, uint48 firstPosition)
    {
        Blocks.Block memory held = _assignment.blocks.blockAt(classId, index);
        firstPosition = index == 0 ? 0 : _assignment.blocks.blockAt(classId, index - 1).end;
        last = held.first + (held.end - firstPosition - 1);
        return (_seriesId(held.series), held.first, last, firstPosition);
    }

    /// @inheritdoc ITrust
    function serialAt(uint256 classId, uint48 position)
        external
        view
        returns (bytes32 seriesId, uint64 serial, uint48 run)
    {
        (uint48 start, Assignment.Piece memory piece) = _assignment.locate(classId, position);
        uint48 before = position - start;
        return (_seriesId(piece.series), piece.serial + before, piece.tonnes - before);
    }

    /// @inheritdoc ITrust
    function confirmedWithin(uint256 classId, uint48 first, uint48 last, uint64 positionHint)
        external
        view
        returns (bool any)
    {
        (uint64 low, uint64 high) = (uint64(first) + 1, uint64(last) + 1);
        if (last < first) revert SerialIntervalInvalid(low, high);
        return _confirmed.find(bytes32(classId), low, positionHint).taken(low, high) != 0;
    }

    /// @inheritdoc ITrust
    function role(address signer) public view returns (Role) {
        return Role(_roles[signer]);
    }

    /// @inheritdoc ITrust
    function hashReceipt(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(TrustHashes.hash(receipt));
    }

    /// @inheritdoc ITrust
    function hashRegistryRetirement(RegistryRetirement calldata retirement)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(TrustHashes.hash(retirement));
    }

    function _mintAndRegister(
        Receipt calldata receipt,
        bytes32 receiptId,
        uint256 tonnes,
        uint64[] calldata hints
    ) private returns (uint256) {
        (uint256 classId, uint48 position, uint32 classNumber) =
            CREDITS.mint(receipt.recipient, receipt.creditClass, tonnes);
        Interval[] calldata intervals = receipt.intervals;
        string calldata programme = receipt.creditClass.programme;
        bytes32 programmeHash = keccak256(bytes(programme));
        uint256 head = _assignment.blocks.heads[classId];
        for (uint256 i = 0; i < hints.length; ++i) {
            Interval calldata interval = intervals[i];
            bytes32 seriesId = SeriesLib.idInClass(interval.series, programme, programmeHash);
            uint32 seriesNumber = _register(seriesId, interval, hints[i], classNumber);
            // CarbonCredits has checked that minted + tonnes fits 48 bits.
            uint48 end = position + uint48(interval.last - interval.first + 1);
            head = _assignment.blocks.append(
                classId,
                head,
                receiptId,
                i,
                uint8(ReceiptStatus.Minted),
                Blocks.pack(seriesNumber, interval.first, end)
            );
            emit BlockRegistered(
                classId, seriesId, receiptId, interval.first, interval.last, position
            );
            position = end;
        }
        _assignment.blocks.heads[classId] = head;
        return classId;
    }

    /// @dev Puts one interval of a receipt into the register; refuses any overlap (L2).
    function _register(
        bytes32 seriesId,
        Interval calldata interval,
        uint64 hint,
        uint32 classNumber
    ) private returns (uint32 seriesNumber) {
        (uint64 first, uint64 last) = (interval.first, interval.last);
        SerialIntervals.Place memory place = _serials.requireFree(seriesId, first, last, hint);

        seriesNumber = uint32(place.word >> 128);
        if (seriesNumber == 0) {
            // Only the head of an empty list has no number; `link` writes it with its first node.
            seriesNumber = _createSeries(seriesId, interval.series);
            place.word |= uint256(seriesNumber) << 128;
        }
        uint128 payload = uint128(classNumber) << 32 | seriesNumber;
        _serials.link(seriesId, place, first, last, payload);
    }

    function _createSeries(bytes32 seriesId, Series calldata series)
        private
        returns (uint32 number)
    {
        _seriesIds.push(seriesId);
        number = uint32(_seriesIds.length);

        emit SeriesCreated(seriesId, number, series.programme, series.codes);
    }

    /// @dev Applies the exchanges of one confirmation; see `Exchange` on why they need this order.
    function _exchange(uint256 classId, uint48 first, uint48 end, Exchange[] calldata exchanges)
        private
    {
        if (exchanges.length > MAX_EXCHANGES) revert TrustExchangeCount(exchanges.length);
        uint48 settled = first;
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
            // The whole confirmation is unconfirmed so far; what lies outside it may not be.
            if (other < first || other >= end || tonnes > end - other) {
                _requireUnconfirmed(classId, other, other + tonnes - 1, swap.hint);
            }

            bool open = _assignment.exchange(classId, swap);
            settled = position + tonnes;
            onward = open ? other + tonnes : type(uint48).max;
        }
    }

    function _requireUnused(bytes32 receiptId) private view {
        if (_assignment.blocks.isFree(receiptId)) return;
        ReceiptStatus status = ReceiptStatus(_assignment.blocks.status(receiptId));
        if (status == ReceiptStatus.Minted) revert TrustReceiptUsed(receiptId);
        if (status == ReceiptStatus.Cancelled) revert TrustReceiptCancelled(receiptId);
        revert TrustReceiptKeyTaken(receiptId, uint64(uint256(receiptId)));
    }

    /// @dev Reads roles and thresholds now, not when the signatures were made (L5).
    function _requireApprovals(bytes32 digest, bytes[] calldata signatures)
        private
        view
        returns (address[] memory signers)
    {
        signers = _recover(digest, signatures);
        uint256 custodians;
        uint256 attestors;
        for (uint256 i = 0; i < signers.length; ++i) {
            uint8 held = _roles[signers[i]];
            if (held == uint8(Role.None)) revert TrustSignerUnknown(signers[i]);
            // At most one per signature: neither can pass 256 bits.
            unchecked {
                if (held == uint8(Role.Custodian)) ++custodians;
                else ++attestors;
            }
        }
        Thresholds storage needed = _thresholds;
        if (custodians < needed.first || attestors < needed.second) {
            revert TrustApprovalsMissing(custodians, needed.first, attestors, needed.second);
        }
    }

    /// @dev The positions as [first, end): they have exited and none of them is still open.
    function _requireRetired(RegistryRetirement calldata retirement)
        private
        view
        returns (uint48, uint48)
    {
        uint256 count = retirement.actual.length;
        if (count == 0 || count > MAX_INTERVALS) revert TrustIntervalCount(count, count);
        uint256 length = bytes(retirement.registryReference).length;
        if (length == 0 || length > MAX_REFERENCE_BYTES) revert RegistryReferenceInvalid(length);
        if (!ClassLib.isDay(retirement.registryDate)) {
            revert RegistryDateInvalid(retirement.registryDate);
        }
        uint256 tonnes = _tonnes(retirement.actual);
        if (tonnes != retirement.tonnes) {
            revert RegistryRetirementTonnesDiffer(retirement.tonnes, tonnes);
        }
        uint256 classId = retirement.classId;
        Positions memory state = CREDITS.positions(classId);
        (uint64 first, uint64 exited) = (retirement.firstPosition, state.exited);
        if (first > exited || tonnes > exited - first) {
            // Saturated for the message alone.
            uint256 end = first + tonnes;
            uint64 shown = end > type(uint64).max ? type(uint64).max : uint64(end);
            revert RegistryRetirementNotRetired(classId, shown, state.exited);
        }
        uint64 open = state.openTonne;
        if (state.dust != 0 && open >= first && open - first < tonnes) {
            revert RegistryRetirementOpenTonne(classId, state.openTonne);
        }
        return (uint48(first), uint48(first + tonnes));
    }

    /// @dev Where [first, last] would be linked in; reverts when part of it is confirmed.
    function _requireUnconfirmed(uint256 classId, uint48 first, uint48 last, uint64 hint)
        private
        view
        returns (SerialIntervals.Place memory place)
    {
        bytes32 key = bytes32(classId);
        (uint64 low, uint64 high) = (uint64(first) + 1, uint64(last) + 1);
        place = _confirmed.find(key, low, hint);
        uint64 other = place.taken(low, high);
        if (other != 0) {
            uint64 otherLast = _confirmed.nodeAt(key, other).last;
            revert PositionsConfirmed(classId, uint48(other - 1), uint48(otherLast - 1));
        }
    }

    /// @dev The positions from `first` on must stand on exactly `actual`, in this order (L4).
    function _requireSerials(RegistryRetirement calldata retirement, uint48 first) private view {
        uint256 classId = retirement.classId;
        Interval[] calldata actual = retirement.actual;
        uint48 position = first;
        for (uint256 i = 0; i < actual.length; ++i) {
            Interval calldata interval = actual[i];
            bytes32 seriesId = SeriesLib.id(interval.series);
            uint32 seriesNumber = _seriesNumber(seriesId);
            // 256 bits, because it ends one above `last`.
            uint256 serial = interval.first;
            uint48 left = uint48(interval.last - serial + 1);
            while (left != 0) {
                (uint48 start, Assignment.Piece memory piece) =
                    _assignment.locate(classId, position);
                uint48 before = position - start;
                if (piece.series != seriesNumber || piece.serial + before != serial) {
                    revert RegistryRetirementSerialsDiffer(
                        classId,
                        position,
                        _seriesId(piece.series),
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

    function _seriesNumber(bytes32 seriesId) private view returns (uint32) {
        return uint32(_serials.nodeAt(seriesId, 0).payload);
    }

    function _seriesId(uint32 seriesNumber) private view returns (bytes32) {
        return _seriesIds[seriesNumber - 1];
    }

    function _tonnes(Interval[] calldata intervals) private pure returns (uint256 tonnes) {
        for (uint256 i = 0; i < intervals.length; ++i) {
            Interval calldata interval = intervals[i];
            (uint64 first, uint64 last) = (interval.first, interval.last);
            if (first == 0 || last < first || last > MAX_SERIAL) {
                revert SerialIntervalInvalid(first, last);
            }
            tonnes += uint256(last - first) + 1;
        }
    }

    function _refuseOrder(address previous, address next) internal pure override {
        revert TrustSignaturesNotAscending(previous, next);
    }
}
