// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @dev The part of the test runner's cheat codes that these tests use.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest)
        external
        pure
        returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 timestamp) external;
    function chainId(uint256 id) external;
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function expectRevert(bytes calldata data) external;
    function expectRevert(bytes4 data) external;
    function expectRevert() external;
    function load(address target, bytes32 slot) external view returns (bytes32);
    function store(address target, bytes32 slot, bytes32 value) external;
    function getNonce(address account) external view returns (uint64);
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonUint(string calldata json, string calldata key)
        external
        pure
        returns (uint256);
    function parseJsonUintArray(string calldata json, string calldata key)
        external
        pure
        returns (uint256[] memory);
    function parseJsonBytes(string calldata json, string calldata key)
        external
        pure
        returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata key)
        external
        pure
        returns (bytes32);
    function parseJsonString(string calldata json, string calldata key)
        external
        pure
        returns (string memory);
    function parseJsonAddress(string calldata json, string calldata key)
        external
        pure
        returns (address);
    function toString(uint256 value) external pure returns (string memory);
    function etch(address target, bytes calldata code) external;
    function getCode(string calldata artifact) external view returns (bytes memory);
    function assume(bool condition) external pure;
}

/// @dev Assertions that say what differed.
abstract contract Checks {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error Differs(string what, uint256 found, uint256 expected);
    error Fails(string what);

    function check(bool condition, string memory what) internal pure {
        if (!condition) revert Fails(what);
    }

    function equal(uint256 found, uint256 expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, found, expected);
    }

    function equal(bytes32 found, bytes32 expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, uint256(found), uint256(expected));
    }

    function equal(address found, address expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, uint160(found), uint160(expected));
    }

    function equal(string memory found, string memory expected, string memory what) internal pure {
        if (keccak256(bytes(found)) != keccak256(bytes(expected))) {
            revert Fails(string.concat(what, ": ", found, " is not ", expected));
        }
    }

    /// @dev A number in [low, high] from any number.
    function within(uint256 seed, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + seed % (high - low + 1);
    }
}
