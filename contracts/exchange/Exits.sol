// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Ledger} from "./Ledger.sol";

/// @title Exits that need nobody's help (L8), and cannot be used as an option.
/// @dev A match up to one WINDOW after the request can settle until it is older than WINDOW, which
/// is two WINDOWs after the request at the latest: only then is the balance nobody else's.
abstract contract Exits is Ledger {
    /// @inheritdoc IExchange
    function requestExit(uint256[] calldata assets) external {
        _requireNotFrozen(msg.sender);
        for (uint256 i = 0; i < assets.length; ++i) {
            uint256 asset = assets[i];
            (bytes32 slot, uint256 word) = _account(msg.sender, asset);
            uint256 requestedAt = AccountSlots.exitRequestedAt(word);
            // One that lapsed is as none; one that runs keeps its time.
            if (requestedAt != 0 && block.timestamp <= _lapse(requestedAt)) {
                Refusal.three(
                    IExchange.ExitRunning.selector, uint160(msg.sender), asset, requestedAt
                );
            }

            AccountSlots.write(slot, AccountSlots.withExit(word, block.timestamp));

            emit ExitRequested(msg.sender, asset, uint40(block.timestamp));
        }
    }

    /// @inheritdoc IExchange
    function cancelExit(uint256[] calldata assets) external {
        _requireNotFrozen(msg.sender);
        for (uint256 i = 0; i < assets.length; ++i) {
            uint256 asset = assets[i];
            (bytes32 slot, uint256 word, uint256 requestedAt) = _exiting(msg.sender, asset);
            // Later than that it has kept matches from settling: who asked for it cannot choose
            // afterwards whether they count.
            if (block.timestamp > requestedAt + WINDOW) {
                Refusal.three(
                    IExchange.ExitRunning.selector, uint160(msg.sender), asset, requestedAt
                );
            }

            AccountSlots.write(slot, AccountSlots.withExit(word, 0));

            emit ExitCancelled(msg.sender, asset);
        }
    }

    /// @inheritdoc IExchange
    function executeExit(address account, uint256[] calldata assets) external {
        _requireNotFrozen(account);
        for (uint256 i = 0; i < assets.length; ++i) {
            uint256 asset = assets[i];
            (bytes32 slot, uint256 word, uint256 requestedAt) = _exiting(account, asset);
            uint256 lapse = _lapse(requestedAt);
            // Below `lapse`, which is three of it later.
            uint256 due;
            unchecked {
                due = lapse - WINDOW + 1;
            }
            if (block.timestamp < due || block.timestamp > lapse) {
                Refusal.four(
                    IExchange.ExitNotDue.selector, uint160(account), asset, due, lapse
                );
            }
            uint256 amount = AccountSlots.balance(word);

            word = AccountSlots.addClaimable(AccountSlots.withBalance(word, 0), amount);
            AccountSlots.write(slot, AccountSlots.withExit(word, 0));

            emit ExitExecuted(account, asset, amount);
        }
    }

    /// @dev Matches of an account are refused while its exit runs, from one WINDOW after the
    /// request until the exit lapses.
    function _isExiting(uint256 requestedAt, uint256 matchTime) internal view returns (bool) {
        unchecked {
            return requestedAt != 0 && matchTime > requestedAt + WINDOW
                && matchTime <= _lapse(requestedAt);
        }
    }

    function _exiting(address account, uint256 asset)
        private
        view
        returns (bytes32 slot, uint256 word, uint256 requestedAt)
    {
        (slot, word) = _account(account, asset);
        requestedAt = AccountSlots.exitRequestedAt(word);
        if (requestedAt == 0) {
            Refusal.two(IExchange.ExitNotRequested.selector, uint160(account), asset);
        }
    }

    /// @dev When an exit lapses; the constructor bounds WINDOW, so this cannot wrap.
    function _lapse(uint256 requestedAt) private view returns (uint256) {
        unchecked {
            return requestedAt + 3 * WINDOW;
        }
    }
}
