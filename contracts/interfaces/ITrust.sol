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

/// @title Custody: signers, receipts, the serial interval register and the blocks of each class.
/// @notice Every mint carries signatures of M custodians and N attestors over EIP-712
/// ("Causeway Trust", "1") and a proof that the reserve backs it (L3). One address has at most one
/// role. Registered serials leave the register only when a delivery of them is finalised (L2, L4).
/// What registries did for consumed positions is in RegistryRecords.
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
    /// @dev Serials of `source` (a module's record) that came into the register without a receipt.
    event SerialsRegistered(
        bytes32 indexed seriesId, bytes32 indexed source, uint256 indexed classId,
        uint64 first, uint64 last
    );
    /// @dev A block on serials that were registered before: a refund, a gap at the back, a
    /// conversion.
    event BlockAppended(
        uint256 indexed classId, bytes32 indexed seriesId, bytes32 indexed source,
        uint64 first, uint64 last, uint48 firstPosition
    );
    event SerialsReleased(bytes32 indexed seriesId, uint64 first, uint64 last);

    error TrustSignerHasRole(address signer, Role role);
    error TrustThresholdInvalid(uint8 custodians, uint8 attestors);
    error TrustSignaturesNotAscending(address previous, address next);
    error TrustSignerUnknown(address signer);
    error TrustApprovalsMissing(
        uint256 custodians, uint256 custodiansNeeded, uint256 attestors, uint256 attestorsNeeded
    );
    error TrustReceiptUsed(bytes32 receiptId);
    error TrustReceiptCancelled(bytes32 receiptId);
    /// @dev Another receipt has the same 63 bits of its id; sign anew with any field changed.
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
    error SerialsNotRegistered(bytes32 seriesId, uint64 first, uint64 last);
    error TrustOnlyModule(address caller);
    error TrustAppendPositionDiffers(uint256 classId, uint48 position, uint48 expected);
    error TrustConvertedTonnesDiffer(uint256 tonnes, uint256 serials);
    error TrustSeriesUnknown(uint32 seriesNumber);
    error PositionUnknown(uint256 classId, uint48 position);

    /// @notice Gives or takes (None) a role; a signer with a role must lose it before another.
    function setSigner(address signer, Role role) external;

    /// @notice How many of each role must sign; neither may be 0.
    function setThresholds(uint8 custodians, uint8 attestors) external;

    /// @notice Mints against a receipt; anyone may submit it.
    /// @param hints Per interval the `first` of a registered interval of the series that begins
    /// below it, 0 for the head; a stale hint is repaired by walking at most 32 nodes.
    /// @param reserveProof The proof of a mint as IReserve packs it: per interval the live block of
    /// `receipt.account` that holds it, and the class's leaf.
    /// @param signatures 65-byte ECDSA signatures over the receipt, by ascending signer.
    function mintWithReceipt(
        Receipt calldata receipt,
        uint64[] calldata hints,
        bytes calldata reserveProof,
        bytes[] calldata signatures
    ) external returns (bytes32 receiptId);

    /// @notice Either kind of signer cancels a receipt that was not minted.
    function cancelReceipt(bytes32 receiptId) external;

    /// @dev Only RegistryRecords (made good) and ProgrammeEvents (substitutes): puts serials into
    /// the register under the class, without positions. A class that does not exist counts as none.
    /// @param source What the serials came with: the id of a module's record.
    function register(
        bytes32 source, uint256 classId, Interval[] calldata intervals, uint64[] calldata hints
    ) external returns (uint32[] memory seriesNumbers);

    /// @dev Only Deliveries (refund) and Gaps (a gap at the back): a block of serials
    /// that are registered already. `position` is where the class's blocks end. Called before the
    /// tokens are minted, so that a recipient that is called back finds the blocks complete.
    function append(
        bytes32 source, uint256 classId, uint32 seriesNumber, uint64 first, uint48 position,
        uint48 tonnes
    ) external;

    /// @dev Only Deliveries, when a delivery is finalised: the interval, which lies in one
    /// registered interval, leaves the register and may be deposited again.
    /// @param hint As in `mintWithReceipt`.
    function release(bytes32 seriesId, uint64 first, uint64 last, uint64 hint) external;

    /// @dev Only ProgrammeEvents, which gets the tokens. Without `serials`: one block on the
    /// registered serials from `first` of `seriesNumber` on (LABEL_SPLIT; the register keeps the
    /// class under which they came in). With: new serials, `tonnes` in all, and their blocks.
    function mintConverted(
        bytes32 source,
        CreditClass calldata toClass,
        uint48 tonnes,
        uint32 seriesNumber,
        uint64 first,
        Interval[] calldata serials,
        uint64[] calldata hints
    ) external returns (uint256 classId, uint48 firstPosition);

    /// @notice The signers of a digest, if they are M custodians and N attestors (else reverts):
    /// what every module asks. Roles and thresholds are read now, not as of the signature.
    function requireApprovals(bytes32 digest, bytes[] calldata signatures)
        external
        view
        returns (address[] memory signers);

    function role(address signer) external view returns (Role);

    function thresholds() external view returns (uint8 custodians, uint8 attestors);

    function receiptStatus(bytes32 receiptId) external view returns (ReceiptStatus);

    /// @notice EIP-712 digest of a receipt: what is signed, and its id.
    function hashReceipt(Receipt calldata receipt) external view returns (bytes32);

    /// @notice keccak256(abi.encode(programme, tuple…)); reverts unless canonical.
    function hashSeries(Series calldata series) external pure returns (bytes32);

    /// @notice The registered interval of a series that begins at `first` (all 0 if none);
    /// first = 0 is the head, whose `next` is the lowest interval. `classId` is the class under
    /// which the interval was registered, 0 when that class does not exist.
    function registered(bytes32 seriesId, uint64 first)
        external
        view
        returns (uint64 last, uint64 next, uint256 classId);

    /// @notice How many blocks a class has, in the order of their positions.
    function blockCount(uint256 classId) external view returns (uint256);

    /// @notice A block as it was minted or appended; `series` is the id of its series.
    function blockAt(uint256 classId, uint256 index)
        external
        view
        returns (bytes32 series, uint64 first, uint64 last, uint48 firstPosition);

    /// @notice The block [start, end) that holds a position; `number` is that of its series,
    /// `first` the serial of `start`.
    function findBlock(uint256 classId, uint48 position)
        external
        view
        returns (uint48 start, uint48 end, uint32 number, uint64 first);

    /// @notice The series with this number; numbers run from 1.
    function seriesId(uint32 seriesNumber) external view returns (bytes32);

    /// @notice Number of a series, 0 when nothing of it was ever registered.
    function seriesNumber(bytes32 seriesId) external view returns (uint32);
}
