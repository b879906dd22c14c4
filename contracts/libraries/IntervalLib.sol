// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Interval, ITrust} from "../interfaces/ITrust.sol";

/// @title What every list of serial intervals must be, whoever names it.
library IntervalLib {
    /// @dev The gas of one transaction bounds what one receipt or record names.
    uint256 internal constant MAX_INTERVALS = 64;
    /// @dev The index keeps [first, last + 1) as signed 64-bit numbers.
    uint64 private constant MAX_SERIAL = (1 << 63) - 2;

    /// @notice Refuses a list that is empty, longer than one transaction bears, or without a hint
    /// for each interval.
    function requireCount(uint256 count, uint256 hints) internal pure {
        if (count == 0 || count > MAX_INTERVALS || count != hints) {
            revert ITrust.TrustIntervalCount(count, hints);
        }
    }

    /// @notice Tonnes of all intervals; refuses one that is no interval of serials.
    function tonnes(Interval[] calldata intervals) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < intervals.length; ++i) {
            Interval calldata interval = intervals[i];
            (uint64 first, uint64 last) = (interval.first, interval.last);
            if (first == 0 || last < first || last > MAX_SERIAL) {
                revert ITrust.SerialIntervalInvalid(first, last);
            }
            sum += uint256(last - first) + 1;
        }
    }
}
