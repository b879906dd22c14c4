// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ICarbonCredits} from "./interfaces/ICarbonCredits.sol";
import {IGaps} from "./interfaces/IGaps.sol";
import {
    Conversion,
    Invalidation,
    IProgrammeEvents,
    ProgrammeEvent,
    Substitution
} from "./interfaces/IProgrammeEvents.sol";
import {IRegistryRecords} from "./interfaces/IRegistryRecords.sol";
import {Interval, ITrust} from "./interfaces/ITrust.sol";
import {ClassLib} from "./libraries/ClassLib.sol";
import {EventHashes} from "./libraries/EventHashes.sol";
import {IntervalLib} from "./libraries/IntervalLib.sol";
import {PositionsLib} from "./libraries/PositionsLib.sol";
import {SeriesLib} from "./libraries/SeriesLib.sol";
import {SumTree} from "./libraries/SumTree.sol";

/// @title See IProgrammeEvents: every rule and every power is written there.
/// @dev It calls Causeway's own contracts, and they call nobody outside from there, except the
/// holder that a claim pays.
contract ProgrammeEvents is IProgrammeEvents, IERC1155Receiver, EIP712, ReentrancyGuardTransient {
    using IntervalLib for Interval[];

    uint256 private constant MAX_TEXT_BYTES = 256;

    struct Converting {
        uint256 fromClass;
        uint256 toClass;
        bytes32 root;
        uint64 kilograms;
        uint64 claimed;
    }

    ICarbonCredits public immutable CREDITS;
    ITrust public immutable TRUST;
    IRegistryRecords public immutable RECORDS;
    IGaps public immutable GAPS;

    mapping(bytes32 eventId => bool) private _published;
    mapping(bytes32 conversionId => Converting) private _conversions;
    mapping(bytes32 conversionId => mapping(address holder => uint64)) private _claimed;

    constructor(address credits, address trust, address records, address gaps)
        EIP712("Causeway Programme Events", "1")
    {
        CREDITS = ICarbonCredits(credits);
        TRUST = ITrust(trust);
        RECORDS = IRegistryRecords(records);
        GAPS = IGaps(gaps);
    }

    /// @inheritdoc IProgrammeEvents
    function publish(ProgrammeEvent calldata event_, bytes[] calldata signatures)
        external
        returns (bytes32 eventId)
    {
        eventId = hashProgrammeEvent(event_);
        address[] memory signers =
            _approve(eventId, event_.reason, event_.asOf, signatures);
        if (event_.kind > uint8(Kind.Corsia)) revert ProgrammeEventKindInvalid(event_.kind);
        uint256 length = bytes(event_.subject).length;
        if (length > MAX_TEXT_BYTES) revert ProgrammeEventTextInvalid(length);
        uint256 classId = event_.classId;
        if (CREDITS.positions(classId).number == 0) {
            revert ICarbonCredits.CreditsClassUnknown(classId);
        }
        Kind kind = Kind(event_.kind);

        emit ProgrammeEventPublished(
            eventId,
            classId,
            kind,
            event_.subject,
            event_.reason,
            event_.asOf,
            event_.evidenceHash,
            signers
        );
        if (kind == Kind.Hold) GAPS.setHeld(classId, true);
        else if (kind == Kind.Release) GAPS.setHeld(classId, false);
    }

    /// @inheritdoc IProgrammeEvents
    function invalidate(
        Invalidation calldata invalidation,
        uint64 gapHint,
        bytes[] calldata signatures
    ) external returns (bytes32 eventId) {
        eventId = hashInvalidation(invalidation);
        address[] memory signers =
            _approve(eventId, invalidation.reason, invalidation.asOf, signatures);
        uint256 classId = invalidation.classId;
        (uint48 first, uint48 tonnes, bytes32 seriesId,, uint64 serial) =
            _requirePiece(classId, invalidation.firstPosition, invalidation.tonnes);
        Interval calldata named = invalidation.serials;
        if (
            SeriesLib.id(named.series) != seriesId || named.first != serial
                || named.last != serial + tonnes - 1
        ) revert ProgrammeEventSerialsDiffer(classId, first, seriesId, serial);

        emit PositionsInvalidated(
            eventId,
            classId,
            first,
            tonnes,
            seriesId,
            serial,
            invalidation.reason,
            invalidation.asOf,
            invalidation.evidenceHash,
            signers
        );
        GAPS.invalidate(eventId, classId, first, tonnes, gapHint);
    }

    /// @inheritdoc IProgrammeEvents
    function substitute(
        Substitution calldata substitution,
        uint64[] calldata serialHints,
        bytes[] calldata signatures
    ) external returns (bytes32 eventId) {
        eventId = hashSubstitution(substitution);
        address[] memory signers =
            _approve(eventId, substitution.reason, substitution.asOf, signatures);
        uint256 classId = substitution.classId;
        (uint48 first, uint48 tonnes) =
            GAPS.closeForSubstitute(classId, substitution.firstPosition);
        uint256 given = substitution.serials.tonnes();
        if (given != tonnes) revert SubstituteTonnesDiffer(tonnes, given);

        emit PositionsSubstituted(
            eventId,
            classId,
            first,
            tonnes,
            substitution.serials,
            substitution.reason,
            substitution.asOf,
            substitution.evidenceHash,
            signers
        );
        _rebind(eventId, classId, first, substitution.serials, serialHints);
    }

    /// @inheritdoc IProgrammeEvents
    function convert(
        Conversion calldata given,
        uint64[] calldata serialHints,
        uint64 gapHint,
        bytes[] calldata signatures
    ) external nonReentrant returns (bytes32 conversionId) {
        conversionId = hashConversion(given);
        address[] memory signers = _approve(conversionId, given.reason, given.asOf, signatures);
        if (given.kind < uint8(Kind.LabelSplit) || given.kind > uint8(Kind.Conversion)) {
            revert ProgrammeEventKindInvalid(given.kind);
        }
        bool sameSerials = given.kind == uint8(Kind.LabelSplit);
        if (sameSerials != (given.serials.length == 0) || given.chainBlock > block.number) {
            revert ConversionInvalid(conversionId);
        }
        (uint48 first, uint48 tonnes,, uint32 seriesNumber, uint64 serial) =
            _requirePiece(given.fromClass, given.firstPosition, given.tonnes);

        GAPS.openConversion(given.fromClass, first, tonnes, gapHint);
        (uint256 toClass, uint48 newPosition) = TRUST.mintConverted(
            conversionId, given.toClass, tonnes, seriesNumber, serial, given.serials, serialHints
        );
        // Serials that stay are of the same project: the high half of the id.
        bool moved = sameSerials && toClass >> 128 != given.fromClass >> 128;
        if (moved || toClass == given.fromClass) revert ConversionInvalid(conversionId);
        uint64 kilograms = uint64(tonnes * PositionsLib.KILOGRAMS_PER_TONNE);
        _conversions[conversionId] =
            Converting(given.fromClass, toClass, given.root, kilograms, 0);

        emit ConversionOpened(
            conversionId,
            given.fromClass,
            toClass,
            Kind(given.kind),
            first,
            tonnes,
            newPosition,
            given.root,
            given.chainBlock,
            given.reason,
            given.asOf,
            given.evidenceHash,
            signers
        );
    }

    /// @inheritdoc IProgrammeEvents
    function claimConversion(
        bytes32 conversionId,
        address holder,
        uint64 kilograms,
        uint256 rightBits,
        bytes32[] calldata siblings,
        uint64[] calldata sums
    ) external nonReentrant {
        Converting storage held = _conversions[conversionId];
        (uint256 fromClass, uint256 toClass) = (held.fromClass, held.toClass);
        bytes32 leaf = SumTree.liabilityLeaf(fromClass, holder, kilograms);
        if (
            held.kilograms == 0
                || !SumTree.leads(
                    rightBits, siblings, sums, leaf, kilograms, held.root, held.kilograms
                )
        ) revert ConversionProofInvalid(conversionId, holder, kilograms);
        uint64 before = _claimed[conversionId][holder];
        if (before >= kilograms) revert ConversionDone(conversionId, holder);
        uint256 balance = IERC1155(address(CREDITS)).balanceOf(holder, fromClass);
        if (balance == 0) revert ConversionNothingHeld(conversionId, holder);
        uint64 amount = kilograms - before;
        // Smaller than `amount`, which has 64 bits.
        if (balance < amount) amount = uint64(balance);

        _claimed[conversionId][holder] = before + amount;
        held.claimed += amount;

        emit Converted(conversionId, holder, amount);
        GAPS.lock(fromClass, amount);
        CREDITS.surrender(holder, fromClass, amount);
        IERC1155(address(CREDITS)).safeTransferFrom(address(this), holder, toClass, amount, "");
    }

    /// @inheritdoc IERC1155Receiver
    /// @dev Only what is minted here for a conversion: nothing else could ever leave again.
    function onERC1155Received(address, address from, uint256, uint256, bytes calldata)
        external
        view
        returns (bytes4)
    {
        if (msg.sender != address(CREDITS) || from != address(0)) revert EventsTakeNoTokens(from);
        return IERC1155Receiver.onERC1155Received.selector;
    }

    /// @inheritdoc IERC1155Receiver
    function onERC1155BatchReceived(
        address,
        address from,
        uint256[] calldata,
        uint256[] calldata,
        bytes calldata
    ) external pure returns (bytes4) {
        revert EventsTakeNoTokens(from);
    }

    /// @inheritdoc IProgrammeEvents
    function conversion(bytes32 conversionId)
        external
        view
        returns (
            uint256 fromClass,
            uint256 toClass,
            bytes32 root,
            uint64 kilograms,
            uint64 claimedKilograms
        )
    {
        Converting storage held = _conversions[conversionId];
        return (held.fromClass, held.toClass, held.root, held.kilograms, held.claimed);
    }

    /// @inheritdoc IProgrammeEvents
    function claimed(bytes32 conversionId, address holder) external view returns (uint64) {
        return _claimed[conversionId][holder];
    }

    /// @inheritdoc IProgrammeEvents
    function published(bytes32 eventId) external view returns (bool) {
        return _published[eventId];
    }

    /// @notice ERC-165.
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC1155Receiver).interfaceId || interfaceId == 0x01ffc9a7;
    }

    /// @inheritdoc IProgrammeEvents
    function hashProgrammeEvent(ProgrammeEvent calldata event_) public view returns (bytes32) {
        return _hashTypedDataV4(EventHashes.hash(event_));
    }

    /// @inheritdoc IProgrammeEvents
    function hashInvalidation(Invalidation calldata invalidation) public view returns (bytes32) {
        return _hashTypedDataV4(EventHashes.hash(invalidation));
    }

    /// @inheritdoc IProgrammeEvents
    function hashSubstitution(Substitution calldata substitution) public view returns (bytes32) {
        return _hashTypedDataV4(EventHashes.hash(substitution));
    }

    /// @inheritdoc IProgrammeEvents
    function hashConversion(Conversion calldata given) public view returns (bytes32) {
        return _hashTypedDataV4(EventHashes.hash(given));
    }

    /// @dev What every event must have, once (L5, L10).
    function _approve(
        bytes32 eventId,
        string calldata reason,
        uint32 asOf,
        bytes[] calldata signatures
    ) private returns (address[] memory signers) {
        if (_published[eventId]) revert ProgrammeEventRepeated(eventId);
        signers = TRUST.requireApprovals(eventId, signatures);
        uint256 length = bytes(reason).length;
        if (length == 0 || length > MAX_TEXT_BYTES) revert ProgrammeEventTextInvalid(length);
        if (!ClassLib.isDay(asOf)) revert ProgrammeEventDateInvalid(asOf);

        _published[eventId] = true;
    }

    function _rebind(
        bytes32 eventId,
        uint256 classId,
        uint48 position,
        Interval[] calldata serials,
        uint64[] calldata hints
    ) private {
        uint32[] memory numbers = TRUST.register(eventId, classId, serials, hints);
        for (uint256 i = 0; i < numbers.length; ++i) {
            uint48 run = uint48(serials[i].last - serials[i].first + 1);
            RECORDS.rebind(classId, position, run, numbers[i], serials[i].first);
            position += run;
        }
    }

    /// @dev A run of positions and its serials, which must be consecutive.
    function _requirePiece(uint256 classId, uint64 firstPosition, uint64 length)
        private
        view
        returns (
            uint48 first,
            uint48 tonnes,
            bytes32 seriesId,
            uint32 seriesNumber,
            uint64 serial
        )
    {
        bool fits = length != 0 && firstPosition < PositionsLib.MAX_TONNES;
        uint48 run;
        first = uint48(firstPosition);
        if (fits) (seriesId, seriesNumber, serial, run) = RECORDS.serialAt(classId, first);
        if (run < length || !fits) {
            revert ProgrammeEventPositionsInvalid(classId, firstPosition, length);
        }
        tonnes = uint48(length);
    }
}
