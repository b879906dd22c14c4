// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {Ledger} from "./Ledger.sol";

/// @title Exits that need nobody's help (L8), and cannot be used as an option.
/// @dev A match up to one WINDOW after the request can settle until it is older than WINDOW, which
/// is two WINDOWs after the request at the latest: only then is the balance nobody else's.
abstract contract Exits is Ledger {
    /// @inheritdoc IExchange
    function requestExit(uint256[] calldata assets) external {
        _requireNotFrozen(msg.sender);
        for (uint256 i = 0; i < assets.length; ++i) {
            (bytes32 slot, uint256 word) = _account(msg.sender, assets[i]);
            uint40 requestedAt = uint40(AccountSlots.exitRequestedAt(word));
            // One that lapsed is as none; one that runs keeps its time.
            if (requestedAt != 0 && block.timestamp <= requestedAt + 3 * WINDOW) {
                revert ExitRunning(msg.sender, assets[i], requestedAt);
            }

            AccountSlots.write(slot, AccountSlots.withExit(word, block.timestamp));

            emit ExitRequested(msg.sender, assets[i], uint40(block.timestamp));
        }
    }

    /// @inheritdoc IExchange
    function cancelExit(uint256[] calldata assets) external {
        _requireNotFrozen(msg.sender);
        for (uint256 i = 0; i < assets.length; ++i) {
            (bytes32 slot, uint256 word) = _account(msg.sender, assets[i]);
            if (AccountSlots.exitRequestedAt(word) == 0) {
                revert ExitNotRequested(msg.sender, assets[i]);
            }

            AccountSlots.write(slot, AccountSlots.withExit(word, 0));

            emit ExitCancelled(msg.sender, assets[i]);
        }
    }

    /// @inheritdoc IExchange
    function executeExit(address account, uint256[] calldata assets) external {
        _requireNotFrozen(account);
        for (uint256 i = 0; i < assets.length; ++i) {
            (bytes32 slot, uint256 word) = _account(account, assets[i]);
            uint256 requestedAt = AccountSlots.exitRequestedAt(word);
            if (requestedAt == 0) revert ExitNotRequested(account, assets[i]);
            uint256 opens = requestedAt + 2 * WINDOW;
            if (block.timestamp <= opens || block.timestamp > opens + WINDOW) {
                revert ExitNotDue(account, assets[i], opens + 1, opens + WINDOW);
            }
            uint256 amount = AccountSlots.balance(word);

            word = AccountSlots.addClaimable(AccountSlots.withBalance(word, 0), amount);
            AccountSlots.write(slot, AccountSlots.withExit(word, 0));

            emit ExitExecuted(account, assets[i], amount);
        }
    }

    /// @dev Matches of an account are refused while its exit runs, from one WINDOW after the
    /// request until the exit lapses. Called only where an exit was requested.
    function _isExiting(uint256 requestedAt, uint256 matchTime) internal view returns (bool) {
        return requestedAt != 0 && matchTime > requestedAt + WINDOW
            && matchTime <= requestedAt + 3 * WINDOW;
    }
}
