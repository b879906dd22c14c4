// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass} from "../interfaces/ICarbonCredits.sol";
import {Interval, Receipt, Series} from "../interfaces/ITrust.sol";

/// @title EIP-712 struct hashes of what custodians and attestors sign (twin: `domain/custody.py`).
library TrustHashes {
    // Whole literals, so that the compiler hashes them and not every transaction.
    bytes32 internal constant CLASS_TYPEHASH = keccak256(
        "CreditClass(string programme,string project,uint8 unitType,uint32 vintageStart,"
        "uint32 vintageEnd,bytes32[] cohort)"
    );
    bytes32 internal constant SERIES_TYPEHASH = keccak256(
        "Series(string programme,uint256[] codes)"
    );
    bytes32 internal constant INTERVAL_TYPEHASH = keccak256(
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );
    bytes32 internal constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(address recipient,CreditClass creditClass,bytes32 account,"
        "Interval[] intervals,bytes32 evidenceHash,bytes32 termsHash,uint64 validUntil)"
        "CreditClass(string programme,string project,uint8 unitType,uint32 vintageStart,"
        "uint32 vintageEnd,bytes32[] cohort)"
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );

    function hash(Receipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RECEIPT_TYPEHASH,
                receipt.recipient,
                hash(receipt.creditClass),
                receipt.account,
                hash(receipt.intervals),
                receipt.evidenceHash,
                receipt.termsHash,
                receipt.validUntil
            )
        );
    }

    function hash(CreditClass calldata creditClass) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                CLASS_TYPEHASH,
                keccak256(bytes(creditClass.programme)),
                keccak256(bytes(creditClass.project)),
                creditClass.unitType,
                creditClass.vintageStart,
                creditClass.vintageEnd,
                keccak256(abi.encodePacked(creditClass.cohort))
            )
        );
    }

    function hash(Interval[] calldata intervals) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](intervals.length);
        for (uint256 i = 0; i < intervals.length; ++i) {
            hashes[i] = hash(intervals[i]);
        }
        return _hashWords(hashes);
    }

    function hash(Interval calldata interval) internal pure returns (bytes32) {
        Series calldata named = interval.series;
        bytes32 series = keccak256(
            abi.encode(
                SERIES_TYPEHASH,
                keccak256(bytes(named.programme)),
                keccak256(abi.encodePacked(named.codes))
            )
        );
        return keccak256(abi.encode(INTERVAL_TYPEHASH, series, interval.first, interval.last));
    }

    /// @dev keccak256(abi.encodePacked(words)) without copying them.
    function _hashWords(bytes32[] memory words) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            result := keccak256(add(words, 0x20), shl(5, mload(words)))
        }
    }
}
