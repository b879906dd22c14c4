// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Exchange, IRegistryRecords} from "../interfaces/IRegistryRecords.sol";
import {ITrust} from "../interfaces/ITrust.sol";

/// @title Which serial stands behind each position of a class (twin: `domain/assignment.py`).
/// @notice Trust's blocks are appended and never change. Only a block that an exchange or a
/// substitute has cut has pieces here, from its first position on; they tile it without a gap.
library Assignment {
    /// @dev One slot: `tonnes` positions on consecutive serials from `serial` on.
    struct Piece {
        uint32 series;
        uint64 serial;
        uint48 tonnes;
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
        start = first;
        mapping(uint48 => Piece) storage pieces = self.pieces[classId];
        piece = pieces[start];
        if (piece.tonnes == 0) return (start, Piece(series, serial, end - start));
        while (start + piece.tonnes <= position) {
            start += piece.tonnes;
            piece = pieces[start];
        }
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

        self.pieces[classId][position] = there;
        self.pieces[classId][other] = here;

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

        self.pieces[classId][position] = Piece(series, first, tonnes);
    }

    /// @dev Cuts the pieces so that [position, position + tonnes) is one of them, if it `fits`.
    function _isolate(
        Store storage self,
        ITrust trust,
        uint256 classId,
        uint48 position,
        uint48 tonnes
    ) private returns (bool fits, Piece memory part, bool goesOn) {
        (uint48 start, Piece memory piece) = locate(self, trust, classId, position);
        mapping(uint48 => Piece) storage pieces = self.pieces[classId];
        uint48 before = position - start;
        // Subtracted, because position + tonnes could pass 48 bits.
        if (tonnes > piece.tonnes - before) return (false, part, false);
        uint48 rest = piece.tonnes - before - tonnes;
        part = Piece(piece.series, piece.serial + before, tonnes);
        fits = true;
        goesOn = rest != 0;

        if (before != 0) pieces[start] = Piece(piece.series, piece.serial, before);
        pieces[position] = part;
        if (goesOn) {
            pieces[position + tonnes] =
                Piece(piece.series, piece.serial + before + tonnes, rest);
        }
    }
}
