// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITrust} from "../interfaces/ITrust.sol";

/// @title Sorted, disjoint intervals per key, as a singly linked list (twin: `IntervalSet`).
/// @notice One slot per interval, found by its `first`. Node 0 is the head of the list: its
/// `next` is the lowest interval, its `payload` is free for the user of the key.
library SerialIntervals {
    /// @dev How far a stale hint is repaired.
    uint256 internal constant MAX_WALK = 32;

    struct Node {
        uint64 last;
        uint64 next;
        uint128 payload;
    }

    struct Register {
        /// @dev payload 128 | next 64 | last 64, packed by hand: one read and one write each.
        mapping(bytes32 key => mapping(uint64 first => uint256)) words;
    }

    /// @notice What stands around a place in the list.
    /// @param before `first` of the last interval that begins below the place, 0 for the head.
    /// @param word That interval, packed.
    struct Place {
        uint64 before;
        uint256 word;
    }

    /// @notice The interval that begins at `first`; all 0 when there is none.
    function nodeAt(Register storage self, bytes32 key, uint64 first)
        internal
        view
        returns (Node memory)
    {
        return _unpack(self.words[key][first]);
    }

    /// @notice The last interval that begins below `first`, walking forward from the hint.
    function find(Register storage self, bytes32 key, uint64 first, uint64 hint)
        internal
        view
        returns (Place memory place)
    {
        mapping(uint64 => uint256) storage words = self.words[key];
        uint256 word = words[hint];
        if (hint != 0 && (uint64(word) == 0 || hint >= first)) {
            revert ITrust.SerialHintInvalid(key, hint, first);
        }
        uint64 before = hint;
        uint64 next = uint64(word >> 64);
        for (uint256 walked = 0; next != 0 && next < first; ++walked) {
            if (walked == MAX_WALK) revert ITrust.SerialHintTooFar(key, hint, first);
            before = next;
            word = words[before];
            next = uint64(word >> 64);
        }
        place.before = before;
        place.word = word;
    }

    /// @notice The `first` of the lowest interval that shares a number with [first, last], or 0.
    function taken(Place memory place, uint64 first, uint64 last) internal pure returns (uint64) {
        // The head's `last` is 0 and numbers start at 1: the head overlaps nothing.
        if (uint64(place.word) >= first) return place.before;
        uint64 next = uint64(place.word >> 64);
        return next != 0 && next <= last ? next : 0;
    }

    /// @notice Where serials [first, last] go; reverts when one of them is registered already.
    function requireFree(
        Register storage self,
        bytes32 key,
        uint64 first,
        uint64 last,
        uint64 hint
    ) internal view returns (Place memory place) {
        place = find(self, key, first, hint);
        uint64 other = taken(place, first, last);
        if (other != 0) {
            revert ITrust.SerialsOverlap(key, first, last, other, nodeAt(self, key, other).last);
        }
    }

    /// @notice Links [first, last] in at a place where nothing is taken.
    function link(
        Register storage self,
        bytes32 key,
        Place memory place,
        uint64 first,
        uint64 last,
        uint128 payload
    ) internal {
        mapping(uint64 => uint256) storage words = self.words[key];
        uint256 word = place.word;
        words[first] = uint256(payload) << 128 | uint256(uint64(word >> 64)) << 64 | last;
        words[place.before] = word >> 128 << 128 | uint256(first) << 64 | uint64(word);
    }

    /// @notice Writes the payload of the head.
    function setHeadPayload(Register storage self, bytes32 key, uint128 payload) internal {
        mapping(uint64 => uint256) storage words = self.words[key];
        words[0] = uint256(payload) << 128 | uint128(words[0]);
    }

    /// @notice Takes [first, last], which lies inside one interval, out of it; what is left of the
    /// interval on either side keeps its payload.
    function remove(Register storage self, bytes32 key, uint64 first, uint64 last, uint64 hint)
        internal
    {
        mapping(uint64 => uint256) storage words = self.words[key];
        Place memory place = find(self, key, first, hint);
        // The interval begins below `first`, or it is the next one and begins there.
        bool inside = uint64(place.word) >= first;
        uint256 word = inside ? place.word : words[first];
        if (first == 0 || last < first || uint64(word) < last) {
            revert ITrust.SerialsNotRegistered(key, first, last);
        }
        uint64 following = uint64(word >> 64);
        if (uint64(word) > last) {
            // `last` is below the interval's end, so this begins another one.
            words[last + 1] = word;
            following = last + 1;
        }
        if (inside) {
            words[place.before] = word >> 128 << 128 | uint256(following) << 64 | (first - 1);
        } else {
            delete words[first];
            words[place.before] =
                place.word >> 128 << 128 | uint256(following) << 64 | uint64(place.word);
        }
    }

    function _unpack(uint256 word) private pure returns (Node memory) {
        return Node(uint64(word), uint64(word >> 64), uint128(word >> 128));
    }
}
