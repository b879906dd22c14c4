// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Who may hold credits, one storage slot per address.
/// @notice The registrar role admits; only `LegalOrders` freezes; the admin adds Causeway's own
/// contracts after its delay. A contract of Causeway is never frozen and never removed.
interface IParticipants {
    /// @param tier 0 unknown, 1 retail, 2 professional, 3 institution, 255 a contract of Causeway.
    /// @param jurisdiction ISO 3166-1 alpha-2 in ASCII; may be 0 while the tier is 0.
    /// @param expiry Unix seconds, inclusive; admission ends after it.
    /// @param frozenSince 0 when not frozen.
    /// @param frozenSeconds Total of all earlier freezes; holders' deadlines add it.
    struct Participant {
        uint8 tier;
        bytes2 jurisdiction;
        uint40 expiry;
        uint40 frozenSince;
        uint40 frozenSeconds;
    }

    event ParticipantAdmitted(
        address indexed account, uint8 tier, bytes2 jurisdiction, uint40 expiry
    );
    event CausewayContractAdded(address indexed account);
    event ParticipantFrozen(address indexed account);
    event ParticipantUnfrozen(address indexed account, uint40 frozenSeconds);

    error ParticipantNotAdmitted(address account);
    error ParticipantExpired(address account, uint40 expiry);
    error ParticipantIsFrozen(address account, uint40 frozenSince);
    error ParticipantNotFrozen(address account);
    error ParticipantIsCausewayContract(address account);
    error ParticipantTierInvalid(uint8 tier);
    error ParticipantJurisdictionInvalid(bytes2 jurisdiction);
    error ParticipantsOnlyLegalOrders(address caller);

    function admit(address account, uint8 tier, bytes2 jurisdiction, uint40 expiry) external;

    /// @notice Adds a contract of Causeway for ever.
    function addCausewayContract(address account) external;

    function freeze(address account) external;

    function unfreeze(address account) external;

    function participant(address account) external view returns (Participant memory);

    /// @notice Reverts unless `from` is not frozen and `to` is admitted, unexpired and not frozen.
    /// What comes out of a contract of Causeway is the recipient's own claim: it may have expired
    /// (L8), but is refused all the same while frozen or not admitted.
    /// @dev address(0) stands for mint and burn and always passes. An expired sender may send.
    function requireTransferable(address from, address to) external view;
}
