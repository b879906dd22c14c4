// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IParticipants} from "./IParticipants.sol";

/// @notice The immutable identifiers of a class. Dates are YYYYMMDD; `cohort` holds hashes of
/// label codes, strictly ascending.
struct CreditClass {
    string programme;
    string project;
    uint8 unitType;
    uint32 vintageStart;
    uint32 vintageEnd;
    bytes32[] cohort;
}

/// @notice Position counters of a class, one slot. Tonnes, except `dust` (kilograms left of
/// `openTonne`, which means nothing while `dust` is 0).
/// @param number 1-based number of the class, in the order of first mints.
/// @param certificates How many retirement certificates of the class were minted.
/// @param flags What halts the class: 1 = HELD (a published hold: neither minted, traded, retired
/// nor delivered), 2 = SHORT (it has a gap that no credit and no locked token covers: neither
/// minted nor traded). Transfers, withdrawals, claims and refunds always work (L8).
/// @param hasGaps Whether consumptions must ask Gaps.
struct Positions {
    uint48 minted;
    uint48 exited;
    uint48 openTonne;
    uint16 dust;
    uint32 number;
    uint32 certificates;
    uint8 flags;
    bool hasGaps;
}

/// @title Carbon credits as ERC-1155: one id per class, one unit = 1 kg CO2e.
/// @notice L1: totalSupply(id) = (minted − exited) × 1000 + dust, always.
/// Only `Trust` mints. Only the holder or an operator approved by the holder retires or has
/// delivered. Only `LegalOrders` forces a transfer, under a published order; only
/// `ProgrammeEvents` takes credits of a converted class, against as many of the new one. Nobody
/// can pause transfers.
interface ICarbonCredits {
    event ClassCreated(
        uint256 indexed id, uint32 indexed number, bytes32 projectHash, bytes32 vintageHash,
        CreditClass creditClass
    );
    event CreditsMinted(
        uint256 indexed id, address indexed to, uint48 firstPosition, uint48 tonnes
    );
    /// @dev Whole tonnes that left as tokens, not retired: Deliveries says where to.
    event CreditsBurntForDelivery(
        uint256 indexed id, address indexed from, uint48 firstPosition, uint48 tonnes
    );
    event CreditsRefunded(
        uint256 indexed id, address indexed to, uint48 firstPosition, uint48 tonnes
    );
    event ClassFlagsSet(uint256 indexed id, uint8 flags);
    /// @dev The counters are those before the retirement, after any gaps that it passed: the
    /// consumed positions follow.
    event CreditsRetired(
        uint256 indexed id,
        address indexed from,
        uint256 indexed certificateId,
        address operator,
        address certificateOwner,
        uint256 kilograms,
        uint48 exited,
        uint48 openTonne,
        uint16 dust,
        bytes32 detailsHash
    );
    event RetirementDetailsPublished(
        uint256 indexed certificateId, string beneficiary, string purpose, string period,
        bytes32 instructionHash
    );
    event TransferForced(
        bytes32 indexed orderId, uint256 indexed id, address from, address to, uint256 kilograms
    );
    /// @notice A dated fact about a class, never part of its id.
    event FactRecorded(
        uint256 indexed id, string key, string value, uint32 asOf, string vocabulary
    );

    error CreditsOnlyTrust(address caller);
    error CreditsOnlyLegalOrders(address caller);
    error CreditsOnlyDeliveries(address caller);
    error CreditsOnlyEvents(address caller);
    error CreditsOnlyGaps(address caller);
    error CreditsClassHalted(uint256 id, uint8 flags);
    error CreditsClassHashDiffers(uint256 id, bytes32 stored, bytes32 given);
    error CreditsClassUnknown(uint256 id);
    error CreditsClassNumberUnknown(uint32 number);
    error CreditsCohortNotAscending(bytes32 previous, bytes32 next);
    error CreditsVintageInvalid(uint32 vintageStart, uint32 vintageEnd);
    error CreditsUnitTypeInvalid(uint8 unitType);
    /// @dev As bytes, because it may be no text.
    error CreditsClassNameInvalid(bytes name);
    error CreditsFactDateInvalid(uint32 asOf);
    error CreditsTonnesInvalid(uint256 tonnes);
    error CreditsNothingToRetire();
    error CreditsNotApproved(address operator, address holder);
    error CreditsOpenTonneDiffers(uint256 id, uint48 openTonne, uint16 dust, uint48 asked);
    error CreditsCertificateOwnerInvalid(address certificateOwner);
    error CreditsDetailsTextTooLong(uint256 length);

    /// @notice Mints whole tonnes of a class against a receipt; creates the class on first use.
    /// @return id The token id, firstPosition the position of the first new tonne.
    function mint(address to, CreditClass calldata creditClass, uint256 tonnes)
        external
        returns (uint256 id, uint48 firstPosition, uint32 classNumber);

    /// @notice Retires kilograms for ever; the caller is `from` or an approved operator.
    /// @param detailsHash Hash of the certificate's texts with a salt, see IRetirementCertificates.
    function retire(
        address from, uint256 id, uint256 kilograms, address certificateOwner, bytes32 detailsHash
    ) external returns (uint256 certificateId);

    /// @notice The same with public texts (salt 0), which are emitted.
    function retirePublicly(
        address from,
        uint256 id,
        uint256 kilograms,
        address certificateOwner,
        string calldata beneficiary,
        string calldata purpose,
        string calldata period,
        bytes32 instructionHash
    ) external returns (uint256 certificateId);

    /// @notice Retires exactly the dust of the open tonne, from the caller's tokens.
    /// @dev The certificate goes to the caller, publicly, with the purpose
    /// "Closing of an opened tonne".
    function closeOpenTonne(uint256 id, uint48 openTonne) external returns (uint256 certificateId);

    /// @dev Only Deliveries: burns whole tonnes from the front, which do not count as retired.
    /// `operator` is the holder or approved by the holder.
    function burnForDelivery(address operator, address from, uint256 id, uint256 tonnes)
        external
        returns (uint48 firstPosition);

    /// @dev Only Deliveries: appends whole tonnes at the back. They reach a holder whose admission
    /// has expired, and never a frozen one.
    function mintRefund(address to, uint256 id, uint256 tonnes)
        external
        returns (uint48 firstPosition);

    /// @dev Only ProgrammeEvents: `from` may not be frozen nor a contract of Causeway. The credits
    /// go to ProgrammeEvents.
    function surrender(address from, uint256 id, uint256 kilograms) external;

    /// @notice By anyone: passes at most `most` gaps that the cursor has reached, so that no number
    /// of them is too many for the gas of one retirement. Changes nothing else, and nothing when
    /// the cursor stands at no gap.
    function passGaps(uint256 id, uint256 most) external returns (uint48 tonnes);

    /// @dev Only Gaps.
    function setFlags(uint256 id, uint8 flags, bool hasGaps) external;

    /// @dev Moves credits against the holder's will. The recipient must be admitted; the source
    /// may be frozen.
    function forceTransfer(
        bytes32 orderId, address from, address to, uint256 id, uint256 kilograms
    ) external;

    function recordFact(
        uint256 id, string calldata key, string calldata value, uint32 asOf,
        string calldata vocabulary
    ) external;

    /// @notice The register of who may hold credits.
    function PARTICIPANTS() external view returns (IParticipants);

    /// @notice L1 as a view: derived from the counters, in kilograms.
    function totalSupply(uint256 id) external view returns (uint256);

    function positions(uint256 id) external view returns (Positions memory);

    /// @notice Full P and C of a class.
    function classHashes(uint256 id)
        external
        view
        returns (bytes32 projectHash, bytes32 vintageHash);

    /// @notice How many classes there are; their numbers run from 1.
    function classCount() external view returns (uint32);

    /// @notice Token id of the class with this number.
    function classAt(uint32 number) external view returns (uint256 id);

    /// @notice Kilograms of a class that were retired out of an account.
    function retiredBalanceOf(address account, uint256 id) external view returns (uint256);

    /// @notice P, C and the token id of a class; anyone can recompute them.
    function hashClass(CreditClass calldata creditClass)
        external
        pure
        returns (bytes32 projectHash, bytes32 vintageHash, uint256 id);
}
