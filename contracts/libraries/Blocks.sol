// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITrust} from "../interfaces/ITrust.sol";

/// @title Receipts and the blocks they minted, in the same slots.
/// @notice A slot is found by 63 bits of the receipt's id plus the interval's number in it. A block
/// that no receipt minted has an id of its own, status 0 and bit 63 of its key, so that no signer
/// can take its slot by cancelling a receipt: a refund and a passed gap need one (L8). A slot
/// holds the status of the receipt, 104 more bits of its id, and the block. A class lists the
/// keys of its blocks, four in a slot; the last one to three wait beside the count. So a mint
/// writes one new slot for receipt and block, and one new slot of keys for every fourth block.
library Blocks {
    uint64 private constant WITHOUT_RECEIPT = 1 << 63;

    /// @dev `end` is the position after the block's last one; a block begins where the one
    /// before ends. `series` and `first` say which serials.
    struct Block {
        uint32 series;
        uint64 first;
        uint48 end;
    }

    struct Store {
        /// @dev tag 104 | status 8 | end 48 | first 64 | series 32.
        mapping(uint64 key => uint256) slots;
        /// @dev keys 3 × 64 | count 32.
        mapping(uint256 classId => uint256) heads;
        mapping(uint256 classId => mapping(uint256 row => uint256 fourKeys)) rows;
    }

    /// @notice Where the slot of interval 0 of a receipt is.
    function key(bytes32 receiptId) internal pure returns (uint64) {
        return uint64(uint256(receiptId)) & ~WITHOUT_RECEIPT;
    }

    /// @notice Status of a receipt; 0 when nothing is known of it.
    function status(Store storage self, bytes32 receiptId) internal view returns (uint8) {
        uint256 slot = self.slots[key(receiptId)];
        return slot >> 152 == _tag(receiptId) ? uint8(slot >> 144) : 0;
    }

    /// @notice Sets the status of a receipt that has none.
    function setStatus(Store storage self, bytes32 receiptId, uint8 newStatus) internal {
        self.slots[key(receiptId)] = _tag(receiptId) << 152 | uint256(newStatus) << 144;
    }

    /// @notice Whether the slot of interval 0 of a receipt is free for it.
    /// @dev Another receipt with the same 63 bits does not happen by chance; if it does, the
    /// receipt is signed anew with any field changed.
    function isFree(Store storage self, bytes32 receiptId) internal view returns (bool) {
        return self.slots[key(receiptId)] == 0;
    }

    /// @notice Appends interval `number` of a receipt to its class and marks the receipt; with
    /// status 0, a block that no receipt minted.
    /// @param added The block, from `pack`.
    /// @param head The class's head, kept in memory over the intervals of one receipt.
    function append(
        Store storage self,
        uint256 classId,
        uint256 head,
        bytes32 receiptId,
        uint256 number,
        uint8 newStatus,
        uint256 added
    ) internal returns (uint256 newHead) {
        uint64 place;
        // Keys wrap around; that a key is free is checked.
        unchecked {
            place = (key(receiptId) + uint64(number)) & ~WITHOUT_RECEIPT;
        }
        if (newStatus == 0) place |= WITHOUT_RECEIPT;
        if (self.slots[place] != 0) revert ITrust.TrustReceiptKeyTaken(receiptId, place);

        self.slots[place] = _tag(receiptId) << 152 | uint256(newStatus) << 144 | added;
        uint256 index = uint32(head);
        uint256 lane = index % 4;
        if (lane == 3) {
            self.rows[classId][index / 4] = head >> 32 | uint256(place) << 192;
            return index + 1;
        }
        return (head | uint256(place) << (32 + 64 * lane)) + 1;
    }

    /// @notice A block as its part of a slot.
    function pack(uint32 series, uint64 first, uint48 end) internal pure returns (uint256) {
        return uint256(end) << 96 | uint256(first) << 32 | series;
    }

    function count(Store storage self, uint256 classId) internal view returns (uint256) {
        return uint32(self.heads[classId]);
    }

    /// @notice Block `index` of a class that has more than `index` blocks.
    function blockAt(Store storage self, uint256 classId, uint256 index)
        internal
        view
        returns (Block memory)
    {
        uint256 head = self.heads[classId];
        // Solidity's own answer to an index outside an array.
        assert(index < uint32(head));
        uint256 keys = index / 4 == uint32(head) / 4 ? head >> 32 : self.rows[classId][index / 4];
        uint256 slot = self.slots[uint64(keys >> 64 * (index % 4))];
        return Block(uint32(slot), uint64(slot >> 32), uint48(slot >> 96));
    }

    /// @notice How many tonnes the blocks of a class have: the position after the last.
    function minted(Store storage self, uint256 classId) internal view returns (uint48) {
        uint256 blocks = count(self, classId);
        return blocks == 0 ? 0 : blockAt(self, classId, blocks - 1).end;
    }

    /// @notice The block that holds `position` and where it begins, by binary search.
    function find(Store storage self, uint256 classId, uint48 position)
        internal
        view
        returns (uint48 start, Block memory held)
    {
        uint256 low = 0;
        uint256 high = count(self, classId);
        // Blocks below `low` end at or below the position, those from `high` on above it.
        while (low < high) {
            uint256 middle = (low + high) / 2;
            Block memory probe = blockAt(self, classId, middle);
            if (probe.end > position) {
                high = middle;
                held = probe;
            } else {
                low = middle + 1;
                start = probe.end;
            }
        }
        if (held.end == 0) revert ITrust.PositionUnknown(classId, position);
    }

    function _tag(bytes32 receiptId) private pure returns (uint256) {
        return uint256(receiptId) >> 152;
    }
}
