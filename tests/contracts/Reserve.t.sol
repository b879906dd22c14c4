// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IReserve, ReserveReport} from "../../contracts/interfaces/IReserve.sol";
import {Interval, ITrust, Receipt} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";
import {ReserveProof} from "./support/Reserves.sol";

/// @dev L3: what a report lets through, and everything that does not prove it.
contract ReserveTest is Deployment {
    bytes32 private constant ACCOUNT = keccak256("account");
    uint256 private constant CLASS = 77;

    bytes32 private series;

    function setUp() public {
        deploy();
        series = trust.hashSeries(vcsSeries());
    }

    /// @dev Three classes; class 77 has serials 1 … 10, 21 … 30, 41 … 50 of one series.
    function threeClasses(uint64 covered) private view returns (ClassReserve[] memory classes) {
        classes = new ClassReserve[](3);
        for (uint256 c = 0; c < 3; ++c) {
            classes[c].classId = CLASS - 1 + c;
            classes[c].covered = covered;
            classes[c].blocks = new Listed[](3);
            for (uint64 b = 0; b < 3; ++b) {
                uint64 first = uint64(1000 * (c + 2) % 3000 + 20 * b + 1);
                classes[c].blocks[b] = Listed(series, first, first + 9, ACCOUNT);
            }
        }
    }

    function proofOfBlock(ClassReserve[] memory classes, uint256 block_)
        private
        pure
        returns (ReserveProof memory)
    {
        uint256[] memory blocks = new uint256[](1);
        blocks[0] = block_;
        return proofOf(classes, 1, blocks);
    }

    function backs(uint256 minted, bytes32 account, uint64 first, uint64 last, bytes memory proof)
        private
        view
    {
        bytes32[] memory ids = new bytes32[](1);
        uint128[] memory spans = new uint128[](1);
        (ids[0], spans[0]) = (series, uint128(first) << 64 | last);
        reserve.requireBacked(CLASS, minted, account, ids, spans, proof);
    }

    /// @dev A call of its own, for `try` and for its calldata.
    function tryBacked(uint64 first, uint64 last, bytes memory proof) external view {
        backs(1, ACCOUNT, first, last, proof);
    }

    function invalid() private pure returns (bytes memory) {
        return abi.encodeWithSelector(IReserve.ReserveProofInvalid.selector, CLASS);
    }

    // -------------------------------------------------------------- mints

    function test_L3_nothing_is_minted_before_the_first_report() public {
        expectMintRefused(
            receiptFor(holder, one(1, 5)),
            abi.encodeWithSelector(IReserve.ReserveMissing.selector)
        );
    }

    function test_L3_a_stale_report_mints_nothing_and_the_next_one_does() public {
        Receipt memory receipt = receiptFor(holder, one(1, 5));
        bytes memory proof = backed(receipt);
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.warp(NOW + MAX_AGE + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReserve.ReserveStale.selector, NOW, MAX_AGE, NOW + MAX_AGE + 1
            )
        );
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
        vm.warp(NOW + MAX_AGE);
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
        vm.warp(NOW + 2 * MAX_AGE);
        mint(receiptFor(holder, one(6, 9)));
    }

    function test_L3_a_report_covers_its_tonnes_and_not_one_more() public {
        mint(holder, 1, 100);
        Receipt memory receipt = receiptFor(holder, one(101, 110));
        (,, uint256 id) = credits.hashClass(receipt.creditClass);
        ClassReserve[] memory classes = new ClassReserve[](1);
        Listed[] memory blocks = new Listed[](1);
        blocks[0] = Listed(series, 101, 110, receipt.account);
        classes[0] = ClassReserve(id, 109, blocks);
        report(classes);
        bytes memory proof = packed(proofOf(classes, 0, new uint256[](1)));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(IReserve.ReserveShort.selector, id, 110, 109)
        );
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
        equal(credits.totalSupply(id), 100_000, "nothing minted");

        classes[0].covered = 110;
        report(classes);
        proof = packed(proofOf(classes, 0, new uint256[](1)));
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
    }

    function test_L3_the_proof_of_an_earlier_report_mints_nothing() public {
        Receipt memory receipt = receiptFor(holder, one(1, 5));
        bytes memory proof = backed(receipt);
        report(threeClasses(30));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        (,, uint256 id) = credits.hashClass(receipt.creditClass);
        vm.expectRevert(abi.encodeWithSelector(IReserve.ReserveProofInvalid.selector, id));
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
    }

    function test_L3_credits_of_another_trust_account_back_no_receipt() public {
        Receipt memory receipt = receiptFor(holder, one(1, 5));
        bytes memory proof = backed(receipt);
        receipt.account = keccak256("another account");
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        (,, uint256 id) = credits.hashClass(receipt.creditClass);
        vm.expectRevert(abi.encodeWithSelector(IReserve.ReserveProofInvalid.selector, id));
        trust.mintWithReceipt(receipt, noHints(1), proof, signatures);
    }

    function test_a_receipt_of_many_intervals_proves_each_of_them() public {
        Interval[] memory intervals = new Interval[](5);
        for (uint64 i = 0; i < 5; ++i) {
            intervals[i] = Interval(vcsSeries(), 100 * i + 1, 100 * i + 1 + i);
        }
        mint(receiptFor(holder, intervals));
        // The block of the fourth interval in the place of the fifth's.
        for (uint64 i = 0; i < 5; ++i) {
            (intervals[i].first, intervals[i].last) = (100 * i + 50, 100 * i + 59);
        }
        Receipt memory receipt = receiptFor(holder, intervals);
        bytes memory proof = backed(receipt);
        uint256 size = (proof.length - 13) / 5;
        check(size > 21, "blocks of one size");
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        bytes memory cut = new bytes(proof.length);
        for (uint256 i = 0; i < proof.length; ++i) {
            cut[i] = proof[i];
        }
        cut[7] = bytes1(uint8(cut[7]) ^ 1);
        vm.expectRevert();
        trust.mintWithReceipt(receipt, noHints(5), cut, signatures);
        trust.mintWithReceipt(receipt, noHints(5), proof, signatures);
    }

    // -------------------------------------------------------------- proofs

    function test_L3_a_live_block_backs_what_lies_in_it_and_nothing_beyond() public {
        ClassReserve[] memory classes = threeClasses(30);
        report(classes);
        bytes memory proof = packed(proofOfBlock(classes, 1));
        uint64 first = classes[1].blocks[1].first;
        backs(30, ACCOUNT, first, first + 9, proof);
        backs(1, ACCOUNT, first + 4, first + 4, proof);
        uint64[2][3] memory beyond =
            [[first - 1, first], [first + 9, first + 10], [first - 1, first + 10]];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IReserve.ReserveBlockMissing.selector,
                    series,
                    beyond[i][0],
                    beyond[i][1],
                    ACCOUNT
                )
            );
            this.tryBacked(beyond[i][0], beyond[i][1], proof);
        }
    }

    function test_L3_forged_sums_siblings_and_turns_prove_nothing() public {
        ClassReserve[] memory classes = threeClasses(30);
        report(classes);
        uint64 first = classes[1].blocks[1].first;
        ReserveProof memory proof = proofOfBlock(classes, 1);
        this.tryBacked(first, first, packed(proof));

        proof.covered += 1;
        refused(first, proof);
        proof = proofOfBlock(classes, 1);
        // Tonnes moved from one child to the other: the sum above stays the same.
        proof.path.sums[0] -= 1;
        proof.covered += 1;
        refused(first, proof);
        proof = proofOfBlock(classes, 1);
        (proof.path.siblings[0], proof.path.siblings[1]) =
            (proof.path.siblings[1], proof.path.siblings[0]);
        refused(first, proof);
        proof = proofOfBlock(classes, 1);
        proof.path.rightBits ^= 1;
        refused(first, proof);
        // A turn where there is no level, and a level too few.
        proof = proofOfBlock(classes, 1);
        proof.path.rightBits |= 1 << proof.path.siblings.length;
        refused(first, proof);
        proof = proofOfBlock(classes, 1);
        proof.blocks[0].path.rightBits ^= 2;
        refused(first, proof);
        proof = proofOfBlock(classes, 1);
        proof.blocks[0].path.sums[0] += 1;
        refused(first, proof);
        // The block of one class under the leaf of another.
        proof = proofOfBlock(classes, 1);
        uint256[] memory blocks = new uint256[](1);
        blocks[0] = 1;
        proof.path = proofOf(classes, 0, blocks).path;
        refused(first, proof);
    }

    function refused(uint64 first, ReserveProof memory proof) private {
        vm.expectRevert(invalid());
        this.tryBacked(first, first, packed(proof));
    }

    function test_L3_a_proof_ends_where_it_should() public {
        ClassReserve[] memory classes = threeClasses(30);
        report(classes);
        uint64 first = classes[1].blocks[0].first;
        bytes memory proof = packed(proofOfBlock(classes, 0));
        vm.expectRevert(invalid());
        this.tryBacked(first, first, bytes.concat(proof, hex"00"));
        for (uint256 length = 0; length < proof.length; length += 7) {
            bytes memory cut = new bytes(length);
            for (uint256 i = 0; i < length; ++i) {
                cut[i] = proof[i];
            }
            vm.expectRevert();
            this.tryBacked(first, first, cut);
        }
    }

    function testFuzz_L3_no_changed_bit_of_a_proof_mints(uint256 seed) public {
        ClassReserve[] memory classes = threeClasses(30);
        report(classes);
        uint256 which = seed % 3;
        bytes memory proof = packed(proofOfBlock(classes, which));
        uint64 first = classes[1].blocks[which].first;
        this.tryBacked(first, first, proof);
        uint256 bit = (seed >> 8) % (proof.length * 8);
        proof[bit / 8] = bytes1(uint8(proof[bit / 8]) ^ uint8(1 << (bit % 8)));
        vm.expectRevert();
        this.tryBacked(first, first, proof);
    }

    /// @dev Sums that wrap round 64 bits: a report could else hide a shortfall behind them.
    function test_L3_sums_that_pass_64_bits_are_no_tree() public {
        ClassReserve[] memory classes = threeClasses(30);
        classes[0].covered = type(uint64).max - 10;
        ReserveReport memory made = reportOf(rootOf(leavesOf(classes)));
        check(made.tonnes < 60, "the sum has wrapped");
        reserve.report(made, by(reserve.hashReport(made), CUSTODIAN, ATTESTOR));
        uint64 first = classes[1].blocks[0].first;
        vm.expectRevert(invalid());
        this.tryBacked(first, first, packed(proofOfBlock(classes, 0)));
    }

    /// @dev Trees of any size: what is listed is proven, what is not is not.
    function testFuzz_L3_every_listed_block_of_any_report_has_its_proof(uint256 seed) public {
        ClassReserve[] memory classes = new ClassReserve[](within(seed, 1, 7));
        uint64 serial = 1;
        for (uint256 c = 0; c < classes.length; ++c) {
            seed = uint256(keccak256(abi.encode(seed)));
            classes[c].classId = CLASS + c;
            classes[c].covered = uint64(within(seed >> 8, 0, 500));
            classes[c].blocks = new Listed[](within(seed >> 32, 1, 9));
            for (uint256 b = 0; b < classes[c].blocks.length; ++b) {
                uint64 last = serial + uint64((seed >> (40 + 5 * b)) % 20);
                classes[c].blocks[b] = Listed(series, serial, last, ACCOUNT);
                serial = last + 1 + uint64(b % 2);
            }
        }
        report(classes);
        uint256 which = uint256(keccak256(abi.encode(seed, "block"))) % classes[0].blocks.length;
        uint256[] memory blocks = new uint256[](1);
        blocks[0] = which;
        bytes memory proof = packed(proofOf(classes, 0, blocks));
        Listed memory held = classes[0].blocks[which];
        if (classes[0].covered == 0) return;
        this.tryBacked(held.first, held.last, proof);
        vm.expectRevert();
        this.tryBacked(held.first, held.last + 1, proof);
    }

    // -------------------------------------------------------------- life

    function test_life_is_proven_by_a_report_after_the_moment_and_in_any_account() public {
        ClassReserve[] memory classes = threeClasses(30);
        report(classes);
        bytes memory proof = packedLive(proofOfBlock(classes, 2));
        uint64 first = classes[1].blocks[2].first;
        reserve.requireLive(CLASS, series, first, first + 9, uint64(NOW) - 1, proof);
        vm.expectRevert(
            abi.encodeWithSelector(IReserve.ReserveTooEarly.selector, NOW, NOW)
        );
        reserve.requireLive(CLASS, series, first, first, uint64(NOW), proof);
        // However old it is: what matters is that it came later.
        vm.warp(NOW + 10 * MAX_AGE);
        reserve.requireLive(CLASS, series, first, first, uint64(NOW) - 1, proof);
        proof[0] = bytes1(uint8(proof[0]) ^ 1);
        vm.expectRevert(invalid());
        reserve.requireLive(CLASS, series, first, first, uint64(NOW) - 1, proof);
        vm.expectRevert(invalid());
        reserve.requireLive(CLASS, series, first, first, uint64(NOW) - 1, hex"00");
    }

    // -------------------------------------------------------------- reports

    function expectReportRefused(ReserveReport memory made, bytes memory reason) private {
        bytes[] memory signatures = by(reserve.hashReport(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        reserve.report(made, signatures);
    }

    function test_reports_come_in_order_and_none_is_before_the_one_it_replaces() public {
        report(threeClasses(30));
        ReserveReport memory made = reportOf(Node(HASH, 5));
        (made.asOf, made.chainBlock) = (uint64(NOW) - 1, 9);
        expectReportRefused(
            made,
            abi.encodeWithSelector(
                IReserve.ReserveTimeInvalid.selector, made.asOf, NOW, NOW
            )
        );
        made.asOf = uint64(NOW) + 1;
        expectReportRefused(
            made,
            abi.encodeWithSelector(
                IReserve.ReserveTimeInvalid.selector, made.asOf, NOW, NOW
            )
        );
        made.asOf = uint64(NOW);
        for (uint64 i = 0; i < 4; ++i) {
            if (i == 2) continue;
            made.sequence = i;
            expectReportRefused(
                made, abi.encodeWithSelector(IReserve.ReserveSequenceInvalid.selector, i, 2)
            );
        }
        made.sequence = 2;
        reserve.report(made, by(reserve.hashReport(made), CUSTODIAN, ATTESTOR));
        (uint64 sequence, uint64 asOf, bytes32 root, uint64 tonnes) = reserve.current();
        check(sequence == 2 && asOf == NOW && root == HASH && tonnes == 5, "the newest");
        // The same again is not the next one (L10); nor may positions be counted further back.
        expectReportRefused(
            made, abi.encodeWithSelector(IReserve.ReserveSequenceInvalid.selector, 2, 3)
        );
        (made.sequence, made.chainBlock) = (3, 8);
        expectReportRefused(
            made, abi.encodeWithSelector(IReserve.ReserveChainBlockInvalid.selector, 8, 9)
        );
    }

    function test_L5_a_report_needs_custodian_and_attestor_and_anybody_submits_it() public {
        ReserveReport memory made = reportOf(Node(HASH, 5));
        bytes[] memory signatures = by(reserve.hashReport(made), CUSTODIAN, CUSTODIAN_2);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustApprovalsMissing.selector, 2, 1, 0, 1)
        );
        reserve.report(made, signatures);
        signatures = by(reserve.hashReport(made), CUSTODIAN, ATTESTOR);
        ReserveReport memory other = made;
        vm.prank(unknown);
        reserve.report(other, signatures);
    }

    function testFuzz_every_member_of_a_report_is_signed(uint8 which) public {
        ReserveReport memory made = reportOf(Node(HASH, 5));
        bytes32 digest = reserve.hashReport(made);
        uint256 member = which % 8;
        if (member == 0) made.sequence ^= 1;
        if (member == 1) made.asOf ^= 1;
        if (member == 2) made.chainBlock ^= 1;
        if (member == 3) made.root ^= bytes32(uint256(1));
        if (member == 4) made.tonnes ^= 1;
        if (member == 5) made.liabilitiesRoot ^= bytes32(uint256(1));
        if (member == 6) made.liabilitiesKilograms ^= 1;
        if (member == 7) made.evidenceHash ^= bytes32(uint256(1));
        check(reserve.hashReport(made) != digest, "unsigned");
    }
}
