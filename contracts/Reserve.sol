// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IReserve, ReserveReport} from "./interfaces/IReserve.sol";
import {ITrust} from "./interfaces/ITrust.sol";
import {ReserveHashes} from "./libraries/ReserveHashes.sol";
import {SumTree} from "./libraries/SumTree.sol";

/// @title See IReserve: every rule and every power is written there.
contract Reserve is IReserve, EIP712 {
    struct Essentials {
        uint64 sequence;
        uint64 asOf;
        uint64 chainBlock;
        uint64 tonnes;
    }

    ITrust public immutable TRUST;
    /// @inheritdoc IReserve
    uint256 public immutable maxAge;

    uint256 private constant ROOT_BITS = 216;

    /// @dev All that a mint reads, in one slot: time 40 | 216 bits of keccak256(root ‖ tonnes).
    uint256 private _commitment;
    Essentials private _newest;
    bytes32 private _root;

    constructor(address trust, uint256 maxAgeSeconds) EIP712("Causeway Reserve", "1") {
        TRUST = ITrust(trust);
        maxAge = maxAgeSeconds;
    }

    /// @inheritdoc IReserve
    function report(ReserveReport calldata newReport, bytes[] calldata signatures)
        external
        returns (bytes32 reportId)
    {
        Essentials memory previous = _newest;
        // 2^64 reports do not happen.
        uint64 expected = previous.sequence + 1;
        if (newReport.sequence != expected) {
            revert ReserveSequenceInvalid(newReport.sequence, expected);
        }
        (uint64 asOf, uint64 chainBlock) = (newReport.asOf, newReport.chainBlock);
        if (asOf < previous.asOf || asOf > block.timestamp) {
            revert ReserveTimeInvalid(asOf, previous.asOf, block.timestamp);
        }
        if (chainBlock < previous.chainBlock) {
            revert ReserveChainBlockInvalid(chainBlock, previous.chainBlock);
        }
        reportId = hashReport(newReport);
        address[] memory signers = TRUST.requireApprovals(reportId, signatures);

        // Not after the chain's time, which fits 40 bits.
        _commitment = uint256(asOf) << ROOT_BITS | _commit(newReport.root, newReport.tonnes);
        _newest = Essentials(expected, asOf, chainBlock, newReport.tonnes);
        _root = newReport.root;

        emit ReserveReported(
            expected,
            reportId,
            asOf,
            chainBlock,
            newReport.root,
            newReport.tonnes,
            newReport.liabilitiesRoot,
            newReport.liabilitiesKilograms,
            newReport.evidenceHash,
            signers
        );
    }

    /// @inheritdoc IReserve
    function requireBacked(
        uint256 classId,
        uint256 mintedAfter,
        bytes32 account,
        bytes32[] calldata seriesIds,
        uint128[] calldata spans,
        bytes calldata proof
    ) external view {
        uint256 newest = _requireReport();
        uint256 asOf = newest >> ROOT_BITS;
        if (block.timestamp > asOf + maxAge) {
            revert ReserveStale(uint64(asOf), maxAge, block.timestamp);
        }
        uint256 at;
        bytes32 root;
        uint256 tonnes;
        for (uint256 i = 0; i < seriesIds.length; ++i) {
            bytes32 found;
            uint256 sum;
            (found, sum, at) = _followBlock(classId, seriesIds[i], spans[i], account, proof, at);
            // All blocks of one proof are of one class.
            if (i != 0 && (found != root || sum != tonnes)) revert ReserveProofInvalid(classId);
            (root, tonnes) = (found, sum);
        }
        uint256 covered = _requireClass(classId, root, tonnes, proof, at, newest);
        if (mintedAfter > covered) revert ReserveShort(classId, mintedAfter, covered);
    }

    /// @inheritdoc IReserve
    function requireLive(
        uint256 classId,
        bytes32 seriesId,
        uint64 first,
        uint64 last,
        uint64 after_,
        bytes calldata proof
    ) external view {
        uint256 newest = _requireReport();
        uint64 asOf = uint64(newest >> ROOT_BITS);
        if (asOf <= after_) revert ReserveTooEarly(asOf, after_);
        if (proof.length < 32) revert ReserveProofInvalid(classId);
        bytes32 account = bytes32(proof);
        bytes calldata rest = proof[32:];
        (bytes32 root, uint256 tonnes, uint256 at) =
            _followBlock(classId, seriesId, uint128(first) << 64 | last, account, rest, 0);
        _requireClass(classId, root, tonnes, rest, at, newest);
    }

    /// @inheritdoc IReserve
    function current()
        external
        view
        returns (uint64 sequence, uint64 asOf, bytes32 root, uint64 tonnes)
    {
        return (_newest.sequence, _newest.asOf, _root, _newest.tonnes);
    }

    /// @inheritdoc IReserve
    function hashReport(ReserveReport calldata newReport) public view returns (bytes32) {
        return _hashTypedDataV4(ReserveHashes.hash(newReport));
    }

    function _requireReport() private view returns (uint256 newest) {
        newest = _commitment;
        if (newest == 0) revert ReserveMissing();
    }

    /// @dev The class leaf at `at` leads to the root of the newest report; the proof ends there.
    function _requireClass(
        uint256 classId,
        bytes32 blocksRoot,
        uint256 blocksTonnes,
        bytes calldata proof,
        uint256 at,
        uint256 newest
    ) private pure returns (uint256 covered) {
        covered = _number(proof, at);
        bytes32 leaf =
            SumTree.classLeaf(classId, uint64(covered), blocksRoot, uint64(blocksTonnes));
        (bytes32 root, uint256 tonnes, uint256 end, bool good) =
            SumTree.follow(proof, at + 8, leaf, covered);
        if (
            !good || end != proof.length
                || _commit(root, uint64(tonnes)) != uint256(uint216(newest))
        ) {
            revert ReserveProofInvalid(classId);
        }
    }

    /// @dev The span lies in the live block at `at`; where that block's path leads and ends.
    function _followBlock(
        uint256 classId,
        bytes32 seriesId,
        uint128 span,
        bytes32 account,
        bytes calldata proof,
        uint256 at
    ) private pure returns (bytes32 root, uint256 tonnes, uint256 end) {
        (uint64 first, uint64 last) = (uint64(span >> 64), uint64(span));
        (uint256 heldFirst, uint256 heldLast) = (_number(proof, at), _number(proof, at + 8));
        if (first < heldFirst || last > heldLast) {
            revert ReserveBlockMissing(seriesId, first, last, account);
        }
        bytes32 leaf =
            SumTree.blockLeaf(seriesId, uint64(heldFirst), uint64(heldLast), account);
        bool good;
        (root, tonnes, end, good) =
            SumTree.follow(proof, at + 16, leaf, heldLast - heldFirst + 1);
        if (!good) revert ReserveProofInvalid(classId);
    }

    /// @dev Eight bytes of a proof; what lies past its end is other data of the call.
    function _number(bytes calldata proof, uint256 at) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(192, calldataload(add(proof.offset, at)))
        }
    }

    function _commit(bytes32 root, uint64 tonnes) private pure returns (uint256) {
        return uint256(uint216(uint256(keccak256(abi.encode(root, tonnes)))));
    }
}
