// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

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
struct Positions {
    uint48 minted;
    uint48 exited;
    uint48 openTonne;
    uint16 dust;
    uint32 number;
    uint32 certificates;
}

/// @title Carbon credits as ERC-1155: one id per class, one unit = 1 kg CO2e.
/// @notice L1: totalSupply(id) = (minted − exited) × 1000 + dust, always.
/// Only `Trust` mints. Only the holder or an operator approved by the holder retires. Only
/// `LegalOrders` forces a transfer, under a published order. Nobody can pause transfers.
interface ICarbonCredits {
    event ClassCreated(
        uint256 indexed id, uint32 indexed number, bytes32 projectHash, bytes32 vintageHash,
        CreditClass creditClass
    );
    event CreditsMinted(
        uint256 indexed id, address indexed to, uint48 firstPosition, uint48 tonnes
    );
    /// @dev The four counters are those before the retirement: the consumed positions follow.
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

    /// @dev Moves credits against the holder's will. The recipient must be admitted; the source
    /// may be frozen.
    function forceTransfer(
        bytes32 orderId, address from, address to, uint256 id, uint256 kilograms
    ) external;

    function recordFact(
        uint256 id, string calldata key, string calldata value, uint32 asOf,
        string calldata vocabulary
    ) external;

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
