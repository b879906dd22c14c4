// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass, ICarbonCredits} from "../interfaces/ICarbonCredits.sol";

/// @title Ids of classes: nobody assigns them, anyone recomputes them (twin: `domain/classes.py`).
library ClassLib {
    uint256 private constant LOW_HALF = type(uint128).max;

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
        if (bytes(creditClass.programme).length == 0 || bytes(creditClass.project).length == 0) {
            revert ICarbonCredits.CreditsClassNameEmpty();
        }
        if (creditClass.unitType > 1) {
            revert ICarbonCredits.CreditsUnitTypeInvalid(creditClass.unitType);
        }
        uint32 start = creditClass.vintageStart;
        uint32 end = creditClass.vintageEnd;
        if (start > end || !_isDay(start) || !_isDay(end)) {
            revert ICarbonCredits.CreditsVintageInvalid(start, end);
        }
        bytes32[] calldata cohort = creditClass.cohort;
        for (uint256 i = 1; i < cohort.length; ++i) {
            if (cohort[i - 1] >= cohort[i]) {
                revert ICarbonCredits.CreditsCohortNotAscending(cohort[i - 1], cohort[i]);
            }
        }
    }

    /// @dev YYYYMMDD with a month and a day that some calendar month has.
    function _isDay(uint32 date) private pure returns (bool) {
        uint256 month = date / 100 % 100;
        uint256 day = date % 100;
        return date <= 9999_12_31 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
    }
}
