// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IRegistryRecords,
    MadeGood,
    RegistryFailure
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {IReserve, ReserveReport} from "../../contracts/interfaces/IReserve.sol";
import {RecordHashes} from "../../contracts/libraries/RecordHashes.sol";
import {ReserveHashes} from "../../contracts/libraries/ReserveHashes.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev Records and reserve against what the Python domain says, from tests/vectors.
contract RecordVectorsTest is Deployment {
    string private json;

    function setUp() public {
        deploy();
    }

    function load(string memory name) private {
        json = vm.readFile(string.concat("tests/vectors/", name, ".json"));
    }

    function entry(string memory list, uint256 index, string memory field)
        private
        pure
        returns (string memory)
    {
        return string.concat(".", list, "[", vm.toString(index), "].", field);
    }

    /// @dev The same code at the address and on the chain that the vectors were made for.
    function placed(address code) private returns (address moved) {
        moved = vm.parseJsonAddress(json, ".domain.verifyingContract");
        vm.etch(moved, code.code);
        vm.chainId(vm.parseJsonUint(json, ".domain.chainId"));
    }

    function typeHash() private view returns (bytes32) {
        return keccak256(bytes(vm.parseJsonString(json, ".type")));
    }

    function count() private view returns (uint256 found) {
        found = vm.parseJsonUint(json, ".count");
        check(found > 2, "no vectors");
    }

    function encoded(uint256 index) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, entry("vectors", index, "abi"));
    }

    function digest(uint256 index) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, entry("vectors", index, "digest"));
    }

    function test_L5_digests_of_failures_are_those_of_the_domain() public {
        load("failures");
        IRegistryRecords moved = IRegistryRecords(placed(address(records)));
        equal(typeHash(), RecordHashes.FAILURE_TYPEHASH, "type string");
        uint256 vectors = count();
        for (uint256 i = 0; i < vectors; ++i) {
            RegistryFailure memory failure = abi.decode(encoded(i), (RegistryFailure));
            equal(moved.hashRegistryFailure(failure), digest(i), "digest of a failure");
        }
    }

    function test_L5_digests_of_what_was_made_good_are_those_of_the_domain() public {
        load("made-good");
        IRegistryRecords moved = IRegistryRecords(placed(address(records)));
        equal(typeHash(), RecordHashes.MADE_GOOD_TYPEHASH, "type string");
        uint256 vectors = count();
        for (uint256 i = 0; i < vectors; ++i) {
            MadeGood memory good = abi.decode(encoded(i), (MadeGood));
            equal(moved.hashMadeGood(good), digest(i), "digest of made good");
        }
    }

    function test_L5_digests_of_reports_are_those_of_the_domain() public {
        load("reserve");
        IReserve moved = IReserve(placed(address(reserve)));
        equal(typeHash(), ReserveHashes.REPORT_TYPEHASH, "type string");
        uint256 vectors = count();
        for (uint256 i = 0; i < vectors; ++i) {
            ReserveReport memory made = abi.decode(encoded(i), (ReserveReport));
            equal(moved.hashReport(made), digest(i), "digest of a report");
        }
    }

    function test_L3_proofs_of_the_domain_are_proofs_to_the_contract() public {
        load("reserve");
        uint256 proofs = vm.parseJsonUint(json, ".proofCount");
        check(proofs > 5, "no proofs");
        for (uint256 i = 0; i < proofs; ++i) {
            ReserveReport memory made = reportOf(
                Node(
                    vm.parseJsonBytes32(json, entry("proofs", i, "root")),
                    uint64(vm.parseJsonUint(json, entry("proofs", i, "tonnes")))
                )
            );
            reserve.report(made, by(reserve.hashReport(made), CUSTODIAN, ATTESTOR));
            uint256 covered = vm.parseJsonUint(json, entry("proofs", i, "covered"));
            this.requireBacked(i, covered);
            vm.expectRevert();
            this.requireBacked(i, covered + 1);
        }
    }

    function requireBacked(uint256 i, uint256 minted) external view {
        bytes32[] memory ids = new bytes32[](1);
        uint128[] memory spans = new uint128[](1);
        ids[0] = vm.parseJsonBytes32(json, entry("proofs", i, "seriesId"));
        spans[0] = uint128(vm.parseJsonUint(json, entry("proofs", i, "first"))) << 64
            | uint128(vm.parseJsonUint(json, entry("proofs", i, "last")));
        reserve.requireBacked(
            vm.parseJsonUint(json, entry("proofs", i, "classId")),
            minted,
            vm.parseJsonBytes32(json, entry("proofs", i, "account")),
            ids,
            spans,
            vm.parseJsonBytes(json, entry("proofs", i, "proof"))
        );
    }
}
