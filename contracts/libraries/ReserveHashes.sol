// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReserveReport} from "../interfaces/IReserve.sol";

/// @title EIP-712 struct hash of a reserve report (twin: `domain/reserve.py`).
library ReserveHashes {
    bytes32 internal constant REPORT_TYPEHASH = keccak256(
        "ReserveReport(uint64 sequence,uint64 asOf,uint64 chainBlock,bytes32 root,uint64 tonnes,"
        "bytes32 liabilitiesRoot,uint128 liabilitiesKilograms,bytes32 evidenceHash)"
    );

    function hash(ReserveReport calldata report) internal pure returns (bytes32) {
        // Every member is one word: the struct encodes to its members in order.
        return keccak256(abi.encode(REPORT_TYPEHASH, report));
    }
}
