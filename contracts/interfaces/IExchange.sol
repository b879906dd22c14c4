// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice An order as its trader signs it (EIP-712, domain "Causeway Exchange", "1").
/// @param instrument Token id of the class, ≥ 2^160; `asset` the settlement asset.
/// @param side 0 buys, 1 sells.
/// @param quantity Whole tonnes, below 2^53; `price` base units per tonne, below 2^104.
/// @param conditions Bits 0–1 time in force (0 GTC, 1 IOC, 2 FOK), bit 2 post-only, bits 3–4
/// self-trade rule, bit 5 retire-on-fill.
/// @param signatureKind 0 ECDSA, 1 pre-signed on chain: stated, never guessed from code.
struct Order {
    address trader;
    uint64 nonce;
    uint256 instrument;
    address asset;
    uint8 side;
    uint64 quantity;
    uint128 price;
    uint16 maxFeeBps;
    uint40 signedAt;
    uint40 expiry;
    uint8 conditions;
    bytes32 detailsHash;
    uint8 signatureKind;
}

/// @notice Moves `amount` (base units, or kilograms of a class) from trading to claimable.
struct Withdrawal {
    address trader;
    uint64 nonce;
    uint256 asset;
    uint128 amount;
    uint8 signatureKind;
}

/// @title Prefunded accounts that settle what is matched off chain and signed by two keys.
/// @notice An asset is an ERC-20's address as an integer, or a class's token id (≥ 2^160, in
/// kilograms). Nothing here is upgraded and no role moves anybody's balance.
///
/// Sequencer and watcher together can settle trades between orders that their traders signed,
/// within quantity, price limit, fee cap and expiry (L6), settle withdrawals that their owners
/// signed, void trades that are not settled yet, and anchor the journal's head. They cannot settle
/// a match older than WINDOW, one of a pause, or one later than WINDOW after a trader's
/// invalidation or exit request. One of them alone can do nothing.
/// The guardian can pause matching: settlement of earlier matches, claims, exits and completed
/// retirements go on (L8). The admin sets keys, payees and listed assets after its delays; it
/// cannot stop a claim or an exit. Only a frozen account's claims and exits wait.
///
/// A batch is packed, all integers big-endian (`backend/domain/batches.py` writes and reads it):
/// version u8 = 1, first trade u48, trades u16, first withdrawal u48, withdrawals u16, journal seq
/// u48, journal hash 32 bytes, maker fee u8 and taker fee u8 (bps), base time u40, then five u16:
/// settlement assets, classes, accounts, legs, orders;
/// assets ascending: settlement assets of 20 bytes, classes of 32;
/// accounts ascending: address 20 bytes, legs u16, orders u16; its legs ascending: asset u16 (index
/// of the asset); its orders: leg of the instrument u16, leg of the settlement asset u16 (both
/// counted within the account), nonce u48, quantity u56, price u104, max fee u8, flags u8 (bit 0
/// side, bits 1–6 conditions, bit 7 signature kind), signed at u24 (after base time), lifetime u24
/// (expiry − signed at), details hash 32 bytes only when retire-on-fill;
/// trades: maker u16, taker u16 (orders, counted through the batch), quantity u56, time u24 (after
/// base time); the price is the maker's;
/// withdrawals: leg u16 (counted through the batch), nonce u48, amount u104, signature kind u8.
/// Signatures are 64 bytes each (EIP-2098): sequencer, watcher, then of every ECDSA order and of
/// every ECDSA withdrawal in the batch's order.
interface IExchange {
    event AssetListed(address asset, bool listed);
    /// @notice `depositId` runs from 1 without gaps; `asset` is what arrived.
    event Deposited(
        uint256 indexed depositId, address indexed account, uint256 asset, uint256 amount
    );
    /// @notice Everything the batch changed follows from `batch`, see above.
    event BatchSettled(
        uint64 firstTrade, uint64 lastTrade, uint64 lastWithdrawal, uint64 seq, bytes32 head,
        bytes batch
    );
    /// @notice A withdrawal found less than it asked for (an exit came first): `moved` instead.
    event WithdrawalShort(uint64 number, uint256 moved);
    /// @notice [firstTrade, lastTrade] and [firstWithdrawal, lastWithdrawal] never settle; a range
    /// that ends before it begins is empty.
    event TradesVoided(
        uint64 firstTrade, uint64 lastTrade, uint64 firstWithdrawal, uint64 lastWithdrawal,
        uint8 reason, uint64 seq, bytes32 head
    );
    event Anchored(uint64 seq, bytes32 head);
    event Claimed(address indexed account, uint256 asset, uint256 amount);
    event ExitRequested(address indexed account, uint256 asset, uint40 requestedAt);
    event ExitCancelled(address indexed account, uint256 asset);
    event ExitExecuted(address indexed account, uint256 asset, uint256 amount);
    /// @notice Matches of this nonce later than `at` + WINDOW never settle.
    event NonceInvalidated(address indexed trader, uint64 nonce, uint40 at);
    event PreSigned(address indexed account, bytes32 digest);
    event RetirementCompleted(
        bytes32 indexed orderDigest, address indexed trader, uint256 instrument,
        uint256 kilograms, uint256 certificateId
    );
    event FeesCollected(uint256 asset, uint256 operatorAmount, uint256 developerAmount);
    event VenuePaused(uint40 at);
    event VenueUnpaused(uint40 at);
    event KeysSet(address sequencer, address watcher);
    event FeePayeesSet(address operator, address developer, uint16 developerShareBps);

    error ExchangeTimesInvalid(uint256 window, uint256 skew);
    error ExchangeReentered();
    error ExchangeAssetInvalid(uint256 asset);
    error ExchangeAssetNotListed(address asset);
    error ExchangeNothingArrived(uint256 asset);
    error ExchangeDepositTooMuch(uint256 asset, uint256 total, uint256 amount);
    error ExchangeSenderNotCredits(address sender);
    error ExchangeMintedDeposit(uint256 id, uint256 value);
    error ExchangePermitUnproven(address owner, uint256 permitNonce);
    error ExchangeIntentUsed(address owner, address asset, uint256 permitNonce);
    error ExchangeIntentExpired(uint256 deadline, uint256 chainTime);
    error ExchangeIntentNotOwners(address owner, address signer);

    error ExchangeKeysDiffer(address sequencer, address watcher);
    error ExchangeKeysInvalid(address sequencer, address watcher);
    error ExchangePayeesInvalid(address operator, address developer, uint16 developerShareBps);
    error ExchangeAnchorDiffers(uint64 seq, bytes32 anchored, bytes32 given);
    error ExchangeNumberNotNext(uint64 expected, uint64 given);
    error ExchangeNumberTooLarge(uint64 given);
    error ExchangeNothingToVoid(uint64 firstTrade, uint64 firstWithdrawal);

    error BatchVersionUnknown(uint256 version);
    error BatchEmpty(uint64 firstTrade, uint64 firstWithdrawal);
    error BatchLengthWrong(uint256 length, uint256 read);
    error BatchTableWrong(uint256 counted, uint256 stated);
    error BatchAssetsNotAscending(uint256 previous, uint256 next);
    error BatchAccountsNotAscending(address previous, address next);
    error BatchLegsNotAscending(address account, uint256 previousAsset, uint256 nextAsset);
    error BatchIndexOutOfRange(uint256 index, uint256 count);
    error BatchSignaturesWrong(uint256 length, uint256 read);
    error BatchOrderUnused(address trader, uint64 nonce);
    error BatchFeeTooHigh(uint256 makerFeeBps, uint256 takerFeeBps);

    error OrderSignatureWrong(address trader, uint64 nonce, address signer);
    error OrderNotPreSigned(address trader, uint64 nonce, bytes32 digest);
    error OrderAssetsInvalid(address trader, uint64 nonce, uint256 instrument, uint256 asset);
    error OrderConditionsInvalid(address trader, uint64 nonce, uint8 conditions);
    error OrderLifetimeTooLong(address trader, uint64 nonce, uint256 lifetime);
    error OrderOverfilled(address trader, uint64 nonce, uint256 filled, uint256 quantity);
    error OrderInvalidated(address trader, uint64 nonce, uint256 matchTime, uint256 invalidatedAt);
    error OrderExiting(address trader, uint64 nonce, uint256 matchTime, uint256 exitRequestedAt);

    error TradeSelf(uint64 number, address trader);
    error TradeSidesEqual(uint64 number);
    error TradeMarketsDiffer(uint64 number);
    error TradePriceBeyondLimit(uint64 number, uint256 price, uint256 limit);
    error TradeQuantityInvalid(uint64 number, uint256 quantity, uint256 price);
    error TradeFeeAboveCap(uint64 number, uint256 feeBps, uint256 maxFeeBps);
    error TradeBeforePrevious(uint64 number, uint256 matchTime, uint256 previous);
    error TradeTooOld(uint64 number, uint256 matchTime, uint256 chainTime);
    error TradeAhead(uint64 number, uint256 matchTime, uint256 chainTime);
    error TradeExpired(uint64 number, uint256 matchTime, uint256 expiry);
    error TradeBeforeSigned(uint64 number, uint256 matchTime, uint256 signedAt);
    error TradeWhilePaused(uint64 number, uint256 matchTime);

    error WithdrawalSignatureWrong(address trader, uint64 nonce, address signer);
    error WithdrawalNotPreSigned(address trader, uint64 nonce, bytes32 digest);
    error WithdrawalNonceUsed(address trader, uint64 nonce);
    error WithdrawalAmountInvalid(address trader, uint64 nonce, uint256 amount);

    error AccountShort(address account, uint256 asset, uint256 balance, int256 change);
    error ExchangeNothingToClaim(address account, uint256 asset);
    error ExitRunning(address account, uint256 asset, uint40 requestedAt);
    error ExitNotRequested(address account, uint256 asset);
    error ExitNotDue(address account, uint256 asset, uint256 from, uint256 until);
    error NonceTooLarge(uint64 nonce);
    error ExchangeNothingToRetire(bytes32 orderDigest);
    error ExchangeDetailsDiffer(bytes32 signed, bytes32 given);
    error ExchangeVenuePaused(uint40 since);
    error ExchangeVenueNotPaused();

    // ---------------------------------------------------------------- money and credits in

    /// @notice Pulls `amount` of a listed settlement asset from the caller into its account.
    function deposit(address asset, uint256 amount) external returns (uint256 depositId);

    /// @notice The same for `owner`'s own account with its permit, sent by anybody.
    /// @dev When the permit was run ahead (its call fails, or changes no nonce), this goes on only
    /// for the owner itself or with the owner's signed DepositIntent(address owner,address asset,
    /// uint256 amount,uint256 nonce,uint256 deadline). The intent's nonce is the permit's nonce:
    /// each permit deposits at most once, whoever sends it.
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
    ) external returns (uint256 depositId);

    // ---------------------------------------------------------------- settlement

    /// @notice Settles the next trades and withdrawals. Anybody may send what the keys signed:
    /// typed data Batch(bytes batch).
    function settle(bytes calldata batch, bytes calldata signatures) external;

    /// @notice Passes over trades and withdrawals that will never settle; signed by both keys:
    /// Void(uint64 firstTrade,uint64 lastTrade,uint64 firstWithdrawal,uint64 lastWithdrawal,
    /// uint8 reason,uint64 seq,bytes32 head). Both firsts are the next numbers.
    function voidTrades(
        uint64 firstTrade,
        uint64 lastTrade,
        uint64 firstWithdrawal,
        uint64 lastWithdrawal,
        uint8 reason,
        uint64 seq,
        bytes32 head,
        bytes calldata signatures
    ) external;

    /// @notice Records the journal's head, signed by both keys: Anchor(uint64 seq,bytes32 head).
    /// @dev A lower seq than the anchored one changes nothing; the same with another head reverts.
    function anchor(uint64 seq, bytes32 head, bytes calldata signatures) external;

    // ---------------------------------------------------------------- ways out

    /// @notice Pays an account its claimable. Anybody may send it; only a frozen account waits.
    function claim(address account, uint256 asset) external returns (uint256 amount);

    /// @notice Begins forced exits of the caller: matches later than WINDOW after this are refused;
    /// executable later than 2 WINDOWs after it and not later than 3, then lapsed.
    function requestExit(uint256[] calldata assets) external;

    /// @notice Ends exits of the caller, not later than WINDOW after the request: from then on
    /// matches are refused because of it, and an exit is no option on them.
    function cancelExit(uint256[] calldata assets) external;

    /// @notice Moves whole balances of an account to claimable. Anybody may send it.
    function executeExit(address account, uint256[] calldata assets) external;

    // ---------------------------------------------------------------- traders' own acts

    /// @notice Ends the caller's nonces for matches later than WINDOW from now; for ever.
    function invalidate(uint64[] calldata nonces) external;

    /// @notice The caller signs a digest of its own order or withdrawal. Can never be taken back;
    /// the nonce can be invalidated.
    function preSign(bytes32 digest) external;

    /// @notice Retires what is earmarked for an order; the certificate is the trader's.
    function completeRetirement(Order calldata order) external returns (uint256 certificateId);

    /// @notice The same and publishes the texts, whose hash with salt 0 the order carries.
    function completeRetirementPublicly(
        Order calldata order,
        string calldata beneficiary,
        string calldata purpose,
        string calldata period,
        bytes32 instructionHash
    ) external returns (uint256 certificateId);

    // ---------------------------------------------------------------- powers

    /// @notice Lists or delists a settlement asset; delisting stops deposits only.
    function setAsset(address asset, bool listed) external;

    function pause() external;

    function unpause() external;

    function setKeys(address sequencer, address watcher) external;

    function setFeePayees(address operator, address developer, uint16 developerShareBps) external;

    /// @notice Moves the fees of an asset to the payees' claimable. Anybody may send it.
    function collectFees(uint256 asset) external;

    // ---------------------------------------------------------------- views

    /// @notice Seconds a match may wait for settlement; see exits and invalidations above.
    function WINDOW() external view returns (uint256);

    /// @notice Seconds a match or a signature may be ahead of the chain.
    function SKEW() external view returns (uint256);

    function accountOf(address account, uint256 asset)
        external
        view
        returns (uint256 balance, uint256 claimable, uint40 exitRequestedAt);

    /// @notice Tonnes filled of a nonce (2^53 − 1 after a withdrawal), whether it was ended, and
    /// when it was invalidated (0: it was not).
    function fillOf(address trader, uint64 nonce)
        external
        view
        returns (uint64 filled, bool ended, uint40 invalidatedAt);

    /// @notice The last settled (or voided) trade and withdrawal, the last match time.
    function settled() external view returns (uint64 trade, uint64 withdrawal, uint40 matchTime);

    /// @notice The journal's head as last anchored.
    function anchored() external view returns (uint64 seq, bytes32 head);

    function depositCount() external view returns (uint256);

    function isListed(address asset) external view returns (bool);

    /// @notice Everything owed of an asset: balances, claimables, fees and earmarks.
    function total(uint256 asset) external view returns (uint256);

    /// @notice L7: held ≥ owed, for every asset, always.
    function solvency(uint256 asset) external view returns (uint256 held, uint256 owed);

    function feesOf(uint256 asset)
        external
        view
        returns (uint256 operatorAmount, uint256 developerAmount);

    /// @notice Kilograms bought to retire under an order's digest and not yet retired.
    function earmarked(bytes32 orderDigest) external view returns (uint256);

    function isPreSigned(address account, bytes32 digest) external view returns (bool);

    function keys() external view returns (address sequencer, address watcher);

    function feePayees()
        external
        view
        returns (address operator, address developer, uint16 developerShareBps);

    /// @notice Since when matching is paused; 0 when it is not.
    function pausedSince() external view returns (uint40);

    /// @notice Whether a match at this time falls into a pause: [paused, unpaused).
    function isPausedAt(uint256 matchTime) external view returns (bool);

    /// @notice EIP-712 digest of an order: what is signed or pre-signed.
    function hashOrder(Order calldata order) external view returns (bytes32);

    function hashWithdrawal(Withdrawal calldata withdrawal) external view returns (bytes32);

    function hashBatch(bytes calldata batch) external view returns (bytes32);
}
