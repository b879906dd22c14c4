// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ICarbonCredits} from "./interfaces/ICarbonCredits.sol";
import {Finalisation, IDeliveries, Rejection} from "./interfaces/IDeliveries.sol";
import {DeadPart, IGaps} from "./interfaces/IGaps.sol";
import {IRegistryRecords} from "./interfaces/IRegistryRecords.sol";
import {IReserve} from "./interfaces/IReserve.sol";
import {ITrust} from "./interfaces/ITrust.sol";
import {ClassLib} from "./libraries/ClassLib.sol";

/// @title See IDeliveries: every rule and every power is written there.
contract Deliveries is IDeliveries, EIP712, AccessManaged, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    bytes32 private constant FINALISATION_TYPEHASH = keccak256(
        "Finalisation(uint64 deliveryId,string registryReference,uint32 registryDate,"
        "bytes32 evidenceHash)"
    );
    bytes32 private constant REJECTION_TYPEHASH =
        keccak256("Rejection(uint64 deliveryId,string reason,bytes32 evidenceHash)");
    uint256 private constant MAX_TEXT_BYTES = 256;
    /// @dev A custodian begins so long before the holder's deadline, or not at all.
    uint40 private constant BEGIN_MARGIN = 48 hours;

    struct Fee {
        address asset;
        address payee;
        uint256 amount;
    }

    ICarbonCredits public immutable CREDITS;
    ITrust public immutable TRUST;
    IRegistryRecords public immutable RECORDS;
    IReserve public immutable RESERVE;
    IGaps public immutable GAPS;
    uint40 public immutable REQUEST_PERIOD;
    uint40 public immutable TRANSFER_PERIOD;
    uint40 public immutable GRACE_PERIOD;

    /// @inheritdoc IDeliveries
    uint64 public deliveryCount;
    mapping(uint64 deliveryId => Delivery) private _deliveries;
    Fee private _fee;

    constructor(
        address authority,
        address credits,
        address trust,
        address records,
        address reserve,
        address gaps,
        uint40 requestPeriod,
        uint40 transferPeriod,
        uint40 gracePeriod
    ) EIP712("Causeway Deliveries", "1") AccessManaged(authority) {
        if (requestPeriod <= BEGIN_MARGIN || transferPeriod == 0 || gracePeriod == 0) {
            revert DeliveryPeriodsInvalid(requestPeriod, transferPeriod, gracePeriod);
        }
        CREDITS = ICarbonCredits(credits);
        TRUST = ITrust(trust);
        RECORDS = IRegistryRecords(records);
        RESERVE = IReserve(reserve);
        GAPS = IGaps(gaps);
        REQUEST_PERIOD = requestPeriod;
        TRANSFER_PERIOD = transferPeriod;
        GRACE_PERIOD = gracePeriod;
    }

    /// @inheritdoc IDeliveries
    function request(
        address holder,
        uint256 classId,
        uint256 tonnes,
        string calldata registryAccount
    ) external nonReentrant returns (uint64 deliveryId) {
        uint256 length = bytes(registryAccount).length;
        if (length == 0 || length > MAX_TEXT_BYTES) revert DeliveryAccountInvalid(length);
        if (tonnes == 0 || tonnes > type(uint48).max) revert DeliveryTonnesInvalid(tonnes);
        deliveryId = ++deliveryCount;
        Fee memory charge = _fee;

        _request(deliveryId, holder, classId, uint48(tonnes), registryAccount, charge);

        if (charge.amount != 0) {
            IERC20(charge.asset).safeTransferFrom(msg.sender, charge.payee, charge.amount);
        }
    }

    /// @inheritdoc IDeliveries
    function begin(uint64 deliveryId) external {
        Delivery storage held = _requireState(deliveryId, State.Requested);
        _requireCustodian();
        uint256 latest = held.requestedAt + REQUEST_PERIOD - BEGIN_MARGIN;
        if (block.timestamp > latest) {
            revert DeliveryTooLateToBegin(deliveryId, latest, block.timestamp);
        }
        // Else a court's freeze could be left by way of a registry.
        if (CREDITS.PARTICIPANTS().participant(held.holder).frozenSince != 0) {
            revert DeliveryHolderFrozen(deliveryId, held.holder);
        }
        uint40 expiresAt = uint40(block.timestamp) + TRANSFER_PERIOD;

        (held.state, held.begunAt) = (State.Begun, uint40(block.timestamp));
        held.expiresAt = expiresAt;

        emit DeliveryBegun(deliveryId, msg.sender, expiresAt, expiresAt + GRACE_PERIOD);
    }

    /// @inheritdoc IDeliveries
    function dispatch(uint64 deliveryId, string calldata registryReference, uint40 expiresAt)
        external
    {
        Delivery storage held = _requireState(deliveryId, State.Begun);
        _requireCustodian();
        _requireReference(registryReference);
        uint256 latest = held.begunAt + TRANSFER_PERIOD;
        if (expiresAt < block.timestamp || expiresAt > latest) {
            revert DeliveryExpiryInvalid(deliveryId, expiresAt, latest);
        }

        // What one custodian says here moves none of the refund's times (L3).
        held.state = State.Dispatched;

        emit DeliveryDispatched(deliveryId, msg.sender, registryReference, expiresAt);
    }

    /// @inheritdoc IDeliveries
    function reject(Rejection calldata rejection, bytes[] calldata signatures) external {
        uint64 deliveryId = rejection.deliveryId;
        address[] memory signers = TRUST.requireApprovals(hashRejection(rejection), signatures);
        uint256 length = bytes(rejection.reason).length;
        if (length == 0 || length > MAX_TEXT_BYTES) revert DeliveryReasonInvalid(length);
        Delivery storage held = _deliveries[deliveryId];
        State state = held.state;
        if (state != State.Requested && state != State.Begun && state != State.Dispatched) {
            revert DeliveryStateIs(deliveryId, state);
        }

        held.state = State.Rejected;

        emit DeliveryRejected(deliveryId, rejection.reason, rejection.evidenceHash, signers);
    }

    /// @inheritdoc IDeliveries
    function finalise(
        Finalisation calldata finalisation,
        uint64 serialHint,
        bytes[] calldata signatures
    ) external {
        uint64 deliveryId = finalisation.deliveryId;
        address[] memory signers = _approve(finalisation, signatures);
        Delivery storage held = _requireUnderWay(deliveryId);

        held.state = State.Finalised;

        emit DeliveryFinalised(
            deliveryId,
            finalisation.registryReference,
            finalisation.registryDate,
            finalisation.evidenceHash,
            signers
        );
        _release(held, serialHint);
    }

    /// @inheritdoc IDeliveries
    function recordBreak(Finalisation calldata finalisation, bytes[] calldata signatures)
        external
    {
        uint64 deliveryId = finalisation.deliveryId;
        address[] memory signers = _approve(finalisation, signatures);
        Delivery storage held = _deliveries[deliveryId];
        if (held.state != State.Refunded && held.state != State.RefundedDisputed) {
            revert DeliveryStateIs(deliveryId, held.state);
        }
        if (held.broken) revert DeliveryBroken(deliveryId);

        held.broken = true;

        emit DeliveryBreakRecorded(
            deliveryId,
            finalisation.registryReference,
            finalisation.registryDate,
            finalisation.evidenceHash,
            signers
        );
    }

    /// @inheritdoc IDeliveries
    function refund(uint64 deliveryId) external nonReentrant {
        Delivery storage held = _deliveries[deliveryId];
        _requireHolder(deliveryId, held.holder);
        State state = held.state;
        bool disputed = state == State.Begun || state == State.Dispatched;
        if (disputed) {
            _requireReached(deliveryId, held.expiresAt + GRACE_PERIOD);
        } else if (state == State.Requested) {
            _requireReached(deliveryId, held.requestedAt + REQUEST_PERIOD);
        } else if (state != State.Rejected) {
            revert DeliveryStateIs(deliveryId, state);
        }
        _refund(deliveryId, held, disputed);
    }

    /// @inheritdoc IDeliveries
    function refundWithReport(uint64 deliveryId, bytes calldata reserveProof)
        external
        nonReentrant
    {
        _requireHolder(deliveryId, _deliveries[deliveryId].holder);
        Delivery storage held = _requireUnderWay(deliveryId);
        _requireInTrust(held, held.expiresAt, reserveProof);
        _refund(deliveryId, held, false);
    }

    /// @inheritdoc IDeliveries
    function clearDispute(uint64 deliveryId, bytes calldata reserveProof) external {
        Delivery storage held = _requireState(deliveryId, State.RefundedDisputed);
        _requireInTrust(held, held.refundedAt, reserveProof);

        held.state = State.Refunded;

        emit DisputeCleared(deliveryId, held.refundPosition, held.tonnes);
        GAPS.closeDispute(held.classId, held.refundPosition, held.tonnes);
    }

    /// @inheritdoc IDeliveries
    function setFee(address asset, uint256 amount, address payee) external restricted {
        if (amount != 0 && (asset.code.length == 0 || payee == address(0))) {
            revert DeliveryFeeInvalid(asset, amount, payee);
        }

        _fee = Fee(asset, payee, amount);

        emit DeliveryFeeSet(asset, amount, payee);
    }

    /// @inheritdoc IDeliveries
    function delivery(uint64 deliveryId) external view returns (Delivery memory) {
        return _deliveries[deliveryId];
    }

    /// @inheritdoc IDeliveries
    function fee() external view returns (address asset, uint256 amount, address payee) {
        return (_fee.asset, _fee.amount, _fee.payee);
    }

    /// @inheritdoc IDeliveries
    function periods() external view returns (uint40, uint40, uint40) {
        return (REQUEST_PERIOD, TRANSFER_PERIOD, GRACE_PERIOD);
    }

    /// @inheritdoc IDeliveries
    function hashFinalisation(Finalisation calldata finalisation) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    FINALISATION_TYPEHASH,
                    finalisation.deliveryId,
                    keccak256(bytes(finalisation.registryReference)),
                    finalisation.registryDate,
                    finalisation.evidenceHash
                )
            )
        );
    }

    /// @inheritdoc IDeliveries
    function hashRejection(Rejection calldata rejection) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    REJECTION_TYPEHASH,
                    rejection.deliveryId,
                    keccak256(bytes(rejection.reason)),
                    rejection.evidenceHash
                )
            )
        );
    }

    /// @dev Burns, names the serials and settles their positions: nothing else may take them.
    function _request(
        uint64 deliveryId,
        address holder,
        uint256 classId,
        uint48 tonnes,
        string calldata registryAccount,
        Fee memory charge
    ) private {
        uint48 first = CREDITS.burnForDelivery(msg.sender, holder, classId, tonnes);
        (bytes32 seriesId, uint32 seriesNumber, uint64 serial, uint48 run) =
            RECORDS.serialAt(classId, first);
        if (run < tonnes) revert DeliveryCrossesBlocks(classId, first, tonnes, run);

        Delivery storage held = _deliveries[deliveryId];
        held.holder = holder;
        held.state = State.Requested;
        held.requestedAt = uint40(block.timestamp);
        held.classId = classId;
        held.firstPosition = first;
        held.tonnes = tonnes;
        held.seriesNumber = seriesNumber;
        held.firstSerial = serial;

        emit DeliveryRequested(
            deliveryId,
            classId,
            holder,
            first,
            tonnes,
            seriesId,
            serial,
            registryAccount,
            uint40(block.timestamp) + REQUEST_PERIOD,
            charge.asset,
            charge.amount
        );
        RECORDS.settle(classId, first, tonnes, IRegistryRecords.Settled.Delivered);
    }

    /// @dev Block and gaps first, tokens last: the mint calls a holder that is a contract.
    function _refund(uint64 deliveryId, Delivery storage held, bool disputed) private {
        (uint256 classId, uint48 tonnes) = (held.classId, held.tonnes);
        uint48 position = CREDITS.positions(classId).minted;

        held.state = disputed ? State.RefundedDisputed : State.Refunded;
        held.refundPosition = position;
        held.refundedAt = uint40(block.timestamp);

        emit DeliveryRefunded(deliveryId, position, tonnes, disputed);
        TRUST.append(
            bytes32(uint256(deliveryId)),
            classId,
            held.seriesNumber,
            held.firstSerial,
            position,
            tonnes
        );
        GAPS.beforeRefund(classId, held.firstPosition, tonnes, position, disputed);
        CREDITS.mintRefund(held.holder, classId, tonnes);
    }

    /// @dev What died on the way never leaves the register (L2). What stays behind each release
    /// begins above `hint` and below the next one: the hint is good for all of them.
    function _release(Delivery storage held, uint64 hint) private {
        (bytes32 seriesId, uint64 first, uint64 last) = _serials(held);
        DeadPart[] memory dead = GAPS.beforeRelease(held.classId, held.firstPosition);
        for (uint256 i = 0; i < dead.length; ++i) {
            uint64 died = held.firstSerial + (dead[i].first - held.firstPosition);
            if (died != first) TRUST.release(seriesId, first, died - 1, hint);
            first = died + dead[i].tonnes;
        }
        if (first <= last) TRUST.release(seriesId, first, last, hint);
    }

    function _approve(Finalisation calldata finalisation, bytes[] calldata signatures)
        private
        view
        returns (address[] memory signers)
    {
        signers = TRUST.requireApprovals(hashFinalisation(finalisation), signatures);
        _requireReference(finalisation.registryReference);
        if (!ClassLib.isDay(finalisation.registryDate)) {
            revert DeliveryDateInvalid(finalisation.registryDate);
        }
    }

    function _requireState(uint64 deliveryId, State state)
        private
        view
        returns (Delivery storage held)
    {
        held = _deliveries[deliveryId];
        if (held.state != state) revert DeliveryStateIs(deliveryId, held.state);
    }

    /// @dev Begun, and not ended.
    function _requireUnderWay(uint64 deliveryId) private view returns (Delivery storage held) {
        held = _deliveries[deliveryId];
        if (held.state != State.Begun && held.state != State.Dispatched) {
            revert DeliveryStateIs(deliveryId, held.state);
        }
    }

    function _requireHolder(uint64 deliveryId, address holder) private view {
        if (
            msg.sender != holder
                && !IERC1155(address(CREDITS)).isApprovedForAll(holder, msg.sender)
        ) revert DeliveryOnlyHolder(deliveryId, holder, msg.sender);
    }

    function _requireCustodian() private view {
        if (TRUST.role(msg.sender) != ITrust.Role.Custodian) {
            revert DeliveryOnlyCustodian(msg.sender);
        }
    }

    function _requireReached(uint64 deliveryId, uint40 earliest) private view {
        if (block.timestamp < earliest) {
            revert DeliveryRefundTooEarly(deliveryId, earliest, block.timestamp);
        }
    }

    /// @dev The newest report is later than `after_` and lists the serials as live in trust.
    function _requireInTrust(Delivery storage held, uint40 after_, bytes calldata reserveProof)
        private
        view
    {
        (bytes32 seriesId, uint64 first, uint64 last) = _serials(held);
        RESERVE.requireLive(held.classId, seriesId, first, last, after_, reserveProof);
    }

    function _serials(Delivery storage held)
        private
        view
        returns (bytes32 seriesId, uint64 first, uint64 last)
    {
        first = held.firstSerial;
        return (TRUST.seriesId(held.seriesNumber), first, first + held.tonnes - 1);
    }

    function _requireReference(string calldata registryReference) private pure {
        uint256 length = bytes(registryReference).length;
        if (length == 0 || length > MAX_TEXT_BYTES) revert DeliveryReferenceInvalid(length);
    }
}
