// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Exchange, ITrust} from "../interfaces/ITrust.sol";

/// @title Which serial stands behind each position of a class (twin: `domain/assignment.py`).
/// @notice Blocks are appended and never change. Only a block that an exchange has cut is read
/// through its pieces, which tile it without a gap: the next piece begins where one ends.
library Assignment {
    /// @dev One slot. A block begins where the one before ends.
    struct Block {
        uint32 seriesNumber;
        uint64 first;
        uint48 end;
        bool cut;
    }

    /// @dev One slot: `tonnes` positions on consecutive serials from `serial` on.
    struct Piece {
        uint32 seriesNumber;
        uint64 serial;
        uint48 tonnes;
    }

    struct Class {
        Block[] blocks;
        mapping(uint48 position => Piece) pieces;
    }

    /// @notice The piece that holds `position`, where it begins and the block it is of.
    function locate(Class storage self, uint256 classId, uint48 position)
        internal
        view
        returns (uint256 index, uint48 start, Piece memory piece)
    {
        Block memory held;
        (index, start, held) = blockOf(self, classId, position);
        if (!held.cut) {
            return (index, start, Piece(held.seriesNumber, held.first, held.end - start));
        }
        piece = self.pieces[start];
        while (start + piece.tonnes <= position) {
            start += piece.tonnes;
            piece = self.pieces[start];
        }
    }

    /// @notice The block that holds `position` and where it begins, by binary search.
    function blockOf(Class storage self, uint256 classId, uint48 position)
        internal
        view
        returns (uint256 index, uint48 start, Block memory held)
    {
        uint256 high = self.blocks.length;
        if (high == 0 || self.blocks[high - 1].end <= position) {
            revert ITrust.PositionUnknown(classId, position);
        }
        // The first block that ends above `position` is in [index, high).
        while (index < high) {
            uint256 middle = (index + high) / 2;
            if (self.blocks[middle].end > position) high = middle;
            else index = middle + 1;
        }
        start = index == 0 ? 0 : self.blocks[index - 1].end;
        held = self.blocks[index];
    }

    /// @notice Swaps the serials of both sides; each must lie inside one piece.
    function exchange(Class storage self, uint256 classId, Exchange calldata swap) internal {
        (uint48 position, uint48 other, uint48 tonnes) =
            (swap.position, swap.counterpart, swap.tonnes);
        uint48 distance = position < other ? other - position : position - other;
        if (tonnes == 0 || distance < tonnes) {
            revert ITrust.ExchangeInvalid(classId, position, other, tonnes);
        }
        Piece memory here = _isolate(self, classId, position, swap);
        Piece memory there = _isolate(self, classId, other, swap);

        self.pieces[position] = there;
        self.pieces[other] = here;

        emit ITrust.SerialsExchanged(classId, position, other, tonnes);
    }

    /// @dev Cuts the pieces so that [position, position + tonnes) is one of them.
    function _isolate(Class storage self, uint256 classId, uint48 position, Exchange calldata swap)
        private
        returns (Piece memory part)
    {
        (uint256 index, uint48 start, Piece memory piece) = locate(self, classId, position);
        uint48 before = position - start;
        uint48 tonnes = swap.tonnes;
        // Subtracted, because position + tonnes could pass 48 bits.
        if (tonnes > piece.tonnes - before) {
            revert ITrust.ExchangeInvalid(classId, swap.position, swap.counterpart, tonnes);
        }
        uint48 rest = piece.tonnes - before - tonnes;
        part = Piece(piece.seriesNumber, piece.serial + before, tonnes);

        self.blocks[index].cut = true;
        if (before != 0) self.pieces[start] = Piece(piece.seriesNumber, piece.serial, before);
        self.pieces[position] = part;
        if (rest != 0) {
            self.pieces[position + tonnes] =
                Piece(piece.seriesNumber, piece.serial + before + tonnes, rest);
        }
    }
}
