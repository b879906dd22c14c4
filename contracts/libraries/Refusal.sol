// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Reverts with a declared error and its values, in a third of the code.
/// @notice The same bytes as `revert Error(a, b, c)`. Settlement has some forty checks, and with
/// the optimizer set for speed each ordinary one takes a hundred bytes of code.
/// @dev Every value fits its type already, and every type is one word. Safe: what is overwritten
/// below 0x80, the free memory pointer too, nobody reads after a revert.
library Refusal {
    function one(bytes4 selector, uint256 a) internal pure {
        assembly ("memory-safe") {
            mstore(0x00, shr(224, selector))
            mstore(0x20, a)
            revert(0x1c, 0x24)
        }
    }

    function two(bytes4 selector, uint256 a, uint256 b) internal pure {
        assembly ("memory-safe") {
            mstore(0x00, shr(224, selector))
            mstore(0x20, a)
            mstore(0x40, b)
            revert(0x1c, 0x44)
        }
    }

    function three(bytes4 selector, uint256 a, uint256 b, uint256 c) internal pure {
        assembly ("memory-safe") {
            mstore(0x00, shr(224, selector))
            mstore(0x20, a)
            mstore(0x40, b)
            mstore(0x60, c)
            revert(0x1c, 0x64)
        }
    }

    function four(bytes4 selector, uint256 a, uint256 b, uint256 c, uint256 d) internal pure {
        assembly ("memory-safe") {
            mstore(0x00, shr(224, selector))
            mstore(0x20, a)
            mstore(0x40, b)
            mstore(0x60, c)
            mstore(0x80, d)
            revert(0x1c, 0x84)
        }
    }
}
