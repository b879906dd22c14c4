// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICarbonCredits, Positions} from "../interfaces/ICarbonCredits.sol";

/// @title The position counters of a class and their arithmetic (twin: `domain/positions.py`).
/// @notice L1, L11: every step is on integers and conserves the sum.
library PositionsLib {
    uint256 internal constant KILOGRAMS_PER_TONNE = 1000;
    uint256 internal constant MAX_TONNES = type(uint48).max;
    /// @dev Bits of `flags`.
    uint8 internal constant HELD = 1;
    uint8 internal constant SHORT = 2;

    /// @dev hasGaps 8 | flags 8 | certificates 32 | number 32 | dust 16 | openTonne 48 |
    /// exited 48 | minted 48.
    function unpack(uint256 word) internal pure returns (Positions memory state) {
        state.minted = uint48(word);
        state.exited = uint48(word >> 48);
        state.openTonne = uint48(word >> 96);
        state.dust = uint16(word >> 144);
        state.number = uint32(word >> 160);
        state.certificates = uint32(word >> 192);
        state.flags = uint8(word >> 224);
        state.hasGaps = word >> 232 != 0;
    }

    function pack(Positions memory state) internal pure returns (uint256) {
        return uint256(state.minted) | uint256(state.exited) << 48
            | uint256(state.openTonne) << 96 | uint256(state.dust) << 144
            | uint256(state.number) << 160 | uint256(state.certificates) << 192
            | uint256(state.flags) << 224 | uint256(state.hasGaps ? 1 : 0) << 232;
    }

    /// @notice L1: supply = (minted − exited) × 1000 + dust, in kilograms.
    function supply(Positions memory state) internal pure returns (uint256) {
        return uint256(state.minted - state.exited) * KILOGRAMS_PER_TONNE + state.dust;
    }

    /// @notice Appends tonnes at the back.
    function mint(Positions memory state, uint256 tonnes) internal pure returns (uint48 first) {
        if (tonnes == 0 || tonnes > MAX_TONNES - state.minted) {
            revert ICarbonCredits.CreditsTonnesInvalid(tonnes);
        }
        first = state.minted;
        // Bounded by the check above.
        state.minted = uint48(first + tonnes);
    }

    /// @notice How many positions `consume` takes from the front: whole tonnes, and one to open.
    function needed(Positions memory state, uint256 kilograms) internal pure returns (uint256) {
        uint256 opened = kilograms % KILOGRAMS_PER_TONNE > state.dust ? 1 : 0;
        return kilograms / KILOGRAMS_PER_TONNE + opened;
    }

    /// @notice The cursor passes gaps: they are void at the front and stand again at the back.
    function pass(Positions memory state, uint48 tonnes) internal pure {
        // L1: both grow by the same, so the supply stays. Overflow reverts: 2^48 tonnes.
        state.exited += tonnes;
        state.minted += tonnes;
    }

    /// @notice Retires from the front: whole tonnes, then the open tonne, then a newly opened one.
    /// @dev The caller holds `kilograms`, so they are at most the supply. Then exited ≤ minted
    /// after either step: kilograms ≤ live × 1000 + dust and dust < 1000.
    function consume(Positions memory state, uint256 kilograms) internal pure {
        uint256 exited = state.exited + kilograms / KILOGRAMS_PER_TONNE;
        uint256 rest = kilograms % KILOGRAMS_PER_TONNE;
        if (rest <= state.dust) {
            state.dust -= uint16(rest);
        } else {
            state.openTonne = uint48(exited);
            state.dust = uint16(KILOGRAMS_PER_TONNE - (rest - state.dust));
            ++exited;
        }
        assert(exited <= state.minted);
        state.exited = uint48(exited);
    }
}
