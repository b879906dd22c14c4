// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {
    IERC5192,
    IRetirementCertificates
} from "../../contracts/interfaces/IRetirementCertificates.sol";
import {Deployment} from "./support/Deployment.sol";
import {Vm} from "./support/Vm.sol";

contract CertificatesTest is Deployment {
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
    }

    function test_L4_a_certificate_is_locked_for_ever() public {
        uint256 first = retire(holder, id, 1_234);
        equal(first, (1 << 32) | 1, "class number and number in the class");
        equal(retire(holder, id, 1), (1 << 32) | 2, "the next number");
        equal(certificates.ownerOf(first), holder, "owner");
        check(certificates.locked(first), "locked");
        bytes memory reason =
            abi.encodeWithSelector(IRetirementCertificates.CertificateLocked.selector, first);
        vm.startPrank(holder);
        vm.expectRevert(reason);
        certificates.transferFrom(holder, buyer, first);
        vm.expectRevert(reason);
        certificates.safeTransferFrom(holder, buyer, first);
        vm.expectRevert(reason);
        certificates.safeTransferFrom(holder, buyer, first, "");
        vm.expectRevert(reason);
        certificates.approve(buyer, first);
        vm.expectRevert(
            abi.encodeWithSelector(IRetirementCertificates.CertificateLocked.selector, 0)
        );
        certificates.setApprovalForAll(buyer, true);
        vm.stopPrank();
        vm.expectRevert(
            abi.encodeWithSelector(
                IRetirementCertificates.CertificatesOnlyCredits.selector, address(this)
            )
        );
        certificates.mint(9, holder, 1, 1, 0, 0, 0, HASH);
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 99));
        certificates.locked(99);
        check(IERC165(address(certificates)).supportsInterface(0xb45a3c0e), "ERC-5192");
        check(IERC165(address(certificates)).supportsInterface(0x80ac58cd), "ERC-721");
    }

    function test_a_certificate_holds_the_cursor_before_the_retirement() public {
        retire(holder, id, 1_234);
        IRetirementCertificates.Certificate memory held =
            certificates.certificate(retire(holder, id, 5_000));
        equal(held.owner, holder, "owner");
        equal(held.classId, id, "class");
        equal(held.kilograms, 5_000, "kilograms");
        equal(held.exited, 2, "exited before");
        equal(held.openTonne, 1, "open tonne before");
        equal(held.dust, 766, "dust before");
        equal(held.detailsHash, HASH, "details");
    }

    function test_the_text_of_a_certificate_is_json_whatever_the_words() public {
        IRetirementCertificates.Details memory details = IRetirementCertificates.Details(
            'A "quoted" \\ name', "<script>\n", unicode"环境 2025", HASH
        );
        bytes32 salt = keccak256("salt");
        bytes32 hash = certificates.hashDetails(salt, details);
        vm.prank(holder);
        uint256 certificateId = credits.retire(holder, id, 1_007, buyer, hash);
        string memory json =
            decoded(certificates.tokenURIWithDetails(certificateId, salt, details));
        equal(vm.parseJsonString(json, ".attributes[0].value"), "1.007", "tonnes");
        equal(vm.parseJsonString(json, ".attributes[6].value"), details.beneficiary, "who");
        equal(vm.parseJsonString(json, ".attributes[7].value"), details.purpose, "why");
        equal(vm.parseJsonString(json, ".attributes[8].value"), details.period, "when");

        json = decoded(certificates.tokenURI(certificateId));
        equal(vm.parseJsonString(json, ".name"), "Retirement 1-1", "name");
        equal(vm.parseJsonString(json, ".attributes[0].value"), "1.007", "tonnes");

        vm.expectRevert(
            abi.encodeWithSelector(
                IRetirementCertificates.CertificateDetailsDiffer.selector,
                certificateId,
                hash,
                certificates.hashDetails(HASH, details)
            )
        );
        certificates.tokenURIWithDetails(certificateId, HASH, details);
    }

    function decoded(string memory uri) private pure returns (string memory) {
        bytes memory raw = bytes(uri);
        uint256 start = bytes("data:application/json;base64,").length;
        bytes memory encoded = new bytes(raw.length - start);
        for (uint256 i = start; i < raw.length; ++i) {
            encoded[i - start] = raw[i];
        }
        return string(Base64.decode(string(encoded)));
    }

    function test_public_words_are_emitted_and_hash_to_what_the_certificate_holds() public {
        vm.recordLogs();
        vm.prank(holder);
        uint256 certificateId =
            credits.retirePublicly(holder, id, 10, buyer, "who", "why", "when", HASH);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bytes32 expected = certificates.hashDetails(
            0, IRetirementCertificates.Details("who", "why", "when", HASH)
        );
        equal(certificates.certificate(certificateId).detailsHash, expected, "hash");
        equal(certificates.ownerOf(certificateId), buyer, "owner");
        check(hasEvent(logs, ICarbonCredits.RetirementDetailsPublished.selector), "words");
        check(hasEvent(logs, IERC5192.Locked.selector), "Locked");
    }

    function test_closing_an_open_tonne_says_so_publicly() public {
        retire(holder, id, 1_999);
        vm.prank(holder);
        uint256 certificateId = credits.closeOpenTonne(id, 1);
        IRetirementCertificates.Details memory closing =
            IRetirementCertificates.Details("", "Closing of an opened tonne", "", 0);
        equal(
            certificates.certificate(certificateId).detailsHash,
            certificates.hashDetails(0, closing),
            "hash"
        );
    }

    function hasEvent(Vm.Log[] memory logs, bytes32 topic) private pure returns (bool) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == topic) return true;
        }
        return false;
    }
}
