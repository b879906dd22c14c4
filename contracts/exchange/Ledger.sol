// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ICarbonCredits} from "../interfaces/ICarbonCredits.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {IParticipants} from "../interfaces/IParticipants.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";

/// @title What every part of the Exchange shares: accounts, totals, and who is asked.
/// @dev Account and fill words lie where AccountSlots says, not in mappings.
abstract contract Ledger is IExchange, AccessManaged {
    /// @notice Accrued and not yet collected, in base units of one asset.
    struct Fees {
        uint128 operatorAmount;
        uint128 developerAmount;
    }

    /// @notice Token ids of classes begin here; below are addresses of settlement assets.
    uint256 internal constant FIRST_CLASS = 1 << 160;
    uint256 internal constant BPS = 10_000;
    /// @dev So that no sum of a time and a few of these leaves 40 bits.
    uint256 private constant MAX_SECONDS = 30 days;

    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    IParticipants public immutable PARTICIPANTS;
    ICarbonCredits public immutable CREDITS;
    /// @dev EIP-712, without what ERC-5267 would add to the code of a contract this full.
    bytes32 private immutable _cachedSeparator;
    uint256 private immutable _chainId;
    /// @inheritdoc IExchange
    uint256 public immutable WINDOW;
    /// @inheritdoc IExchange
    uint256 public immutable SKEW;

    /// @dev Balances, claimables, fees and earmarks of an asset; never above MAX_BALANCE, so no
    /// part of it is either.
    mapping(uint256 asset => uint256) internal _totals;
    mapping(uint256 asset => Fees) internal _fees;
    /// @dev Kilograms bought under a retire-on-fill order and not yet retired.
    mapping(bytes32 orderDigest => uint256) internal _earmarks;
    mapping(address account => mapping(bytes32 digest => bool)) internal _preSigned;
    /// @dev Written once for a nonce, read by settlement only when its kill bit is set.
    mapping(address trader => mapping(uint256 nonce => uint256)) internal _invalidatedAt;

    constructor(
        address authority,
        address participants,
        address credits,
        uint256 window,
        uint256 skew
    ) AccessManaged(authority) {
        if (window == 0 || window > MAX_SECONDS || skew > MAX_SECONDS) {
            revert ExchangeTimesInvalid(window, skew);
        }
        _chainId = block.chainid;
        _cachedSeparator = _newSeparator();
        PARTICIPANTS = IParticipants(participants);
        CREDITS = ICarbonCredits(credits);
        WINDOW = window;
        SKEW = skew;
    }

    /// @inheritdoc IExchange
    function accountOf(address account, uint256 asset)
        external
        view
        returns (uint256 balance, uint256 claimable, uint40 exitRequestedAt)
    {
        (, uint256 word) = _account(account, asset);
        exitRequestedAt = uint40(AccountSlots.exitRequestedAt(word));
        return (AccountSlots.balance(word), AccountSlots.claimable(word), exitRequestedAt);
    }

    /// @inheritdoc IExchange
    function total(uint256 asset) external view returns (uint256) {
        return _totals[asset];
    }

    /// @inheritdoc IExchange
    function feesOf(uint256 asset) external view returns (uint256, uint256) {
        Fees storage fees = _fees[asset];
        return (fees.operatorAmount, fees.developerAmount);
    }

    /// @dev Of this contract on this chain, whatever the chain's id becomes.
    function _separator() internal view returns (bytes32) {
        return block.chainid == _chainId ? _cachedSeparator : _newSeparator();
    }

    function _newSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256("Causeway Exchange"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
    }

    /// @dev Where an account's word is, and what it holds now.
    function _account(address account, uint256 asset)
        internal
        view
        returns (bytes32 slot, uint256 word)
    {
        slot = AccountSlots.accountSlot(uint160(account), asset);
        word = AccountSlots.read(slot);
    }

    /// @dev A freeze stops claims, exits and retirements, nothing else does (L8).
    function _requireNotFrozen(address account) internal view {
        PARTICIPANTS.requireTransferable(account, address(0));
    }
}
