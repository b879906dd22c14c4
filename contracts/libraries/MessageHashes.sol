// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Order, Withdrawal} from "../interfaces/IExchange.sol";
import {RawMemory} from "./RawMemory.sol";

/// @title EIP-712 digests of everything that is signed for an Exchange, and who signed them.
/// @notice Signatures here are 64 bytes, r ‖ vs (EIP-2098).
library MessageHashes {
    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(address trader,uint64 nonce,uint256 instrument,address asset,uint8 side,"
        "uint64 quantity,uint128 price,uint16 maxFeeBps,uint40 signedAt,uint40 expiry,"
        "uint8 conditions,bytes32 detailsHash,uint8 signatureKind)"
    );
    bytes32 internal constant WITHDRAWAL_TYPEHASH = keccak256(
        "Withdrawal(address trader,uint64 nonce,uint256 asset,uint128 amount,uint8 signatureKind)"
    );
    bytes32 internal constant BATCH_TYPEHASH = keccak256("Batch(bytes batch)");
    bytes32 internal constant ANCHOR_TYPEHASH = keccak256("Anchor(uint64 seq,bytes32 head)");
    bytes32 internal constant VOID_TYPEHASH = keccak256(
        "Void(uint64 firstTrade,uint64 lastTrade,uint64 firstWithdrawal,uint64 lastWithdrawal,"
        "uint8 reason,uint64 seq,bytes32 head)"
    );
    bytes32 internal constant INTENT_TYPEHASH = keccak256(
        "DepositIntent(address owner,address asset,uint256 amount,uint256 nonce,uint256 deadline)"
    );

    /// @dev The buffer: 14 words of an order, then 3 of a digest's preimage, then 4 of ecrecover.
    uint256 private constant PREIMAGE = 0x1c0;
    uint256 private constant RECOVERY = PREIMAGE + 3 * 32;
    uint256 private constant BUFFER_BYTES = RECOVERY + 4 * 32;
    uint256 private constant WITHDRAWAL_BYTES = 6 * 32;

    /// @dev The place of the buffer of a call that checks what others signed, and its end.
    uint256 internal constant BUFFER = 0x200;
    uint256 internal constant BUFFER_END = 0x4a0;

    /// @notice Makes the buffer at BUFFER; `end` is of the memory that the caller wants behind it.
    function openBuffer(bytes32 separator, uint256 end) internal pure {
        RawMemory.claim(BUFFER, end);
        unchecked {
            RawMemory.store(BUFFER + PREIMAGE, 0x1901);
            RawMemory.store(BUFFER + PREIMAGE + 32, uint256(separator));
        }
    }

    /// @notice A buffer in which any number of messages of this domain are hashed in turn.
    function newBuffer(bytes32 separator) internal pure returns (uint256 buffer) {
        buffer = RawMemory.allocate(BUFFER_BYTES);
        unchecked {
            RawMemory.store(buffer + PREIMAGE, 0x1901);
            RawMemory.store(buffer + PREIMAGE + 32, uint256(separator));
        }
    }

    /// @notice Makes the buffer ready for orders, until anything else is hashed in it.
    function beginOrders() internal pure {
        RawMemory.store(BUFFER, uint256(ORDER_TYPEHASH));
        ofTrader(0);
        ofSpecialOrder(0, 0);
    }

    /// @notice Whose the next orders are.
    function ofTrader(uint256 owner) internal pure {
        unchecked {
            RawMemory.store(BUFFER + 0x20, owner);
        }
    }

    /// @notice Whose the orders are that are hashed now; 0 before the first account.
    function trader() internal pure returns (uint256) {
        unchecked {
            return RawMemory.load(BUFFER + 0x20);
        }
    }

    /// @notice The next orders' fields that are 0 of nearly every order.
    function ofSpecialOrder(uint256 detailsHash, uint256 kind) internal pure {
        unchecked {
            RawMemory.store(BUFFER + 0x180, detailsHash);
            RawMemory.store(BUFFER + 0x1a0, kind);
        }
    }

    /// @notice Digest of an order out of a batch. `packed` is the first word of its 38 bytes.
    function ofPackedOrder(
        uint256 packed,
        uint256 instrument,
        uint256 asset,
        uint256 signedAt,
        uint256 expiry
    ) internal pure returns (bytes32 digest) {
        // Safe: writes the buffer's own words. Type, trader, details hash and kind are in it.
        assembly ("memory-safe") {
            mstore(add(BUFFER, 0x40), and(shr(176, packed), 0xffffffffffff))
            mstore(add(BUFFER, 0x60), instrument)
            mstore(add(BUFFER, 0x80), asset)
            mstore(add(BUFFER, 0xa0), and(packed, 1))
            mstore(add(BUFFER, 0xc0), and(shr(120, packed), 0xffffffffffffff))
            mstore(add(BUFFER, 0xe0), and(shr(16, packed), 0xffffffffffffffffffffffffff))
            mstore(add(BUFFER, 0x100), and(shr(8, packed), 0xff))
            mstore(add(BUFFER, 0x120), signedAt)
            mstore(add(BUFFER, 0x140), expiry)
            mstore(add(BUFFER, 0x160), and(shr(1, packed), 0x3f))
            let preimage := add(BUFFER, PREIMAGE)
            mstore(add(preimage, 0x40), keccak256(BUFFER, PREIMAGE))
            // 0x1901 stands in the last two bytes of its word.
            digest := keccak256(add(preimage, 30), 66)
        }
    }

    /// @notice Digest of a withdrawal out of a batch.
    function ofPackedWithdrawal(
        uint256 owner,
        uint256 nonce,
        uint256 asset,
        uint256 amount,
        uint256 kind
    ) internal pure returns (bytes32) {
        unchecked {
            RawMemory.store(BUFFER, uint256(WITHDRAWAL_TYPEHASH));
            RawMemory.store(BUFFER + 0x20, owner);
            RawMemory.store(BUFFER + 0x40, nonce);
            RawMemory.store(BUFFER + 0x60, asset);
            RawMemory.store(BUFFER + 0x80, amount);
            RawMemory.store(BUFFER + 0xa0, kind);
        }
        return _digest(BUFFER, RawMemory.hash(BUFFER, WITHDRAWAL_BYTES));
    }

    /// @notice Digest of a batch that lies in memory.
    function ofBatch(uint256 batchAt, uint256 length)
        internal
        pure
        returns (bytes32)
    {
        uint256 content = uint256(RawMemory.hash(batchAt, length));
        return _digest(BUFFER, RawMemory.hashPair(uint256(BATCH_TYPEHASH), content));
    }

    /// @notice Who signed the 64 bytes at a place of the calldata; 0 when nobody did.
    /// @dev The second s of every signature is left in (EIP-2098 all but excludes it): nothing
    /// here is once-only by its signature.
    function signerAt(bytes32 digest, uint256 place)
        internal
        view
        returns (uint256 signer)
    {
        uint256 input;
        unchecked {
            input = BUFFER + RECOVERY;
        }
        // Safe: writes the buffer's own last four words and the scratch word at 0, which stays 0
        // when the precompile finds no signer and returns nothing.
        assembly ("memory-safe") {
            let vs := calldataload(add(place, 0x20))
            mstore(input, digest)
            mstore(add(input, 0x20), add(27, shr(255, vs)))
            mstore(add(input, 0x40), calldataload(place))
            mstore(add(input, 0x60), shr(1, shl(1, vs)))
            mstore(0x00, 0)
            pop(staticcall(gas(), 1, input, 0x80, 0x00, 0x20))
            signer := mload(0x00)
        }
    }

    /// @notice Digest of an order in the calldata.
    function ofOrder(bytes32 separator, Order calldata order) internal pure returns (bytes32) {
        uint256 source;
        assembly ("memory-safe") {
            source := order
        }
        return _ofFields(newBuffer(separator), ORDER_TYPEHASH, source, 13 * 32);
    }

    /// @notice Digest of a withdrawal in the calldata.
    function ofWithdrawal(bytes32 separator, Withdrawal calldata withdrawal)
        internal
        pure
        returns (bytes32)
    {
        uint256 source;
        assembly ("memory-safe") {
            source := withdrawal
        }
        return _ofFields(newBuffer(separator), WITHDRAWAL_TYPEHASH, source, 5 * 32);
    }

    /// @notice Digest of a message whose fields are the first of the arguments of this call.
    /// @dev In the buffer at BUFFER.
    function ofArguments(bytes32 typeHash, uint256 fields) internal pure returns (bytes32) {
        unchecked {
            return _ofFields(BUFFER, typeHash, 4, fields * 32);
        }
    }

    /// @notice Digest of a message whose struct hash is known.
    function ofStruct(bytes32 separator, bytes32 message) internal pure returns (bytes32) {
        return _digest(newBuffer(separator), message);
    }

    /// @dev The fields as they are in the calldata: a word that does not fit its type only makes
    /// a digest that nobody signed.
    function _ofFields(uint256 buffer, bytes32 typeHash, uint256 source, uint256 length)
        private
        pure
        returns (bytes32)
    {
        RawMemory.store(buffer, uint256(typeHash));
        // Safe: at most the first 14 words of the buffer.
        assembly ("memory-safe") {
            calldatacopy(add(buffer, 0x20), source, length)
        }
        unchecked {
            return _digest(buffer, RawMemory.hash(buffer, length + 32));
        }
    }

    function _digest(uint256 buffer, bytes32 message) private pure returns (bytes32) {
        unchecked {
            RawMemory.store(buffer + PREIMAGE + 64, uint256(message));
            // 0x1901 stands in the last two bytes of its word.
            return RawMemory.hash(buffer + PREIMAGE + 30, 66);
        }
    }
}
