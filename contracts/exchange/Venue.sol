// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Ledger} from "./Ledger.sol";

/// @title The venue's keys, pauses, payees, and how far its journal is settled and anchored.
abstract contract Venue is Ledger {
    /// @notice What settlement asks of the venue's rules: one slot, one read.
    /// @param keysHash keccak256 of sequencer and watcher, cut to 160 bits as an address is.
    /// @param pausedSince 0 while not paused.
    /// @param pausesEnd When the last pause ended.
    struct Guard {
        uint160 keysHash;
        uint40 pausedSince;
        uint40 pausesEnd;
        uint16 developerShareBps;
    }

    /// @notice How far trades and withdrawals are settled or voided, and the journal is anchored.
    struct Progress {
        uint48 trade;
        uint48 withdrawal;
        uint48 seq;
        uint40 matchTime;
    }

    struct Pause {
        uint40 since;
        uint40 until;
    }

    Guard internal _guard;
    Progress internal _progress;
    bytes32 internal _head;
    /// @dev Every pause that has ended, by its number from 0.
    mapping(uint256 number => Pause) private _pauses;
    uint256 private _pauseCount;
    address private _sequencer;
    address private _watcher;
    address private _operator;
    address private _developer;

    /// @inheritdoc IExchange
    function setKeys(address sequencer, address watcher) external restricted {
        if (sequencer == address(0) || watcher == address(0) || sequencer == watcher) {
            Refusal.two(
                IExchange.ExchangeKeysInvalid.selector, uint160(sequencer), uint160(watcher)
            );
        }

        _sequencer = sequencer;
        _watcher = watcher;
        _guard.keysHash = _hashKeys(uint160(sequencer), uint160(watcher));

        emit KeysSet(sequencer, watcher);
    }

    /// @inheritdoc IExchange
    function setFeePayees(address operator, address developer, uint16 developerShareBps)
        external
        restricted
    {
        if (operator == address(0) || developer == address(0) || developerShareBps > BPS) {
            Refusal.three(
                IExchange.ExchangePayeesInvalid.selector,
                uint160(operator),
                uint160(developer),
                developerShareBps
            );
        }

        _operator = operator;
        _developer = developer;
        _guard.developerShareBps = developerShareBps;

        emit FeePayeesSet(operator, developer, developerShareBps);
    }

    /// @inheritdoc IExchange
    function pause() external restricted {
        uint40 since = _guard.pausedSince;
        if (since != 0) Refusal.one(IExchange.ExchangeVenuePaused.selector, since);

        _guard.pausedSince = uint40(block.timestamp);

        emit VenuePaused(uint40(block.timestamp));
    }

    /// @inheritdoc IExchange
    function unpause() external restricted {
        uint40 since = _guard.pausedSince;
        if (since == 0) revert ExchangeVenueNotPaused();

        _guard.pausedSince = 0;
        _guard.pausesEnd = uint40(block.timestamp);
        // Counted one by one.
        unchecked {
            _pauses[_pauseCount++] = Pause(since, uint40(block.timestamp));
        }

        emit VenueUnpaused(uint40(block.timestamp));
    }

    /// @inheritdoc IExchange
    function collectFees(uint256 asset) external {
        // Nobody to pay: an amount claimable by address 0 would never come back.
        (address operator, address developer) = (_operator, _developer);
        if (operator == address(0)) {
            Refusal.three(IExchange.ExchangePayeesInvalid.selector, 0, 0, 0);
        }
        Fees memory fees = _fees[asset];

        delete _fees[asset];
        _addClaimable(operator, asset, fees.operatorAmount);
        _addClaimable(developer, asset, fees.developerAmount);

        emit FeesCollected(asset, fees.operatorAmount, fees.developerAmount);
    }

    /// @inheritdoc IExchange
    function anchor(uint64 seq, bytes32 head, bytes calldata signatures) external {
        _requireBoth(MessageHashes.ANCHOR_TYPEHASH, 2, signatures);
        if (seq > type(uint48).max) Refusal.one(IExchange.ExchangeNumberTooLarge.selector, seq);
        Progress memory progress = _progress;

        if (!_anchorNext(progress, uint48(seq), head)) return;
        _progress = progress;

        emit Anchored(seq, head);
    }

    /// @inheritdoc IExchange
    function voidTrades(
        uint64 firstTrade,
        uint64 lastTrade,
        uint64 firstWithdrawal,
        uint64 lastWithdrawal,
        uint8 reason,
        uint64 seq,
        bytes32 head,
        bytes calldata signatures
    ) external {
        _requireBoth(MessageHashes.VOID_TYPEHASH, 7, signatures);
        Progress memory progress = _progress;
        _requireNext(progress.trade, firstTrade);
        _requireNext(progress.withdrawal, firstWithdrawal);
        bool noTrade = lastTrade < firstTrade;
        bool noWithdrawal = lastWithdrawal < firstWithdrawal;
        if (noTrade && noWithdrawal) {
            Refusal.two(IExchange.ExchangeNothingToVoid.selector, firstTrade, firstWithdrawal);
        }
        uint64 largest = lastTrade > lastWithdrawal ? lastTrade : lastWithdrawal;
        if (seq > largest) largest = seq;
        if (largest > type(uint48).max) {
            Refusal.one(IExchange.ExchangeNumberTooLarge.selector, largest);
        }

        if (!noTrade) progress.trade = uint48(lastTrade);
        if (!noWithdrawal) progress.withdrawal = uint48(lastWithdrawal);
        _anchorNext(progress, uint48(seq), head);
        _progress = progress;

        emit TradesVoided(
            firstTrade, lastTrade, firstWithdrawal, lastWithdrawal, reason, seq, head
        );
    }

    /// @inheritdoc IExchange
    function settled()
        external
        view
        returns (uint64 trade, uint64 withdrawal, uint40 matchTime)
    {
        return (_progress.trade, _progress.withdrawal, _progress.matchTime);
    }

    /// @inheritdoc IExchange
    function anchored() external view returns (uint64 seq, bytes32 head) {
        return (_progress.seq, _head);
    }

    /// @inheritdoc IExchange
    function keys() external view returns (address sequencer, address watcher) {
        return (_sequencer, _watcher);
    }

    /// @inheritdoc IExchange
    function feePayees()
        external
        view
        returns (address operator, address developer, uint16 developerShareBps)
    {
        return (_operator, _developer, _guard.developerShareBps);
    }

    /// @inheritdoc IExchange
    function pausedSince() external view returns (uint40) {
        return _guard.pausedSince;
    }

    /// @inheritdoc IExchange
    function isPausedAt(uint256 matchTime) public view returns (bool) {
        uint40 since = _guard.pausedSince;
        if (since != 0 && matchTime >= since) return true;
        // Newest first: pauses follow one another, so the first that ended before it ends this.
        uint256 i = _pauseCount;
        while (i != 0) {
            // Above 0 here.
            unchecked {
                --i;
            }
            Pause storage one = _pauses[i];
            if (matchTime >= one.until) return false;
            if (matchTime >= one.since) return true;
        }
        return false;
    }

    /// @dev Moves the anchor in `progress` and the stored head; false when the seq is not above.
    function _anchorNext(Progress memory progress, uint48 seq, bytes32 head)
        internal
        returns (bool)
    {
        if (seq < progress.seq) return false;
        if (seq == progress.seq) {
            if (_head != head) {
                Refusal.three(
                    IExchange.ExchangeAnchorDiffers.selector, seq, uint256(_head), uint256(head)
                );
            }
            return false;
        }
        progress.seq = seq;
        _head = head;
        return true;
    }

    function _requireNext(uint256 last, uint256 first) internal pure {
        unchecked {
            // u48 + 1.
            if (first != last + 1) {
                Refusal.two(IExchange.ExchangeNumberNotNext.selector, last + 1, first);
            }
        }
    }

    function _requireKeys(bytes32 digest, uint256 place, uint160 keysHash)
        internal
        view
    {
        uint256 sequencer = MessageHashes.signerAt(digest, place);
        uint256 watcher;
        // A place in the calldata.
        unchecked {
            watcher = MessageHashes.signerAt(digest, place + 64);
        }
        if (_hashKeys(sequencer, watcher) != keysHash) {
            Refusal.two(
                IExchange.ExchangeKeysDiffer.selector, uint160(sequencer), uint160(watcher)
            );
        }
    }

    /// @dev Both keys signed a message whose fields are this call's first arguments.
    function _requireBoth(bytes32 typeHash, uint256 fields, bytes calldata signatures)
        private
        view
    {
        if (signatures.length != 128) {
            Refusal.two(IExchange.BatchSignaturesWrong.selector, signatures.length, 128);
        }
        bytes32 separator = _separator();
        MessageHashes.openBuffer(separator, MessageHashes.BUFFER_END);
        bytes32 digest = MessageHashes.ofArguments(typeHash, fields);
        uint256 place;
        assembly ("memory-safe") {
            place := signatures.offset
        }
        _requireKeys(digest, place, _guard.keysHash);
    }

    function _addClaimable(address account, uint256 asset, uint256 amount) private {
        (bytes32 slot, uint256 word) = _account(account, asset);
        AccountSlots.write(slot, AccountSlots.addClaimable(word, amount));
    }

    function _hashKeys(uint256 sequencer, uint256 watcher) private pure returns (uint160) {
        return uint160(uint256(RawMemory.hashPair(sequencer, watcher)));
    }
}
