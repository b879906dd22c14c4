// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Two roles, two thresholds and the signatures that count towards them.
/// @dev One mapping holds both roles, so no address can ever have two (L5). Role 0 is none.
abstract contract Signers {
    struct Thresholds {
        uint8 first;
        uint8 second;
    }

    mapping(address signer => uint8) internal _roles;
    /// @dev Never 0, from the constructor on: no signature is never enough.
    Thresholds internal _thresholds = Thresholds(1, 1);

    /// @dev The error of the contract for a signer that is not above the one before.
    function _refuseOrder(address previous, address next) internal pure virtual;

    /// @notice The signers of a digest; each must be above the one before, so none counts twice.
    function _recover(bytes32 digest, bytes[] calldata signatures)
        internal
        pure
        returns (address[] memory signers)
    {
        signers = new address[](signatures.length);
        address previous;
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            if (signer <= previous) _refuseOrder(previous, signer);
            signers[i] = signer;
            previous = signer;
        }
    }
}
