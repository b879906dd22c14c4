// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice What custodian and attestor found in the trust accounts at `asOf` (Unix seconds).
/// @param sequence 1, 2, 3 …: reports replace each other in this order only.
/// @param chainBlock The finalised chain block whose positions `root` counts.
/// @param root Merkle-sum root over classes; `tonnes` is its sum.
/// @param liabilitiesRoot Merkle-sum root over (class, holder) of every balance at `chainBlock`,
/// accounts at venues included; `liabilitiesKilograms` is its sum.
struct ReserveReport {
    uint64 sequence;
    uint64 asOf;
    uint64 chainBlock;
    bytes32 root;
    uint64 tonnes;
    bytes32 liabilitiesRoot;
    uint128 liabilitiesKilograms;
    bytes32 evidenceHash;
}

/// @title Reserve reports: what may be minted, proven by Merkle sums (L3).
/// @notice Hashes. Block leaf: keccak256(0x00 ‖ seriesId ‖ uint64 first ‖ uint64 last ‖
/// account), its
/// sum last − first + 1. Class leaf: keccak256(0x02 ‖ uint256 classId ‖ uint64 covered ‖
/// blocksRoot ‖
/// uint64 blocksTonnes), its sum `covered`. Liability leaf: keccak256(0x03 ‖ uint256 classId ‖
/// address holder ‖ uint64 kilograms), its sum `kilograms`. Node: keccak256(0x01 ‖ left ‖ uint64
/// leftSum ‖ right ‖ uint64 rightSum). All packed (‖), big-endian. A tree over n leaves splits
/// at the
/// largest power of two below n; no leaves: root 0, sum 0. Leaves ascend by (seriesId, first), by
/// classId, by (classId, holder). EIP-712 domain ("Causeway Reserve", "1").
/// Proofs, packed. Path, from the leaf up: uint8 depth ‖ uint32 rightBits ‖ depth × (bytes32
/// sibling ‖ uint64 siblingSum); bit i of `rightBits` is set when our node is the right child at
/// level i. Block: uint64 first ‖ uint64 last ‖ path. Proof of a mint: per interval, in order, the
/// block that holds it ‖ uint64 covered ‖ path of the class's leaf. Series, account, class and
/// blocksRoot are not in it: the contract knows or derives them. Proof of life: bytes32 account ‖
/// the proof of a mint for one interval. `covered` = appended positions that have fully exited or
/// whose serial is in a listed live block + listed live tonnes of the class that no position names.
interface IReserve {
    event ReserveReported(
        uint64 indexed sequence, bytes32 indexed reportId, uint64 asOf, uint64 chainBlock,
        bytes32 root, uint64 tonnes, bytes32 liabilitiesRoot, uint128 liabilitiesKilograms,
        bytes32 evidenceHash, address[] signers
    );

    error ReserveSequenceInvalid(uint64 sequence, uint64 expected);
    /// @dev Before the report that it replaces, or after the chain's own time.
    error ReserveTimeInvalid(uint64 asOf, uint64 previous, uint256 chainTime);
    error ReserveChainBlockInvalid(uint64 chainBlock, uint64 previous);
    error ReserveTooEarly(uint64 asOf, uint64 needed);
    error ReserveStale(uint64 asOf, uint256 maxAge, uint256 chainTime);
    error ReserveMissing();
    error ReserveShort(uint256 classId, uint256 mintedAfter, uint256 covered);
    error ReserveProofInvalid(uint256 classId);
    error ReserveBlockMissing(bytes32 seriesId, uint64 first, uint64 last, bytes32 account);

    /// @notice Replaces the report; anyone may submit it.
    function report(ReserveReport calldata newReport, bytes[] calldata signatures)
        external
        returns (bytes32 reportId);

    /// @dev Called by Trust at a mint. Reverts unless the report is fresh, minted after ≤ covered
    /// and every interval (first = spans[i] >> 64, last its low half) of seriesIds[i] lies in a
    /// live block of `account`.
    function requireBacked(
        uint256 classId,
        uint256 mintedAfter,
        bytes32 account,
        bytes32[] calldata seriesIds,
        uint128[] calldata spans,
        bytes calldata proof
    ) external view;

    /// @dev Called by Deliveries. Reverts unless the newest report is later than `after_` and one
    /// of its live blocks of the class, in whatever account, holds [first, last]; it may be stale.
    function requireLive(
        uint256 classId, bytes32 seriesId, uint64 first, uint64 last, uint64 after_,
        bytes calldata proof
    ) external view;

    /// @notice The newest report's essentials; all 0 before the first.
    function current()
        external
        view
        returns (uint64 sequence, uint64 asOf, bytes32 root, uint64 tonnes);

    /// @notice Seconds after which a report refuses mints; immutable.
    function maxAge() external view returns (uint256);

    function hashReport(ReserveReport calldata newReport) external view returns (bytes32);
}
