// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {CreditClass, ICarbonCredits} from "../../../contracts/interfaces/ICarbonCredits.sol";
import {IDeliveries} from "../../../contracts/interfaces/IDeliveries.sol";
import {IGaps} from "../../../contracts/interfaces/IGaps.sol";
import {ILegalOrders} from "../../../contracts/interfaces/ILegalOrders.sol";
import {IParticipants} from "../../../contracts/interfaces/IParticipants.sol";
import {IProgrammeEvents} from "../../../contracts/interfaces/IProgrammeEvents.sol";
import {
    IERC5192,
    IRetirementCertificates
} from "../../../contracts/interfaces/IRetirementCertificates.sol";
import {
    Exchange,
    IRegistryRecords,
    RegistryRetirement
} from "../../../contracts/interfaces/IRegistryRecords.sol";
import {IReserve, ReserveReport} from "../../../contracts/interfaces/IReserve.sol";
import {Interval, ITrust, Receipt, Series} from "../../../contracts/interfaces/ITrust.sol";
import {Reserves} from "./Reserves.sol";

interface ICredits is ICarbonCredits, IERC1155 {}

interface ICertificates is IRetirementCertificates, IERC5192, IERC721 {
    function tokenURI(uint256 certificateId) external view returns (string memory);
}

/// @dev Everything deployed as in production, with two custodians, two attestors, two freezers
/// and two enforcers; thresholds 1. This contract is the admin and holds every restricted power.
abstract contract Deployment is Reserves {
    uint40 internal constant FAR = type(uint40).max;
    /// @dev The compiler takes block.timestamp for constant, so tests that warp name times.
    uint256 internal constant NOW = 1_800_000_000;
    uint256 internal constant DELAY = 3 days;
    uint256 internal constant MAX_AGE = 7 days;
    uint40 internal constant REQUEST = 10 days;
    uint40 internal constant TRANSFER = 14 days;
    uint40 internal constant GRACE = 7 days;
    bytes32 internal constant HASH = keccak256("evidence");

    uint256 internal constant CUSTODIAN = 0xC1;
    uint256 internal constant CUSTODIAN_2 = 0xC2;
    uint256 internal constant ATTESTOR = 0xA1;
    uint256 internal constant ATTESTOR_2 = 0xA2;
    uint256 internal constant FREEZER = 0xF1;
    uint256 internal constant ENFORCER = 0xE1;
    uint256 internal constant STRANGER = 0x99;

    address internal holder = address(0x1001);
    address internal buyer = address(0x1002);
    address internal third = address(0x1003);
    address internal unknown = address(0x1004);

    address internal manager;
    IParticipants internal participants;
    ILegalOrders internal legal;
    ICertificates internal certificates;
    ICredits internal credits;
    ITrust internal trust;
    IRegistryRecords internal records;
    IDeliveries internal deliveries;
    IProgrammeEvents internal events;
    IGaps internal gaps;

    function deploy() internal {
        uint256 nonce = vm.getNonce(address(this));
        address[11] memory ahead;
        for (uint256 i = 0; i < ahead.length; ++i) {
            ahead[i] = vm.computeCreateAddress(address(this), nonce + i);
        }
        (address authority, address admission, address law) = (ahead[0], ahead[1], ahead[2]);
        (address paper, address token, address custody) = (ahead[3], ahead[4], ahead[5]);
        (address book, address backing, address back) = (ahead[6], ahead[7], ahead[8]);
        (address programmes, address voids) = (ahead[9], ahead[10]);
        manager = create("AccessManager", abi.encode(address(this)));
        participants = IParticipants(create("Participants", abi.encode(authority, law)));
        legal = ILegalOrders(
            create("LegalOrders", abi.encode(authority, admission, token, DELAY))
        );
        certificates = ICertificates(create("RetirementCertificates", abi.encode(token)));
        credits = ICredits(
            create(
                "CarbonCredits",
                abi.encode(
                    authority, admission, paper, custody, law, back, programmes, voids
                )
            )
        );
        trust = ITrust(
            create(
                "Trust",
                abi.encode(authority, token, backing, book, back, programmes, voids)
            )
        );
        records = IRegistryRecords(
            create("RegistryRecords", abi.encode(token, custody, back, programmes, voids))
        );
        reserve = IReserve(create("Reserve", abi.encode(custody, MAX_AGE)));
        deployModules(authority, token, custody, book, backing);

        trust.setSigner(vm.addr(CUSTODIAN), ITrust.Role.Custodian);
        trust.setSigner(vm.addr(CUSTODIAN_2), ITrust.Role.Custodian);
        trust.setSigner(vm.addr(ATTESTOR), ITrust.Role.Attestor);
        trust.setSigner(vm.addr(ATTESTOR_2), ITrust.Role.Attestor);
        legal.setSigner(vm.addr(FREEZER), ILegalOrders.Role.Freezer);
        legal.setSigner(vm.addr(ENFORCER), ILegalOrders.Role.Enforcer);
        participants.admit(holder, 1, "HK", FAR);
        participants.admit(buyer, 2, "CN", FAR);
        participants.admit(third, 3, "SG", FAR);
        vm.warp(NOW);
    }

    function deployModules(
        address authority,
        address token,
        address custody,
        address book,
        address backing
    ) private {
        uint256 nonce = vm.getNonce(address(this));
        address programmes = vm.computeCreateAddress(address(this), nonce + 1);
        address voids = vm.computeCreateAddress(address(this), nonce + 2);
        bytes memory args = abi.encode(
            authority, token, custody, book, backing, voids, REQUEST, TRANSFER, GRACE
        );
        deliveries = IDeliveries(create("Deliveries", args));
        events = IProgrammeEvents(
            create("ProgrammeEvents", abi.encode(token, custody, book, voids))
        );
        args = abi.encode(token, custody, book, address(deliveries), programmes);
        gaps = IGaps(create("Gaps", args));
        participants.addCausewayContract(address(deliveries));
        participants.addCausewayContract(address(events));
    }

    /// @dev From the compiled artifact: the bytecode under test is the one that is deployed.
    function create(string memory name, bytes memory args) internal returns (address made) {
        bytes memory code = bytes.concat(vm.getCode(string.concat(name, ".sol:", name)), args);
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        check(made != address(0), name);
    }

    function classOf(string memory programme, string memory project)
        internal
        pure
        returns (CreditClass memory)
    {
        bytes32[] memory cohort = new bytes32[](1);
        cohort[0] = keccak256("ccp");
        return CreditClass(programme, project, 0, 20200101, 20201231, cohort);
    }

    function vcs() internal pure returns (CreditClass memory) {
        return classOf("VCS", "1529");
    }

    function vcsSeries() internal pure returns (Series memory) {
        uint256[] memory codes = new uint256[](1);
        codes[0] = 2;
        return Series("VCS", codes);
    }

    function gsSeries(uint256 batch) internal pure returns (Series memory) {
        uint256[] memory codes = new uint256[](3);
        (codes[0], codes[1], codes[2]) = (11_603, 2025, batch);
        return Series("GS", codes);
    }

    function one(uint64 first, uint64 last) internal pure returns (Interval[] memory intervals) {
        intervals = new Interval[](1);
        intervals[0] = Interval(vcsSeries(), first, last);
    }

    function receiptFor(address to, Interval[] memory intervals)
        internal
        pure
        returns (Receipt memory)
    {
        return Receipt(to, vcs(), HASH, intervals, HASH, HASH, type(uint64).max);
    }

    function noHints(uint256 count) internal pure returns (uint64[] memory) {
        return new uint64[](count);
    }

    /// @dev Signatures in the order of the signers' addresses.
    function signed(bytes32 digest, uint256[] memory keys)
        internal
        pure
        returns (bytes[] memory signatures)
    {
        for (uint256 i = 1; i < keys.length; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j - 1]) > vm.addr(keys[j]); --j) {
                (keys[j - 1], keys[j]) = (keys[j], keys[j - 1]);
            }
        }
        signatures = new bytes[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[i], digest);
            signatures[i] = abi.encodePacked(r, s, v);
        }
    }

    function by(bytes32 digest, uint256 key) internal pure returns (bytes[] memory) {
        uint256[] memory keys = new uint256[](1);
        keys[0] = key;
        return signed(digest, keys);
    }

    function by(bytes32 digest, uint256 key, uint256 other)
        internal
        pure
        returns (bytes[] memory)
    {
        uint256[] memory keys = new uint256[](2);
        (keys[0], keys[1]) = (key, other);
        return signed(digest, keys);
    }

    /// @dev Reports exactly what this receipt needs; the proof that its mint carries.
    function backed(Receipt memory receipt) internal returns (bytes memory) {
        uint256 count = receipt.intervals.length;
        ClassReserve[] memory classes = new ClassReserve[](1);
        (,, classes[0].classId) = credits.hashClass(receipt.creditClass);
        classes[0].covered = credits.positions(classes[0].classId).minted;
        classes[0].blocks = new Listed[](count);
        uint256[] memory all = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            Interval memory interval = receipt.intervals[i];
            classes[0].blocks[i] = Listed(
                trust.hashSeries(interval.series), interval.first, interval.last, receipt.account
            );
            classes[0].covered += interval.last - interval.first + 1;
            all[i] = i;
        }
        report(classes);
        return packed(proofOf(classes, 0, all));
    }

    function report(ClassReserve[] memory classes) internal {
        ReserveReport memory made = reportOf(rootOf(leavesOf(classes)));
        reserve.report(made, by(reserve.hashReport(made), CUSTODIAN, ATTESTOR));
    }

    function mint(Receipt memory receipt) internal returns (bytes32) {
        bytes memory proof = backed(receipt);
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        return
            trust.mintWithReceipt(receipt, noHints(receipt.intervals.length), proof, signatures);
    }

    function mint(address to, uint64 first, uint64 last) internal returns (uint256 id) {
        mint(receiptFor(to, one(first, last)));
        (,, id) = credits.hashClass(vcs());
    }

    function expectMintRefused(Receipt memory receipt, bytes memory reason) internal {
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        trust.mintWithReceipt(receipt, noHints(receipt.intervals.length), "", signatures);
    }

    function retire(address from, uint256 id, uint256 kilograms) internal returns (uint256) {
        vm.prank(from);
        return credits.retire(from, id, kilograms, from, HASH);
    }

    function retirement(uint256 id, uint64 position, Interval[] memory actual)
        internal
        pure
        returns (RegistryRetirement memory)
    {
        uint64 tonnes;
        for (uint256 i = 0; i < actual.length; ++i) {
            tonnes += actual[i].last - actual[i].first + 1;
        }
        return RegistryRetirement(id, position, tonnes, actual, "REF", 20260131, HASH);
    }

    function confirm(
        RegistryRetirement memory confirmed,
        Exchange[] memory exchanges,
        uint64 hint
    ) internal returns (bytes32) {
        bytes[] memory signatures =
            by(records.hashRegistryRetirement(confirmed), CUSTODIAN, ATTESTOR);
        return records.recordRegistryRetirement(confirmed, exchanges, hint, signatures);
    }

    function confirm(uint256 id, uint64 position, uint64 first, uint64 last)
        internal
        returns (bytes32)
    {
        return confirm(retirement(id, position, one(first, last)), new Exchange[](0), 0);
    }

    function setFrozen(address account, bool frozen, uint256 nonce) internal {
        bytes[] memory signatures =
            by(legal.hashFreeze(account, frozen, HASH, nonce), FREEZER);
        legal.setFrozen(account, frozen, HASH, nonce, signatures);
    }

    function transfer(address from, address to, uint256 id, uint256 kilograms) internal {
        vm.prank(from);
        credits.safeTransferFrom(from, to, id, kilograms, "");
    }
}
