// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Interval} from "./ITrust.sol";
import {CreditClass} from "./ICarbonCredits.sol";

/// @notice A published event of a class that needs no serials. `nonce` makes each unique;
/// `asOf` is YYYYMMDD; `subject` is the label code, the letter or whatever the kind is about.
struct ProgrammeEvent {
    uint8 kind;
    uint256 classId;
    string subject;
    string reason;
    uint32 asOf;
    bytes32 evidenceHash;
    uint64 nonce;
}

/// @notice Positions [firstPosition, +tonnes), all in one piece, whose serials are dead: live ones
/// (disputed ones too), or ones that an open delivery has burnt, whose refund is then a gap.
struct Invalidation {
    uint256 classId;
    uint64 firstPosition;
    uint64 tonnes;
    Interval serials;
    string reason;
    uint32 asOf;
    bytes32 evidenceHash;
}

/// @notice New serials of the gap that begins at `firstPosition`, together exactly its tonnes.
struct Substitution {
    uint256 classId;
    uint64 firstPosition;
    Interval[] serials;
    string reason;
    uint32 asOf;
    bytes32 evidenceHash;
}

/// @notice Live positions [firstPosition, +tonnes) of one class, in one piece, become another
/// class, pro rata for who held at `chainBlock`: `root` is a Merkle-sum root of (holder, kilograms)
/// as IReserve's liability leaves of `fromClass`, its sum tonnes × 1000. `serials` empty: the same
/// serials, in the same project (LABEL_SPLIT); else new ones of equal size (EXCHANGE, CONVERSION),
/// and the old are dead.
struct Conversion {
    uint8 kind;
    uint256 fromClass;
    CreditClass toClass;
    uint64 firstPosition;
    uint64 tonnes;
    Interval[] serials;
    bytes32 root;
    uint64 chainBlock;
    string reason;
    uint32 asOf;
    bytes32 evidenceHash;
}

/// @title What programmes do to credits in trust: holds, labels, reversals, invalidations.
/// @notice All by Trust's M custodians and N attestors, public, append-only; what they do to
/// positions is in IGaps. While a class is held it neither mints, trades, retires nor is
/// delivered; while it is short it neither mints nor trades. This contract holds what is converted
/// and not yet claimed, and locks for ever what was given for it; nothing else reaches it. EIP-712
/// domain ("Causeway Programme Events", "1").
interface IProgrammeEvents {
    enum Kind {
        Hold, Release, Reversal, LabelGained, LabelLost, Expiry, Authorisation, Corsia,
        LabelSplit, Exchange, Conversion
    }

    event ProgrammeEventPublished(
        bytes32 indexed eventId, uint256 indexed classId, Kind indexed kind, string subject,
        string reason, uint32 asOf, bytes32 evidenceHash, address[] signers
    );
    event PositionsInvalidated(
        bytes32 indexed eventId, uint256 indexed classId, uint48 firstPosition, uint48 tonnes,
        bytes32 seriesId, uint64 firstSerial, string reason, uint32 asOf, bytes32 evidenceHash,
        address[] signers
    );
    event PositionsSubstituted(
        bytes32 indexed eventId, uint256 indexed classId, uint48 firstPosition, uint48 tonnes,
        Interval[] serials, string reason, uint32 asOf, bytes32 evidenceHash, address[] signers
    );
    event ConversionOpened(
        bytes32 indexed conversionId, uint256 indexed fromClass, uint256 indexed toClass, Kind kind,
        uint48 firstPosition, uint48 tonnes, uint48 newPosition, bytes32 root, uint64 chainBlock,
        string reason, uint32 asOf, bytes32 evidenceHash, address[] signers
    );
    event Converted(bytes32 indexed conversionId, address indexed holder, uint256 kilograms);

    error ProgrammeEventRepeated(bytes32 eventId);
    error ProgrammeEventKindInvalid(uint8 kind);
    error ProgrammeEventTextInvalid(uint256 length);
    error ProgrammeEventDateInvalid(uint32 asOf);
    error ProgrammeEventPositionsInvalid(uint256 classId, uint64 firstPosition, uint64 tonnes);
    error ProgrammeEventSerialsDiffer(
        uint256 classId, uint48 position, bytes32 seriesId, uint64 serial
    );
    error SubstituteTonnesDiffer(uint48 gapTonnes, uint256 tonnes);
    error ConversionInvalid(bytes32 conversionId);
    error ConversionProofInvalid(bytes32 conversionId, address holder, uint64 kilograms);
    error ConversionDone(bytes32 conversionId, address holder);
    /// @dev The holder's wallet has none of the old class: withdraw from the venue first.
    error ConversionNothingHeld(bytes32 conversionId, address holder);
    error EventsTakeNoTokens(address from);

    function publish(ProgrammeEvent calldata programmeEvent, bytes[] calldata signatures)
        external
        returns (bytes32 eventId);

    /// @param gapHint As in IGaps.invalidate.
    function invalidate(
        Invalidation calldata invalidation, uint64 gapHint, bytes[] calldata signatures
    ) external returns (bytes32 eventId);

    /// @notice Of an invalidated or disputed gap, named by where it stands or once was opened.
    function substitute(
        Substitution calldata substitution,
        uint64[] calldata serialHints,
        bytes[] calldata signatures
    ) external returns (bytes32 eventId);

    function convert(
        Conversion calldata conversion, uint64[] calldata serialHints, uint64 gapHint,
        bytes[] calldata signatures
    ) external returns (bytes32 conversionId);

    /// @notice For one holder, by anyone: takes what the holder's wallet has of the old class, up
    /// to what is left of `kilograms`, and gives as many of the new. What is taken stays locked
    /// here for ever. The path leads from the liability leaf (fromClass, holder, kilograms) to the
    /// root.
    function claimConversion(
        bytes32 conversionId, address holder, uint64 kilograms, uint256 rightBits,
        bytes32[] calldata siblings, uint64[] calldata sums
    ) external;

    /// @notice What a conversion turns into what, and how much of it was claimed.
    function conversion(bytes32 conversionId)
        external
        view
        returns (
            uint256 fromClass,
            uint256 toClass,
            bytes32 root,
            uint64 kilograms,
            uint64 claimedKilograms
        );

    /// @notice Kilograms that were converted for a holder.
    function claimed(bytes32 conversionId, address holder) external view returns (uint64);

    function published(bytes32 eventId) external view returns (bool);

    function hashProgrammeEvent(ProgrammeEvent calldata programmeEvent)
        external
        view
        returns (bytes32);

    function hashInvalidation(Invalidation calldata invalidation) external view returns (bytes32);

    function hashSubstitution(Substitution calldata substitution) external view returns (bytes32);

    function hashConversion(Conversion calldata conversion_) external view returns (bytes32);
}
