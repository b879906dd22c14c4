// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SerialIntervals} from "../../contracts/libraries/SerialIntervals.sol";
import {Checks} from "./support/Vm.sol";

/// @dev The linked list against a bitmap that knows nothing of lists (L2).
contract SerialIntervalsTest is Checks {
    using SerialIntervals for SerialIntervals.Register;

    uint64 private constant SPACE = 400;

    SerialIntervals.Register private _register;
    mapping(uint256 serial => bool) private _taken;
    mapping(uint256 serial => uint64) private _firstOf;
    uint64[] private _firsts;

    function insert(uint64 first, uint64 last, uint64 hint) external {
        SerialIntervals.Place memory place = _register.requireFree("key", first, last, hint);
        _register.link("key", place, first, last, uint128(first) * 3);
    }

    function testFuzz_L2_takes_exactly_what_overlaps_nothing(uint256 seed) public {
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint64 first = uint64(within(uint64(seed), 1, SPACE));
            uint64 last = first + uint64((seed >> 64) % 12);
            bool free = true;
            for (uint64 serial = first; serial <= last; ++serial) {
                if (_taken[serial]) free = false;
            }
            try this.insert(first, last, hintFor(first, seed >> 128)) {
                check(free, "took an overlap");
                _firsts.push(first);
                for (uint64 serial = first; serial <= last; ++serial) {
                    _taken[serial] = true;
                }
            } catch {
                check(!free, "refused a free interval");
            }
        }
        walk();
    }

    function remove(uint64 first, uint64 last, uint64 hint) external {
        _register.remove("key", first, last, hint);
    }

    /// @dev Takes intervals out, splits them and puts them in again, in any order.
    function testFuzz_L2_what_is_removed_is_free_and_nothing_else(uint256 seed) public {
        for (uint256 i = 0; i < 60; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint64 first = uint64(within(uint64(seed), 1, SPACE));
            uint64 last = first + uint64((seed >> 64) % 12);
            uint256 taken;
            for (uint64 serial = first; serial <= last; ++serial) {
                if (_taken[serial]) ++taken;
            }
            bool putIn = (seed >> 96) % 2 == 0;
            bool allowed = putIn ? taken == 0 : isWithinOne(first, last);
            uint64 hint = (seed >> 97) % 2 == 0 ? 0 : below(first);
            bool done;
            if (putIn) {
                try this.insert(first, last, hint) { done = true; } catch {}
            } else {
                try this.remove(first, last, hint) { done = true; } catch {}
            }
            check(done == allowed, putIn ? "inserted" : "removed");
            for (uint64 serial = first; done && serial <= last; ++serial) {
                _taken[serial] = putIn;
                _firstOf[serial] = putIn ? first : 0;
            }
        }
        walkParts();
    }

    /// @dev Whether one interval that was put in holds all of these and none of them has left.
    function isWithinOne(uint64 first, uint64 last) private view returns (bool) {
        for (uint64 serial = first; serial <= last; ++serial) {
            if (!_taken[serial] || _firstOf[serial] != _firstOf[first]) return false;
        }
        return true;
    }

    function below(uint64 first) private view returns (uint64 hint) {
        for (uint64 at_ = _register.nodeAt("key", 0).next; at_ != 0 && at_ < first;) {
            hint = at_;
            at_ = _register.nodeAt("key", at_).next;
        }
    }

    /// @dev Every part keeps the payload of the interval it was put in with.
    function walkParts() private view {
        uint64 expected = 1;
        for (uint64 at_ = _register.nodeAt("key", 0).next; at_ != 0;) {
            SerialIntervals.Node memory node = _register.nodeAt("key", at_);
            for (; expected < at_; ++expected) {
                check(!_taken[expected], "a serial is missing");
            }
            for (; expected <= node.last; ++expected) {
                check(_taken[expected], "a serial that left");
                equal(node.payload, uint256(_firstOf[expected]) * 3, "payload");
            }
            at_ = node.next;
        }
        for (; expected <= SPACE + 12; ++expected) {
            check(!_taken[expected], "a serial is missing at the end");
        }
    }

    /// @dev A registered interval at most 32 nodes below, not always the best one.
    function hintFor(uint64 first, uint256 seed) private view returns (uint64 hint) {
        uint64 wanted = uint64(seed % 3);
        uint64 limit = first;
        for (uint64 step = 0; step <= wanted; ++step) {
            uint64 best = 0;
            for (uint256 i = 0; i < _firsts.length; ++i) {
                if (_firsts[i] < limit && _firsts[i] > best) best = _firsts[i];
            }
            hint = best;
            if (best == 0) return 0;
            limit = best;
        }
    }

    function walk() private view {
        uint64 at_ = _register.nodeAt("key", 0).next;
        uint64 end;
        uint256 nodes;
        uint256 covered;
        while (at_ != 0) {
            SerialIntervals.Node memory node = _register.nodeAt("key", at_);
            check(at_ > end, "not sorted or not disjoint");
            equal(node.payload, uint256(at_) * 3, "payload");
            for (uint64 serial = at_; serial <= node.last; ++serial) {
                check(_taken[serial], "a serial that nobody registered");
            }
            covered += node.last - at_ + 1;
            (end, at_) = (node.last, node.next);
            ++nodes;
        }
        equal(nodes, _firsts.length, "nodes");
        uint256 taken;
        for (uint64 serial = 1; serial <= SPACE + 12; ++serial) {
            if (_taken[serial]) ++taken;
        }
        equal(covered, taken, "serials");
    }
}
