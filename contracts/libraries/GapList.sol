// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IGaps} from "../interfaces/IGaps.sol";

/// @title Gaps of a class: disjoint runs of live positions that nothing consumes (twin:
/// `domain/gaps.py`), as a doubly linked list in the order of their positions.
/// @notice Keys are positions + 1; node 0 is the head: `next` is the lowest gap, `before` the
/// highest. A gap keeps its name, the position at which it was opened, wherever it is moved. One
/// slot each, packed by hand: kind 8 | name 48 | tonnes 48 | before 64 | next 64.
library GapList {
    /// @dev How far a stale hint is repaired.
    uint256 internal constant MAX_WALK = 32;
    uint256 private constant LINK = type(uint64).max;

    struct List {
        mapping(uint64 key => uint256) words;
        /// @dev tile 48 | key 64. The key is where the gap of this name stands, 0 once closed; the
        /// tiles of a dispute and its parts, closed or not, lie side by side.
        mapping(uint48 name => uint256) names;
    }

    /// @notice The word of the gap at a key; 0 when there is none.
    function wordAt(List storage self, uint64 key) internal view returns (uint256) {
        return key == 0 ? 0 : self.words[key];
    }

    function lowest(List storage self) internal view returns (uint64 key) {
        return uint64(self.words[0]);
    }

    function next(uint256 word) internal pure returns (uint64) {
        return uint64(word);
    }

    function tonnes(uint256 word) internal pure returns (uint48) {
        return uint48(word >> 128);
    }

    function kind(uint256 word) internal pure returns (IGaps.GapKind) {
        return IGaps.GapKind(uint8(word >> 224));
    }

    /// @notice Where the gap of a name stands (0 when closed), and the tonnes it was named for.
    function named(List storage self, uint48 name) internal view returns (uint64 key, uint48 tile) {
        uint256 word = self.names[name];
        return (uint64(word), uint48(word >> 64));
    }

    /// @notice Where the gap stands that stands at `position` or is named so; 0 when there is none.
    function resolve(List storage self, uint48 position) internal view returns (uint64 key) {
        key = uint64(position) + 1;
        if (self.words[key] == 0) key = uint64(self.names[position]);
    }

    /// @notice The highest gap that begins at or below a position, 0 when there is none.
    function find(List storage self, uint256 classId, uint48 position, uint64 hint)
        internal
        view
        returns (uint64 key)
    {
        uint64 wanted = uint64(position) + 1;
        uint256 word = self.words[hint];
        if (hint != 0 && (hint > wanted || word == 0)) {
            revert IGaps.GapHintInvalid(classId, hint, position);
        }
        key = hint;
        for (uint256 walked = 0; next(word) != 0 && next(word) <= wanted; ++walked) {
            if (walked == MAX_WALK) {
                revert IGaps.GapHintInvalid(classId, hint, position);
            }
            key = next(word);
            word = self.words[key];
        }
    }

    /// @notice Opens a gap of live positions behind `before`, the highest that begins at or below.
    function open(
        List storage self,
        uint256 classId,
        uint64 before,
        uint48 position,
        uint48 length,
        IGaps.GapKind kind_
    ) internal {
        uint64 key = uint64(position) + 1;
        uint256 word = self.words[before];
        if (before != 0 && before + tonnes(word) > key) _refuse(classId, before, word);
        uint64 above = next(word);
        if (above != 0 && above < key + length) _refuse(classId, above, self.words[above]);

        _link(self, key, _pack(kind_, position, length, before, above));
        self.names[position] = self.names[position] >> 64 << 64 | key;
    }

    /// @notice Opens a gap above every other, as part of what a refund appends.
    function append(
        List storage self,
        uint48 position,
        uint48 length,
        IGaps.GapKind kind_
    ) internal {
        uint64 highest = uint64(self.words[0] >> 64);
        _place(self, uint64(position) + 1, _pack(kind_, position, length, highest, 0));
    }

    /// @notice Cuts [offset, +length) out of a gap and gives it another kind; the parts stay where
    /// they are, named by where they would stand in the gap's first place.
    function cut(
        List storage self,
        uint64 key,
        uint48 offset,
        uint48 length,
        IGaps.GapKind kind_
    ) internal {
        uint256 word = self.words[key];
        uint48 rest = tonnes(word) - offset - length;
        uint48 name = _name(word);
        uint64 before = uint64(word >> 64);
        uint64 above = next(word);
        _unlink(self, key, word);
        if (offset != 0) {
            _place(self, key, _pack(kind(word), name, offset, before, above));
            before = key;
        }
        key += offset;
        name += offset;
        _place(self, key, _pack(kind_, name, length, before, above));
        if (rest != 0) {
            _place(self, key + length, _pack(kind(word), name + length, rest, key, above));
        }
    }

    /// @notice Moves the lowest gap to a position above every other.
    function move(List storage self, uint64 key, uint256 word, uint48 position) internal {
        _unlink(self, key, word);
        uint64 highest = uint64(self.words[0] >> 64);
        uint48 name = _name(word);
        key = uint64(position) + 1;
        _link(self, key, _pack(kind(word), name, tonnes(word), highest, 0));
        self.names[name] = self.names[name] >> 64 << 64 | key;
    }

    /// @notice Closes a gap; nothing stands under its name any more.
    function close(List storage self, uint64 key, uint256 word) internal {
        _unlink(self, key, word);
        uint48 name = _name(word);
        self.names[name] = self.names[name] >> 64 << 64;
    }

    function _place(List storage self, uint64 key, uint256 word) private {
        _link(self, key, word);
        self.names[_name(word)] = uint256(tonnes(word)) << 64 | key;
    }

    function _link(List storage self, uint64 key, uint256 word) private {
        self.words[key] = word;
        _join(self, uint64(word >> 64), key);
        _join(self, key, next(word));
    }

    function _unlink(List storage self, uint64 key, uint256 word) private {
        delete self.words[key];
        _join(self, uint64(word >> 64), next(word));
    }

    /// @dev Makes two nodes neighbours; the head stands at both ends.
    function _join(List storage self, uint64 below, uint64 above) private {
        self.words[below] = self.words[below] & ~LINK | above;
        self.words[above] = self.words[above] & ~(LINK << 64) | uint256(below) << 64;
    }

    function _pack(
        IGaps.GapKind kind_,
        uint48 name,
        uint48 length,
        uint64 before,
        uint64 above
    ) private pure returns (uint256) {
        return uint256(kind_) << 224 | uint256(name) << 176 | uint256(length) << 128
            | uint256(before) << 64 | above;
    }

    function _name(uint256 word) private pure returns (uint48) {
        return uint48(word >> 176);
    }

    function _refuse(uint256 classId, uint64 key, uint256 word) private pure {
        revert IGaps.GapOverlaps(classId, uint48(key - 1), tonnes(word), kind(word));
    }
}
