// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC1155Utils} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Utils.sol";
import {CreditClass, ICarbonCredits, Positions} from "./interfaces/ICarbonCredits.sol";
import {IGaps} from "./interfaces/IGaps.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {IRetirementCertificates} from "./interfaces/IRetirementCertificates.sol";
import {ClassLib} from "./libraries/ClassLib.sol";
import {PositionsLib} from "./libraries/PositionsLib.sol";

/// @title See ICarbonCredits: every rule and every power is written there.
contract CarbonCredits is ICarbonCredits, ERC1155, AccessManaged {
    using PositionsLib for Positions;

    uint256 private constant MAX_TEXT_BYTES = 256;
    string private constant CLOSING_PURPOSE = "Closing of an opened tonne";
    /// @dev Tier of Causeway's own contracts in Participants.
    uint8 private constant CAUSEWAY_CONTRACT = 255;

    /// @inheritdoc ICarbonCredits
    IParticipants public immutable PARTICIPANTS;
    IRetirementCertificates public immutable CERTIFICATES;
    address public immutable TRUST;
    address public immutable LEGAL_ORDERS;
    address public immutable DELIVERIES;
    address public immutable EVENTS;
    IGaps public immutable GAPS;

    /// @dev Kilograms an account has (low half) and kilograms retired out of it (high half).
    /// Both are below 2^58: a class has at most 2^48 tonnes.
    mapping(uint256 id => mapping(address account => uint256)) private _holdings;
    /// @dev Packed `Positions`, see PositionsLib.
    mapping(uint256 id => uint256) private _positions;
    /// @dev High halves of P and C; their low halves are the id.
    mapping(uint256 id => uint256) private _classHalves;
    /// @dev Token ids by class number − 1.
    uint256[] private _classes;

    modifier onlyLegalOrders() {
        if (msg.sender != LEGAL_ORDERS) revert CreditsOnlyLegalOrders(msg.sender);
        _;
    }

    modifier onlyDeliveries() {
        if (msg.sender != DELIVERIES) revert CreditsOnlyDeliveries(msg.sender);
        _;
    }

    modifier onlyEvents() {
        if (msg.sender != EVENTS) revert CreditsOnlyEvents(msg.sender);
        _;
    }

    modifier onlyGaps() {
        if (msg.sender != address(GAPS)) revert CreditsOnlyGaps(msg.sender);
        _;
    }

    constructor(
        address authority,
        address participants,
        address certificates,
        address trust,
        address legalOrders,
        address deliveries,
        address events,
        address gaps
    ) ERC1155("") AccessManaged(authority) {
        PARTICIPANTS = IParticipants(participants);
        CERTIFICATES = IRetirementCertificates(certificates);
        TRUST = trust;
        LEGAL_ORDERS = legalOrders;
        DELIVERIES = deliveries;
        EVENTS = events;
        GAPS = IGaps(gaps);
    }

    /// @inheritdoc ICarbonCredits
    function mint(address to, CreditClass calldata creditClass, uint256 tonnes)
        external
        returns (uint256 id, uint48 firstPosition, uint32 classNumber)
    {
        if (msg.sender != TRUST) revert CreditsOnlyTrust(msg.sender);
        bytes32 projectHash;
        bytes32 vintageHash;
        (projectHash, vintageHash, id) = ClassLib.hash(creditClass);
        Positions memory state = PositionsLib.unpack(_positions[id]);
        if (state.number == 0) {
            state.number = _createClass(id, projectHash, vintageHash, creditClass);
        } else {
            _requireSameClass(id, projectHash, vintageHash);
            if (state.flags != 0) revert CreditsClassHalted(id, state.flags);
        }
        firstPosition = state.mint(tonnes);
        classNumber = state.number;

        _positions[id] = state.pack();

        emit CreditsMinted(id, to, firstPosition, uint48(tonnes));
        _mint(to, id, tonnes * PositionsLib.KILOGRAMS_PER_TONNE, "");
    }

    /// @inheritdoc ICarbonCredits
    function retire(
        address from,
        uint256 id,
        uint256 kilograms,
        address certificateOwner,
        bytes32 detailsHash
    ) external returns (uint256 certificateId) {
        return _retire(from, id, kilograms, certificateOwner, detailsHash);
    }

    /// @inheritdoc ICarbonCredits
    function retirePublicly(
        address from,
        uint256 id,
        uint256 kilograms,
        address certificateOwner,
        string calldata beneficiary,
        string calldata purpose,
        string calldata period,
        bytes32 instructionHash
    ) external returns (uint256 certificateId) {
        _requireShort(beneficiary);
        _requireShort(purpose);
        _requireShort(period);
        bytes32 detailsHash = keccak256(
            abi.encode(bytes32(0), beneficiary, purpose, period, instructionHash)
        );
        certificateId = _retire(from, id, kilograms, certificateOwner, detailsHash);
        emit RetirementDetailsPublished(
            certificateId, beneficiary, purpose, period, instructionHash
        );
    }

    /// @inheritdoc ICarbonCredits
    function closeOpenTonne(uint256 id, uint48 openTonne)
        external
        returns (uint256 certificateId)
    {
        Positions memory state = PositionsLib.unpack(_positions[id]);
        if (state.dust == 0 || state.openTonne != openTonne) {
            revert CreditsOpenTonneDiffers(id, state.openTonne, state.dust, openTonne);
        }
        bytes32 detailsHash =
            keccak256(abi.encode(bytes32(0), "", CLOSING_PURPOSE, "", bytes32(0)));
        certificateId = _retire(msg.sender, id, state.dust, msg.sender, detailsHash);
        emit RetirementDetailsPublished(certificateId, "", CLOSING_PURPOSE, "", bytes32(0));
    }

    /// @inheritdoc ICarbonCredits
    function burnForDelivery(address operator, address from, uint256 id, uint256 tonnes)
        external
        onlyDeliveries
        returns (uint48 firstPosition)
    {
        _requireApproved(from, operator);
        PARTICIPANTS.requireTransferable(from, address(0));
        // Bounded first, so that the kilograms cannot overflow.
        if (tonnes == 0 || tonnes > PositionsLib.MAX_TONNES) revert CreditsTonnesInvalid(tonnes);
        uint256 kilograms = tonnes * PositionsLib.KILOGRAMS_PER_TONNE;

        _takeFrom(from, id, kilograms, 0);
        Positions memory state = PositionsLib.unpack(_positions[id]);
        _requireConsumable(id, state, tonnes);
        firstPosition = state.exited;
        state.consume(kilograms);
        _positions[id] = state.pack();

        emit TransferSingle(operator, from, address(0), id, kilograms);
        emit CreditsBurntForDelivery(id, from, firstPosition, uint48(tonnes));
    }

    /// @inheritdoc ICarbonCredits
    function mintRefund(address to, uint256 id, uint256 tonnes)
        external
        onlyDeliveries
        returns (uint48 firstPosition)
    {
        // From a contract of Causeway: the holder's own claim, which an expiry does not end (L8).
        PARTICIPANTS.requireTransferable(msg.sender, to);
        Positions memory state = PositionsLib.unpack(_positions[id]);
        firstPosition = state.mint(tonnes);
        uint256 kilograms = tonnes * PositionsLib.KILOGRAMS_PER_TONNE;

        _positions[id] = state.pack();
        _giveTo(to, id, kilograms);

        emit TransferSingle(msg.sender, address(0), to, id, kilograms);
        emit CreditsRefunded(id, to, firstPosition, uint48(tonnes));
        ERC1155Utils.checkOnERC1155Received(msg.sender, address(0), to, id, kilograms, "");
    }

    /// @inheritdoc ICarbonCredits
    function surrender(address from, uint256 id, uint256 kilograms) external onlyEvents {
        PARTICIPANTS.requireTransferable(from, address(0));
        // What a contract of Causeway holds belongs to its accounts.
        if (PARTICIPANTS.participant(from).tier == CAUSEWAY_CONTRACT) {
            revert IParticipants.ParticipantIsCausewayContract(from);
        }

        _takeFrom(from, id, kilograms, 0);
        _giveTo(msg.sender, id, kilograms);

        emit TransferSingle(msg.sender, from, msg.sender, id, kilograms);
    }

    /// @inheritdoc ICarbonCredits
    function passGaps(uint256 id, uint256 most) external returns (uint48 tonnes) {
        Positions memory state = PositionsLib.unpack(_positions[id]);
        tonnes = GAPS.passGaps(id, state.exited, state.minted, most);
        state.pass(tonnes);
        _positions[id] = state.pack();
    }

    /// @inheritdoc ICarbonCredits
    function setFlags(uint256 id, uint8 flags, bool hasGaps) external onlyGaps {
        _requireClass(id);
        Positions memory state = PositionsLib.unpack(_positions[id]);
        bool changed = state.flags != flags;
        (state.flags, state.hasGaps) = (flags, hasGaps);

        _positions[id] = state.pack();

        if (changed) emit ClassFlagsSet(id, flags);
    }

    /// @inheritdoc ICarbonCredits
    function forceTransfer(
        bytes32 orderId,
        address from,
        address to,
        uint256 id,
        uint256 kilograms
    ) external onlyLegalOrders {
        if (from == address(0)) revert ERC1155InvalidSender(from);
        if (to == address(0)) revert ERC1155InvalidReceiver(to);
        // The source may be frozen: that is what the order is for.
        PARTICIPANTS.requireTransferable(address(0), to);

        _move(from, to, id, kilograms);

        emit TransferSingle(msg.sender, from, to, id, kilograms);
        emit TransferForced(orderId, id, from, to, kilograms);
        ERC1155Utils.checkOnERC1155Received(msg.sender, from, to, id, kilograms, "");
    }

    /// @inheritdoc ICarbonCredits
    function recordFact(
        uint256 id,
        string calldata key,
        string calldata value,
        uint32 asOf,
        string calldata vocabulary
    ) external restricted {
        _requireClass(id);
        if (!ClassLib.isDay(asOf)) revert CreditsFactDateInvalid(asOf);

        emit FactRecorded(id, key, value, asOf, vocabulary);
    }

    /// @inheritdoc ICarbonCredits
    function totalSupply(uint256 id) external view returns (uint256) {
        return PositionsLib.unpack(_positions[id]).supply();
    }

    /// @inheritdoc ICarbonCredits
    function positions(uint256 id) external view returns (Positions memory) {
        return PositionsLib.unpack(_positions[id]);
    }

    /// @inheritdoc ICarbonCredits
    function classHashes(uint256 id)
        external
        view
        returns (bytes32 projectHash, bytes32 vintageHash)
    {
        _requireClass(id);
        return ClassLib.join(id, _classHalves[id]);
    }

    /// @inheritdoc ICarbonCredits
    function classCount() external view returns (uint32) {
        return uint32(_classes.length);
    }

    /// @inheritdoc ICarbonCredits
    function classAt(uint32 number) external view returns (uint256 id) {
        if (number == 0 || number > _classes.length) revert CreditsClassNumberUnknown(number);
        return _classes[number - 1];
    }

    /// @inheritdoc ICarbonCredits
    function retiredBalanceOf(address account, uint256 id) external view returns (uint256) {
        return _holdings[id][account] >> 128;
    }

    /// @inheritdoc ICarbonCredits
    function hashClass(CreditClass calldata creditClass)
        external
        pure
        returns (bytes32 projectHash, bytes32 vintageHash, uint256 id)
    {
        return ClassLib.hash(creditClass);
    }

    /// @notice Kilograms of a class that an account holds.
    function balanceOf(address account, uint256 id) public view override returns (uint256) {
        return uint128(_holdings[id][account]);
    }

    /// @dev The one place of the transfer rules; mint, transfer and retirement all pass here.
    function _update(
        address from,
        address to,
        uint256[] memory ids,
        uint256[] memory values
    ) internal override {
        if (ids.length != values.length) {
            revert ERC1155InvalidArrayLength(ids.length, values.length);
        }
        PARTICIPANTS.requireTransferable(from, to);

        for (uint256 i = 0; i < ids.length; ++i) {
            _move(from, to, ids[i], values[i]);
        }

        if (ids.length == 1) {
            emit TransferSingle(msg.sender, from, to, ids[0], values[0]);
        } else {
            emit TransferBatch(msg.sender, from, to, ids, values);
        }
    }

    /// @dev What goes to nobody here is retired: deliveries burn without `_update`.
    function _move(address from, address to, uint256 id, uint256 value) private {
        if (from != address(0)) _takeFrom(from, id, value, to == address(0) ? value : 0);
        if (to != address(0)) _giveTo(to, id, value);
    }

    /// @dev Takes `value` out of a balance, of which `retired` (≤ value) counts as retired.
    function _takeFrom(address from, uint256 id, uint256 value, uint256 retired) private {
        mapping(address => uint256) storage holdings = _holdings[id];
        uint256 held = holdings[from];
        uint256 balance = uint128(held);
        if (balance < value) revert ERC1155InsufficientBalance(from, balance, value, id);
        // value ≤ balance: neither half can borrow from or carry into the other.
        unchecked {
            holdings[from] = held - value + (retired << 128);
        }
    }

    function _giveTo(address to, uint256 id, uint256 value) private {
        // The value was minted (≤ 2^48 tonnes) or is a balance: it never carries.
        unchecked {
            _holdings[id][to] += value;
        }
    }

    function _retire(
        address from,
        uint256 id,
        uint256 kilograms,
        address certificateOwner,
        bytes32 detailsHash
    ) private returns (uint256 certificateId) {
        _requireApproved(from, msg.sender);
        if (kilograms == 0) revert CreditsNothingToRetire();
        if (certificateOwner == address(0)) {
            revert CreditsCertificateOwnerInvalid(certificateOwner);
        }

        // Refuses what `from` does not own; what is owned is never more than the supply.
        _burn(from, id, kilograms);
        Positions memory state = PositionsLib.unpack(_positions[id]);
        _requireConsumable(id, state, state.needed(kilograms));
        (uint48 exited, uint48 openTonne, uint16 dust) =
            (state.exited, state.openTonne, state.dust);
        state.consume(kilograms);
        ++state.certificates;
        _positions[id] = state.pack();
        certificateId = uint256(state.number) << 32 | state.certificates;

        emit CreditsRetired(
            id,
            from,
            certificateId,
            msg.sender,
            certificateOwner,
            kilograms,
            exited,
            openTonne,
            dust,
            detailsHash
        );
        CERTIFICATES.mint(
            certificateId,
            certificateOwner,
            state.number,
            kilograms,
            exited,
            openTonne,
            dust,
            detailsHash
        );
    }

    /// @dev Refuses a held class; passes the gaps that the cursor has reached and refuses a run of
    /// `tonnes` that would cross one. The call goes to a contract that calls nobody outside.
    function _requireConsumable(uint256 id, Positions memory state, uint256 tonnes) private {
        if (state.flags & PositionsLib.HELD != 0) revert CreditsClassHalted(id, state.flags);
        if (!state.hasGaps) return;
        state.pass(GAPS.beforeConsumption(id, state.exited, state.minted, tonnes));
    }

    function _createClass(
        uint256 id,
        bytes32 projectHash,
        bytes32 vintageHash,
        CreditClass calldata creditClass
    ) private returns (uint32 number) {
        ClassLib.requireValid(creditClass);

        _classes.push(id);
        number = uint32(_classes.length);
        _classHalves[id] = ClassLib.highHalves(projectHash, vintageHash);

        emit ClassCreated(id, number, projectHash, vintageHash, creditClass);
    }

    /// @dev The id has half of each hash; a receipt must match the other halves too.
    function _requireSameClass(uint256 id, bytes32 projectHash, bytes32 vintageHash)
        private
        view
    {
        uint256 halves = _classHalves[id];
        if (halves == ClassLib.highHalves(projectHash, vintageHash)) return;
        (bytes32 storedProject, bytes32 storedVintage) = ClassLib.join(id, halves);
        if (storedProject != projectHash) {
            revert CreditsClassHashDiffers(id, storedProject, projectHash);
        }
        revert CreditsClassHashDiffers(id, storedVintage, vintageHash);
    }

    function _requireClass(uint256 id) private view {
        if (PositionsLib.unpack(_positions[id]).number == 0) revert CreditsClassUnknown(id);
    }

    function _requireApproved(address holder, address operator) private view {
        if (holder != operator && !isApprovedForAll(holder, operator)) {
            revert CreditsNotApproved(operator, holder);
        }
    }

    function _requireShort(string calldata text) private pure {
        uint256 length = bytes(text).length;
        if (length > MAX_TEXT_BYTES) revert CreditsDetailsTextTooLong(length);
    }
}
