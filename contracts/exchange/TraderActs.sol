// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange, Order, Withdrawal} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Ledger} from "./Ledger.sol";

/// @title What traders do on chain with their orders, and what anybody completes for them.
abstract contract TraderActs is Ledger {
    /// @inheritdoc IExchange
    function invalidate(uint64[] calldata nonces) external {
        for (uint256 i = 0; i < nonces.length; ++i) {
            uint64 nonce = nonces[i];
            if (nonce > type(uint48).max) Refusal.one(IExchange.NonceTooLarge.selector, nonce);
            mapping(uint256 => uint256) storage times = _invalidatedAt[msg.sender];
            // Written once: a second call cannot move the time. Nor is it an error, so that a
            // list of nonces can be sent again.
            if (times[nonce] != 0) continue;

            times[nonce] = block.timestamp;
            bytes32 slot = AccountSlots.fillSlot(uint160(msg.sender), nonce);
            AccountSlots.write(slot, AccountSlots.kill(AccountSlots.read(slot), nonce));

            emit NonceInvalidated(msg.sender, nonce, uint40(block.timestamp));
        }
    }

    /// @inheritdoc IExchange
    function preSign(bytes32 digest) external {
        _preSigned[msg.sender][digest] = true;

        emit PreSigned(msg.sender, digest);
    }

    /// @inheritdoc IExchange
    function completeRetirement(Order calldata order)
        external
        returns (uint256 certificateId)
    {
        (bytes32 digest, uint256 kilograms) = _takeEarmark(order);
        certificateId = CREDITS.retire(
            address(this), order.instrument, kilograms, order.trader, order.detailsHash
        );
        emit RetirementCompleted(
            digest, order.trader, order.instrument, kilograms, certificateId
        );
    }

    /// @inheritdoc IExchange
    function completeRetirementPublicly(
        Order calldata order,
        string calldata beneficiary,
        string calldata purpose,
        string calldata period,
        bytes32 instructionHash
    ) external returns (uint256 certificateId) {
        bytes32 detailsHash =
            keccak256(abi.encode(bytes32(0), beneficiary, purpose, period, instructionHash));
        if (detailsHash != order.detailsHash) {
            Refusal.two(
                IExchange.ExchangeDetailsDiffer.selector,
                uint256(order.detailsHash),
                uint256(detailsHash)
            );
        }
        (bytes32 digest, uint256 kilograms) = _takeEarmark(order);
        certificateId = CREDITS.retirePublicly(
            address(this),
            order.instrument,
            kilograms,
            order.trader,
            beneficiary,
            purpose,
            period,
            instructionHash
        );
        emit RetirementCompleted(
            digest, order.trader, order.instrument, kilograms, certificateId
        );
    }

    /// @inheritdoc IExchange
    function fillOf(address trader, uint64 nonce)
        external
        view
        returns (uint64 filled, bool ended, uint40 invalidatedAt)
    {
        uint256 word = AccountSlots.read(AccountSlots.fillSlot(uint160(trader), nonce));
        filled = uint64(AccountSlots.filled(word, nonce));
        ended = AccountSlots.isKilled(word, nonce);
        invalidatedAt = uint40(_invalidatedAt[trader][nonce]);
    }

    /// @inheritdoc IExchange
    function earmarked(bytes32 orderDigest) external view returns (uint256) {
        return _earmarks[orderDigest];
    }

    /// @inheritdoc IExchange
    function isPreSigned(address account, bytes32 digest) external view returns (bool) {
        return _preSigned[account][digest];
    }

    /// @inheritdoc IExchange
    function hashOrder(Order calldata order) public view returns (bytes32) {
        return MessageHashes.ofOrder(_separator(), order);
    }

    /// @inheritdoc IExchange
    function hashWithdrawal(Withdrawal calldata withdrawal) external view returns (bytes32) {
        return MessageHashes.ofWithdrawal(_separator(), withdrawal);
    }

    /// @inheritdoc IExchange
    function hashBatch(bytes calldata batch) external view returns (bytes32) {
        bytes32 message = RawMemory.hashPair(
            uint256(MessageHashes.BATCH_TYPEHASH), uint256(keccak256(batch))
        );
        return MessageHashes.ofStruct(_separator(), message);
    }

    /// @dev Only an order that settled has an earmark, so the order given is a signed one.
    function _takeEarmark(Order calldata order)
        private
        returns (bytes32 digest, uint256 kilograms)
    {
        digest = hashOrder(order);
        kilograms = _earmarks[digest];
        if (kilograms == 0) {
            Refusal.one(IExchange.ExchangeNothingToRetire.selector, uint256(digest));
        }
        _requireNotFrozen(order.trader);

        _earmarks[digest] = 0;
        // What is earmarked is part of the total.
        unchecked {
            _totals[order.instrument] -= kilograms;
        }
    }
}
