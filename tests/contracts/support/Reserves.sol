// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IReserve, ReserveReport} from "../../../contracts/interfaces/IReserve.sol";
import {Checks} from "./Vm.sol";

struct SumPath {
    uint256 rightBits;
    bytes32[] siblings;
    uint64[] sums;
}

struct LiveBlock {
    bytes32 seriesId;
    uint64 first;
    uint64 last;
    bytes32 account;
    SumPath path;
}

/// @dev A proof before it is packed.
struct ReserveProof {
    uint64 covered;
    bytes32 blocksRoot;
    uint64 blocksTonnes;
    SumPath path;
    LiveBlock[] blocks;
}

/// @dev Merkle-sum trees as IReserve defines them, written anew and slowly.
abstract contract Reserves is Checks {
    struct Node {
        bytes32 hash;
        uint64 sum;
    }

    struct Listed {
        bytes32 seriesId;
        uint64 first;
        uint64 last;
        bytes32 account;
    }

    struct ClassReserve {
        uint256 classId;
        uint64 covered;
        Listed[] blocks;
    }

    IReserve internal reserve;

    function leafOf(Listed memory block_) internal pure returns (Node memory) {
        bytes memory packed = abi.encodePacked(
            bytes1(0x00), block_.seriesId, block_.first, block_.last, block_.account
        );
        uint64 sum;
        // Tests list blocks that are none; what they prove is for the contract to say.
        unchecked {
            sum = block_.last - block_.first + 1;
        }
        return Node(keccak256(packed), sum);
    }

    function leafOf(ClassReserve memory listed) internal pure returns (Node memory) {
        Node memory blocks = rootOf(leavesOf(listed.blocks));
        bytes memory packed = abi.encodePacked(
            bytes1(0x02), listed.classId, listed.covered, blocks.hash, blocks.sum
        );
        return Node(keccak256(packed), listed.covered);
    }

    function leafOf(uint256 classId, address holder, uint64 kilograms)
        internal
        pure
        returns (Node memory)
    {
        bytes memory packed = abi.encodePacked(bytes1(0x03), classId, holder, kilograms);
        return Node(keccak256(packed), kilograms);
    }

    function leavesOf(Listed[] memory blocks) internal pure returns (Node[] memory leaves) {
        leaves = new Node[](blocks.length);
        for (uint256 i = 0; i < blocks.length; ++i) {
            leaves[i] = leafOf(blocks[i]);
        }
    }

    function leavesOf(ClassReserve[] memory classes) internal pure returns (Node[] memory leaves) {
        leaves = new Node[](classes.length);
        for (uint256 i = 0; i < classes.length; ++i) {
            leaves[i] = leafOf(classes[i]);
        }
    }

    function nodeOf(Node memory left, Node memory right) internal pure returns (Node memory) {
        bytes memory packed =
            abi.encodePacked(bytes1(0x01), left.hash, left.sum, right.hash, right.sum);
        unchecked {
            return Node(keccak256(packed), left.sum + right.sum);
        }
    }

    function rootOf(Node[] memory leaves) internal pure returns (Node memory) {
        return rootOf(leaves, 0, leaves.length);
    }

    function rootOf(Node[] memory leaves, uint256 from, uint256 to)
        internal
        pure
        returns (Node memory)
    {
        if (from == to) return Node(0, 0);
        if (to - from == 1) return leaves[from];
        uint256 middle = from + split(to - from);
        return nodeOf(rootOf(leaves, from, middle), rootOf(leaves, middle, to));
    }

    /// @dev The largest power of two below n.
    function split(uint256 n) internal pure returns (uint256 power) {
        power = 1;
        while (power * 2 < n) power *= 2;
    }

    function pathOf(Node[] memory leaves, uint256 index) internal pure returns (SumPath memory) {
        return pathOf(leaves, 0, leaves.length, index);
    }

    function pathOf(Node[] memory leaves, uint256 from, uint256 to, uint256 index)
        private
        pure
        returns (SumPath memory path)
    {
        if (to - from == 1) return SumPath(0, new bytes32[](0), new uint64[](0));
        uint256 middle = from + split(to - from);
        bool right = index >= middle;
        SumPath memory below = right
            ? pathOf(leaves, middle, to, index)
            : pathOf(leaves, from, middle, index);
        Node memory sibling =
            right ? rootOf(leaves, from, middle) : rootOf(leaves, middle, to);
        uint256 depth = below.siblings.length;
        path = SumPath(below.rightBits, new bytes32[](depth + 1), new uint64[](depth + 1));
        for (uint256 i = 0; i < depth; ++i) {
            (path.siblings[i], path.sums[i]) = (below.siblings[i], below.sums[i]);
        }
        (path.siblings[depth], path.sums[depth]) = (sibling.hash, sibling.sum);
        if (right) path.rightBits |= 1 << depth;
    }

    /// @dev The proof of one class that names these of its blocks, in this order.
    function proofOf(ClassReserve[] memory classes, uint256 which, uint256[] memory blocks)
        internal
        pure
        returns (ReserveProof memory proof)
    {
        ClassReserve memory listed = classes[which];
        Node[] memory leaves = leavesOf(listed.blocks);
        Node memory root = rootOf(leaves);
        proof.covered = listed.covered;
        (proof.blocksRoot, proof.blocksTonnes) = (root.hash, root.sum);
        proof.path = pathOf(leavesOf(classes), which);
        proof.blocks = new LiveBlock[](blocks.length);
        for (uint256 i = 0; i < blocks.length; ++i) {
            Listed memory held = listed.blocks[blocks[i]];
            proof.blocks[i] = LiveBlock(
                held.seriesId, held.first, held.last, held.account, pathOf(leaves, blocks[i])
            );
        }
    }

    /// @dev What a mint carries.
    function packed(ReserveProof memory proof) internal pure returns (bytes memory bytes_) {
        for (uint256 i = 0; i < proof.blocks.length; ++i) {
            LiveBlock memory held = proof.blocks[i];
            bytes_ = bytes.concat(
                bytes_, abi.encodePacked(held.first, held.last), packed(held.path)
            );
        }
        bytes_ = bytes.concat(bytes_, abi.encodePacked(proof.covered), packed(proof.path));
    }

    /// @dev What a refund with a report carries.
    function packedLive(ReserveProof memory proof) internal pure returns (bytes memory) {
        return bytes.concat(proof.blocks[0].account, packed(proof));
    }

    function packed(SumPath memory path) internal pure returns (bytes memory bytes_) {
        bytes_ = abi.encodePacked(uint8(path.siblings.length), uint32(path.rightBits));
        for (uint256 i = 0; i < path.siblings.length; ++i) {
            bytes_ = bytes.concat(bytes_, abi.encodePacked(path.siblings[i], path.sums[i]));
        }
    }

    function reportOf(Node memory root) internal view returns (ReserveReport memory) {
        (uint64 sequence,,,) = reserve.current();
        return ReserveReport(
            sequence + 1,
            uint64(block.timestamp),
            0,
            root.hash,
            root.sum,
            bytes32(0),
            0,
            keccak256("evidence")
        );
    }
}
