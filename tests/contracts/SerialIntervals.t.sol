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
