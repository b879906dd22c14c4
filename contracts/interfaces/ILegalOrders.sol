// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Acts of law: freeze, forced transfer, key recovery, each by M of N and on record.
/// @notice A freeze has no delay. A forced transfer or a recovery waits DELAY after it was
/// scheduled and can be cancelled by M of N until executed. Signatures are EIP-712
/// ("Causeway Legal Orders", "1"), by ascending signer. Nothing here touches certificates.
interface ILegalOrders {
    enum Role { None, Freezer, Enforcer }
    enum Kind { Transfer, Recovery }
    enum State { Unknown, Scheduled, Executed, Cancelled }

    /// @notice Recovery moves whole balances of `ids` as they are when executed and ignores
    /// `amounts`, which must then be empty.
    struct Order {
        Kind kind;
        address from;
        address to;
        uint256[] ids;
        uint256[] amounts;
        bytes32 reasonHash;
        uint256 nonce;
    }

    event LegalSignerSet(address indexed signer, Role role);
    event LegalThresholdsSet(uint8 freezers, uint8 enforcers);
    event FreezeOrdered(
        address indexed account, bytes32 indexed orderHash, bool frozen, uint256 nonce,
        address[] signers
    );
    event OrderScheduled(
        bytes32 indexed orderId, Order order, uint256 executableAt, address[] signers
    );
    event OrderExecuted(bytes32 indexed orderId);
    event OrderCancelled(bytes32 indexed orderId, address[] signers);

    error LegalSignerHasRole(address signer, Role role);
    error LegalThresholdInvalid(uint8 freezers, uint8 enforcers);
    error LegalSignaturesNotAscending(address previous, address next);
    error LegalSignerWrongRole(address signer, Role role);
    error LegalApprovalsMissing(uint256 given, uint256 needed);
    error LegalOrderUsed(bytes32 orderId);
    error LegalOrderState(bytes32 orderId, State state);
    error LegalOrderEarly(bytes32 orderId, uint256 executableAt, uint256 chainTime);
    error LegalOrderMalformed(uint256 ids, uint256 amounts);

    function setSigner(address signer, Role role) external;

    function setThresholds(uint8 freezers, uint8 enforcers) external;

    /// @notice Freezes or unfreezes under a published order; `nonce` makes each act unique.
    /// Typed data: Freeze(address account,bool frozen,bytes32 orderHash,uint256 nonce).
    function setFrozen(
        address account, bool frozen, bytes32 orderHash, uint256 nonce, bytes[] calldata signatures
    ) external;

    /// @notice Typed data: Order(uint8 kind,address from,address to,uint256[] ids,
    /// uint256[] amounts,bytes32 reasonHash,uint256 nonce).
    function schedule(Order calldata order, bytes[] calldata signatures)
        external
        returns (bytes32 orderId);

    /// @notice Anyone executes after the delay. Refused out of a contract of Causeway: what an
    /// Exchange holds is many accounts' (L7).
    function execute(Order calldata order) external;

    /// @notice Typed data: Cancel(bytes32 orderId).
    function cancel(bytes32 orderId, bytes[] calldata signatures) external;

    function delay() external view returns (uint256);

    function orderState(bytes32 orderId) external view returns (State state, uint256 executableAt);

    function role(address signer) external view returns (Role);

    /// @notice How many of each role must sign; neither is ever 0.
    function thresholds() external view returns (uint8 freezers, uint8 enforcers);

    /// @notice EIP-712 digest of a freeze or unfreeze: what is signed, and the act's id.
    function hashFreeze(address account, bool frozen, bytes32 orderHash, uint256 nonce)
        external
        view
        returns (bytes32);

    /// @notice EIP-712 digest of an order: what is signed, and its id.
    function hashOrder(Order calldata order) external view returns (bytes32);

    /// @notice EIP-712 digest of a cancellation: what is signed.
    function hashCancel(bytes32 orderId) external view returns (bytes32);
}
