// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Ledger} from "./Ledger.sol";

/// @title How money and credits come in and go out.
abstract contract Funding is Ledger, IERC1155Receiver {
    using SafeERC20 for IERC20;

    /// @inheritdoc IExchange
    uint256 public depositCount;
    /// @inheritdoc IExchange
    mapping(address asset => bool) public isListed;
    /// @dev Not 0 while an asset is being pulled; 0 again before the call ends, so the calls of
    /// one transaction compose.
    uint256 private transient _pulling;
    /// @dev Permits (by their nonce) that have deposited, or whose intent has.
    mapping(address owner => mapping(address asset => mapping(uint256 nonce => bool))) private
        _permitUsed;

    /// @inheritdoc IExchange
    function setAsset(address asset, bool listed) external restricted {
        bool ours = asset == address(CREDITS) || asset == address(this);
        if (asset.code.length == 0 || ours) {
            Refusal.one(IExchange.ExchangeAssetInvalid.selector, uint160(asset));
        }

        isListed[asset] = listed;

        emit AssetListed(asset, listed);
    }

    /// @inheritdoc IExchange
    function deposit(address asset, uint256 amount)
        external
        returns (uint256 depositId)
    {
        return _pull(msg.sender, asset, amount);
    }

    /// @inheritdoc IExchange
    function depositWithPermit(
        address owner,
        address asset,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s,
        uint256 intentNonce,
        uint256 intentDeadline,
        bytes calldata intentSignature
    ) external returns (uint256 depositId) {
        // A token that is not listed is not even asked for its nonces.
        if (!isListed[asset]) {
            Refusal.one(IExchange.ExchangeAssetNotListed.selector, uint160(asset));
        }
        uint256 nonce = IERC20Permit(asset).nonces(owner);
        try IERC20Permit(asset).permit(owner, address(this), amount, deadline, v, r, s) {} catch {}
        if (IERC20Permit(asset).nonces(owner) == nonce) {
            // Used before this call: the consent must come from elsewhere, and be of a permit that
            // has not deposited yet.
            if (intentNonce >= nonce) {
                Refusal.two(
                    IExchange.ExchangePermitUnproven.selector, uint160(owner), intentNonce
                );
            }
            if (msg.sender != owner) {
                _requireIntent(owner, asset, amount, intentNonce, intentDeadline, intentSignature);
            }
            nonce = intentNonce;
        }
        if (_permitUsed[owner][asset][nonce]) {
            Refusal.three(
                IExchange.ExchangeIntentUsed.selector, uint160(owner), uint160(asset), nonce
            );
        }

        _permitUsed[owner][asset][nonce] = true;

        return _pull(owner, asset, amount);
    }

    /// @notice Credits of CarbonCredits sent here are a deposit of `from`.
    function onERC1155Received(address, address from, uint256 id, uint256 value, bytes calldata)
        external
        returns (bytes4)
    {
        _requireCredits();
        _creditClass(from, id, value);
        return IERC1155Receiver.onERC1155Received.selector;
    }

    /// @notice The same for several classes: one deposit each.
    function onERC1155BatchReceived(
        address,
        address from,
        uint256[] calldata ids,
        uint256[] calldata values,
        bytes calldata
    ) external returns (bytes4) {
        _requireCredits();
        for (uint256 i = 0; i < ids.length; ++i) {
            _creditClass(from, ids[i], values[i]);
        }
        return IERC1155Receiver.onERC1155BatchReceived.selector;
    }

    /// @inheritdoc IExchange
    function claim(address account, uint256 asset)
        external
        returns (uint256 amount)
    {
        _requireNotFrozen(account);
        (bytes32 slot, uint256 word) = _account(account, asset);
        amount = AccountSlots.claimable(word);
        if (amount == 0) {
            Refusal.two(IExchange.ExchangeNothingToClaim.selector, uint160(account), asset);
        }

        AccountSlots.write(slot, AccountSlots.withoutClaimable(word));
        // What is claimable is part of the total.
        unchecked {
            _totals[asset] -= amount;
        }

        emit Claimed(account, asset, amount);
        if (asset >= FIRST_CLASS) {
            _credits().safeTransferFrom(address(this), account, asset, amount, "");
        } else {
            IERC20(_address(asset)).safeTransfer(account, amount);
        }
    }

    /// @inheritdoc IExchange
    function solvency(uint256 asset) external view returns (uint256 held, uint256 owed) {
        owed = _totals[asset];
        held = asset >= FIRST_CLASS
            ? _credits().balanceOf(address(this), asset)
            : IERC20(_address(asset)).balanceOf(address(this));
    }

    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC1155Receiver).interfaceId
            || interfaceId == type(IERC165).interfaceId;
    }

    /// @dev Counts what arrived, not what was asked for.
    function _pull(address account, address asset, uint256 amount)
        private
        returns (uint256 depositId)
    {
        if (!isListed[asset]) {
            Refusal.one(IExchange.ExchangeAssetNotListed.selector, uint160(asset));
        }
        // The one place where a call comes before the state, since what arrives is known only after
        // it. A deposit within this one would count the same arrival twice; whatever else is called
        // from within can only make less arrive.
        if (_pulling != 0) revert ExchangeReentered();
        _pulling = 1;
        IERC20 token = IERC20(asset);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(account, address(this), amount);
        uint256 held = token.balanceOf(address(this));
        _pulling = 0;
        if (held <= before) Refusal.one(IExchange.ExchangeNothingArrived.selector, uint160(asset));
        // Above `before`.
        unchecked {
            return _credit(account, uint160(asset), held - before);
        }
    }

    function _creditClass(address from, uint256 id, uint256 kilograms) private {
        if (from == address(0)) {
            Refusal.two(IExchange.ExchangeMintedDeposit.selector, id, kilograms);
        }
        if (id < FIRST_CLASS) Refusal.one(IExchange.ExchangeAssetInvalid.selector, id);
        if (kilograms == 0) Refusal.one(IExchange.ExchangeNothingArrived.selector, id);
        _credit(from, id, kilograms);
    }

    function _credit(address account, uint256 asset, uint256 amount)
        private
        returns (uint256 depositId)
    {
        PARTICIPANTS.requireTransferable(address(0), account);
        uint256 owed = _totals[asset];
        if (amount > AccountSlots.MAX_BALANCE - owed) {
            Refusal.three(IExchange.ExchangeDepositTooMuch.selector, asset, owed, amount);
        }
        (bytes32 slot, uint256 word) = _account(account, asset);

        // Below the total, which the check above bounds: the balance cannot carry.
        unchecked {
            AccountSlots.write(slot, word + amount);
            _totals[asset] = owed + amount;
            depositId = ++depositCount;
        }

        emit Deposited(depositId, account, asset, amount);
    }

    function _requireCredits() private view {
        if (msg.sender != address(CREDITS)) {
            Refusal.one(IExchange.ExchangeSenderNotCredits.selector, uint160(msg.sender));
        }
    }

    function _requireIntent(
        address owner,
        address asset,
        uint256 amount,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) private view {
        if (block.timestamp > deadline) {
            Refusal.two(IExchange.ExchangeIntentExpired.selector, deadline, block.timestamp);
        }
        bytes32 message = keccak256(
            abi.encode(MessageHashes.INTENT_TYPEHASH, owner, asset, amount, nonce, deadline)
        );
        (address signer,,) = ECDSA.tryRecoverCalldata(
            MessageHashes.ofStruct(_separator(), message), signature
        );
        // A failed recovery is address 0, which nobody owns.
        if (signer != owner || signer == address(0)) {
            Refusal.two(
                IExchange.ExchangeIntentNotOwners.selector, uint160(owner), uint160(signer)
            );
        }
    }

    function _credits() private view returns (IERC1155) {
        return IERC1155(address(CREDITS));
    }

    function _address(uint256 asset) private pure returns (address) {
        return address(uint160(asset));
    }
}
