// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITrust} from "../interfaces/ITrust.sol";

/// @title The canonical tuple that names a series, per programme (twin: `domain/serials.py`).
/// @notice Never free text: one typo would open a parallel space of serials (L2).
library SeriesLib {
    bytes32 private constant VCS = keccak256("VCS");
    bytes32 private constant GS = keccak256("GS");
    bytes32 private constant ACR = keccak256("ACR");
    bytes32 private constant CAR = keccak256("CAR");
    bytes32 private constant ART = keccak256("ART");
    bytes32 private constant CDM = keccak256("CDM");

    /// @notice keccak256(abi.encode(programme, tuple…)); reverts unless canonical.
    function id(string calldata programme, uint256[] calldata codes)
        internal
        pure
        returns (bytes32)
    {
        bytes32 name = keccak256(bytes(programme));
        if (name == VCS) {
            if (codes.length == 1 && (codes[0] == 1 || codes[0] == 2)) {
                return keccak256(abi.encode(programme, uint8(codes[0])));
            }
        } else if (name == CDM) {
            if (codes.length == 1 && _isParty(codes[0])) {
                return keccak256(abi.encode(programme, bytes2(uint16(codes[0]))));
            }
        } else if (name == GS || name == ACR || name == CAR || name == ART) {
            if (
                codes.length == 3 && codes[0] <= type(uint32).max && codes[1] <= type(uint16).max
                    && codes[2] <= type(uint32).max
            ) {
                return keccak256(
                    abi.encode(programme, uint32(codes[0]), uint16(codes[1]), uint32(codes[2]))
                );
            }
        }
        revert ITrust.TrustSeriesNotCanonical(programme, codes);
    }

    /// @notice Refuses serials of a programme other than the class's.
    /// @dev The one exception: Gold Standard issues on CERs, whose serials are the CDM's.
    function requireOfClass(string calldata classProgramme, string calldata seriesProgramme)
        internal
        pure
    {
        bytes32 class = keccak256(bytes(classProgramme));
        bytes32 series = keccak256(bytes(seriesProgramme));
        if (class != series && !(class == GS && series == CDM)) {
            revert ITrust.TrustSeriesForeign(classProgramme, seriesProgramme);
        }
    }

    /// @dev Two ASCII capitals, big-endian.
    function _isParty(uint256 code) private pure returns (bool) {
        uint256 first = code >> 8;
        uint256 second = code & 0xff;
        return first >= 0x41 && first <= 0x5a && second >= 0x41 && second <= 0x5a;
    }
}
