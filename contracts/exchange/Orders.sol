// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {BatchTables, Run} from "../libraries/BatchTables.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Ledger} from "./Ledger.sol";

/// @title The accounts of a batch and their orders: each is read, hashed and recovered once.
/// @dev An order's checks set one flag; what was wrong is found out only when it is set, by
/// `_refuseOrder`. Unchecked for the same reason as Settlement.
abstract contract Orders is Ledger {
    using BatchTables for Run;

    uint256 private constant BUY = 0;
    uint256 private constant MAX_LIFETIME = 30 days;
    /// @dev Bits of an order's flags: retire-on-fill, whose details hash follows the order, and
    /// pre-signed. The time in force is at bits 1 and 2.
    uint256 internal constant RETIRE_FLAG = 0x40;
    uint256 private constant PRE_SIGNED_FLAG = 0x80;

    /// @dev Legs and orders of every account, and the signature of every order.
    function _readAccounts(Run memory run) internal view {
        unchecked {
            uint256 leg = run.legsAt;
            uint256 order = run.ordersAt;
            MessageHashes.beginOrders();
            for (uint256 i = run.accountCount; i != 0; --i) {
                uint256 header = RawMemory.load(run.cursor);
                run.ownLegs = leg;
                run.ownCount = header >> 80 & type(uint16).max;
                leg = run.readLegs(header, leg, MessageHashes.trader());
                MessageHashes.ofTrader(header >> 96);
                for (header = header >> 64 & type(uint16).max; header != 0; --header) {
                    _readOrder(order);
                    order += BatchTables.ORDER_BYTES;
                }
            }
            uint256 read = (order - run.ordersAt) / BatchTables.ORDER_BYTES;
            if (leg != run.ordersAt || read != run.orderCount) {
                BatchTables.refuseTable(read, run.orderCount);
            }
        }
    }

    function _readOrder(uint256 order) private view {
        unchecked {
            Run memory run = BatchTables.pointer()(BatchTables.RUN);
            uint256 cursor = run.cursor;
            uint256 packed = RawMemory.load(cursor);
            uint256 times = RawMemory.load(cursor + 32);
            run.cursor = cursor + BatchTables.PACKED_ORDER_BYTES;
            if (packed & (RETIRE_FLAG | PRE_SIGNED_FLAG) != 0) _begin(run, packed);

            uint256 lifetime = times >> 208 & type(uint24).max;
            uint256 instrument = packed >> 240;
            uint256 asset = packed >> 224 & type(uint16).max;
            uint256 fault;
            uint256 longest = MAX_LIFETIME;
            uint256 legs = run.ownCount;
            assembly ("memory-safe") {
                fault := iszero(and(lt(instrument, legs), lt(asset, legs)))
                fault := or(fault, gt(lifetime, longest))
            }
            // Before any leg is read: an index too high would read, and pay for, far memory.
            if (fault != 0) _refuseOrder(packed, lifetime, legs);

            instrument = run.ownLegs + instrument * BatchTables.LEG_BYTES;
            asset = run.ownLegs + asset * BatchTables.LEG_BYTES;
            RawMemory.store(order, instrument << 208 | asset << 160 | MessageHashes.trader());
            RawMemory.store(order + 0x20, packed);
            instrument = RawMemory.load(instrument) & type(uint16).max;
            asset = RawMemory.load(asset) & type(uint16).max;
            uint256 signedAt = run.baseTime + (times >> 232);
            lifetime += signedAt;
            RawMemory.store(
                order + 0x40, lifetime << 216 | signedAt << 176 | instrument << 160 | asset << 144
            );
            instrument = run.assetAt(instrument);
            asset = run.assetAt(asset);
            // Only an address is below 2^160, and only a class is not.
            assembly ("memory-safe") {
                fault := or(iszero(shr(160, instrument)), shr(160, asset))
            }
            bytes32 digest = MessageHashes.ofPackedOrder(
                packed, instrument, asset, signedAt, lifetime
            );
            uint256 signer = packed & (RETIRE_FLAG | PRE_SIGNED_FLAG) == 0
                ? _nextSigner(run, digest)
                : _signerOf(run, order, digest, fault);
            if (fault | (signer ^ MessageHashes.trader()) != 0) {
                _refuseSigned(packed, fault, instrument, asset, signer);
            }
        }
    }

    /// @dev Puts what only such orders have into the buffer, where it is 0 for every other.
    function _begin(Run memory run, uint256 packed) private pure {
        unchecked {
            uint256 detailsHash;
            if (packed & RETIRE_FLAG != 0) {
                uint256 timeInForce = packed >> 1 & 3;
                if (packed & 1 != BUY || timeInForce == 0 || timeInForce == 3) {
                    Refusal.three(
                        IExchange.OrderConditionsInvalid.selector,
                        MessageHashes.trader(),
                        BatchTables.nonceOf(packed),
                        packed >> 1 & 0x3f
                    );
                }
                detailsHash = RawMemory.load(run.cursor);
                run.cursor += 32;
            }
            MessageHashes.ofSpecialOrder(detailsHash, packed >> 7 & 1);
        }
    }

    function _nextSigner(Run memory run, bytes32 digest) private view returns (uint256) {
        unchecked {
            uint256 place = run.signatureAt;
            run.signatureAt = place + 64;
            return MessageHashes.signerAt(digest, place);
        }
    }

    /// @dev Of an order that retires, whose digest it keeps, or that is pre-signed.
    function _signerOf(Run memory run, uint256 order, bytes32 digest, uint256 fault)
        private
        view
        returns (uint256)
    {
        unchecked {
            MessageHashes.ofSpecialOrder(0, 0);
            RawMemory.store(order + 0x60, uint256(digest));
            uint256 packed = RawMemory.load(order + 0x20);
            if (packed & PRE_SIGNED_FLAG == 0) return _nextSigner(run, digest);
            uint256 owner = MessageHashes.trader();
            // With a fault, the order is refused for that.
            if (fault == 0 && !_preSigned[address(uint160(owner))][digest]) {
                Refusal.three(
                    IExchange.OrderNotPreSigned.selector,
                    owner,
                    BatchTables.nonceOf(packed),
                    uint256(digest)
                );
            }
            return owner;
        }
    }

    /// @dev Which of the first checks an order failed.
    function _refuseOrder(uint256 packed, uint256 lifetime, uint256 legs)
        private
        pure
    {
        if (lifetime > MAX_LIFETIME) {
            Refusal.three(
                IExchange.OrderLifetimeTooLong.selector,
                MessageHashes.trader(),
                BatchTables.nonceOf(packed),
                lifetime
            );
        }
        BatchTables.refuseIndex(packed >> 240, packed >> 224 & type(uint16).max, legs);
    }

    /// @dev Which of the last checks an order failed.
    function _refuseSigned(
        uint256 packed,
        uint256 fault,
        uint256 instrument,
        uint256 asset,
        uint256 signer
    ) private pure {
        if (fault != 0) {
            Refusal.four(
                IExchange.OrderAssetsInvalid.selector,
                MessageHashes.trader(),
                BatchTables.nonceOf(packed),
                instrument,
                asset
            );
        }
        Refusal.three(
            IExchange.OrderSignatureWrong.selector,
            MessageHashes.trader(),
            BatchTables.nonceOf(packed),
            signer
        );
    }
}
