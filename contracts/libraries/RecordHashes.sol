// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MadeGood, RegistryFailure, RegistryRetirement} from "../interfaces/IRegistryRecords.sol";
import {TrustHashes} from "./TrustHashes.sol";

/// @title EIP-712 struct hashes of what registries did (twin: `domain/custody.py`).
library RecordHashes {
    // Whole literals, so that the compiler hashes them and not every transaction.
    bytes32 internal constant RETIREMENT_TYPEHASH = keccak256(
        "RegistryRetirement(uint256 classId,uint64 firstPosition,uint64 tonnes,"
        "Interval[] actual,string registryReference,uint32 registryDate,"
        "bytes32 evidenceHash)"
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );
    bytes32 internal constant FAILURE_TYPEHASH = keccak256(
        "RegistryFailure(uint256 classId,uint64 firstPosition,uint64 tonnes,"
        "string reason,uint32 registryDate,bytes32 evidenceHash)"
    );
    bytes32 internal constant MADE_GOOD_TYPEHASH = keccak256(
        "MadeGood(uint256 classId,uint64 firstPosition,uint64 tonnes,uint256 substituteClass,"
        "Interval[] substitutes,string registryReference,uint32 registryDate,"
        "bytes32 evidenceHash)"
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );

    function hash(RegistryRetirement calldata retirement) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RETIREMENT_TYPEHASH,
                retirement.classId,
                retirement.firstPosition,
                retirement.tonnes,
                TrustHashes.hash(retirement.actual),
                keccak256(bytes(retirement.registryReference)),
                retirement.registryDate,
                retirement.evidenceHash
            )
        );
    }

    function hash(RegistryFailure calldata failure) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                FAILURE_TYPEHASH,
                failure.classId,
                failure.firstPosition,
                failure.tonnes,
                keccak256(bytes(failure.reason)),
                failure.registryDate,
                failure.evidenceHash
            )
        );
    }

    function hash(MadeGood calldata madeGood) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                MADE_GOOD_TYPEHASH,
                madeGood.classId,
                madeGood.firstPosition,
                madeGood.tonnes,
                madeGood.substituteClass,
                TrustHashes.hash(madeGood.substitutes),
                keccak256(bytes(madeGood.registryReference)),
                madeGood.registryDate,
                madeGood.evidenceHash
            )
        );
    }
}
