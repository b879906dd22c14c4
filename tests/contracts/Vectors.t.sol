// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass, Positions} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IRetirementCertificates} from
    "../../contracts/interfaces/IRetirementCertificates.sol";
import {
    Exchange,
    IRegistryRecords,
    RegistryRetirement
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust, Receipt, Series} from "../../contracts/interfaces/ITrust.sol";
import {ClassLib} from "../../contracts/libraries/ClassLib.sol";
import {PositionsLib} from "../../contracts/libraries/PositionsLib.sol";
import {RecordHashes} from "../../contracts/libraries/RecordHashes.sol";
import {TrustHashes} from "../../contracts/libraries/TrustHashes.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev The contracts against what the Python domain says, from tests/vectors.
contract VectorsTest is Deployment {
    using PositionsLib for Positions;

    struct Confirmation {
        uint64 first;
        uint64 tonnes;
        Interval[] actual;
        Exchange[] exchanges;
        uint64 hint;
    }

    struct Piece {
        uint48 position;
        uint64 serial;
        uint48 tonnes;
    }

    uint256 private constant VECTORS_CHAIN = 31337;

    function setUp() public {
        deploy();
    }

    function vectors(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("tests/vectors/", name, ".json"));
    }

    function number(string memory json, string memory key) private pure returns (uint256) {
        return vm.parseJsonUint(json, key);
    }

    function entry(string memory list, uint256 index, string memory field)
        private
        pure
        returns (string memory)
    {
        return string.concat(".", list, "[", vm.toString(index), "].", field);
    }

    function test_class_ids_are_those_of_the_domain() public view {
        string memory json = vectors("classes");
        uint256 count = number(json, ".count");
        check(count > 5, "no class vectors");
        for (uint256 i = 0; i < count; ++i) {
            CreditClass memory creditClass =
                abi.decode(vm.parseJsonBytes(json, entry("vectors", i, "abi")), (CreditClass));
            (bytes32 project, bytes32 vintage, uint256 id) = credits.hashClass(creditClass);
            equal(project, vm.parseJsonBytes32(json, entry("vectors", i, "projectHash")), "P");
            equal(vintage, vm.parseJsonBytes32(json, entry("vectors", i, "vintageHash")), "C");
            equal(bytes32(id), vm.parseJsonBytes32(json, entry("vectors", i, "id")), "id");
        }
    }

    function test_days_are_those_of_the_domain() public view {
        string memory json = vectors("classes");
        uint256[] memory days_ = vm.parseJsonUintArray(json, ".days");
        uint256[] memory answers = vm.parseJsonUintArray(json, ".areDays");
        equal(days_.length, number(json, ".dayCount"), "count of days");
        check(days_.length > 100, "no days");
        for (uint256 i = 0; i < days_.length; ++i) {
            bool expected = answers[i] == 1;
            check(ClassLib.isDay(uint32(days_[i])) == expected, vm.toString(days_[i]));
        }
    }

    function requireValid(CreditClass calldata creditClass) external pure {
        ClassLib.requireValid(creditClass);
    }

    function test_names_of_classes_are_those_of_the_domain() public view {
        string memory json = vectors("classes");
        uint256[] memory answers = vm.parseJsonUintArray(json, ".areNames");
        uint256 count = number(json, ".nameCount");
        check(count > 40 && count == answers.length, "no names");
        for (uint256 i = 0; i < count; ++i) {
            string memory key = string.concat(".names[", vm.toString(i), "]");
            string memory name = string(vm.parseJsonBytes(json, key));
            equal(isName("VCS", name) ? 1 : 0, answers[i], string.concat("project ", key));
            equal(isName(name, "1529") ? 1 : 0, answers[i], string.concat("programme ", key));
        }
    }

    function isName(string memory programme, string memory project) private view returns (bool) {
        try this.requireValid(classOf(programme, project)) {
            return true;
        } catch {
            return false;
        }
    }

    function test_series_ids_are_those_of_the_domain() public {
        string memory json = vectors("series");
        uint256 count = number(json, ".count");
        check(count > 5, "no series vectors");
        for (uint256 i = 0; i < count; ++i) {
            Series memory series =
                abi.decode(vm.parseJsonBytes(json, entry("vectors", i, "abi")), (Series));
            equal(
                trust.hashSeries(series),
                vm.parseJsonBytes32(json, entry("vectors", i, "id")),
                series.programme
            );
        }
        count = number(json, ".refusedCount");
        check(count > 5, "no refused series");
        for (uint256 i = 0; i < count; ++i) {
            Series memory series =
                abi.decode(vm.parseJsonBytes(json, entry("refused", i, "abi")), (Series));
            vm.expectRevert(
                abi.encodeWithSelector(
                    ITrust.TrustSeriesNotCanonical.selector, series.programme, series.codes
                )
            );
            trust.hashSeries(series);
        }
    }

    /// @dev The same code at the address and on the chain that the vectors were made for.
    function placeOfVectors(string memory json, address code) private returns (address moved) {
        equal(number(json, ".domain.chainId"), VECTORS_CHAIN, "chain of the vectors");
        moved = vm.parseJsonAddress(json, ".domain.verifyingContract");
        vm.etch(moved, code.code);
        vm.chainId(VECTORS_CHAIN);
    }

    function test_receipt_digests_are_those_of_the_domain() public {
        string memory json = vectors("receipts");
        ITrust moved = ITrust(placeOfVectors(json, address(trust)));
        equal(
            keccak256(bytes(vm.parseJsonString(json, ".type"))),
            TrustHashes.RECEIPT_TYPEHASH,
            "type string"
        );
        uint256 count = number(json, ".count");
        check(count > 5, "no receipt vectors");
        for (uint256 i = 0; i < count; ++i) {
            Receipt memory receipt =
                abi.decode(vm.parseJsonBytes(json, entry("vectors", i, "abi")), (Receipt));
            bytes32 digest = vm.parseJsonBytes32(json, entry("vectors", i, "digest"));
            equal(moved.hashReceipt(receipt), digest, "digest of a receipt");
            check(trust.hashReceipt(receipt) != digest, "another Trust has the same digest");
        }
    }

    function test_registry_retirement_digests_are_those_of_the_domain() public {
        string memory json = vectors("retirements");
        IRegistryRecords moved =
            IRegistryRecords(placeOfVectors(json, address(records)));
        equal(
            keccak256(bytes(vm.parseJsonString(json, ".type"))),
            RecordHashes.RETIREMENT_TYPEHASH,
            "type string"
        );
        uint256 count = number(json, ".count");
        check(count > 3, "no retirement vectors");
        for (uint256 i = 0; i < count; ++i) {
            RegistryRetirement memory confirmed = abi.decode(
                vm.parseJsonBytes(json, entry("vectors", i, "abi")), (RegistryRetirement)
            );
            equal(
                moved.hashRegistryRetirement(confirmed),
                vm.parseJsonBytes32(json, entry("vectors", i, "digest")),
                "digest of a registry retirement"
            );
        }
    }

    function test_hashes_of_certificate_texts_are_those_of_the_domain() public view {
        string memory json = vectors("retirements");
        uint256 count = number(json, ".detailsCount");
        check(count > 3, "no texts");
        for (uint256 i = 0; i < count; ++i) {
            IRetirementCertificates.Details memory details = abi.decode(
                vm.parseJsonBytes(json, entry("details", i, "abi")),
                (IRetirementCertificates.Details)
            );
            equal(
                certificates.hashDetails(
                    vm.parseJsonBytes32(json, entry("details", i, "salt")), details
                ),
                vm.parseJsonBytes32(json, entry("details", i, "hash")),
                details.purpose
            );
        }
    }

    function test_L1_L11_positions_move_as_in_the_domain() public view {
        string memory json = vectors("positions");
        uint256 count = number(json, ".count");
        check(count > 20, "no sequences");
        for (uint256 i = 0; i < count; ++i) {
            string memory key = string.concat(".sequences[", vm.toString(i), "]");
            uint256[6][] memory rows =
                abi.decode(vm.parseJsonBytes(json, key), (uint256[6][]));
            Positions memory state;
            for (uint256 r = 0; r < rows.length; ++r) {
                uint256[6] memory row = rows[r];
                if (row[0] == 0) state.mint(row[1]);
                else if (row[0] == 1) state.consume(row[1]);
                else state.consume(state.dust);
                state = PositionsLib.unpack(state.pack());
                equal(state.minted, row[2], "minted");
                equal(state.exited, row[3], "exited");
                equal(state.openTonne, row[4], "open tonne");
                equal(state.dust, row[5], "dust");
                equal(state.supply(), (row[2] - row[3]) * 1000 + row[5], "L1");
            }
        }
    }

    function test_L4_exchanges_leave_the_serials_where_the_domain_does() public {
        string memory json = vectors("exchanges");
        uint256 count = number(json, ".count");
        check(count > 10, "no stories");
        for (uint256 i = 0; i < count; ++i) {
            // Each story on contracts of its own.
            deploy();
            replay(vm.parseJsonBytes(json, entry("stories", i, "abi")));
        }
    }

    function replay(bytes memory story) private {
        (
            Interval[] memory blocks,
            Confirmation[] memory confirmations,
            Piece[] memory pieces,
            uint256[] memory generations
        ) = abi.decode(story, (Interval[], Confirmation[], Piece[], uint256[]));
        Receipt memory receipt = receiptFor(holder, blocks);
        mint(receipt);
        (,, uint256 id) = credits.hashClass(receipt.creditClass);
        retire(holder, id, credits.totalSupply(id));
        for (uint256 i = 0; i < confirmations.length; ++i) {
            Confirmation memory done = confirmations[i];
            RegistryRetirement memory confirmed = retirement(id, done.first, done.actual);
            equal(confirmed.tonnes, done.tonnes, "tonnes of a confirmation");
            confirm(confirmed, done.exchanges, done.hint);
            (IRegistryRecords.Settled kind,,) = records.settledWithin(
                id, uint48(done.first), uint48(done.first + done.tonnes - 1), done.hint
            );
            check(kind == IRegistryRecords.Settled.Confirmed, "not confirmed");
        }
        for (uint256 i = 0; i < pieces.length; ++i) {
            Series memory series = vcsSeries();
            series.codes[0] = generations[i];
            standsOn(id, pieces[i], trust.hashSeries(series));
        }
    }

    function standsOn(uint256 id, Piece memory piece, bytes32 series) private view {
        for (uint48 i = 0; i < piece.tonnes; ++i) {
            (bytes32 seriesId,, uint64 serial, uint48 run) =
                records.serialAt(id, piece.position + i);
            equal(seriesId, series, "series behind a position");
            equal(serial, piece.serial + i, "serial behind a position");
            equal(run, piece.tonnes - i, "run from a position");
        }
    }
}
