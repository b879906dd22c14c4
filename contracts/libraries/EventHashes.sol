// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Conversion,
    Invalidation,
    ProgrammeEvent,
    Substitution
} from "../interfaces/IProgrammeEvents.sol";
import {TrustHashes} from "./TrustHashes.sol";

/// @title EIP-712 struct hashes of programme events (twin: `domain/programme_events.py`).
library EventHashes {
    // Whole literals, so that the compiler hashes them and not every transaction.
    bytes32 internal constant EVENT_TYPEHASH = keccak256(
        "ProgrammeEvent(uint8 kind,uint256 classId,string subject,string reason,uint32 asOf,"
        "bytes32 evidenceHash,uint64 nonce)"
    );
    bytes32 internal constant INVALIDATION_TYPEHASH = keccak256(
        "Invalidation(uint256 classId,uint64 firstPosition,uint64 tonnes,Interval serials,"
        "string reason,uint32 asOf,bytes32 evidenceHash)"
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );
    bytes32 internal constant SUBSTITUTION_TYPEHASH = keccak256(
        "Substitution(uint256 classId,uint64 firstPosition,Interval[] serials,string reason,"
        "uint32 asOf,bytes32 evidenceHash)"
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );
    bytes32 internal constant CONVERSION_TYPEHASH = keccak256(
        "Conversion(uint8 kind,uint256 fromClass,CreditClass toClass,uint64 firstPosition,"
        "uint64 tonnes,Interval[] serials,bytes32 root,uint64 chainBlock,string reason,"
        "uint32 asOf,bytes32 evidenceHash)"
        "CreditClass(string programme,string project,uint8 unitType,uint32 vintageStart,"
        "uint32 vintageEnd,bytes32[] cohort)"
        "Interval(Series series,uint64 first,uint64 last)"
        "Series(string programme,uint256[] codes)"
    );

    function hash(ProgrammeEvent calldata published) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                EVENT_TYPEHASH,
                published.kind,
                published.classId,
                keccak256(bytes(published.subject)),
                keccak256(bytes(published.reason)),
                published.asOf,
                published.evidenceHash,
                published.nonce
            )
        );
    }

    function hash(Invalidation calldata invalidation) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                INVALIDATION_TYPEHASH,
                invalidation.classId,
                invalidation.firstPosition,
                invalidation.tonnes,
                TrustHashes.hash(invalidation.serials),
                keccak256(bytes(invalidation.reason)),
                invalidation.asOf,
                invalidation.evidenceHash
            )
        );
    }

    function hash(Substitution calldata substitution) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                SUBSTITUTION_TYPEHASH,
                substitution.classId,
                substitution.firstPosition,
                TrustHashes.hash(substitution.serials),
                keccak256(bytes(substitution.reason)),
                substitution.asOf,
                substitution.evidenceHash
            )
        );
    }

    function hash(Conversion calldata conversion) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                CONVERSION_TYPEHASH,
                conversion.kind,
                conversion.fromClass,
                TrustHashes.hash(conversion.toClass),
                conversion.firstPosition,
                conversion.tonnes,
                TrustHashes.hash(conversion.serials),
                conversion.root,
                conversion.chainBlock,
                keccak256(bytes(conversion.reason)),
                conversion.asOf,
                conversion.evidenceHash
            )
        );
    }
}
