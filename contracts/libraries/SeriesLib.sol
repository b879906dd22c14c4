// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITrust, Series} from "../interfaces/ITrust.sol";

/// @title The canonical tuple that names a series, per programme (twin: `domain/serials.py`).
/// @dev A number in range encodes to the same word whatever its unsigned type.
/// @notice Never free text: one typo would open a parallel space of serials (L2).
library SeriesLib {
    bytes32 private constant VCS = keccak256("VCS");
    bytes32 private constant GS = keccak256("GS");
    bytes32 private constant ACR = keccak256("ACR");
    bytes32 private constant CAR = keccak256("CAR");
    bytes32 private constant ART = keccak256("ART");
    bytes32 private constant CDM = keccak256("CDM");

    /// @notice keccak256(abi.encode(programme, tuple…)); reverts unless canonical.
    function id(Series calldata series) internal pure returns (bytes32) {
        return _id(series.programme, series.codes, keccak256(bytes(series.programme)));
    }

    /// @notice The same, refusing serials of a programme other than the class's.
    /// @dev The one exception: Gold Standard issues on CERs, whose serials are the CDM's.
    function idInClass(Series calldata series, string calldata classProgramme, bytes32 classHash)
        internal
        pure
        returns (bytes32)
    {
        string calldata programme = series.programme;
        bytes32 name = keccak256(bytes(programme));
        if (name != classHash && !(classHash == GS && name == CDM)) {
            revert ITrust.TrustSeriesForeign(classProgramme, programme);
        }
        return _id(programme, series.codes, name);
    }

    function _id(string calldata programme, uint256[] calldata codes, bytes32 name)
        private
        pure
        returns (bytes32)
    {
        if (name == VCS) {
            if (codes.length == 1 && (codes[0] == 1 || codes[0] == 2)) {
                return keccak256(abi.encode(programme, codes[0]));
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
                return keccak256(abi.encode(programme, codes[0], codes[1], codes[2]));
            }
        }
        revert ITrust.TrustSeriesNotCanonical(programme, codes);
    }

    /// @dev Two ASCII capitals, big-endian.
    function _isParty(uint256 code) private pure returns (bool) {
        uint256 first = code >> 8;
        uint256 second = code & 0xff;
        return first >= 0x41 && first <= 0x5a && second >= 0x41 && second <= 0x5a;
    }
}
