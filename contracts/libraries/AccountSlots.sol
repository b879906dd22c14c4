// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RawMemory} from "./RawMemory.sol";

/// @title The two kinds of storage words that settlement writes most, and where they are.
/// @notice Account word: exit requested at 40 | claimable 104 | balance 104.
/// Fill word of four nonces: kill bits 4 | filled 53 | filled 53 | filled 53 | filled 53.
/// @dev A mapping of Solidity hashes a key with the mapping's small slot number. Here the second
/// word is an address under a tag above it, so no two regions of storage ever meet.
library AccountSlots {
    uint256 internal constant MAX_BALANCE = type(uint104).max;
    /// @notice Also what a fill field holds after a withdrawal used its nonce: no order fits.
    uint256 internal constant MAX_FILL = (1 << 53) - 1;

    uint256 private constant CLAIMABLE_SHIFT = 104;
    uint256 private constant EXIT_SHIFT = 208;
    uint256 private constant FILL_BITS = 53;
    uint256 private constant KILL_SHIFT = 4 * FILL_BITS;
    uint256 internal constant ACCOUNT_TAG = 1 << 160;
    uint256 internal constant FILL_TAG = 2 << 160;

    /// @notice Where the word of (account, asset) is.
    function accountSlot(uint256 account, uint256 asset) internal pure returns (bytes32) {
        return RawMemory.hashPair(asset, ACCOUNT_TAG | account);
    }

    /// @notice Where the fill word of a trader's nonce is.
    function fillSlot(uint256 trader, uint256 nonce) internal pure returns (bytes32) {
        return RawMemory.hashPair(nonce >> 2, FILL_TAG | trader);
    }

    function read(bytes32 slot) internal view returns (uint256 word) {
        assembly ("memory-safe") {
            word := sload(slot)
        }
    }

    function write(bytes32 slot, uint256 word) internal {
        assembly ("memory-safe") {
            sstore(slot, word)
        }
    }

    function balance(uint256 word) internal pure returns (uint256) {
        return word & MAX_BALANCE;
    }

    function claimable(uint256 word) internal pure returns (uint256) {
        return word >> CLAIMABLE_SHIFT & MAX_BALANCE;
    }

    function exitRequestedAt(uint256 word) internal pure returns (uint256) {
        return word >> EXIT_SHIFT;
    }

    /// @dev `newBalance` ≤ MAX_BALANCE.
    function withBalance(uint256 word, uint256 newBalance) internal pure returns (uint256) {
        return word >> CLAIMABLE_SHIFT << CLAIMABLE_SHIFT | newBalance;
    }

    /// @dev Cannot carry: all claimables and balances of an asset sum to its total ≤ MAX_BALANCE.
    function addClaimable(uint256 word, uint256 amount) internal pure returns (uint256) {
        unchecked {
            return word + (amount << CLAIMABLE_SHIFT);
        }
    }

    function withoutClaimable(uint256 word) internal pure returns (uint256) {
        return word & ~(MAX_BALANCE << CLAIMABLE_SHIFT);
    }

    function withExit(uint256 word, uint256 requestedAt) internal pure returns (uint256) {
        return word & (1 << EXIT_SHIFT) - 1 | requestedAt << EXIT_SHIFT;
    }

    function filled(uint256 word, uint256 nonce) internal pure returns (uint256) {
        return word >> FILL_BITS * (nonce & 3) & MAX_FILL;
    }

    /// @dev Filled and added together are ≤ MAX_FILL.
    function addFilled(uint256 word, uint256 nonce, uint256 tonnes)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return word + (tonnes << FILL_BITS * (nonce & 3));
        }
    }

    function isKilled(uint256 word, uint256 nonce) internal pure returns (bool) {
        return word >> KILL_SHIFT + (nonce & 3) & 1 != 0;
    }

    function kill(uint256 word, uint256 nonce) internal pure returns (uint256) {
        return word | 1 << KILL_SHIFT + (nonce & 3);
    }
}
