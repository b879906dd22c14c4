// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {CreditClass, ICarbonCredits, Positions} from
    "../../../contracts/interfaces/ICarbonCredits.sol";
import {IDeliveries} from "../../../contracts/interfaces/IDeliveries.sol";
import {IGaps} from "../../../contracts/interfaces/IGaps.sol";
import {
    Conversion,
    Invalidation,
    IProgrammeEvents,
    Substitution
} from "../../../contracts/interfaces/IProgrammeEvents.sol";
import {Interval, Receipt} from "../../../contracts/interfaces/ITrust.sol";
import {BridgeModel} from "./BridgeModel.sol";

/// @dev What holders, custodians and programmes do, in any order, against the slow twin: every act
/// goes through exactly when the twin says so.
contract BridgeHandler is BridgeModel {
    address[3] public actors = [holder, buyer, third];
    uint256[2] public ids;
    string[] public wrong;
    mapping(string act => uint256) public done;
    bytes32[] public conversions;
    mapping(bytes32 conversionId => uint64[3]) private _entitled;
    uint64 private _nonce;
    uint256 private _time = NOW;

    constructor() {
        deploy();
        (,, ids[0]) = credits.hashClass(vcs());
        (,, ids[1]) = credits.hashClass(relabelled());
        mintSome(0, 0, 99, 39);
        mintSome(1, 0, 199, 39);
        mintSome(2, 1, 299, 39);
        mintSome(0, 1, 399, 39);
    }

    function system() external view returns (address, address, address, address, address) {
        return (
            address(credits), address(trust), address(records), address(gaps), address(events)
        );
    }

    function bookOf(uint256 which)
        external
        view
        returns (Tonne[] memory tonnes, uint256[5] memory figures, bool held)
    {
        Book storage book = books[which];
        figures = [
            book.cursor,
            book.open,
            book.dust,
            book.retiredKilograms,
            book.lockedKilograms
        ];
        return (book.tonnes, figures, book.held);
    }

    function wrongs() external view returns (uint256, string memory) {
        return (wrong.length, wrong.length == 0 ? "" : wrong[0]);
    }

    /// @dev By serial: whether it is registered.
    function register_() external view returns (bool[] memory found) {
        found = new bool[](SERIALS + 100);
        for (uint64 serial = 1; serial < found.length; ++serial) {
            found[serial] = registered[serial];
        }
    }

    function conversionCount() external view returns (uint256) {
        return conversions.length;
    }

    /// @dev Notes an act, and that the contract and the twin did not agree about it.
    function note(string memory act, bool went, bool expected) private {
        if (went != expected) wrong.push(string.concat(act, went ? " went" : " refused"));
        if (went) ++done[act];
    }

    /// @dev A call of its own: within one, the compiler takes the time for constant.
    function passTime(uint256 duration) public {
        // Mostly hours, so that there is time to begin; sometimes past every deadline.
        _time += duration % 8 == 0 ? (duration >> 3) % 24 days : duration % 12 hours;
        vm.warp(_time);
    }

    // -------------------------------------------------------------- wallets

    function mintSome(uint256 who, uint256 which, uint64 first, uint64 length) public {
        which %= 2;
        first = uint64(within(first, 1, SERIALS - 40));
        uint64 last = first + uint64(within(length, 0, 39));
        bool expected = free(first, last) && !books[which].held && !short(which);
        Receipt memory receipt = receiptFor(actors[who % 3], one(first, last));
        receipt.creditClass = which == 0 ? vcs() : relabelled();
        receipt.evidenceHash = bytes32(uint256(++_nonce));
        bytes memory proof = backed(receipt);
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        uint64[] memory hints = new uint64[](1);
        hints[0] = hintBelow(first);
        bool went = attempt(
            address(trust),
            abi.encodeCall(trust.mintWithReceipt, (receipt, hints, proof, signatures))
        );
        note("mint", went, expected);
        if (!went) return;
        register(first, last, true);
        for (uint64 serial = first; serial <= last; ++serial) {
            append(which, serial, Place.Live);
        }
    }

    function send(uint256 from, uint256 to, uint256 which, uint256 amount) external {
        address source = actors[from % 3];
        uint256 balance = credits.balanceOf(source, ids[which % 2]);
        amount = within(amount, 0, balance);
        vm.prank(source);
        bool went = attempt(
            address(credits),
            abi.encodeCall(
                IERC1155.safeTransferFrom, (source, actors[to % 3], ids[which % 2], amount, "")
            )
        );
        note("transfer", went, true);
    }

    function retireSome(uint256 who, uint256 which, uint256 amount) external {
        which %= 2;
        address source = actors[who % 3];
        uint256 balance = credits.balanceOf(source, ids[which]);
        // A little at a time: what is retired can be neither delivered nor die.
        uint256 kilograms = within(amount, 1, balance < 4_000 ? balance + 1 : 4_000);
        Book storage book = books[which];
        (, bool may) = front(
            which, kilograms / 1000 + (kilograms % 1000 > book.dust ? 1 : 0)
        );
        vm.prank(source);
        bool went = attempt(
            address(credits),
            abi.encodeCall(
                ICarbonCredits.retire, (source, ids[which], kilograms, source, HASH)
            )
        );
        note("retire", went, may && !book.held && kilograms <= balance);
        if (went) consume(which, kilograms);
    }

    function pass(uint256 which, uint256 most) external {
        which %= 2;
        Book storage book = books[which];
        uint256 live = book.tonnes.length - book.cursor;
        if (live == 0) return;
        uint48 passed = credits.passGaps(ids[which], most % 2 == 0 ? 99 : 0);
        if (most % 2 == 0 && gapTonnes(which) != live) passAll(which);
        if (passed != 0) ++done["pass"];
    }

    // -------------------------------------------------------------- deliveries

    function requestSome(uint256 who, uint256 which, uint256 amount) external {
        which %= 2;
        address source = actors[who % 3];
        uint256 tonnes = within(amount, 1, 9);
        (uint256 place, bool may) = front(which, tonnes);
        may = may && !books[which].held
            && credits.balanceOf(source, ids[which]) >= tonnes * 1000;
        // A piece ends where the contract says; the twin knows that it can be no longer.
        bool runs = may && consecutive(which, place, tonnes);
        uint48 run;
        if (may) (,,, run) = records.serialAt(ids[which], uint48(place));
        vm.prank(source);
        bool went = attempt(
            address(deliveries),
            abi.encodeCall(IDeliveries.request, (source, ids[which], tonnes, "Account"))
        );
        note("request", went, may && runs && run >= tonnes);
        if (!went) return;
        passAll(which);
        Book storage book = books[which];
        for (uint256 i = 0; i < tonnes; ++i) {
            Tonne storage tonne = book.tonnes[book.cursor++];
            (tonne.place, tonne.settled) = (Place.Delivered, true);
        }
    }

    function advance(uint256 which, uint256 how) external {
        if (deliveries.deliveryCount() == 0) return;
        uint64 deliveryId = oneOf(which);
        IDeliveries.Delivery memory held = deliveries.delivery(deliveryId);
        how %= 4;
        bool open = held.state == IDeliveries.State.Begun
            || held.state == IDeliveries.State.Dispatched;
        if (how == 0) {
            vm.prank(vm.addr(CUSTODIAN));
            note(
                "begin",
                attempt(address(deliveries), abi.encodeCall(IDeliveries.begin, (deliveryId))),
                held.state == IDeliveries.State.Requested
                    && _time <= held.requestedAt + REQUEST - 48 hours
            );
        } else if (how == 1) {
            bool may = open || held.state == IDeliveries.State.Requested;
            bool went = attempt(address(this), abi.encodeCall(this.doReject, (deliveryId)));
            note("reject", went, may);
        } else if (how == 2) {
            bool went = attempt(address(this), abi.encodeCall(this.doFinalise, (deliveryId)));
            note("finalise", went, open);
            if (went) end(held, Place.Gone);
        } else {
            refundOf(deliveryId, held, open);
        }
    }

    /// @dev A delivery that is begun and of which nothing is heard until its second deadline.
    function lose(uint256 who, uint256 which, uint256 amount) external {
        this.requestSome(who, which, amount);
        this.advance(0, 0);
        _time += 22 days;
        vm.warp(_time);
        this.advance(0, 3);
        if (amount % 2 == 0) this.killed(which, false);
    }

    /// @dev A delivery that arrives at once, or of which a part dies on the way.
    function arrive(uint256 who, uint256 which, uint256 amount) external {
        this.requestSome(who, which, amount);
        this.advance(0, 0);
        if (amount % 2 == 0) this.killed(which, true);
        this.advance(0, 2);
    }

    /// @dev The first tonne of the newest delivery, or of its refund, dies.
    function killed(uint256 which, bool open) external {
        if (deliveries.deliveryCount() == 0) return;
        IDeliveries.Delivery memory held = deliveries.delivery(deliveries.deliveryCount());
        this.invalidateSome(which, open ? held.firstPosition : held.refundPosition, 0);
    }

    /// @dev One of the newest deliveries: the older ones have mostly ended.
    function oneOf(uint256 which) private view returns (uint64) {
        uint64 count_ = deliveries.deliveryCount();
        return count_ - uint64(which % (count_ < 12 ? count_ : 12));
    }

    function refundOf(uint64 deliveryId, IDeliveries.Delivery memory held, bool open) private {
        bool disputed = open && _time >= held.expiresAt + GRACE;
        bool may = disputed || held.state == IDeliveries.State.Rejected
            || held.state == IDeliveries.State.Requested && _time >= held.requestedAt + REQUEST;
        vm.prank(held.holder);
        bool went = attempt(
            address(deliveries), abi.encodeCall(IDeliveries.refund, (deliveryId))
        );
        note("refund", went, may);
        if (!went) return;
        if (disputed) ++done["dispute"];
        giveBack(held, disputed);
    }

    function giveBack(IDeliveries.Delivery memory held, bool disputed) private {
        uint256 which = held.classId == ids[0] ? 0 : 1;
        Book storage book = books[which];
        for (uint256 i = 0; i < held.tonnes; ++i) {
            Tonne memory tonne = book.tonnes[held.firstPosition + i];
            Place place = disputed ? Place.Disputed : Place.Live;
            append(which, tonne.serial, tonne.deadInDelivery ? Place.Invalidated : place);
        }
        end(held, Place.Returned);
    }

    function end(IDeliveries.Delivery memory held, Place place) private {
        Book storage book = books[held.classId == ids[0] ? 0 : 1];
        for (uint256 i = 0; i < held.tonnes; ++i) {
            Tonne storage tonne = book.tonnes[held.firstPosition + i];
            tonne.place = place;
            // What died on the way is never free again.
            if (place == Place.Gone) registered[tonne.serial] = tonne.deadInDelivery;
        }
    }

    /// @dev A report that lists what a delivery named, later than anything so far.
    function reported(uint256 which) external {
        if (deliveries.deliveryCount() == 0) return;
        uint64 deliveryId = oneOf(which);
        IDeliveries.Delivery memory held = deliveries.delivery(deliveryId);
        passTime(1);
        bytes memory proof =
            listing(held.classId, held.firstSerial, held.firstSerial + held.tonnes - 1);
        if (held.state == IDeliveries.State.RefundedDisputed) {
            bool went = attempt(
                address(deliveries), abi.encodeCall(IDeliveries.clearDispute, (deliveryId, proof))
            );
            note("clear", went, clear(held));
            return;
        }
        bool may = (held.state == IDeliveries.State.Begun
            || held.state == IDeliveries.State.Dispatched) && _time > held.expiresAt;
        vm.prank(held.holder);
        bool refunded = attempt(
            address(deliveries), abi.encodeCall(IDeliveries.refundWithReport, (deliveryId, proof))
        );
        note("refund with report", refunded, may);
        if (refunded) giveBack(held, false);
    }

    /// @dev Ends what is left of a dispute; whether anything was. Its tonnes are found by serial.
    function clear(IDeliveries.Delivery memory held) private returns (bool any) {
        Book storage book = books[held.classId == ids[0] ? 0 : 1];
        for (uint256 i = 0; i < book.tonnes.length; ++i) {
            Tonne storage tonne = book.tonnes[i];
            if (
                tonne.place == Place.Disputed && tonne.serial >= held.firstSerial
                    && tonne.serial < held.firstSerial + held.tonnes
            ) (tonne.place, any) = (Place.Live, true);
        }
    }

    function doReject(uint64 deliveryId) external {
        reject(deliveryId);
    }

    function doFinalise(uint64 deliveryId) external {
        finalise(deliveryId, hintBelow(deliveries.delivery(deliveryId).firstSerial));
    }

    // -------------------------------------------------------------- programmes

    function hold(uint256 which, bool held) external {
        publish(
            ids[which % 2],
            held ? IProgrammeEvents.Kind.Hold : IProgrammeEvents.Kind.Release,
            ++_nonce
        );
        books[which % 2].held = held;
        ++done["hold"];
    }

    function invalidateSome(uint256 which, uint256 place, uint256 length) external {
        which %= 2;
        Book storage book = books[which];
        uint256 first = place % book.tonnes.length;
        (bytes32 seriesId,, uint64 serial, uint48 run) =
            records.serialAt(ids[which], uint48(first));
        uint256 tonnes = within(length, 1, run < 4 ? run : 4);
        Invalidation memory made = invalidationOf(
            ids[which], uint64(first), serial, serial + uint64(tonnes) - 1
        );
        made.evidenceHash = keccak256(abi.encode(seriesId, ++_nonce));
        bytes[] memory signatures = by(events.hashInvalidation(made), CUSTODIAN, ATTESTOR);
        uint64 hint = first < book.cursor ? settledBelow(which, first) : gapBelow(which, first);
        bool live = all(which, first, tonnes, Place.Live);
        bool disputed = all(which, first, tonnes, Place.Disputed) && one_(which, first, tonnes);
        bool open = all(which, first, tonnes, Place.Delivered) && within_(which, first, tonnes);
        bool went = attempt(
            address(events), abi.encodeCall(IProgrammeEvents.invalidate, (made, hint, signatures))
        );
        note("invalidate", went, live || disputed || open);
        for (uint256 i = 0; went && i < tonnes; ++i) {
            if (open) book.tonnes[first + i].deadInDelivery = true;
            else book.tonnes[first + i].place = Place.Invalidated;
        }
        if (went && disputed) ++done["part of a dispute"];
        if (went && open) ++done["part of a delivery"];
    }

    /// @dev Inside one gap of the contract.
    function one_(uint256 which, uint256 first, uint256 tonnes) private view returns (bool) {
        (uint48 gapFirst, uint48 gapLength,) =
            gaps.gapWithin(ids[which], uint48(first), uint48(first));
        return first + tonnes <= gapFirst + gapLength;
    }

    /// @dev Inside one delivery, none of it dead so far and not more than it keeps.
    function within_(uint256 which, uint256 first, uint256 tonnes) private view returns (bool) {
        (, uint48 low, uint48 high) =
            records.settledWithin(
                ids[which], uint48(first), uint48(first), settledBelow(which, first)
            );
        bool apart = low <= first && first + tonnes - 1 <= high;
        for (uint256 i = 0; i < tonnes; ++i) {
            if (books[which].tonnes[first + i].deadInDelivery) apart = false;
        }
        return apart;
    }

    function substituteSome(uint256 which, uint256 place, uint64 serial) external {
        which %= 2;
        (uint48 first, uint48 tonnes, IGaps.GapKind kind) =
            gaps.nextGap(ids[which], uint48(place % (books[which].tonnes.length + 1)));
        if (tonnes == 0) return;
        uint64 low = uint64(within(serial, 1, SERIALS));
        uint64 high = low + tonnes - 1;
        bool expected = kind != IGaps.GapKind.Converting && free(low, high);
        Substitution memory made = Substitution(
            ids[which], first, one(low, high), "Equal", DAY, bytes32(uint256(++_nonce))
        );
        bytes[] memory signatures = by(events.hashSubstitution(made), CUSTODIAN, ATTESTOR);
        uint64[] memory hints = new uint64[](1);
        hints[0] = hintBelow(low);
        bool went = attempt(
            address(events), abi.encodeCall(IProgrammeEvents.substitute, (made, hints, signatures))
        );
        note("substitute", went, expected);
        if (!went) return;
        register(low, high, true);
        for (uint48 i = 0; i < tonnes; ++i) {
            Tonne storage tonne = books[which].tonnes[first + i];
            (tonne.serial, tonne.place) = (low + i, Place.Live);
        }
    }

    /// @dev Class 0 into class 1, on the same serials, for what the wallets hold now.
    function convertSome(uint256 place, uint256 length) external {
        if (conversions.length == 6) return;
        Book storage book = books[0];
        uint256 first = place % book.tonnes.length;
        (,, uint64 serial, uint48 run) = records.serialAt(ids[0], uint48(first));
        uint256 tonnes = within(length, 1, run < 5 ? run : 5);
        uint64[3] memory parts = [uint64(0), 0, uint64(tonnes) * 1000];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 most = credits.balanceOf(actors[i], ids[0]);
            parts[i] = uint64(most < parts[2] / 2 ? most : parts[2] / 2);
            parts[2] -= parts[i];
        }
        Conversion memory made = conversionOf(
            ids[0],
            IProgrammeEvents.Kind.LabelSplit,
            uint64(first),
            uint64(tonnes),
            rootOf(leavesFor(parts)).hash
        );
        made.evidenceHash = bytes32(uint256(++_nonce));
        bytes[] memory signatures = by(events.hashConversion(made), CUSTODIAN, ATTESTOR);
        bool expected =
            all(0, first, tonnes, Place.Live) && !books[1].held && !short(1);
        bool went = attempt(
            address(events),
            abi.encodeCall(
                IProgrammeEvents.convert, (made, new uint64[](0), gapBelow(0, first), signatures)
            )
        );
        note("convert", went, expected);
        if (!went) return;
        bytes32 conversionId = events.hashConversion(made);
        conversions.push(conversionId);
        _entitled[conversionId] = parts;
        for (uint64 i = 0; i < tonnes; ++i) {
            book.tonnes[first + i].place = Place.Converting;
            append(1, serial + i, Place.Live);
        }
    }

    function claimSome(uint256 which, uint256 who) external {
        if (conversions.length == 0) return;
        bytes32 conversionId = conversions[which % conversions.length];
        who %= 3;
        uint64[3] memory parts = _entitled[conversionId];
        uint256 left = parts[who] - events.claimed(conversionId, actors[who]);
        uint256 balance = credits.balanceOf(actors[who], ids[0]);
        bool went = attempt(
            address(this), abi.encodeCall(this.doClaim, (conversionId, who, parts))
        );
        note("claim", went, left != 0 && balance != 0);
        if (went) books[0].lockedKilograms += left < balance ? left : balance;
    }

    function doClaim(bytes32 conversionId, uint256 who, uint64[3] memory parts) external {
        claim(conversionId, actors[who], parts[who], pathOf(leavesFor(parts), who));
    }

    function leavesFor(uint64[3] memory parts) private view returns (Node[] memory leaves) {
        leaves = new Node[](3);
        for (uint256 i = 0; i < 3; ++i) {
            leaves[i] = leafOf(ids[0], actors[i], parts[i]);
        }
    }

    // -------------------------------------------------------------- helpers

    function attempt(address target, bytes memory call) private returns (bool went) {
        (went,) = target.call(call);
    }

    /// @dev `first` of the registered interval that begins below a serial.
    function hintBelow(uint64 serial) private view returns (uint64 hint) {
        bytes32 seriesId = trust.hashSeries(vcsSeries());
        (, uint64 next,) = trust.registered(seriesId, 0);
        while (next != 0 && next < serial) {
            hint = next;
            (, next,) = trust.registered(seriesId, hint);
        }
    }

    function gapBelow(uint256 which, uint256 position) private view returns (uint64 hint) {
        (uint48 first, uint48 tonnes,) = gaps.nextGap(ids[which], 0);
        while (tonnes != 0 && first <= position) {
            hint = uint64(first) + 1;
            (first, tonnes,) = gaps.nextGap(ids[which], first + 1);
        }
    }

    /// @dev Where settled ranges begin is where a position is settled and its delivery or gap
    /// begins: the first position of a delivery that begins below.
    function settledBelow(uint256 which, uint256 position) private view returns (uint64 hint) {
        for (uint64 i = 1; i <= deliveries.deliveryCount(); ++i) {
            IDeliveries.Delivery memory held = deliveries.delivery(i);
            uint64 key = uint64(held.firstPosition) + 1;
            if (held.classId == ids[which] && held.firstPosition < position && key > hint) {
                hint = key;
            }
        }
    }
}
