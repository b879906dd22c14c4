// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ERC-5192: a token that says it cannot move.
interface IERC5192 {
    event Locked(uint256 tokenId);

    event Unlocked(uint256 tokenId);

    /// @notice Always true for a certificate; reverts for an id that was never minted.
    function locked(uint256 tokenId) external view returns (bool);
}

/// @title Locked ERC-721 (ERC-5192) certificates of retirements.
/// @notice L4: a certificate never changes, moves or disappears; there is no function for it.
/// `detailsHash = keccak256(abi.encode(bytes32 salt, string beneficiary, string purpose,
/// string period, bytes32 instructionHash))`, salt 0 when public.
interface IRetirementCertificates {
    /// @notice What a certificate says. The three counters are the class's before the retirement.
    struct Certificate {
        address owner;
        uint256 classId;
        uint256 kilograms;
        uint48 exited;
        uint48 openTonne;
        uint16 dust;
        bytes32 detailsHash;
    }

    struct Details {
        string beneficiary;
        string purpose;
        string period;
        bytes32 instructionHash;
    }

    error CertificateLocked(uint256 certificateId);
    error CertificatesOnlyCredits(address caller);
    error CertificateDetailsDiffer(uint256 certificateId, bytes32 stored, bytes32 given);

    /// @dev Certificate ids are classNumber × 2^32 + the certificate's number in its class, from 1.
    function mint(
        uint256 certificateId,
        address owner,
        uint32 classNumber,
        uint256 kilograms,
        uint48 exited,
        uint48 openTonne,
        uint16 dust,
        bytes32 detailsHash
    ) external;

    function certificate(uint256 certificateId) external view returns (Certificate memory);

    /// @notice tokenURI with the texts, after checking them against the stored hash.
    function tokenURIWithDetails(uint256 certificateId, bytes32 salt, Details calldata details)
        external
        view
        returns (string memory);

    /// @notice detailsHash of these texts.
    function hashDetails(bytes32 salt, Details calldata details) external pure returns (bytes32);
}
