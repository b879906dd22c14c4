// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Leaves, nodes and paths of Merkle-sum trees (twin: `domain/reserve.py`).
/// @notice IReserve says what is hashed. A node hashes both children's sums, so no sum can be moved
/// between them; sums that would pass 64 bits are no tree; leaves and nodes differ in the prefix.
library SumTree {
    /// @notice A block of live serials; its sum is last − first + 1.
    function blockLeaf(bytes32 seriesId, uint64 first, uint64 last, bytes32 account)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(uint8(0), seriesId, first, last, account));
    }

    /// @notice What covers a class; its sum is `covered`.
    function classLeaf(uint256 classId, uint64 covered, bytes32 blocksRoot, uint64 blocksTonnes)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(uint8(2), classId, covered, blocksRoot, blocksTonnes));
    }

    /// @notice What a holder has; its sum is `kilograms`.
    function liabilityLeaf(uint256 classId, address holder, uint64 kilograms)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(uint8(3), classId, holder, kilograms));
    }

    /// @notice Follows a packed path (IReserve) that begins `at` bytes into a proof.
    /// Returns where the leaf leads with its sum, where the path ends, and whether no sum passes 64
    /// bits and no right turn is left over.
    /// @dev What is read past the proof is other data of the call: the caller compares the end.
    function follow(bytes calldata proof, uint256 at, bytes32 leaf, uint256 sum)
        internal
        pure
        returns (bytes32 node, uint256 total, uint256 end, bool good)
    {
        assembly ("memory-safe") {
            let place := add(proof.offset, at)
            let turns := shr(216, calldataload(place))
            let depth := shr(32, turns)
            turns := and(turns, 0xffffffff)
            place := add(place, 5)
            end := add(add(at, 5), mul(depth, 40))
            // 0x01 ‖ left ‖ uint64 leftSum ‖ right ‖ uint64 rightSum, in the free memory.
            let free := mload(0x40)
            mstore8(free, 1)
            let left := add(free, 1)
            let leftSum := add(free, 33)
            let right := add(free, 41)
            let rightSum := add(free, 73)
            node := leaf
            total := sum
            let passed := shr(64, total)
            for {} depth { depth := sub(depth, 1) } {
                let sibling := calldataload(place)
                let siblingSum := shr(192, calldataload(add(place, 32)))
                switch and(turns, 1)
                case 0 {
                    mstore(left, node)
                    mstore(leftSum, shl(192, total))
                    mstore(right, sibling)
                    mstore(rightSum, shl(192, siblingSum))
                }
                default {
                    mstore(left, sibling)
                    mstore(leftSum, shl(192, siblingSum))
                    mstore(right, node)
                    mstore(rightSum, shl(192, total))
                }
                node := keccak256(free, 81)
                total := add(total, siblingSum)
                passed := or(passed, shr(64, total))
                turns := shr(1, turns)
                place := add(place, 40)
            }
            good := iszero(or(passed, turns))
        }
    }

    /// @notice Whether `leaf` with `sum` leads along the path to exactly `root` with `total`.
    function leads(
        uint256 rightBits,
        bytes32[] calldata siblings,
        uint64[] calldata sums,
        bytes32 leaf,
        uint64 sum,
        bytes32 root,
        uint64 total
    ) internal pure returns (bool) {
        uint256 depth = siblings.length;
        if (depth != sums.length) return false;
        uint256 running = sum;
        bytes32 node = leaf;
        for (uint256 level = 0; level < depth; ++level) {
            bytes32 sibling = siblings[level];
            uint256 siblingSum = sums[level];
            node = rightBits & 1 == 1
                ? _node(sibling, siblingSum, node, running)
                : _node(node, running, sibling, siblingSum);
            rightBits >>= 1;
            // Both are below 2^64.
            unchecked {
                running += siblingSum;
            }
            if (running > type(uint64).max) return false;
        }
        return rightBits == 0 && node == root && running == total;
    }

    /// @dev keccak256(0x01 ‖ left ‖ uint64 leftSum ‖ right ‖ uint64 rightSum), packed in the free
    /// memory, which stays free.
    function _node(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum)
        private
        pure
        returns (bytes32 result)
    {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 1)
            mstore(add(at, 1), left)
            mstore(add(at, 33), shl(192, leftSum))
            mstore(add(at, 41), right)
            mstore(add(at, 73), shl(192, rightSum))
            result := keccak256(at, 81)
        }
    }
}
