// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ICarbonCredits} from "./interfaces/ICarbonCredits.sol";
import {IERC5192, IRetirementCertificates} from "./interfaces/IRetirementCertificates.sol";
import {CertificateText} from "./libraries/CertificateText.sol";

/// @title See IRetirementCertificates: every rule and every power is written there.
contract RetirementCertificates is IRetirementCertificates, IERC5192, ERC721 {
    /// @dev One slot. 2^64 kilograms are more than 2^48 tonnes, the largest class.
    struct Facts {
        uint32 classNumber;
        uint64 kilograms;
        uint48 exited;
        uint48 openTonne;
        uint16 dust;
    }

    ICarbonCredits public immutable CREDITS;

    mapping(uint256 certificateId => Facts) private _facts;
    mapping(uint256 certificateId => bytes32) private _detailsHashes;

    constructor(address credits) ERC721("Causeway Retirement Certificates", "CWRC") {
        CREDITS = ICarbonCredits(credits);
    }

    /// @inheritdoc IRetirementCertificates
    /// @dev Without a callback: a certificate's owner cannot refuse or re-enter a retirement.
    function mint(
        uint256 certificateId,
        address owner,
        uint32 classNumber,
        uint256 kilograms,
        uint48 exited,
        uint48 openTonne,
        uint16 dust,
        bytes32 detailsHash
    ) external {
        if (msg.sender != address(CREDITS)) revert CertificatesOnlyCredits(msg.sender);

        _mint(owner, certificateId);
        _facts[certificateId] = Facts(classNumber, uint64(kilograms), exited, openTonne, dust);
        _detailsHashes[certificateId] = detailsHash;

        emit Locked(certificateId);
    }

    /// @inheritdoc IRetirementCertificates
    function certificate(uint256 certificateId) external view returns (Certificate memory) {
        return _certificate(certificateId);
    }

    /// @inheritdoc IERC5192
    function locked(uint256 certificateId) external view returns (bool) {
        _requireOwned(certificateId);
        return true;
    }

    /// @inheritdoc IRetirementCertificates
    function tokenURIWithDetails(uint256 certificateId, bytes32 salt, Details calldata details)
        external
        view
        returns (string memory)
    {
        Certificate memory held = _certificate(certificateId);
        bytes32 given = _hashDetails(salt, details);
        if (given != held.detailsHash) {
            revert CertificateDetailsDiffer(certificateId, held.detailsHash, given);
        }
        return CertificateText.uri(certificateId, held, CertificateText.attributes(salt, details));
    }

    /// @inheritdoc IRetirementCertificates
    function hashDetails(bytes32 salt, Details calldata details) external pure returns (bytes32) {
        return _hashDetails(salt, details);
    }

    /// @notice The stored facts and the hash of the texts; always the same for one certificate.
    function tokenURI(uint256 certificateId) public view override returns (string memory) {
        return CertificateText.uri(certificateId, _certificate(certificateId), "");
    }

    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IERC5192).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @notice Always reverts: certificates never move.
    function transferFrom(address, address, uint256 certificateId) public pure override {
        revert CertificateLocked(certificateId);
    }

    /// @notice Always reverts: certificates never move.
    function safeTransferFrom(address, address, uint256 certificateId, bytes memory)
        public
        pure
        override
    {
        revert CertificateLocked(certificateId);
    }

    /// @notice Always reverts: there is nothing to approve.
    function approve(address, uint256 certificateId) public pure override {
        revert CertificateLocked(certificateId);
    }

    /// @notice Always reverts: there is nothing to approve.
    function setApprovalForAll(address, bool) public pure override {
        revert CertificateLocked(0);
    }

    function _certificate(uint256 certificateId) private view returns (Certificate memory) {
        address owner = _requireOwned(certificateId);
        Facts memory facts = _facts[certificateId];
        return Certificate(
            owner,
            CREDITS.classAt(facts.classNumber),
            facts.kilograms,
            facts.exited,
            facts.openTonne,
            facts.dust,
            _detailsHashes[certificateId]
        );
    }

    function _hashDetails(bytes32 salt, Details calldata details) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                salt,
                details.beneficiary,
                details.purpose,
                details.period,
                details.instructionHash
            )
        );
    }
}
