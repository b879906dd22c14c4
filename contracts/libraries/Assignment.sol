// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Exchange, ITrust} from "../interfaces/ITrust.sol";
import {Blocks} from "./Blocks.sol";

/// @title Which serial stands behind each position of a class (twin: `domain/assignment.py`).
/// @notice Blocks are appended and never change. Only a block that an exchange has cut has
/// pieces, from its first position on; they tile it without a gap.
library Assignment {
    using Blocks for Blocks.Store;

    /// @dev One slot: `tonnes` positions on consecutive serials from `serial` on.
    struct Piece {
        uint32 series;
        uint64 serial;
        uint48 tonnes;
    }

    struct Store {
        Blocks.Store blocks;
        mapping(uint256 classId => mapping(uint48 position => Piece)) pieces;
    }

    /// @notice The piece that holds `position`, and where it begins.
    function locate(Store storage self, uint256 classId, uint48 position)
        internal
        view
        returns (uint48 start, Piece memory piece)
    {
        Blocks.Block memory held;
        (start, held) = self.blocks.find(classId, position);
        mapping(uint48 => Piece) storage pieces = self.pieces[classId];
        piece = pieces[start];
        if (piece.tonnes == 0) return (start, Piece(held.series, held.first, held.end - start));
        while (start + piece.tonnes <= position) {
            start += piece.tonnes;
            piece = pieces[start];
        }
    }

    /// @notice Swaps the serials of both sides; each must lie inside one piece.
    /// @return open Whether the exchange could have been longer: both pieces go on and the two
    /// sides have not met.
    function exchange(Store storage self, uint256 classId, Exchange calldata swap)
        internal
        returns (bool open)
    {
        (uint48 position, uint48 other, uint48 tonnes) =
            (swap.position, swap.counterpart, swap.tonnes);
        uint48 distance = position < other ? other - position : position - other;
        if (tonnes == 0 || distance < tonnes) {
            revert ITrust.ExchangeInvalid(classId, position, other, tonnes);
        }
        (Piece memory here, bool hereGoesOn) = _isolate(self, classId, position, swap);
        (Piece memory there, bool thereGoesOn) = _isolate(self, classId, other, swap);
        open = hereGoesOn && thereGoesOn && distance > tonnes;

        self.pieces[classId][position] = there;
        self.pieces[classId][other] = here;

        emit ITrust.SerialsExchanged(classId, position, other, tonnes);
    }

    /// @dev Cuts the pieces so that [position, position + tonnes) is one of them.
    function _isolate(Store storage self, uint256 classId, uint48 position, Exchange calldata swap)
        private
        returns (Piece memory part, bool goesOn)
    {
        (uint48 start, Piece memory piece) = locate(self, classId, position);
        mapping(uint48 => Piece) storage pieces = self.pieces[classId];
        uint48 before = position - start;
        uint48 tonnes = swap.tonnes;
        // Subtracted, because position + tonnes could pass 48 bits.
        if (tonnes > piece.tonnes - before) {
            revert ITrust.ExchangeInvalid(classId, swap.position, swap.counterpart, tonnes);
        }
        uint48 rest = piece.tonnes - before - tonnes;
        part = Piece(piece.series, piece.serial + before, tonnes);
        goesOn = rest != 0;

        if (before != 0) pieces[start] = Piece(piece.series, piece.serial, before);
        pieces[position] = part;
        if (goesOn) {
            pieces[position + tonnes] =
                Piece(piece.series, piece.serial + before + tonnes, rest);
        }
    }
}
