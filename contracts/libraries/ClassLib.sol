// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass, ICarbonCredits} from "../interfaces/ICarbonCredits.sol";

/// @title Ids of classes: nobody assigns them, anyone recomputes them (twin: `domain/classes.py`).
library ClassLib {
    uint256 private constant LOW_HALF = type(uint128).max;
    uint256 private constant MAX_NAME_BYTES = 64;

    /// @notice P, C and the token id: low half of P, then low half of C.
    function hash(CreditClass calldata creditClass)
        internal
        pure
        returns (bytes32 projectHash, bytes32 vintageHash, uint256 id)
    {
        projectHash = keccak256(abi.encode(creditClass.programme, creditClass.project));
        vintageHash = keccak256(
            abi.encode(
                creditClass.unitType,
                creditClass.vintageStart,
                creditClass.vintageEnd,
                creditClass.cohort
            )
        );
        id = uint256(projectHash) << 128 | uint256(vintageHash) & LOW_HALF;
    }

    /// @notice The high halves of P and C in one word: with the id, both in full.
    function highHalves(bytes32 projectHash, bytes32 vintageHash) internal pure returns (uint256) {
        return uint256(projectHash) & ~LOW_HALF | uint256(vintageHash) >> 128;
    }

    /// @notice P and C from the token id and the word of their high halves.
    function join(uint256 id, uint256 halves)
        internal
        pure
        returns (bytes32 projectHash, bytes32 vintageHash)
    {
        projectHash = bytes32(halves & ~LOW_HALF | id >> 128);
        vintageHash = bytes32(halves << 128 | id & LOW_HALF);
    }

    /// @notice Refuses what two spellings of one class could hide behind.
    function requireValid(CreditClass calldata creditClass) internal pure {
        _requireName(bytes(creditClass.programme));
        _requireName(bytes(creditClass.project));
        if (creditClass.unitType > 1) {
            revert ICarbonCredits.CreditsUnitTypeInvalid(creditClass.unitType);
        }
        uint32 start = creditClass.vintageStart;
        uint32 end = creditClass.vintageEnd;
        if (start > end || !isDay(start) || !isDay(end)) {
            revert ICarbonCredits.CreditsVintageInvalid(start, end);
        }
        bytes32[] calldata cohort = creditClass.cohort;
        for (uint256 i = 1; i < cohort.length; ++i) {
            if (cohort[i - 1] >= cohort[i]) {
                revert ICarbonCredits.CreditsCohortNotAscending(cohort[i - 1], cohort[i]);
            }
        }
    }

    /// @notice Whether YYYYMMDD is a day of the Gregorian calendar in the years 1 … 9999.
    function isDay(uint32 date) internal pure returns (bool) {
        uint256 year = date / 100_00;
        uint256 month = date / 100 % 100;
        uint256 day = date % 100;
        if (year == 0 || year > 9999 || month == 0 || month > 12 || day == 0) return false;
        if (month == 2) {
            bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            return day <= (leap ? 29 : 28);
        }
        // Odd months have 31 days up to July, even ones from August on.
        return day <= 30 + (month + month / 8) % 2;
    }

    /// @dev 1 … 64 bytes without control characters, which no reader would show.
    function _requireName(bytes calldata name) private pure {
        bool valid = name.length != 0 && name.length <= MAX_NAME_BYTES;
        for (uint256 i = 0; valid && i < name.length; ++i) {
            valid = name[i] >= 0x20 && name[i] != 0x7f;
        }
        if (!valid) revert ICarbonCredits.CreditsClassNameInvalid(name);
    }
}
