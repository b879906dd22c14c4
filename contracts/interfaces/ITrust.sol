// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass} from "./ICarbonCredits.sol";

/// @notice The number space in which serials are unique, as a canonical tuple of numbers.
/// VCS (generation 1|2), GS ACR CAR ART (project, vintage, batch), CDM (party as bytes2).
struct Series {
    string programme;
    uint256[] codes;
}

/// @notice A block of serials in 1 … 2^63 − 2, both ends included; one serial is one tonne.
struct Interval {
    Series series;
    uint64 first;
    uint64 last;
}

/// @notice Credits held live in a trust account, and who gets the tokens.
/// @param account keccak256 of the registry account's reference.
/// @param validUntil Unix seconds, inclusive.
struct Receipt {
    address recipient;
    CreditClass creditClass;
    bytes32 account;
    Interval[] intervals;
    bytes32 evidenceHash;
    bytes32 termsHash;
    uint64 validUntil;
}

/// @notice The registry retired `actual`, in this order, for positions
/// [firstPosition, firstPosition + tonnes) of a class. `registryDate` is YYYYMMDD.
struct RegistryRetirement {
    uint256 classId;
    uint64 firstPosition;
    uint64 tonnes;
    Interval[] actual;
    string registryReference;
    uint32 registryDate;
    bytes32 evidenceHash;
}

/// @notice The serials of [position, +tonnes) and [counterpart, +tonnes) change places.
/// @dev Exchanges are not signed because they leave no choice: within one confirmation they come
/// by ascending position, and no counterpart lies in the part already settled. So each position
/// is served once, by the only place where its actual serial can stand (L5). Nor may they be cut
/// finer than the pieces: an exchange is refused that only continues the one before it.
/// @param hint As `positionHint`: a confirmed range (+1) below `counterpart`, 0 for the head.
struct Exchange {
    uint48 position;
    uint48 counterpart;
    uint48 tonnes;
    uint64 hint;
}

/// @title Custody: receipts, the serial interval register and registry confirmations.
/// @notice Every mint and every confirmation carries signatures of M custodians and N attestors
/// over EIP-712 ("Causeway Trust", "1"). One address has at most one role. No serial that was
/// registered is freed by anything in this contract (L2, L4).
interface ITrust {
    enum Role { None, Custodian, Attestor }
    enum ReceiptStatus { Unknown, Minted, Cancelled }

    event SignerSet(address indexed signer, Role role);
    event ThresholdsSet(uint8 custodians, uint8 attestors);
    event SeriesCreated(
        bytes32 indexed seriesId, uint32 indexed number, string programme, uint256[] codes
    );
    /// @dev One per interval of a receipt, in order; `firstPosition` is that of `first`.
    event BlockRegistered(
        uint256 indexed classId, bytes32 indexed seriesId, bytes32 indexed receiptId,
        uint64 first, uint64 last, uint48 firstPosition
    );
    event ReceiptMinted(
        bytes32 indexed receiptId, uint256 indexed classId, address indexed recipient,
        uint48 tonnes, bytes32 account, bytes32 evidenceHash, bytes32 termsHash,
        address[] signers
    );
    event ReceiptCancelled(bytes32 indexed receiptId, address indexed signer);
    event SerialsExchanged(
        uint256 indexed classId, uint48 position, uint48 counterpart, uint48 tonnes
    );
    event RegistryRetirementRecorded(
        bytes32 indexed confirmationId, uint256 indexed classId, uint48 firstPosition,
        uint48 tonnes, Interval[] actual, string registryReference, uint32 registryDate,
        bytes32 evidenceHash, address[] signers
    );

    error TrustSignerHasRole(address signer, Role role);
    error TrustThresholdInvalid(uint8 custodians, uint8 attestors);
    error TrustSignaturesNotAscending(address previous, address next);
    error TrustSignerUnknown(address signer);
    error TrustApprovalsMissing(
        uint256 custodians, uint256 custodiansNeeded, uint256 attestors, uint256 attestorsNeeded
    );
    error TrustReceiptUsed(bytes32 receiptId);
    error TrustReceiptCancelled(bytes32 receiptId);
    /// @dev Another receipt has the same 64 bits of its id; sign anew with any field changed.
    error TrustReceiptKeyTaken(bytes32 receiptId, uint64 key);
    error TrustReceiptExpired(bytes32 receiptId, uint64 validUntil, uint256 chainTime);
    error TrustIntervalCount(uint256 intervals, uint256 hints);
    error TrustSeriesNotCanonical(string programme, uint256[] codes);
    error TrustSeriesForeign(string classProgramme, string seriesProgramme);
    error TrustNotASigner(address caller);
    error SerialIntervalInvalid(uint64 first, uint64 last);
    error SerialsOverlap(
        bytes32 seriesId, uint64 first, uint64 last, uint64 takenFirst, uint64 takenLast
    );
    error SerialHintInvalid(bytes32 seriesId, uint64 hint, uint64 first);
    error SerialHintTooFar(bytes32 seriesId, uint64 hint, uint64 first);
    error RegistryRetirementNotRetired(uint256 classId, uint64 end, uint48 exited);
    error RegistryRetirementOpenTonne(uint256 classId, uint48 openTonne);
    error RegistryRetirementTonnesDiffer(uint64 tonnes, uint256 actual);
    error RegistryReferenceInvalid(uint256 length);
    error RegistryDateInvalid(uint32 registryDate);
    error RegistryRetirementSerialsDiffer(
        uint256 classId, uint48 position, bytes32 seriesId, uint64 serial, bytes32 actualSeriesId,
        uint64 actualSerial
    );
    error PositionsConfirmed(uint256 classId, uint48 first, uint48 last);
    error ExchangeInvalid(uint256 classId, uint48 position, uint48 counterpart, uint48 tonnes);
    error TrustExchangeCount(uint256 exchanges);
    error PositionUnknown(uint256 classId, uint48 position);

    /// @notice Gives or takes (None) a role; a signer with a role must lose it before another.
    function setSigner(address signer, Role role) external;

    /// @notice How many of each role must sign; neither may be 0.
    function setThresholds(uint8 custodians, uint8 attestors) external;

    /// @notice Mints against a receipt; anyone may submit it.
    /// @param hints Per interval the `first` of a registered interval of the series that begins
    /// below it, 0 for the head; a stale hint is repaired by walking at most 32 nodes.
    /// @param signatures 65-byte ECDSA signatures over the receipt, by ascending signer.
    function mintWithReceipt(
        Receipt calldata receipt, uint64[] calldata hints, bytes[] calldata signatures
    ) external returns (bytes32 receiptId);

    /// @notice Either kind of signer cancels a receipt that was not minted.
    function cancelReceipt(bytes32 receiptId) external;

    /// @notice Records what the registry retired. After `exchanges`, the positions must stand on
    /// exactly `actual`; neither side of an exchange may be confirmed already.
    /// @param exchanges At most 64, each as long as the pieces on both sides allow.
    /// @param positionHint As in `mintWithReceipt`, among the confirmed position ranges (+1).
    function recordRegistryRetirement(
        RegistryRetirement calldata retirement,
        Exchange[] calldata exchanges,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external returns (bytes32 confirmationId);

    function role(address signer) external view returns (Role);

    function thresholds() external view returns (uint8 custodians, uint8 attestors);

    function receiptStatus(bytes32 receiptId) external view returns (ReceiptStatus);

    /// @notice EIP-712 digest of a receipt: what is signed, and its id.
    function hashReceipt(Receipt calldata receipt) external view returns (bytes32);

    function hashRegistryRetirement(RegistryRetirement calldata retirement)
        external
        view
        returns (bytes32);

    /// @notice keccak256(abi.encode(programme, tuple…)); reverts unless canonical.
    function hashSeries(Series calldata series) external pure returns (bytes32);

    /// @notice The registered interval of a series that begins at `first` (all 0 if none);
    /// first = 0 is the head, whose `next` is the lowest interval.
    function registered(bytes32 seriesId, uint64 first)
        external
        view
        returns (uint64 last, uint64 next, uint256 classId);

    /// @notice How many blocks a class has, in the order of their positions.
    function blockCount(uint256 classId) external view returns (uint256);

    /// @notice A block as it was minted.
    function blockAt(uint256 classId, uint256 index)
        external
        view
        returns (bytes32 seriesId, uint64 first, uint64 last, uint48 firstPosition);

    /// @notice The serial behind a position after every exchange; `run` tonnes from there on
    /// stand on consecutive serials (the rest of the piece: the next may or may not continue it).
    function serialAt(uint256 classId, uint48 position)
        external
        view
        returns (bytes32 seriesId, uint64 serial, uint48 run);

    /// @notice Whether the registry has confirmed any of the positions [first, last].
    /// @param positionHint As in `recordRegistryRetirement`.
    function confirmedWithin(uint256 classId, uint48 first, uint48 last, uint64 positionHint)
        external
        view
        returns (bool any);
}
