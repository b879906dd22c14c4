// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice What custodian and attestor sign when the recipient's registry account has the credits.
struct Finalisation {
    uint64 deliveryId;
    string registryReference;
    uint32 registryDate;
    bytes32 evidenceHash;
}

/// @notice What they sign when the registry or the recipient refused and the credits are back.
struct Rejection {
    uint64 deliveryId;
    string reason;
    bytes32 evidenceHash;
}

/// @title Deliveries: tokens back to a registry account, with refunds that need nobody.
/// @notice A request burns whole tonnes from the front and names their serials, which lie in one
/// block. Deadlines are immutables. The holder refunds alone: when nobody began by the deadline;
/// after a rejection; with a reserve report later than the transfer's expiry that still lists the
/// serials; at the second deadline in any case, and then the new positions are disputed. The fee
/// is not returned, so nobody picks serials by asking and refunding. EIP-712 domain
/// ("Causeway Deliveries", "1").
interface IDeliveries {
    enum State {
        None, Requested, Begun, Dispatched, Rejected, Finalised, Refunded, RefundedDisputed
    }

    /// @dev Times in Unix seconds. Positions [firstPosition, +tonnes) were burnt; the refund's
    /// are [refundPosition, +tonnes), with meaning once `refundedAt` is not 0.
    struct Delivery {
        address holder;
        State state;
        uint40 requestedAt;
        uint40 begunAt;
        uint256 classId;
        uint48 firstPosition;
        uint48 tonnes;
        uint32 seriesNumber;
        uint64 firstSerial;
        uint40 expiresAt;
        uint48 refundPosition;
        uint40 refundedAt;
        bool broken;
    }

    event DeliveryRequested(
        uint64 indexed deliveryId, uint256 indexed classId, address indexed holder,
        uint48 firstPosition, uint48 tonnes, bytes32 seriesId, uint64 firstSerial,
        string registryAccount, uint40 deadline, address feeAsset, uint256 fee
    );
    /// @dev `expiresAt` is the latest end of the transfer: what refunds count from.
    event DeliveryBegun(
        uint64 indexed deliveryId, address indexed custodian, uint40 expiresAt,
        uint40 secondDeadline
    );
    event DeliveryDispatched(
        uint64 indexed deliveryId, address indexed custodian, string registryReference,
        uint40 expiresAt
    );
    event DeliveryRejected(
        uint64 indexed deliveryId, string reason, bytes32 evidenceHash, address[] signers
    );
    event DeliveryFinalised(
        uint64 indexed deliveryId, string registryReference, uint32 registryDate,
        bytes32 evidenceHash, address[] signers
    );
    event DeliveryRefunded(
        uint64 indexed deliveryId, uint48 firstPosition, uint48 tonnes, bool disputed
    );
    event DisputeCleared(uint64 indexed deliveryId, uint48 firstPosition, uint48 tonnes);
    /// @dev The recipient got the credits although the holder was refunded: the custodian's break.
    event DeliveryBreakRecorded(
        uint64 indexed deliveryId, string registryReference, uint32 registryDate,
        bytes32 evidenceHash, address[] signers
    );
    event DeliveryFeeSet(address asset, uint256 amount, address payee);

    error DeliveryTonnesInvalid(uint256 tonnes);
    error DeliveryAccountInvalid(uint256 length);
    /// @dev The run from the front ends after `available` tonnes: ask for at most these.
    error DeliveryCrossesBlocks(
        uint256 classId, uint48 firstPosition, uint256 tonnes, uint48 available
    );
    error DeliveryStateIs(uint64 deliveryId, State state);
    error DeliveryOnlyHolder(uint64 deliveryId, address holder, address caller);
    error DeliveryHolderFrozen(uint64 deliveryId, address holder);
    error DeliveryOnlyCustodian(address caller);
    error DeliveryTooLateToBegin(uint64 deliveryId, uint256 latest, uint256 chainTime);
    error DeliveryRefundTooEarly(uint64 deliveryId, uint256 earliest, uint256 chainTime);
    error DeliveryExpiryInvalid(uint64 deliveryId, uint256 expiresAt, uint256 latest);
    error DeliveryReferenceInvalid(uint256 length);
    error DeliveryDateInvalid(uint32 registryDate);
    error DeliveryReasonInvalid(uint256 length);
    error DeliveryBroken(uint64 deliveryId);
    error DeliveryPeriodsInvalid(uint40 request, uint40 transfer, uint40 grace);
    error DeliveryFeeInvalid(address asset, uint256 amount, address payee);

    /// @notice Burns `tonnes` of the holder's tokens and asks for their serials at
    /// `registryAccount` (1 … 256 bytes, public). The caller is the holder or an approved
    /// operator; the fee, if one is set, goes from the caller straight to its payee.
    function request(
        address holder, uint256 classId, uint256 tonnes, string calldata registryAccount
    ) external returns (uint64 deliveryId);

    /// @notice By a custodian, before the registry is touched; at the latest 48 h before the
    /// deadline, and not while the holder is frozen.
    function begin(uint64 deliveryId) external;

    /// @notice By a custodian: the registry's reference and when its transfer expires. Published
    /// only; one key must not bring a refund forward while the transfer can still arrive.
    function dispatch(uint64 deliveryId, string calldata registryReference, uint40 expiresAt)
        external;

    /// @notice Requested, begun or dispatched: the credits are in trust, the holder may refund.
    function reject(Rejection calldata rejection, bytes[] calldata signatures) external;

    /// @notice Ends a delivery that was begun; its serials leave the register and may be deposited
    /// again, except those that were invalidated since the request. After a refund it is refused:
    /// see `recordBreak`.
    /// @param serialHint A registered interval of the series that begins below, 0 for the head.
    function finalise(
        Finalisation calldata finalisation, uint64 serialHint, bytes[] calldata signatures
    ) external;

    /// @notice Records, once, that the recipient has the credits of a delivery that was refunded.
    function recordBreak(Finalisation calldata finalisation, bytes[] calldata signatures) external;

    /// @notice By the holder (or operator): not begun by the deadline, rejected, or, disputed, at
    /// the second deadline.
    function refund(uint64 deliveryId) external;

    /// @notice By the holder (or operator): begun, and a report later than the transfer's expiry
    /// lists the serials.
    function refundWithReport(uint64 deliveryId, bytes calldata reserveProof) external;

    /// @notice By anyone: a report later than the refund lists the serials of a disputed one.
    function clearDispute(uint64 deliveryId, bytes calldata reserveProof) external;

    /// @dev Restricted; amount 0 for none.
    function setFee(address asset, uint256 amount, address payee) external;

    /// @notice What a request costs its caller; amount 0 for nothing.
    function fee() external view returns (address asset, uint256 amount, address payee);

    function deliveryCount() external view returns (uint64);

    /// @notice Ids run from 1.
    function delivery(uint64 deliveryId) external view returns (Delivery memory);

    /// @notice Seconds: request to deadline, begin to the transfer's latest expiry, expiry to the
    /// second deadline.
    function periods() external view returns (uint40 request, uint40 transfer, uint40 grace);

    function hashFinalisation(Finalisation calldata finalisation) external view returns (bytes32);

    function hashRejection(Rejection calldata rejection) external view returns (bytes32);
}
