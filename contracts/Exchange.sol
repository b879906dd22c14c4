// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Funding} from "./exchange/Funding.sol";
import {Ledger} from "./exchange/Ledger.sol";
import {Settlement} from "./exchange/Settlement.sol";
import {TraderActs} from "./exchange/TraderActs.sol";

/// @title See IExchange: every rule and every power is written there.
/// @notice One venue. Its parts, each with one reason: Ledger (accounts, totals), Funding (in and
/// out), Exits, TraderActs, Venue (keys, pauses, anchors), Orders and Trades (what a batch says),
/// Withdrawals, Settlement (what it changes).
contract Exchange is Funding, TraderActs, Settlement {
    /// @param window Seconds a match may wait for settlement.
    /// @param skew Seconds a match or a signature may be ahead of the chain.
    constructor(
        address authority,
        address participants,
        address credits,
        uint256 window,
        uint256 skew
    ) Ledger(authority, participants, credits, window, skew) {}
}
