// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {Signers} from "./Signers.sol";
import {ICarbonCredits} from "./interfaces/ICarbonCredits.sol";
import {ILegalOrders} from "./interfaces/ILegalOrders.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";

/// @title See ILegalOrders: every rule and every power is written there.
contract LegalOrders is ILegalOrders, Signers, EIP712, AccessManaged {
    bytes32 private constant FREEZE_TYPEHASH =
        keccak256("Freeze(address account,bool frozen,bytes32 orderHash,uint256 nonce)");
    bytes32 private constant ORDER_TYPEHASH = keccak256(
        "Order(uint8 kind,address from,address to,uint256[] ids,uint256[] amounts,"
        "bytes32 reasonHash,uint256 nonce)"
    );
    bytes32 private constant CANCEL_TYPEHASH = keccak256("Cancel(bytes32 orderId)");
    /// @dev The gas of one execution bounds what one order moves.
    uint256 private constant MAX_IDS = 64;
    /// @dev Tier of Causeway's own contracts in Participants.
    uint8 private constant CAUSEWAY_CONTRACT = 255;

    struct Record {
        State state;
        uint64 executableAt;
    }

    IParticipants public immutable PARTICIPANTS;
    ICarbonCredits public immutable CREDITS;
    /// @notice Seconds between scheduling and execution.
    uint256 public immutable DELAY;

    mapping(bytes32 orderId => Record) private _orders;

    constructor(address authority, address participants, address credits, uint256 orderDelay)
        EIP712("Causeway Legal Orders", "1")
        AccessManaged(authority)
    {
        PARTICIPANTS = IParticipants(participants);
        CREDITS = ICarbonCredits(credits);
        DELAY = orderDelay;
        emit LegalThresholdsSet(1, 1);
    }

    /// @inheritdoc ILegalOrders
    function setSigner(address signer, Role newRole) external restricted {
        Role held = role(signer);
        if (held != Role.None && newRole != Role.None) revert LegalSignerHasRole(signer, held);

        _roles[signer] = uint8(newRole);

        emit LegalSignerSet(signer, newRole);
    }

    /// @inheritdoc ILegalOrders
    function setThresholds(uint8 freezers, uint8 enforcers) external restricted {
        if (freezers == 0 || enforcers == 0) revert LegalThresholdInvalid(freezers, enforcers);

        _thresholds = Thresholds(freezers, enforcers);

        emit LegalThresholdsSet(freezers, enforcers);
    }

    /// @inheritdoc ILegalOrders
    function setFrozen(
        address account,
        bool frozen,
        bytes32 orderHash,
        uint256 nonce,
        bytes[] calldata signatures
    ) external {
        bytes32 actId = hashFreeze(account, frozen, orderHash, nonce);
        if (_orders[actId].state != State.Unknown) revert LegalOrderUsed(actId);
        address[] memory signers = _requireApprovals(actId, signatures, Role.Freezer);

        _orders[actId].state = State.Executed;

        emit FreezeOrdered(account, orderHash, frozen, nonce, signers);
        if (frozen) PARTICIPANTS.freeze(account);
        else PARTICIPANTS.unfreeze(account);
    }

    /// @inheritdoc ILegalOrders
    function schedule(Order calldata order, bytes[] calldata signatures)
        external
        returns (bytes32 orderId)
    {
        uint256 ids = order.ids.length;
        uint256 expectedAmounts = order.kind == Kind.Transfer ? ids : 0;
        if (ids == 0 || ids > MAX_IDS || order.amounts.length != expectedAmounts) {
            revert LegalOrderMalformed(ids, order.amounts.length);
        }
        orderId = hashOrder(order);
        if (_orders[orderId].state != State.Unknown) revert LegalOrderUsed(orderId);
        address[] memory signers = _requireApprovals(orderId, signatures, Role.Enforcer);
        uint256 executableAt = block.timestamp + DELAY;

        _orders[orderId] = Record(State.Scheduled, uint64(executableAt));

        emit OrderScheduled(orderId, order, executableAt, signers);
    }

    /// @inheritdoc ILegalOrders
    function execute(Order calldata order) external {
        bytes32 orderId = hashOrder(order);
        Record memory record = _requireScheduled(orderId);
        if (block.timestamp < record.executableAt) {
            revert LegalOrderEarly(orderId, record.executableAt, block.timestamp);
        }
        if (PARTICIPANTS.participant(order.from).tier == CAUSEWAY_CONTRACT) {
            revert IParticipants.ParticipantIsCausewayContract(order.from);
        }

        _orders[orderId].state = State.Executed;

        emit OrderExecuted(orderId);
        for (uint256 i = 0; i < order.ids.length; ++i) {
            uint256 id = order.ids[i];
            uint256 amount = order.kind == Kind.Transfer
                ? order.amounts[i]
                : IERC1155(address(CREDITS)).balanceOf(order.from, id);
            CREDITS.forceTransfer(orderId, order.from, order.to, id, amount);
        }
    }

    /// @inheritdoc ILegalOrders
    function cancel(bytes32 orderId, bytes[] calldata signatures) external {
        _requireScheduled(orderId);
        address[] memory signers =
            _requireApprovals(hashCancel(orderId), signatures, Role.Enforcer);

        _orders[orderId].state = State.Cancelled;

        emit OrderCancelled(orderId, signers);
    }

    /// @inheritdoc ILegalOrders
    function delay() external view returns (uint256) {
        return DELAY;
    }

    /// @inheritdoc ILegalOrders
    function orderState(bytes32 orderId)
        external
        view
        returns (State state, uint256 executableAt)
    {
        Record memory record = _orders[orderId];
        return (record.state, record.executableAt);
    }

    /// @inheritdoc ILegalOrders
    function thresholds() external view returns (uint8 freezers, uint8 enforcers) {
        return (_thresholds.first, _thresholds.second);
    }

    /// @inheritdoc ILegalOrders
    function role(address signer) public view returns (Role) {
        return Role(_roles[signer]);
    }

    /// @inheritdoc ILegalOrders
    function hashFreeze(address account, bool frozen, bytes32 orderHash, uint256 nonce)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(FREEZE_TYPEHASH, account, frozen, orderHash, nonce))
        );
    }

    /// @inheritdoc ILegalOrders
    function hashOrder(Order calldata order) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ORDER_TYPEHASH,
                    order.kind,
                    order.from,
                    order.to,
                    keccak256(abi.encodePacked(order.ids)),
                    keccak256(abi.encodePacked(order.amounts)),
                    order.reasonHash,
                    order.nonce
                )
            )
        );
    }

    /// @inheritdoc ILegalOrders
    function hashCancel(bytes32 orderId) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CANCEL_TYPEHASH, orderId)));
    }

    function _requireScheduled(bytes32 orderId) private view returns (Record memory record) {
        record = _orders[orderId];
        if (record.state != State.Scheduled) revert LegalOrderState(orderId, record.state);
    }

    function _requireApprovals(bytes32 digest, bytes[] calldata signatures, Role needed)
        private
        view
        returns (address[] memory signers)
    {
        signers = _recover(digest, signatures);
        for (uint256 i = 0; i < signers.length; ++i) {
            Role held = role(signers[i]);
            if (held != needed) revert LegalSignerWrongRole(signers[i], held);
        }
        uint256 threshold = needed == Role.Freezer ? _thresholds.first : _thresholds.second;
        if (signers.length < threshold) revert LegalApprovalsMissing(signers.length, threshold);
    }

    function _refuseOrder(address previous, address next) internal pure override {
        revert LegalSignaturesNotAscending(previous, next);
    }
}
