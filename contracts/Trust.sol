// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Signers} from "./Signers.sol";
import {CreditClass, ICarbonCredits} from "./interfaces/ICarbonCredits.sol";
import {IReserve} from "./interfaces/IReserve.sol";
import {Interval, ITrust, Receipt, Series} from "./interfaces/ITrust.sol";
import {Blocks} from "./libraries/Blocks.sol";
import {IntervalLib} from "./libraries/IntervalLib.sol";
import {SerialIntervals} from "./libraries/SerialIntervals.sol";
import {SeriesLib} from "./libraries/SeriesLib.sol";
import {TrustHashes} from "./libraries/TrustHashes.sol";

/// @title See ITrust: every rule and every power is written there.
contract Trust is ITrust, Signers, EIP712, AccessManaged, ReentrancyGuardTransient {
    using Blocks for Blocks.Store;
    using IntervalLib for Interval[];
    using SerialIntervals for SerialIntervals.Register;

    ICarbonCredits public immutable CREDITS;
    IReserve public immutable RESERVE;
    address public immutable RECORDS;
    address public immutable DELIVERIES;
    address public immutable EVENTS;
    address public immutable GAPS;

    /// @dev Per series; payload: series number 32 in every node, class number 32 above it.
    SerialIntervals.Register private _serials;
    /// @dev Receipts, and the blocks of each class.
    Blocks.Store private _blocks;
    /// @dev Series ids by series number − 1.
    bytes32[] private _seriesIds;

    constructor(
        address authority,
        address credits,
        address reserve,
        address records,
        address deliveries,
        address events,
        address gaps
    ) EIP712("Causeway Trust", "1") AccessManaged(authority) {
        CREDITS = ICarbonCredits(credits);
        RESERVE = IReserve(reserve);
        RECORDS = records;
        DELIVERIES = deliveries;
        EVENTS = events;
        GAPS = gaps;
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
        bytes calldata reserveProof,
        bytes[] calldata signatures
    ) external nonReentrant returns (bytes32 receiptId) {
        receiptId = hashReceipt(receipt);
        IntervalLib.requireCount(receipt.intervals.length, hints.length);
        _requireUnused(receiptId);
        if (block.timestamp > receipt.validUntil) {
            revert TrustReceiptExpired(receiptId, receipt.validUntil, block.timestamp);
        }
        address[] memory signers = requireApprovals(receiptId, signatures);
        uint256 tonnes = receipt.intervals.tonnes();

        uint256 classId = _mintAndRegister(receipt, receiptId, tonnes, hints, reserveProof);

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

        _blocks.setStatus(receiptId, uint8(ReceiptStatus.Cancelled));

        emit ReceiptCancelled(receiptId, msg.sender);
    }

    /// @inheritdoc ITrust
    function register(
        bytes32 source,
        uint256 classId,
        Interval[] calldata intervals,
        uint64[] calldata hints
    ) external returns (uint32[] memory seriesNumbers) {
        if (msg.sender != RECORDS && msg.sender != EVENTS) revert TrustOnlyModule(msg.sender);
        IntervalLib.requireCount(intervals.length, hints.length);
        intervals.tonnes();
        uint32 classNumber = CREDITS.positions(classId).number;
        seriesNumbers = new uint32[](intervals.length);
        for (uint256 i = 0; i < hints.length; ++i) {
            Interval calldata interval = intervals[i];
            bytes32 id = SeriesLib.id(interval.series);
            seriesNumbers[i] = _register(id, interval, hints[i], classNumber);
            emit SerialsRegistered(id, source, classId, interval.first, interval.last);
        }
    }

    /// @inheritdoc ITrust
    function append(
        bytes32 source,
        uint256 classId,
        uint32 number,
        uint64 first,
        uint48 position,
        uint48 tonnes
    ) external nonReentrant {
        if (msg.sender != DELIVERIES && msg.sender != GAPS) revert TrustOnlyModule(msg.sender);
        uint48 end = _blocks.minted(classId);
        if (position != end) revert TrustAppendPositionDiffers(classId, position, end);
        _append(source, classId, number, first, position, tonnes);
    }

    /// @inheritdoc ITrust
    function release(bytes32 id, uint64 first, uint64 last, uint64 hint) external {
        if (msg.sender != DELIVERIES) revert TrustOnlyModule(msg.sender);

        _serials.remove(id, first, last, hint);

        emit SerialsReleased(id, first, last);
    }

    /// @inheritdoc ITrust
    function mintConverted(
        bytes32 source,
        CreditClass calldata toClass,
        uint48 tonnes,
        uint32 number,
        uint64 first,
        Interval[] calldata serials,
        uint64[] calldata hints
    ) external nonReentrant returns (uint256 classId, uint48 firstPosition) {
        if (msg.sender != EVENTS) revert TrustOnlyModule(msg.sender);
        uint32 classNumber;
        (classId, firstPosition, classNumber) = CREDITS.mint(EVENTS, toClass, tonnes);
        if (serials.length == 0) {
            _append(source, classId, number, first, firstPosition, tonnes);
            return (classId, firstPosition);
        }
        IntervalLib.requireCount(serials.length, hints.length);
        uint256 sum = serials.tonnes();
        if (sum != tonnes) revert TrustConvertedTonnesDiffer(tonnes, sum);
        bytes32 programmeHash = keccak256(bytes(toClass.programme));
        uint48 position = firstPosition;
        for (uint256 i = 0; i < hints.length; ++i) {
            Interval calldata interval = serials[i];
            bytes32 id = SeriesLib.idInClass(interval.series, toClass.programme, programmeHash);
            number = _register(id, interval, hints[i], classNumber);
            emit SerialsRegistered(id, source, classId, interval.first, interval.last);
            uint48 run = uint48(interval.last - interval.first + 1);
            _append(source, classId, number, interval.first, position, run);
            position += run;
        }
    }

    /// @inheritdoc ITrust
    function thresholds() external view returns (uint8 custodians, uint8 attestors) {
        return (_thresholds.first, _thresholds.second);
    }

    /// @inheritdoc ITrust
    function receiptStatus(bytes32 receiptId) external view returns (ReceiptStatus) {
        return ReceiptStatus(_blocks.status(receiptId));
    }

    /// @inheritdoc ITrust
    function hashSeries(Series calldata series) external pure returns (bytes32) {
        return SeriesLib.id(series);
    }

    /// @inheritdoc ITrust
    function registered(bytes32 id, uint64 first)
        external
        view
        returns (uint64 last, uint64 next, uint256 classId)
    {
        SerialIntervals.Node memory node = _serials.nodeAt(id, first);
        // In the head, and in serials of a class that does not exist, there is no class number.
        uint32 number = first == 0 ? 0 : uint32(node.payload >> 32);
        if (number != 0) classId = CREDITS.classAt(number);
        return (node.last, node.next, classId);
    }

    /// @inheritdoc ITrust
    function blockCount(uint256 classId) external view returns (uint256) {
        return _blocks.count(classId);
    }

    /// @inheritdoc ITrust
    function blockAt(uint256 classId, uint256 index)
        external
        view
        returns (bytes32 series, uint64 first, uint64 last, uint48 firstPosition)
    {
        Blocks.Block memory held = _blocks.blockAt(classId, index);
        firstPosition = index == 0 ? 0 : _blocks.blockAt(classId, index - 1).end;
        last = held.first + (held.end - firstPosition - 1);
        return (seriesId(held.series), held.first, last, firstPosition);
    }

    /// @inheritdoc ITrust
    function findBlock(uint256 classId, uint48 position)
        external
        view
        returns (uint48 start, uint48 end, uint32 number, uint64 first)
    {
        Blocks.Block memory held;
        (start, held) = _blocks.find(classId, position);
        return (start, held.end, held.series, held.first);
    }

    /// @inheritdoc ITrust
    function seriesNumber(bytes32 id) external view returns (uint32) {
        return uint32(_serials.nodeAt(id, 0).payload);
    }

    /// @inheritdoc ITrust
    function seriesId(uint32 number) public view returns (bytes32) {
        if (number == 0 || number > _seriesIds.length) revert TrustSeriesUnknown(number);
        return _seriesIds[number - 1];
    }

    /// @inheritdoc ITrust
    function requireApprovals(bytes32 digest, bytes[] calldata signatures)
        public
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

    /// @inheritdoc ITrust
    function role(address signer) public view returns (Role) {
        return Role(_roles[signer]);
    }

    /// @inheritdoc ITrust
    function hashReceipt(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(TrustHashes.hash(receipt));
    }

    function _mintAndRegister(
        Receipt calldata receipt,
        bytes32 receiptId,
        uint256 tonnes,
        uint64[] calldata hints,
        bytes calldata reserveProof
    ) private returns (uint256) {
        (uint256 classId, uint48 position, uint32 classNumber) =
            CREDITS.mint(receipt.recipient, receipt.creditClass, tonnes);
        Interval[] calldata intervals = receipt.intervals;
        string calldata programme = receipt.creditClass.programme;
        bytes32 programmeHash = keccak256(bytes(programme));
        uint256 head = _blocks.heads[classId];
        bytes32[] memory ids = new bytes32[](hints.length);
        uint128[] memory spans = new uint128[](hints.length);
        for (uint256 i = 0; i < hints.length; ++i) {
            Interval calldata interval = intervals[i];
            ids[i] = SeriesLib.idInClass(interval.series, programme, programmeHash);
            spans[i] = uint128(interval.first) << 64 | interval.last;
            uint32 number = _register(ids[i], interval, hints[i], classNumber);
            // CarbonCredits has checked that minted + tonnes fits 48 bits.
            uint48 end = position + uint48(interval.last - interval.first + 1);
            head = _blocks.append(
                classId,
                head,
                receiptId,
                i,
                uint8(ReceiptStatus.Minted),
                Blocks.pack(number, interval.first, end)
            );
            emit BlockRegistered(
                classId, ids[i], receiptId, interval.first, interval.last, position
            );
            position = end;
        }
        _blocks.heads[classId] = head;
        RESERVE.requireBacked(classId, position, receipt.account, ids, spans, reserveProof);
        return classId;
    }

    /// @dev A block that no receipt minted; its slot is found by what makes it unique.
    function _append(
        bytes32 source,
        uint256 classId,
        uint32 number,
        uint64 first,
        uint48 position,
        uint48 tonnes
    ) private {
        bytes32 id = seriesId(number);
        _blocks.heads[classId] = _blocks.append(
            classId,
            _blocks.heads[classId],
            keccak256(abi.encode(source, classId, position)),
            0,
            uint8(ReceiptStatus.Unknown),
            Blocks.pack(number, first, position + tonnes)
        );

        emit BlockAppended(classId, id, source, first, first + tonnes - 1, position);
    }

    /// @dev Puts one interval into the register; refuses any overlap (L2).
    function _register(
        bytes32 id,
        Interval calldata interval,
        uint64 hint,
        uint32 classNumber
    ) private returns (uint32 number) {
        (uint64 first, uint64 last) = (interval.first, interval.last);
        SerialIntervals.Place memory place = _serials.requireFree(id, first, last, hint);

        number = uint32(place.word >> 128);
        if (number == 0) {
            // Only the head of an empty list has no number; `link` writes it with its first node.
            number = _createSeries(id, interval.series);
            place.word |= uint256(number) << 128;
        }
        uint128 payload = uint128(classNumber) << 32 | number;
        _serials.link(id, place, first, last, payload);
    }

    function _createSeries(bytes32 id, Series calldata series)
        private
        returns (uint32 number)
    {
        _seriesIds.push(id);
        number = uint32(_seriesIds.length);

        emit SeriesCreated(id, number, series.programme, series.codes);
    }

    function _requireUnused(bytes32 receiptId) private view {
        if (_blocks.isFree(receiptId)) return;
        ReceiptStatus status = ReceiptStatus(_blocks.status(receiptId));
        if (status == ReceiptStatus.Minted) revert TrustReceiptUsed(receiptId);
        if (status == ReceiptStatus.Cancelled) revert TrustReceiptCancelled(receiptId);
        revert TrustReceiptKeyTaken(receiptId, Blocks.key(receiptId));
    }

    function _refuseOrder(address previous, address next) internal pure override {
        revert TrustSignaturesNotAscending(previous, next);
    }
}
