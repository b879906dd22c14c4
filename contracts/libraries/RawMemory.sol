// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Words at memory addresses, for records that are packed tighter than Solidity's structs.
/// @dev Safe, because every address given lies in a region that `allocate` reserved (or in the
/// scratch space, below 0x40), and every word is stored before it is loaded.
library RawMemory {
    function load(uint256 place) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(place)
        }
    }

    function store(uint256 place, uint256 word) internal pure {
        assembly ("memory-safe") {
            mstore(place, word)
        }
    }

    /// @dev What was there before is still there: the caller stores before it loads.
    function allocate(uint256 size) internal pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := mload(0x40)
            mstore(0x40, add(place, size))
        }
    }

    /// @dev Allocates all memory up to `end`, of which what lies from `start` on has a fixed place:
    /// what is often read is then read without adding to a pointer. Once in a call, before
    /// anything large is allocated.
    function claim(uint256 start, uint256 end) internal pure {
        assembly ("memory-safe") {
            if gt(mload(0x40), start) { invalid() }
            mstore(0x40, end)
        }
    }

    /// @dev keccak256 of two words, in the scratch space.
    function hashPair(uint256 first, uint256 second) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            mstore(0x00, first)
            mstore(0x20, second)
            digest := keccak256(0x00, 0x40)
        }
    }

    function hash(uint256 place, uint256 length) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := keccak256(place, length)
        }
    }
}
