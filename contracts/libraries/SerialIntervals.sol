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
        mapping(bytes32 key => mapping(uint64 first => Node)) nodes;
    }

    /// @notice What stands around a place in the list.
    /// @param before `first` of the last interval that begins below the place, 0 for the head.
    /// @param node That interval.
    struct Place {
        uint64 before;
        Node node;
    }

    /// @notice The last interval that begins below `first`, walking forward from the hint.
    function find(Register storage self, bytes32 key, uint64 first, uint64 hint)
        internal
        view
        returns (Place memory place)
    {
        mapping(uint64 => Node) storage nodes = self.nodes[key];
        Node memory node = nodes[hint];
        if (hint != 0 && (node.last == 0 || hint >= first)) {
            revert ITrust.SerialHintInvalid(key, hint, first);
        }
        uint64 before = hint;
        for (uint256 walked = 0; node.next != 0 && node.next < first; ++walked) {
            if (walked == MAX_WALK) revert ITrust.SerialHintTooFar(key, hint, first);
            before = node.next;
            node = nodes[before];
        }
        place.before = before;
        place.node = node;
    }

    /// @notice The `first` of the lowest interval that shares a number with [first, last], or 0.
    function taken(Place memory place, uint64 first, uint64 last) internal pure returns (uint64) {
        // The head's `last` is 0 and numbers start at 1: the head overlaps nothing.
        if (place.node.last >= first) return place.before;
        if (place.node.next != 0 && place.node.next <= last) return place.node.next;
        return 0;
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
        mapping(uint64 => Node) storage nodes = self.nodes[key];
        nodes[first] = Node(last, place.node.next, payload);
        nodes[place.before].next = first;
    }

    /// @notice Registers serials [first, last]; reverts when one of them is registered already.
    function insert(
        Register storage self,
        bytes32 key,
        uint64 first,
        uint64 last,
        uint64 hint,
        uint128 payload
    ) internal {
        if (first == 0 || last < first) revert ITrust.SerialIntervalInvalid(first, last);
        Place memory place = find(self, key, first, hint);
        uint64 other = taken(place, first, last);
        if (other != 0) {
            uint64 otherLast = self.nodes[key][other].last;
            revert ITrust.SerialsOverlap(key, first, last, other, otherLast);
        }

        link(self, key, place, first, last, payload);
    }
}
