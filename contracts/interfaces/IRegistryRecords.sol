// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Interval} from "./ITrust.sol";

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
/// @param hint As `positionHint`: a settled range (+1) below `counterpart`, 0 for the head.
struct Exchange {
    uint48 position;
    uint48 counterpart;
    uint48 tonnes;
    uint64 hint;
}

/// @notice The registry did not retire what the positions [firstPosition, +tonnes) expected.
/// It settles nothing: a later confirmation or substitute ends it.
struct RegistryFailure {
    uint256 classId;
    uint64 firstPosition;
    uint64 tonnes;
    string reason;
    uint32 registryDate;
    bytes32 evidenceHash;
}

/// @notice For positions that the registry can never retire, `substitutes` of equal size were
/// retired there instead; `substituteClass` says what they are. Their serials are registered.
struct MadeGood {
    uint256 classId;
    uint64 firstPosition;
    uint64 tonnes;
    uint256 substituteClass;
    Interval[] substitutes;
    string registryReference;
    uint32 registryDate;
    bytes32 evidenceHash;
}

/// @title What the registry did for positions that were consumed: confirmed, failed, made good.
/// @notice Append-only (L4). A position is settled at most once: by a confirmation, by being made
/// good, by a delivery that named it, or void because a gap was passed. EIP-712 domain
/// ("Causeway Registry Records", "1"); approvals are Trust's M custodians and N attestors.
interface IRegistryRecords {
    enum Settled { None, Confirmed, Delivered, Void, MadeGood }

    event SerialsExchanged(
        uint256 indexed classId, uint48 position, uint48 counterpart, uint48 tonnes
    );
    /// @dev Positions [position, +tonnes) of a gap stand on substitute serials from here on.
    event SerialsRebound(
        uint256 indexed classId, uint48 position, uint48 tonnes, bytes32 seriesId, uint64 first
    );
    /// @dev From `settle`: Delivered or Void. Confirmed and MadeGood have events of their own.
    event PositionsSettled(
        uint256 indexed classId, uint48 firstPosition, uint48 tonnes, Settled kind
    );
    event RegistryRetirementRecorded(
        bytes32 indexed confirmationId, uint256 indexed classId, uint48 firstPosition,
        uint48 tonnes, Interval[] actual, string registryReference, uint32 registryDate,
        bytes32 evidenceHash, address[] signers
    );
    event RegistryFailureRecorded(
        bytes32 indexed failureId, uint256 indexed classId, uint48 firstPosition, uint48 tonnes,
        string reason, uint32 registryDate, bytes32 evidenceHash, address[] signers
    );
    event MadeGoodRecorded(
        bytes32 indexed madeGoodId, uint256 indexed classId, uint48 firstPosition, uint48 tonnes,
        uint256 substituteClass, Interval[] substitutes, string registryReference,
        uint32 registryDate, bytes32 evidenceHash, address[] signers
    );

    error RecordsOnlyModule(address caller);
    error RegistryPositionsInvalid(uint256 classId, uint64 firstPosition, uint64 tonnes);
    error RegistryRetirementNotRetired(uint256 classId, uint64 end, uint48 exited);
    error RegistryRetirementOpenTonne(uint256 classId, uint48 openTonne);
    error RegistryRetirementTonnesDiffer(uint64 tonnes, uint256 actual);
    error RegistryReferenceInvalid(uint256 length);
    error RegistryReasonInvalid(uint256 length);
    error RegistryDateInvalid(uint32 registryDate);
    error RegistryRetirementSerialsDiffer(
        uint256 classId, uint48 position, bytes32 seriesId, uint64 serial, bytes32 actualSeriesId,
        uint64 actualSerial
    );
    error ExchangeInvalid(uint256 classId, uint48 position, uint48 counterpart, uint48 tonnes);
    error ExchangeCount(uint256 exchanges);
    error RebindInvalid(uint256 classId, uint48 position, uint48 tonnes);
    error RegistryFailureRepeated(bytes32 failureId);
    error PositionsSettledAlready(uint256 classId, uint48 first, uint48 last, Settled kind);

    /// @notice Records what the registry retired. After `exchanges`, the positions must stand on
    /// exactly `actual`; neither side of an exchange may be settled already, nor lie in a gap.
    /// @param exchanges At most 64, each as long as the pieces on both sides allow.
    /// @param positionHint A settled range (+1) of the class below these positions, 0 for the head.
    function recordRegistryRetirement(
        RegistryRetirement calldata retirement,
        Exchange[] calldata exchanges,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external returns (bytes32 confirmationId);

    function recordRegistryFailure(
        RegistryFailure calldata failure, uint64 positionHint, bytes[] calldata signatures
    ) external returns (bytes32 failureId);

    /// @param serialHints Per substitute as in Trust.mintWithReceipt.
    function recordMadeGood(
        MadeGood calldata madeGood,
        uint64[] calldata serialHints,
        uint64 positionHint,
        bytes[] calldata signatures
    ) external returns (bytes32 madeGoodId);

    /// @dev Only Deliveries (Delivered) and Gaps (Void): marks positions as settled.
    /// Without a hint: these positions left at the front, above every settled one of the class.
    function settle(uint256 classId, uint48 firstPosition, uint48 tonnes, Settled kind) external;

    /// @dev Only ProgrammeEvents: binds serials, registered already, to the positions of a gap,
    /// which lie in one piece.
    function rebind(
        uint256 classId, uint48 position, uint48 tonnes, uint32 seriesNumber, uint64 first
    ) external;

    /// @notice The serial behind a position after every exchange; `run` tonnes from there on
    /// stand on consecutive serials (the rest of the piece: the next may or may not continue it).
    function serialAt(uint256 classId, uint48 position)
        external
        view
        returns (bytes32 seriesId, uint32 seriesNumber, uint64 serial, uint48 run);

    /// @notice The lowest settled range that shares a position with [first, last], and how.
    function settledWithin(uint256 classId, uint48 first, uint48 last, uint64 positionHint)
        external
        view
        returns (Settled kind, uint48 settledFirst, uint48 settledLast);

    function hashRegistryRetirement(RegistryRetirement calldata retirement)
        external
        view
        returns (bytes32);

    function hashRegistryFailure(RegistryFailure calldata failure) external view returns (bytes32);

    function hashMadeGood(MadeGood calldata madeGood) external view returns (bytes32);
}
