// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICarbonCredits, Positions} from "../../contracts/interfaces/ICarbonCredits.sol";
import {Finalisation, IDeliveries, Rejection} from "../../contracts/interfaces/IDeliveries.sol";
import {
    Conversion,
    Invalidation,
    IProgrammeEvents,
    ProgrammeEvent,
    Substitution
} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev Deliveries, programme events and gaps against what the Python domain says.
contract BridgeVectorsTest is Bridge {
    uint256 private constant VECTORS_CHAIN = 31337;
    /// @dev Kinds of a history's rows, as in scripts/make_bridge_vectors.py.
    uint256 private constant MINT = 0;
    uint256 private constant INVALIDATE = 1;
    uint256 private constant RETIRE = 2;
    uint256 private constant DELIVER = 3;

    uint256 private id;
    uint64 private nextSerial = 1;

    function setUp() public {
        deploy();
        (,, id) = credits.hashClass(vcs());
    }

    /// @dev The same code at the address and on the chain that the vectors were made for.
    function placed(string memory json, string memory primary, address code)
        private
        returns (address moved)
    {
        moved = vm.parseJsonAddress(
            json, string.concat(".", primary, ".domain.verifyingContract")
        );
        vm.chainId(VECTORS_CHAIN);
        vm.etch(moved, code.code);
    }

    function key(string memory primary, uint256 index, string memory field)
        private
        pure
        returns (string memory)
    {
        return string.concat(".", primary, ".vectors[", vm.toString(index), "].", field);
    }

    function digestOf(address at_, string memory primary, bytes memory encoded)
        private
        view
        returns (bytes32)
    {
        bytes32 name = keccak256(bytes(primary));
        if (name == keccak256("Finalisation")) {
            return IDeliveries(at_).hashFinalisation(abi.decode(encoded, (Finalisation)));
        }
        if (name == keccak256("Rejection")) {
            return IDeliveries(at_).hashRejection(abi.decode(encoded, (Rejection)));
        }
        IProgrammeEvents there = IProgrammeEvents(at_);
        if (name == keccak256("ProgrammeEvent")) {
            return there.hashProgrammeEvent(abi.decode(encoded, (ProgrammeEvent)));
        }
        if (name == keccak256("Invalidation")) {
            return there.hashInvalidation(abi.decode(encoded, (Invalidation)));
        }
        if (name == keccak256("Substitution")) {
            return there.hashSubstitution(abi.decode(encoded, (Substitution)));
        }
        return there.hashConversion(abi.decode(encoded, (Conversion)));
    }

    function test_what_is_signed_is_what_the_domain_signs() public {
        string memory json = vm.readFile("tests/vectors/bridge.json");
        string[6] memory primaries = [
            "Finalisation",
            "Rejection",
            "ProgrammeEvent",
            "Invalidation",
            "Substitution",
            "Conversion"
        ];
        for (uint256 p = 0; p < 6; ++p) {
            string memory primary = primaries[p];
            address at_ = placed(json, primary, p < 2 ? address(deliveries) : address(events));
            uint256 count = vm.parseJsonUint(json, string.concat(".", primary, ".count"));
            check(count != 0, primary);
            for (uint256 i = 0; i < count; ++i) {
                bytes memory encoded = vm.parseJsonBytes(json, key(primary, i, "abi"));
                equal(
                    digestOf(at_, primary, encoded),
                    vm.parseJsonBytes32(json, key(primary, i, "digest")),
                    primary
                );
            }
        }
    }

    // -------------------------------------------------------------- histories of a class

    function mintNext(uint256 tonnes) private {
        mint(holder, nextSerial, nextSerial + uint64(tonnes) - 1);
        // Never next to each other, so that blocks stay blocks.
        nextSerial += uint64(tonnes) + 1;
    }

    function kill(uint256 first, uint256 tonnes) private {
        (,, uint64 serial,) = records.serialAt(id, uint48(first));
        Invalidation memory made =
            invalidationOf(id, uint64(first), serial, serial + uint64(tonnes) - 1);
        // The same serials may die twice in one history, at different places.
        made.evidenceHash = keccak256(abi.encode(first, credits.positions(id)));
        events.invalidate(made, 0, by(events.hashInvalidation(made), CUSTODIAN, ATTESTOR));
    }

    function replace(uint256 first, uint256 tonnes) private {
        uint64 serial = nextSerial;
        nextSerial += uint64(tonnes) + 1;
        Substitution memory made = Substitution(
            id,
            uint64(first),
            one(serial, serial + uint64(tonnes) - 1),
            "Equal",
            DAY,
            keccak256(abi.encode(serial))
        );
        uint64[] memory hints = new uint64[](1);
        // All serials below are registered in blocks: the last of them begins below.
        hints[0] = lastBelow(serial);
        events.substitute(made, hints, by(events.hashSubstitution(made), CUSTODIAN, ATTESTOR));
    }

    function lastBelow(uint64 serial) private view returns (uint64 hint) {
        bytes32 seriesId = trust.hashSeries(vcsSeries());
        (, uint64 next,) = trust.registered(seriesId, 0);
        while (next != 0 && next < serial) {
            hint = next;
            (, next,) = trust.registered(seriesId, hint);
        }
    }

    function act(uint256[8] memory row) private returns (bool went) {
        if (row[0] == MINT) mintNext(row[1]);
        else if (row[0] == INVALIDATE) kill(row[1], row[2]);
        else if (row[0] > DELIVER) replace(row[1], row[2]);
        if (row[0] != RETIRE && row[0] != DELIVER) return true;
        bytes memory call = row[0] == RETIRE
            ? abi.encodeCall(ICarbonCredits.retire, (holder, id, row[1], holder, HASH))
            : abi.encodeCall(IDeliveries.request, (holder, id, row[1], "Account"));
        vm.prank(holder);
        (went,) = row[0] == RETIRE ? address(credits).call(call) : address(deliveries).call(call);
    }

    function test_gaps_are_passed_and_refused_as_in_the_domain() public {
        string memory json = vm.readFile("tests/vectors/gaps.json");
        uint256 count = vm.parseJsonUint(json, ".count");
        check(count > 5, "no histories");
        uint256 passed;
        uint256 refused;
        for (uint256 i = 0; i < count; ++i) {
            string memory path = string.concat(".sequences[", vm.toString(i), "]");
            uint256[8][] memory rows =
                abi.decode(vm.parseJsonBytes(json, path), (uint256[8][]));
            deploy();
            nextSerial = 1;
            uint256 minted;
            for (uint256 r = 0; r < rows.length; ++r) {
                string memory at_ = string.concat(path, " ", vm.toString(r));
                bool went = act(rows[r]);
                equal(went ? 1 : 0, rows[r][3], string.concat(at_, " went"));
                Positions memory state = credits.positions(id);
                equal(state.minted, rows[r][4], string.concat(at_, " minted"));
                equal(state.exited, rows[r][5], string.concat(at_, " exited"));
                equal(state.dust, rows[r][7], string.concat(at_, " dust"));
                if (state.dust != 0) {
                    equal(state.openTonne, rows[r][6], string.concat(at_, " open tonne"));
                }
                if (!went) ++refused;
                if (rows[r][0] != MINT && rows[r][4] > minted) ++passed;
                minted = rows[r][4];
            }
        }
        check(passed > 10 && refused > 5, "few gaps on the way");
    }
}
