// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order, Withdrawal} from "../../contracts/interfaces/IExchange.sol";
import {MessageHashes} from "../../contracts/libraries/MessageHashes.sol";
import {Batches, Draft} from "./support/BatchBuilder.sol";
import {Market} from "./support/Market.sol";

/// @dev The contract hashes what is signed as the domain and the wallets' library do:
/// tests/vectors/orders.json, which tests/contracts/test_order_vectors.py holds to those two.
contract OrderVectorsTest is Market {
    uint256 private constant VECTORS_CHAIN = 31337;
    string private json;
    IExchange private moved;

    /// @dev The same code at the address and on the chain that the vectors were made for.
    function setUp() public {
        // Deployed on another chain: what it remembers of its own domain cannot serve here.
        vm.chainId(VECTORS_CHAIN + 1);
        open();
        json = vm.readFile("tests/vectors/orders.json");
        equal(vm.parseJsonUint(json, ".domain.chainId"), VECTORS_CHAIN, "chain of the vectors");
        moved = IExchange(vm.parseJsonAddress(json, ".domain.verifyingContract"));
        vm.etch(address(moved), address(exchange).code);
        vm.chainId(VECTORS_CHAIN);
        exchange = moved;
    }

    function entry(string memory kind, uint256 place, string memory field)
        private
        pure
        returns (string memory)
    {
        return string.concat(".vectors.", kind, "[", vm.toString(place), "].", field);
    }

    function count(string memory kind) private view returns (uint256 found) {
        found = vm.parseJsonUint(json, string.concat(".counts.", kind));
        check(found != 0, string.concat("no vectors of ", kind));
    }

    function digest(string memory kind, uint256 place) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, entry(kind, place, "digest"));
    }

    function abiOf(string memory kind, uint256 place) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, entry(kind, place, "abi"));
    }

    function typeIs(string memory kind, bytes32 typeHash) private view {
        string memory text = vm.parseJsonString(json, string.concat(".types.", kind));
        equal(keccak256(bytes(text)), typeHash, kind);
    }

    function test_types_are_those_of_the_domain() public view {
        typeIs("Order", MessageHashes.ORDER_TYPEHASH);
        typeIs("Withdrawal", MessageHashes.WITHDRAWAL_TYPEHASH);
        typeIs("Batch", MessageHashes.BATCH_TYPEHASH);
        typeIs("Anchor", MessageHashes.ANCHOR_TYPEHASH);
        typeIs("Void", MessageHashes.VOID_TYPEHASH);
        typeIs("DepositIntent", MessageHashes.INTENT_TYPEHASH);
    }

    function test_L5_order_digests_are_those_of_the_domain() public view {
        for (uint256 i = 0; i < count("Order"); ++i) {
            Order memory order = abi.decode(abiOf("Order", i), (Order));
            equal(moved.hashOrder(order), digest("Order", i), "digest of an order");
            if (order.signatureKind == 0) signedBy("Order", i, order.trader);
        }
    }

    function test_L5_withdrawal_digests_are_those_of_the_domain() public view {
        for (uint256 i = 0; i < count("Withdrawal"); ++i) {
            Withdrawal memory wanted = abi.decode(abiOf("Withdrawal", i), (Withdrawal));
            equal(moved.hashWithdrawal(wanted), digest("Withdrawal", i), "of a withdrawal");
            if (wanted.signatureKind == 0) signedBy("Withdrawal", i, wanted.trader);
        }
    }

    function test_L5_digests_of_what_the_keys_sign_are_those_of_the_domain() public view {
        for (uint256 i = 0; i < count("Batch"); ++i) {
            bytes memory batch = abi.decode(abiOf("Batch", i), (bytes));
            equal(moved.hashBatch(batch), digest("Batch", i), "digest of a batch");
        }
        for (uint256 i = 0; i < count("Anchor"); ++i) {
            (uint64 seq, bytes32 head) = abi.decode(abiOf("Anchor", i), (uint64, bytes32));
            equal(anchorDigest(seq, head), digest("Anchor", i), "digest of an anchor");
        }
        for (uint256 i = 0; i < count("Void"); ++i) {
            (uint64 a, uint64 b, uint64 c, uint64 d, uint8 reason, uint64 seq, bytes32 head) =
            abi.decode(
                abiOf("Void", i), (uint64, uint64, uint64, uint64, uint8, uint64, bytes32)
            );
            equal(voidDigest([a, b, c, d], reason, seq, head), digest("Void", i), "of a void");
        }
    }

    function test_L9_batches_are_packed_as_the_domain_packs_them() public view {
        string memory packed = vm.readFile("tests/vectors/batches.json");
        uint256 listed = vm.parseJsonUint(packed, ".count");
        check(listed >= 3, "no batches");
        for (uint256 i = 0; i < listed; ++i) {
            string memory key = string.concat(".vectors[", vm.toString(i), "].");
            bytes memory expected = vm.parseJsonBytes(packed, string.concat(key, "batch"));
            Draft memory draft = abi.decode(
                vm.parseJsonBytes(packed, string.concat(key, "draft")), (Draft)
            );
            bytes memory made = Batches.pack(draft);
            equal(made.length, expected.length, "length of a batch");
            equal(keccak256(made), keccak256(expected), "bytes of a batch");
            equal(
                moved.hashBatch(made),
                vm.parseJsonBytes32(packed, string.concat(key, "digest")),
                "digest of a batch"
            );
        }
    }

    /// @dev The 65 bytes that wallets give and the 64 that batches carry are one signature.
    function signedBy(string memory kind, uint256 place, address signer) private view {
        bytes memory full = vm.parseJsonBytes(json, entry(kind, place, "signature"));
        bytes memory short = vm.parseJsonBytes(json, entry(kind, place, "compact"));
        check(full.length == 65 && short.length == 64, "lengths");
        (bytes32 r, bytes32 vs) = abi.decode(short, (bytes32, bytes32));
        uint8 v = uint8(27 + (uint256(vs) >> 255));
        bytes32 s = bytes32(uint256(vs) & type(uint256).max >> 1);
        equal(keccak256(abi.encodePacked(r, s, v)), keccak256(full), "the two forms");
        equal(ecrecover(digest(kind, place), v, r, s), signer, "signer");
        equal(
            keccak256(compact(uint256(vm.parseJsonBytes32(json, entry(kind, place, "key"))),
                digest(kind, place))),
            keccak256(short),
            "deterministic"
        );
    }
}
