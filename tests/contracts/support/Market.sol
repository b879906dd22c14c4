// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IExchange, Order, Withdrawal} from "../../../contracts/interfaces/IExchange.sol";
import {Receipt} from "../../../contracts/interfaces/ITrust.sol";
import {Batches, Draft, Match} from "./BatchBuilder.sol";
import {Deployment} from "./Deployment.sol";

interface IMoney is IERC20 {
    function mint(address to, uint256 amount) external;
    function nonces(address owner) external view returns (uint256);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function permit(
        address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r,
        bytes32 s
    ) external;
}

/// @dev A venue with two settlement assets and two classes, its two keys, and traders whose keys
/// the tests have. What a test calls a batch is built, signed and sent from here.
abstract contract Market is Deployment {
    uint256 internal constant SEQUENCER = 0x5E;
    uint256 internal constant WATCHER = 0x3A;
    uint256 internal constant SELLER = 0x1E;
    uint256 internal constant BUYER = 0xB1;
    uint256 internal constant OTHER = 0x07;
    uint256 internal constant THIEF = 0x666;
    uint256 internal constant WINDOW = 600;
    uint256 internal constant SKEW = 30;
    uint256 internal constant PRICE = 78_500_000;
    uint16 internal constant SHARE = 2000;
    uint256 internal constant TONNES = 1000;
    uint256 internal constant CASH = 1_000_000_000_000;

    address internal operator = address(0x3001);
    address internal developer = address(0x3002);
    IExchange internal exchange;
    IMoney internal money;
    IMoney internal otherMoney;
    uint256 internal id;
    uint256 internal otherId;
    address internal seller;
    address internal buying;
    address internal other;
    mapping(address trader => uint256) internal keyOf;

    /// @dev Everything of `deploy`, the venue, and three traders who have deposited.
    function open() internal {
        deploy();
        exchange = IExchange(
            create(
                "Exchange",
                abi.encode(manager, address(participants), address(credits), WINDOW, SKEW)
            )
        );
        money = IMoney(create("TestSettlementAsset", abi.encode("HKD", "HKD", 6, address(this))));
        otherMoney =
            IMoney(create("TestSettlementAsset", abi.encode("USD", "USD", 6, address(this))));
        participants.addCausewayContract(address(exchange));
        exchange.setKeys(vm.addr(SEQUENCER), vm.addr(WATCHER));
        exchange.setFeePayees(operator, developer, SHARE);
        exchange.setAsset(address(money), true);
        exchange.setAsset(address(otherMoney), true);
        seller = trader(SELLER);
        buying = trader(BUYER);
        other = trader(OTHER);
        id = mintTo(seller, "1529", 1);
        otherId = mintTo(seller, "674", 1_000_001);
        depositClass(seller, id, TONNES * 500);
        depositClass(seller, otherId, TONNES * 500);
        depositMoney(buying, money, CASH);
        depositMoney(other, money, CASH);
        depositMoney(buying, otherMoney, CASH);
    }

    function trader(uint256 key) internal returns (address account) {
        account = vm.addr(key);
        keyOf[account] = key;
        participants.admit(account, 1, "HK", FAR);
        vm.prank(account);
        money.approve(address(exchange), type(uint256).max);
        vm.prank(account);
        otherMoney.approve(address(exchange), type(uint256).max);
    }

    function mintTo(address to, string memory project, uint64 first)
        internal
        returns (uint256 made)
    {
        Receipt memory receipt = receiptFor(to, one(first, first + 999));
        receipt.creditClass = classOf("VCS", project);
        mint(receipt);
        (,, made) = credits.hashClass(receipt.creditClass);
    }

    function depositClass(address account, uint256 class, uint256 kilograms) internal {
        transfer(account, address(exchange), class, kilograms);
    }

    function depositMoney(address account, IMoney asset, uint256 amount) internal {
        asset.mint(account, amount);
        vm.prank(account);
        exchange.deposit(address(asset), amount);
    }

    // ------------------------------------------------------------------ messages

    function sell(uint64 nonce, uint64 quantity) internal view returns (Order memory order) {
        return anOrder(seller, nonce, 1, quantity);
    }

    function buy(uint64 nonce, uint64 quantity) internal view returns (Order memory order) {
        return anOrder(buying, nonce, 0, quantity);
    }

    function anOrder(address account, uint64 nonce, uint8 side, uint64 quantity)
        internal
        view
        returns (Order memory order)
    {
        order.trader = account;
        order.nonce = nonce;
        order.instrument = id;
        order.asset = address(money);
        order.side = side;
        order.quantity = quantity;
        order.price = uint128(PRICE);
        order.maxFeeBps = 100;
        order.signedAt = uint40(NOW - 100);
        order.expiry = uint40(NOW + 1 days);
    }

    function aWithdrawal(address account, uint64 nonce, uint256 asset, uint256 amount)
        internal
        pure
        returns (Withdrawal memory)
    {
        return Withdrawal(account, nonce, asset, uint128(amount), 0);
    }

    /// @dev The next batch, with nothing in it.
    function emptyDraft() internal view returns (Draft memory draft) {
        (uint64 trade, uint64 withdrawal,) = exchange.settled();
        (uint64 seq,) = exchange.anchored();
        draft.firstTrade = uint48(trade + 1);
        draft.firstWithdrawal = uint48(withdrawal + 1);
        draft.seq = uint48(seq + 1);
        draft.head = keccak256(abi.encode("journal", draft.seq));
        draft.makerFee = 10;
        draft.takerFee = 20;
    }

    /// @dev Two orders that met for this quantity at this time.
    function draftOf(Order memory maker, Order memory taker, uint64 quantity, uint256 time)
        internal
        view
        returns (Draft memory draft)
    {
        draft = emptyDraft();
        draft.orders = new Order[](2);
        (draft.orders[0], draft.orders[1]) = (maker, taker);
        draft.trades = new Match[](1);
        draft.trades[0] = Match(0, 1, quantity, uint40(time));
    }

    function draftOf(Withdrawal memory withdrawal) internal view returns (Draft memory draft) {
        draft = emptyDraft();
        draft.withdrawals = new Withdrawal[](1);
        draft.withdrawals[0] = withdrawal;
    }

    // ------------------------------------------------------------------ signatures

    function compact(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    /// @dev Of every ECDSA order and withdrawal, in the batch's order, by their traders.
    function signaturesOf(Draft memory draft) internal view returns (bytes memory signatures) {
        uint256[] memory placed = Batches.tablesOf(draft).placed;
        for (uint256 i = 0; i < placed.length; ++i) {
            Order memory order = draft.orders[placed[i]];
            if (order.signatureKind != 0) continue;
            signatures = bytes.concat(
                signatures, compact(keyOf[order.trader], exchange.hashOrder(order))
            );
        }
        for (uint256 i = 0; i < draft.withdrawals.length; ++i) {
            Withdrawal memory one = draft.withdrawals[i];
            if (one.signatureKind != 0) continue;
            signatures = bytes.concat(
                signatures, compact(keyOf[one.trader], exchange.hashWithdrawal(one))
            );
        }
    }

    function byKeys(bytes32 digest, uint256 first, uint256 second)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(compact(first, digest), compact(second, digest));
    }

    function settle(Draft memory draft) internal {
        settleBytes(Batches.pack(draft), signaturesOf(draft));
    }

    /// @dev Any bytes, with both keys' signatures over them.
    function settleBytes(bytes memory batch, bytes memory traders) internal {
        exchange.settle(batch, signed(batch, traders));
    }

    function signed(bytes memory batch, bytes memory traders)
        internal
        view
        returns (bytes memory)
    {
        return bytes.concat(byKeys(exchange.hashBatch(batch), SEQUENCER, WATCHER), traders);
    }

    function refused(Draft memory draft, bytes memory reason) internal {
        bytes memory batch = Batches.pack(draft);
        refusedBytes(batch, signaturesOf(draft), reason);
    }

    function refusedBytes(bytes memory batch, bytes memory traders, bytes memory reason) internal {
        bytes memory signatures = signed(batch, traders);
        (uint64 tradeBefore, uint64 withdrawalBefore,) = exchange.settled();
        vm.expectRevert(reason);
        exchange.settle(batch, signatures);
        (uint64 trade, uint64 withdrawal,) = exchange.settled();
        check(trade == tradeBefore && withdrawal == withdrawalBefore, "settled all the same");
    }

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        bytes32 separator = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,"
                    "address verifyingContract)"
                ),
                keccak256("Causeway Exchange"),
                keccak256("1"),
                block.chainid,
                address(exchange)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function anchorDigest(uint64 seq, bytes32 head) internal view returns (bytes32) {
        bytes32 kind = keccak256("Anchor(uint64 seq,bytes32 head)");
        return digestOf(keccak256(abi.encode(kind, seq, head)));
    }

    function voidDigest(uint64[4] memory range, uint8 reason, uint64 seq, bytes32 head)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            "Void(uint64 firstTrade,uint64 lastTrade,uint64 firstWithdrawal,"
            "uint64 lastWithdrawal,uint8 reason,uint64 seq,bytes32 head)"
        );
        return digestOf(
            keccak256(
                abi.encode(kind, range[0], range[1], range[2], range[3], reason, seq, head)
            )
        );
    }

    function voidRange(uint64[4] memory range, uint64 seq, bytes32 head) internal {
        bytes memory signatures =
            byKeys(voidDigest(range, 1, seq, head), SEQUENCER, WATCHER);
        exchange.voidTrades(range[0], range[1], range[2], range[3], 1, seq, head, signatures);
    }

    // ------------------------------------------------------------------ what is held

    function balance(address account, uint256 asset) internal view returns (uint256 held) {
        (held,,) = exchange.accountOf(account, asset);
    }

    function claimable(address account, uint256 asset) internal view returns (uint256 held) {
        (, held,) = exchange.accountOf(account, asset);
    }

    function cash() internal view returns (uint256) {
        return uint160(address(money));
    }

    function only(uint256 asset) internal pure returns (uint256[] memory assets) {
        assets = new uint256[](1);
        assets[0] = asset;
    }

    function solvent(uint256 asset) internal view {
        (uint256 held, uint256 owed) = exchange.solvency(asset);
        check(held >= owed, "L7: less is held than owed");
    }
}
