// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";

/// @title See IParticipants: every rule and every power is written there.
contract Participants is IParticipants, AccessManaged {
    uint8 private constant HIGHEST_TIER = 3;
    uint8 private constant CAUSEWAY_CONTRACT = 255;

    /// @notice The only caller of `freeze` and `unfreeze`.
    address public immutable LEGAL_ORDERS;

    mapping(address account => Participant) private _participants;

    modifier onlyLegalOrders() {
        if (msg.sender != LEGAL_ORDERS) revert ParticipantsOnlyLegalOrders(msg.sender);
        _;
    }

    constructor(address authority, address legalOrders) AccessManaged(authority) {
        LEGAL_ORDERS = legalOrders;
    }

    /// @inheritdoc IParticipants
    function admit(address account, uint8 tier, bytes2 jurisdiction, uint40 expiry)
        external
        restricted
    {
        Participant storage held = _participants[account];
        if (tier > HIGHEST_TIER) revert ParticipantTierInvalid(tier);
        bool named = _isCapital(jurisdiction[0]) && _isCapital(jurisdiction[1]);
        // Who is admitted nowhere needs no jurisdiction.
        if (!named && (tier != 0 || jurisdiction != 0)) {
            revert ParticipantJurisdictionInvalid(jurisdiction);
        }
        if (held.tier == CAUSEWAY_CONTRACT) revert ParticipantIsCausewayContract(account);

        held.tier = tier;
        held.jurisdiction = jurisdiction;
        held.expiry = expiry;

        emit ParticipantAdmitted(account, tier, jurisdiction, expiry);
    }

    /// @inheritdoc IParticipants
    function addCausewayContract(address account) external restricted {
        Participant storage held = _participants[account];
        if (held.frozenSince != 0) revert ParticipantIsFrozen(account, held.frozenSince);

        held.tier = CAUSEWAY_CONTRACT;
        held.expiry = type(uint40).max;

        emit CausewayContractAdded(account);
    }

    /// @inheritdoc IParticipants
    function freeze(address account) external onlyLegalOrders {
        Participant storage held = _participants[account];
        if (held.tier == CAUSEWAY_CONTRACT) revert ParticipantIsCausewayContract(account);
        if (held.frozenSince != 0) revert ParticipantIsFrozen(account, held.frozenSince);

        held.frozenSince = uint40(block.timestamp);

        emit ParticipantFrozen(account);
    }

    /// @inheritdoc IParticipants
    function unfreeze(address account) external onlyLegalOrders {
        Participant storage held = _participants[account];
        if (held.frozenSince == 0) revert ParticipantNotFrozen(account);

        uint40 frozenSeconds = held.frozenSeconds + uint40(block.timestamp) - held.frozenSince;
        held.frozenSeconds = frozenSeconds;
        held.frozenSince = 0;

        emit ParticipantUnfrozen(account, frozenSeconds);
    }

    /// @inheritdoc IParticipants
    function participant(address account) external view returns (Participant memory) {
        return _participants[account];
    }

    /// @inheritdoc IParticipants
    function requireTransferable(address from, address to) external view {
        if (from != address(0)) {
            uint40 frozenSince = _participants[from].frozenSince;
            if (frozenSince != 0) revert ParticipantIsFrozen(from, frozenSince);
        }
        if (to != address(0)) {
            Participant storage held = _participants[to];
            if (held.tier == 0) revert ParticipantNotAdmitted(to);
            if (block.timestamp > held.expiry) _requireClaim(from, to, held.expiry);
            if (held.frozenSince != 0) revert ParticipantIsFrozen(to, held.frozenSince);
        }
    }

    /// @dev A function of its own: unexpired transfers then pay nothing for it.
    function _requireClaim(address from, address to, uint40 expiry) private view {
        if (_participants[from].tier != CAUSEWAY_CONTRACT) revert ParticipantExpired(to, expiry);
    }

    function _isCapital(bytes1 letter) private pure returns (bool) {
        return letter >= "A" && letter <= "Z";
    }
}
