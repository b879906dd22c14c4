// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass} from "../interfaces/ICarbonCredits.sol";
import {Interval, Receipt, RegistryRetirement} from "../interfaces/ITrust.sol";

/// @title EIP-712 struct hashes of what custodians and attestors sign (twin: `domain/custody.py`).
library TrustHashes {
    bytes private constant CLASS_TYPE =
        "CreditClass(string programme,string project,uint8 unitType,uint32 vintageStart,uint32 vintageEnd,bytes32[] cohort)";
    bytes private constant INTERVAL_TYPE = "Interval(Series series,uint64 first,uint64 last)";
    bytes private constant SERIES_TYPE = "Series(string programme,uint256[] codes)";
    bytes private constant RECEIPT_TYPE =
        "Receipt(address recipient,CreditClass creditClass,bytes32 account,Interval[] intervals,bytes32 evidenceHash,bytes32 termsHash,uint64 validUntil)";
    bytes private constant RETIREMENT_TYPE =
        "RegistryRetirement(uint256 classId,uint64 firstPosition,uint64 tonnes,Interval[] actual,string registryReference,uint32 registryDate,bytes32 evidenceHash)";

    bytes32 internal constant CLASS_TYPEHASH = keccak256(CLASS_TYPE);
    bytes32 internal constant SERIES_TYPEHASH = keccak256(SERIES_TYPE);
    bytes32 internal constant INTERVAL_TYPEHASH =
        keccak256(abi.encodePacked(INTERVAL_TYPE, SERIES_TYPE));
    bytes32 internal constant RECEIPT_TYPEHASH =
        keccak256(abi.encodePacked(RECEIPT_TYPE, CLASS_TYPE, INTERVAL_TYPE, SERIES_TYPE));
    bytes32 internal constant RETIREMENT_TYPEHASH =
        keccak256(abi.encodePacked(RETIREMENT_TYPE, INTERVAL_TYPE, SERIES_TYPE));

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

    function hash(RegistryRetirement calldata retirement) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RETIREMENT_TYPEHASH,
                retirement.classId,
                retirement.firstPosition,
                retirement.tonnes,
                hash(retirement.actual),
                keccak256(bytes(retirement.registryReference)),
                retirement.registryDate,
                retirement.evidenceHash
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
            Interval calldata interval = intervals[i];
            bytes32 series = keccak256(
                abi.encode(
                    SERIES_TYPEHASH,
                    keccak256(bytes(interval.series.programme)),
                    keccak256(abi.encodePacked(interval.series.codes))
                )
            );
            hashes[i] =
                keccak256(abi.encode(INTERVAL_TYPEHASH, series, interval.first, interval.last));
        }
        return keccak256(abi.encodePacked(hashes));
    }
}
