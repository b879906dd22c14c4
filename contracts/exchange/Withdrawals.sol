// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {BatchTables, Run} from "../libraries/BatchTables.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Ledger} from "./Ledger.sol";

/// @title The withdrawals of a batch: their signatures, their nonces, and what they move.
/// @dev Unchecked for the same reason as Settlement: every number has a field of known width.
abstract contract Withdrawals is Ledger {
    using BatchTables for Run;

    /// @dev After all trades: what is left covers a withdrawal unless an exit took it before.
    function _applyWithdrawals(Run memory run) internal {
        unchecked {
            for (uint256 i = 0; i < run.withdrawals; ++i) {
                uint256 packed = RawMemory.load(run.cursor);
                run.cursor += BatchTables.WITHDRAWAL_BYTES;
                uint256 leg = packed >> 240;
                if (leg >= run.legCount) BatchTables.refuseIndex(leg, leg, run.legCount);
                leg = run.legsAt + leg * BatchTables.LEG_BYTES;
                (uint256 trader, uint256 asset) = run.ownerOf(RawMemory.load(leg));
                uint256 nonce = packed >> 192 & type(uint48).max;
                uint256 amount = packed >> 88 & type(uint104).max;
                bytes32 digest = MessageHashes.ofPackedWithdrawal(
                    trader, nonce, asset, amount, packed >> 80 & 0xff
                );
                _requireWithdrawalSigned(run, digest, trader, packed);
                _useNonce(trader, nonce, amount);

                uint256 moved = _moveToClaimable(leg, amount);
                if (moved != amount) {
                    emit WithdrawalShort(uint64(run.firstWithdrawal + i), moved);
                }
            }
        }
    }

    function _requireWithdrawalSigned(
        Run memory run, bytes32 digest, uint256 trader, uint256 packed
    ) private view {
        unchecked {
            uint256 nonce = packed >> 192 & type(uint48).max;
            if (packed >> 80 & 0xff != 0) {
                if (_preSigned[address(uint160(trader))][digest]) return;
                Refusal.three(
                    IExchange.WithdrawalNotPreSigned.selector, trader, nonce, uint256(digest)
                );
            }
            uint256 signer = MessageHashes.signerAt(digest, run.signatureAt);
            if (signer != trader) {
                Refusal.three(IExchange.WithdrawalSignatureWrong.selector, trader, nonce, signer);
            }
            run.signatureAt += 64;
        }
    }

    /// @dev A nonce that was only invalidated still serves: the money goes to its own owner, and
    /// nobody can stop a batch by invalidating a withdrawal that is already in the journal.
    function _useNonce(uint256 trader, uint256 nonce, uint256 amount) private {
        if (amount == 0) {
            Refusal.three(IExchange.WithdrawalAmountInvalid.selector, trader, nonce, amount);
        }
        bytes32 slot = AccountSlots.fillSlot(trader, nonce);
        uint256 word = AccountSlots.read(slot);
        if (AccountSlots.filled(word, nonce) != 0) {
            Refusal.two(IExchange.WithdrawalNonceUsed.selector, trader, nonce);
        }

        word = AccountSlots.addFilled(word, nonce, AccountSlots.MAX_FILL);
        AccountSlots.write(slot, AccountSlots.kill(word, nonce));
    }

    function _moveToClaimable(uint256 leg, uint256 amount) private pure returns (uint256 moved) {
        unchecked {
            uint256 word = RawMemory.load(leg + 0x40);
            int256 left = int256(AccountSlots.balance(word))
                + BatchTables.changeOf(RawMemory.load(leg));
            // Below 0 the batch is refused by `_writeLegs`.
            moved = left < 0 ? 0 : uint256(left);
            if (moved > amount) moved = amount;
            BatchTables.debit(leg, moved);
            RawMemory.store(leg + 0x40, AccountSlots.addClaimable(word, moved));
        }
    }
}
