// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CreditClass, Positions} from "../../../contracts/interfaces/ICarbonCredits.sol";
import {ILegalOrders} from "../../../contracts/interfaces/ILegalOrders.sol";
import {IParticipants} from "../../../contracts/interfaces/IParticipants.sol";
import {IRetirementCertificates} from
    "../../../contracts/interfaces/IRetirementCertificates.sol";
import {Exchange, RegistryRetirement} from "../../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, Receipt, Series} from "../../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./Deployment.sol";

/// @dev Does what wallets, custodians, registries and courts do, in any order, and remembers what
/// must stay true. Two classes of one programme share two series.
contract Handler is Deployment {
    struct Confirmed {
        uint256 classId;
        uint48 position;
        bytes32 seriesId;
        uint64 serial;
    }

    uint256 private constant MOST_CONFIRMATIONS = 28;

    address[4] public actors = [holder, buyer, third, address(0x1005)];
    uint256[2] public ids;
    bytes32[2] public seriesIds;
    uint256 public unsignedAccepted;
    uint256 public replaysAccepted;
    uint256 public reconfirmationsAccepted;
    uint256 public serialsConfirmedTwice;
    uint256 public wrongOverlapAnswers;
    uint256 public frozenMoved;
    /// @dev How often an act that needs others before it went through: see the last invariant.
    uint256 public exchanged;
    uint256 public forced;
    uint256 public acts;
    mapping(uint256 id => uint256) public mintedTonnes;
    mapping(uint256 id => uint256) public retiredKilograms;
    uint256[] public certificateIds;
    mapping(uint256 certificateId => bytes32) public certificateFacts;
    Confirmed[] public confirmed;
    uint256[2] private _confirmations;
    mapping(uint256 id => mapping(uint256 position => bool)) private _isConfirmed;
    mapping(bytes32 seriesId => mapping(uint64 serial => bool)) private _serialConfirmed;
    Interval[] private _registered;
    /// @dev abi.encode of each receipt that minted.
    bytes[] private _receipts;
    uint256 private _nonce;
    mapping(address actor => bool) private _frozen;

    constructor() {
        deploy();
        participants.admit(actors[3], 1, "HK", FAR);
        for (uint256 i = 0; i < 2; ++i) {
            (,, ids[i]) = credits.hashClass(class(i));
            seriesIds[i] = trust.hashSeries(series(i));
        }
        // Something to act on from the first call.
        mintBlock(0, 0, 0, 500, 60);
        mintBlock(1, 1, 1, 900, 40);
        noteCertificate(retire(actors[0], ids[0], 20_300), ids[0], 20_300);
        noteCertificate(retire(actors[1], ids[1], 12_001), ids[1], 12_001);
    }

    function counts() external view returns (uint256, uint256, uint256, uint256) {
        return (_registered.length, _receipts.length, certificateIds.length, confirmed.length);
    }

    function system() external view returns (address, address, address) {
        return (address(credits), address(trust), address(records));
    }

    function receiptIds() external view returns (bytes32[] memory found) {
        found = new bytes32[](_receipts.length);
        for (uint256 i = 0; i < found.length; ++i) {
            found[i] = trust.hashReceipt(abi.decode(_receipts[i], (Receipt)));
        }
    }

    function registeredTonnes(uint256 which) external view returns (uint256 tonnes) {
        for (uint256 i = 0; i < _registered.length; ++i) {
            if (_registered[i].series.codes[0] == which + 1) {
                tonnes += _registered[i].last - _registered[i].first + 1;
            }
        }
    }

    // -------------------------------------------------------------- actions

    function mintBlock(uint256 who, uint256 which, uint256 inSeries, uint64 first, uint64 length)
        public
    {
        Interval[] memory intervals = new Interval[](1);
        uint64 from = uint64(within(first, 1, 3000));
        intervals[0] = Interval(
            series(inSeries % 2), from, from + uint64(within(length, 0, 60))
        );
        tryMint(who, which % 2, intervals);
    }

    function mintTwo(uint256 who, uint256 which, uint64 first, uint64 gap) external {
        Interval[] memory intervals = new Interval[](2);
        uint64 from = uint64(within(first, 1, 3000));
        uint64 next = from + uint64(within(gap, 0, 30));
        intervals[0] = Interval(series(which % 2), from, from + 12);
        intervals[1] = Interval(series((which >> 8) % 2), next, next + 3);
        tryMint(who, which % 2, intervals);
    }

    function replay(uint256 which) external {
        Receipt memory receipt = abi.decode(_receipts[which % _receipts.length], (Receipt));
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR_2);
        bytes memory proof = backed(receipt);
        try trust.mintWithReceipt(receipt, hintsFor(receipt.intervals), proof, signatures) {
            ++replaysAccepted;
        } catch {}
        ++acts;
    }

    function mintUnsigned(uint256 who, uint64 serial, uint256 how) external {
        Interval[] memory intervals = new Interval[](1);
        uint64 first = 10_000 + serial % 1000;
        intervals[0] = Interval(series(0), first, first);
        Receipt memory receipt = receiptOf(actors[who % 4], 0, intervals);
        bytes32 digest = trust.hashReceipt(receipt);
        bytes[] memory signatures;
        if (how % 4 == 0) signatures = by(digest, CUSTODIAN);
        else if (how % 4 == 1) signatures = by(digest, ATTESTOR, ATTESTOR_2);
        else if (how % 4 == 2) signatures = by(digest, CUSTODIAN, STRANGER);
        else signatures = by(keccak256(abi.encode(digest)), CUSTODIAN, ATTESTOR);
        bytes memory proof = backed(receipt);
        try trust.mintWithReceipt(receipt, noHints(1), proof, signatures) {
            ++unsignedAccepted;
        } catch {}
        ++acts;
    }

    function send(uint256 from, uint256 to, uint256 which, uint256 amount) external {
        (address source, uint256 id) = (actors[from % 4], ids[which % 2]);
        uint256 balance = credits.balanceOf(source, id);
        vm.prank(source);
        try credits.safeTransferFrom(
            source, actors[to % 4], id, within(amount, 0, balance + 1), ""
        ) {
            if (_frozen[source] || _frozen[actors[to % 4]]) ++frozenMoved;
        } catch {}
        ++acts;
    }

    function retireSome(uint256 who, uint256 which, uint256 amount) external {
        (address source, uint256 id) = (actors[who % 4], ids[which % 2]);
        uint256 balance = credits.balanceOf(source, id);
        uint256 kilograms = within(amount, 1, balance / 4 + 2);
        vm.prank(source);
        try credits.retire(source, id, kilograms, source, HASH) returns (uint256 certificateId) {
            if (_frozen[source]) ++frozenMoved;
            noteCertificate(certificateId, id, kilograms);
        } catch {}
        ++acts;
    }

    function closeOpen(uint256 who, uint256 which) external {
        uint256 id = ids[which % 2];
        Positions memory state = credits.positions(id);
        vm.prank(actors[who % 4]);
        try credits.closeOpenTonne(id, state.openTonne) returns (uint256 certificateId) {
            if (_frozen[actors[who % 4]]) ++frozenMoved;
            noteCertificate(certificateId, id, state.dust);
        } catch {}
        ++acts;
    }

    function freeze(uint256 who) external {
        address actor = actors[who % 4];
        _frozen[actor] = !_frozen[actor];
        setFrozen(actor, _frozen[actor], ++_nonce);
        ++acts;
    }

    function forceTransfer(uint256 from, uint256 to, uint256 which, uint256 amount) external {
        (uint256[] memory moved, uint256[] memory amounts) = (new uint256[](1), new uint256[](1));
        moved[0] = ids[which % 2];
        amounts[0] = within(amount, 0, credits.balanceOf(actors[from % 4], moved[0]));
        ILegalOrders.Order memory order = ILegalOrders.Order(
            ILegalOrders.Kind.Transfer,
            actors[from % 4],
            actors[to % 4],
            moved,
            amounts,
            HASH,
            ++_nonce
        );
        legal.schedule(order, by(legal.hashOrder(order), ENFORCER));
        this.passTime(DELAY);
        try legal.execute(order) {
            if (_frozen[actors[to % 4]]) ++frozenMoved;
            ++forced;
        } catch {}
        ++acts;
    }

    /// @dev A call of its own: within one, the compiler takes the time for constant.
    function passTime(uint256 duration) external {
        vm.warp(block.timestamp + duration % (7 days));
    }

    /// @dev The registry retires what the positions expect, or other serials of the class.
    function confirmSome(uint256 which, uint256 place, uint256 length, uint256 counterpart)
        external
    {
        ++acts;
        uint256 id = ids[which % 2];
        Positions memory state = credits.positions(id);
        if (state.exited == 0 || _confirmations[which % 2] == MOST_CONFIRMATIONS) return;
        uint48 first = uint48(place % state.exited);
        (,,, uint48 run) = records.serialAt(id, first);
        if (run > state.exited - first) run = state.exited - first;
        uint48 tonnes = uint48(within(length, 1, run > 8 ? 8 : run));
        Exchange[] memory swaps = new Exchange[](0);
        uint48 source = first;
        if (counterpart % 2 == 0) {
            source = uint48((counterpart / 2) % state.minted);
            (,,, run) = records.serialAt(id, source);
            uint48 distance = source > first ? source - first : first - source;
            if (run > distance) run = distance;
            if (run == 0) return;
            if (tonnes > run) tonnes = run;
            swaps = new Exchange[](1);
            swaps[0] = Exchange(first, source, tonnes, 0);
        }
        confirmRange(which % 2, state, first, source, tonnes, swaps);
    }

    /// @dev What is confirmed can neither be confirmed again nor exchanged away.
    function reconfirm(uint256 which) external {
        ++acts;
        if (confirmed.length == 0) return;
        Confirmed memory old = confirmed[which % confirmed.length];
        RegistryRetirement memory again =
            retirement(old.classId, old.position, standing(old.classId, old.position, 1));
        if (submit(again, new Exchange[](0))) ++reconfirmationsAccepted;
    }

    // -------------------------------------------------------------- helpers

    function class(uint256 which) public pure returns (CreditClass memory) {
        return classOf("VCS", which == 0 ? "1529" : "674");
    }

    function series(uint256 which) public pure returns (Series memory named) {
        named = vcsSeries();
        named.codes[0] = which + 1;
    }

    function receiptOf(address to, uint256 which, Interval[] memory intervals)
        private
        view
        returns (Receipt memory receipt)
    {
        receipt = receiptFor(to, intervals);
        receipt.creditClass = class(which);
        receipt.evidenceHash = bytes32(acts);
    }

    function tryMint(uint256 who, uint256 which, Interval[] memory intervals) private {
        Receipt memory receipt = receiptOf(actors[who % 4], which, intervals);
        bool free = !_frozen[actors[who % 4]];
        uint256 tonnes;
        for (uint256 i = 0; i < intervals.length; ++i) {
            tonnes += intervals[i].last - intervals[i].first + 1;
            for (uint256 j = 0; j < _registered.length; ++j) {
                if (overlap(intervals[i], _registered[j])) free = false;
            }
            for (uint256 j = 0; j < i; ++j) {
                if (overlap(intervals[i], intervals[j])) free = false;
            }
        }
        bytes[] memory signatures = by(trust.hashReceipt(receipt), CUSTODIAN, ATTESTOR);
        bytes memory proof = backed(receipt);
        try trust.mintWithReceipt(receipt, hintsFor(intervals), proof, signatures) {
            if (!free) ++wrongOverlapAnswers;
            _receipts.push(abi.encode(receipt));
            mintedTonnes[ids[which]] += tonnes;
            for (uint256 i = 0; i < intervals.length; ++i) {
                _registered.push(intervals[i]);
            }
        } catch {
            if (free) ++wrongOverlapAnswers;
        }
        ++acts;
    }

    function overlap(Interval memory a, Interval memory b) private pure returns (bool) {
        return a.series.codes[0] == b.series.codes[0] && a.first <= b.last && b.first <= a.last;
    }

    function hintsFor(Interval[] memory intervals) private view returns (uint64[] memory hints) {
        hints = new uint64[](intervals.length);
        for (uint256 i = 0; i < intervals.length; ++i) {
            for (uint256 j = 0; j < _registered.length; ++j) {
                Interval memory held = _registered[j];
                if (
                    held.series.codes[0] == intervals[i].series.codes[0]
                        && held.first < intervals[i].first && held.first > hints[i]
                ) hints[i] = held.first;
            }
        }
    }

    function noteCertificate(uint256 certificateId, uint256 id, uint256 kilograms) private {
        certificateIds.push(certificateId);
        certificateFacts[certificateId] = factsOf(certificateId);
        retiredKilograms[id] += kilograms;
    }

    function factsOf(uint256 certificateId) public view returns (bytes32) {
        IRetirementCertificates.Certificate memory held = certificates.certificate(certificateId);
        return keccak256(abi.encode(held, certificates.tokenURI(certificateId)));
    }

    function confirmRange(
        uint256 which,
        Positions memory state,
        uint48 first,
        uint48 source,
        uint48 tonnes,
        Exchange[] memory swaps
    ) private {
        uint256 id = ids[which];
        bool allowed = true;
        for (uint48 i = 0; i < tonnes; ++i) {
            if (_isConfirmed[id][first + i] || _isConfirmed[id][source + i]) allowed = false;
            if (state.dust != 0 && state.openTonne == first + i) allowed = false;
        }
        RegistryRetirement memory done =
            retirement(id, first, standing(id, source, tonnes));
        if (submit(done, swaps) != allowed) {
            ++wrongOverlapAnswers;
            return;
        }
        if (!allowed) return;
        ++_confirmations[which];
        exchanged += swaps.length;
        for (uint48 i = 0; i < tonnes; ++i) {
            (bytes32 seriesId,, uint64 serial,) = records.serialAt(id, first + i);
            _isConfirmed[id][first + i] = true;
            confirmed.push(Confirmed(id, first + i, seriesId, serial));
            if (_serialConfirmed[seriesId][serial]) ++serialsConfirmedTwice;
            _serialConfirmed[seriesId][serial] = true;
        }
    }

    function standing(uint256 id, uint48 position, uint48 tonnes)
        private
        view
        returns (Interval[] memory intervals)
    {
        (bytes32 seriesId,, uint64 serial,) = records.serialAt(id, position);
        intervals = new Interval[](1);
        intervals[0] =
            Interval(series(seriesId == seriesIds[0] ? 0 : 1), serial, serial + tonnes - 1);
    }

    function submit(RegistryRetirement memory done, Exchange[] memory swaps)
        private
        returns (bool)
    {
        bytes[] memory signatures = by(records.hashRegistryRetirement(done), CUSTODIAN_2, ATTESTOR);
        try records.recordRegistryRetirement(done, swaps, 0, signatures) {
            return true;
        } catch {
            return false;
        }
    }
}
