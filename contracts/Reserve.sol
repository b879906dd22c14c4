// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IReserve, LiveBlock, ReserveProof, ReserveReport} from "./interfaces/IReserve.sol";
import {ITrust} from "./interfaces/ITrust.sol";
import {ReserveHashes} from "./libraries/ReserveHashes.sol";
import {SumTree} from "./libraries/SumTree.sol";

/// @title See IReserve: every rule and every power is written there.
contract Reserve is IReserve, EIP712 {
    /// @dev One slot: what a mint reads beside the root.
    struct Essentials {
        uint64 sequence;
        uint64 asOf;
        uint64 chainBlock;
        uint64 tonnes;
    }

    ITrust public immutable TRUST;
    /// @inheritdoc IReserve
    uint256 public immutable maxAge;

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
        uint64[] calldata firsts,
        uint64[] calldata lasts,
        bytes calldata proof
    ) external view {
        Essentials memory newest = _requireReport();
        if (block.timestamp > newest.asOf + maxAge) {
            revert ReserveStale(newest.asOf, maxAge, block.timestamp);
        }
        ReserveProof calldata given = _requireClassLeaf(classId, proof, newest.tonnes);
        if (mintedAfter > given.covered) revert ReserveShort(classId, mintedAfter, given.covered);
        LiveBlock[] calldata blocks = given.blocks;
        if (blocks.length != seriesIds.length) revert ReserveProofInvalid(classId);
        for (uint256 i = 0; i < seriesIds.length; ++i) {
            _requireListed(classId, given, blocks[i], seriesIds[i], firsts[i], lasts[i], account);
        }
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
        Essentials memory newest = _requireReport();
        if (newest.asOf <= after_) revert ReserveTooEarly(newest.asOf, after_);
        ReserveProof calldata given = _requireClassLeaf(classId, proof, newest.tonnes);
        if (given.blocks.length != 1) revert ReserveProofInvalid(classId);
        LiveBlock calldata held = given.blocks[0];
        _requireListed(classId, given, held, seriesId, first, last, held.account);
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

    function _requireReport() private view returns (Essentials memory newest) {
        newest = _newest;
        if (newest.sequence == 0) revert ReserveMissing();
    }

    /// @dev The proof, whose class leaf leads to the root of the newest report.
    function _requireClassLeaf(uint256 classId, bytes calldata proof, uint64 tonnes)
        private
        view
        returns (ReserveProof calldata given)
    {
        // Where abi.encode put the struct: behind the word that says so. What lies outside the
        // proof is other data of the call, and proves as little.
        if (proof.length < 0x20 || uint256(bytes32(proof)) != 0x20) {
            revert ReserveProofInvalid(classId);
        }
        assembly ("memory-safe") {
            given := add(proof.offset, 0x20)
        }
        bytes32 leaf = SumTree.classLeaf(
            classId, given.covered, given.blocksRoot, given.blocksTonnes
        );
        if (!SumTree.leads(given.path, leaf, given.covered, _root, tonnes)) {
            revert ReserveProofInvalid(classId);
        }
    }

    /// @dev [first, last] lies in the live block of the account, which is one of the class's.
    function _requireListed(
        uint256 classId,
        ReserveProof calldata given,
        LiveBlock calldata held,
        bytes32 seriesId,
        uint64 first,
        uint64 last,
        bytes32 account
    ) private pure {
        (uint64 heldFirst, uint64 heldLast) = (held.first, held.last);
        if (
            held.seriesId != seriesId || held.account != account || first < heldFirst
                || last > heldLast
        ) {
            revert ReserveBlockMissing(seriesId, first, last, account);
        }
        bytes32 leaf = SumTree.blockLeaf(seriesId, heldFirst, heldLast, account);
        // heldFirst ≤ first ≤ last ≤ heldLast; registered serials start at 1, so no overflow
        // unless the block is no block.
        uint64 sum = heldLast - heldFirst + 1;
        if (!SumTree.leads(held.path, leaf, sum, given.blocksRoot, given.blocksTonnes)) {
            revert ReserveProofInvalid(classId);
        }
    }
}
