// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Exchange, IRegistryRecords} from "../interfaces/IRegistryRecords.sol";
import {ITrust} from "../interfaces/ITrust.sol";

/// @title Which serial stands behind each position of a class (twin: `domain/assignment.py`).
/// @notice Trust's blocks are appended and never change. Only a block that an exchange or a
/// substitute has cut has pieces here, from its first position on; they tile it without a gap.
library Assignment {
    /// @dev How many pieces a cut may walk over before it leaves a stop.
    uint256 private constant STRIDE = 32;

    /// @dev One slot: `tonnes` positions on consecutive serials from `serial` on. Some pieces are
    /// stops, beginning with the first of the block: `skip` is where the next stop begins, 0 for
    /// none. So a registry that retires other serials than the expected ones, a piece each time,
    /// makes no position too dear to find: gaps and deliveries at the front need it (L8).
    struct Piece {
        uint32 series;
        uint64 serial;
        uint48 tonnes;
        uint48 skip;
    }

    struct Store {
        mapping(uint256 classId => mapping(uint48 position => Piece)) pieces;
    }

    /// @notice The piece that holds `position`, and where it begins.
    function locate(Store storage self, ITrust trust, uint256 classId, uint48 position)
        internal
        view
        returns (uint48 start, Piece memory piece)
    {
        (uint48 first, uint48 end, uint32 series, uint64 serial) =
            trust.findBlock(classId, position);
        return
            _seek(self.pieces[classId], first, Piece(series, serial, end - first, 0), position);
    }

    /// @notice Swaps the serials of both sides; each must lie inside one piece.
    /// @return open Whether the exchange could have been longer: both pieces go on and the two
    /// sides have not met.
    function exchange(Store storage self, ITrust trust, uint256 classId, Exchange calldata swap)
        internal
        returns (bool open)
    {
        (uint48 position, uint48 other, uint48 tonnes) =
            (swap.position, swap.counterpart, swap.tonnes);
        uint48 distance = position < other ? other - position : position - other;
        bool fits = tonnes != 0 && distance >= tonnes;
        Piece memory here;
        Piece memory there;
        bool goesOn;
        if (fits) (fits, here, open) = _isolate(self, trust, classId, position, tonnes);
        if (fits) (fits, there, goesOn) = _isolate(self, trust, classId, other, tonnes);
        if (!fits) revert IRegistryRecords.ExchangeInvalid(classId, position, other, tonnes);
        open = open && goesOn && distance > tonnes;

        _put(self, classId, position, there);
        _put(self, classId, other, here);

        emit IRegistryRecords.SerialsExchanged(classId, position, other, tonnes);
    }

    /// @notice Puts [position, +tonnes), which lies in one piece, on other serials.
    function rebind(
        Store storage self,
        ITrust trust,
        uint256 classId,
        uint48 position,
        uint48 tonnes,
        uint32 series,
        uint64 first
    ) internal {
        bool fits = tonnes != 0;
        if (fits) (fits,,) = _isolate(self, trust, classId, position, tonnes);
        if (!fits) revert IRegistryRecords.RebindInvalid(classId, position, tonnes);

        _put(self, classId, position, Piece(series, first, tonnes, 0));
    }

    /// @dev Other serials for a piece, which stays the stop that it is.
    function _put(Store storage self, uint256 classId, uint48 position, Piece memory piece)
        private
    {
        mapping(uint48 => Piece) storage pieces = self.pieces[classId];
        piece.skip = pieces[position].skip;
        pieces[position] = piece;
    }

    /// @dev Where the search for a position above this piece goes on, and whether at a stop.
    function _next(uint48 start, Piece memory piece, uint48 position)
        private
        pure
        returns (uint48, bool)
    {
        return piece.skip != 0 && piece.skip <= position
            ? (piece.skip, true)
            : (start + piece.tonnes, false);
    }

    /// @dev The piece of a block that holds `position`: the whole block when nothing has cut it.
    function _seek(
        mapping(uint48 => Piece) storage pieces,
        uint48 first,
        Piece memory block_,
        uint48 position
    ) private view returns (uint48 start, Piece memory piece) {
        start = first;
        piece = pieces[start];
        if (piece.tonnes == 0) return (start, block_);
        while (start + piece.tonnes <= position) {
            (start,) = _next(start, piece, position);
            piece = pieces[start];
        }
    }

    /// @dev `_seek` for a cut: makes a stop of every STRIDE-th piece on the way from the last stop.
    function _seekAndStop(
        mapping(uint48 => Piece) storage pieces,
        uint48 first,
        Piece memory block_,
        uint48 position
    ) private returns (uint48 start, Piece memory piece) {
        start = first;
        piece = pieces[start];
        if (piece.tonnes == 0) return (start, block_);
        uint48 stop = start;
        uint256 walked = 0;
        while (start + piece.tonnes <= position) {
            bool atStop;
            (start, atStop) = _next(start, piece, position);
            piece = pieces[start];
            ++walked;
            if (walked == STRIDE && !atStop) {
                (piece.skip, pieces[stop].skip) = (pieces[stop].skip, start);
                pieces[start].skip = piece.skip;
                atStop = true;
            }
            if (atStop) (stop, walked) = (start, 0);
        }
    }

    /// @dev Cuts the pieces so that [position, position + tonnes) is one of them, if it `fits`.
    function _isolate(
        Store storage self,
        ITrust trust,
        uint256 classId,
        uint48 position,
        uint48 tonnes
    ) private returns (bool fits, Piece memory part, bool goesOn) {
        (uint48 start, uint48 end, uint32 series, uint64 serial) =
            trust.findBlock(classId, position);
        mapping(uint48 => Piece) storage pieces = self.pieces[classId];
        Piece memory piece = Piece(series, serial, end - start, 0);
        (start, piece) = _seekAndStop(pieces, start, piece, position);
        uint48 before = position - start;
        // Subtracted, because position + tonnes could pass 48 bits.
        if (tonnes > piece.tonnes - before) return (false, part, false);
        uint48 rest = piece.tonnes - before - tonnes;
        part = Piece(
            piece.series, piece.serial + before, tonnes, before == 0 ? piece.skip : 0
        );
        fits = true;
        goesOn = rest != 0;

        if (before != 0) pieces[start] = Piece(piece.series, piece.serial, before, piece.skip);
        pieces[position] = part;
        if (goesOn) {
            pieces[position + tonnes] =
                Piece(piece.series, piece.serial + before + tonnes, rest, 0);
        }
    }
}
