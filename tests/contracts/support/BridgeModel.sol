// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bridge} from "./Bridge.sol";

/// @dev The slow twin of the contracts: every position is written down tonne by tonne, and a
/// serial says itself where it stands. Two classes share one series.
abstract contract BridgeModel is Bridge {
    enum Place {
        Live, Open, Retired, Delivered, Returned, Gone, Void, Invalidated, Disputed, Converting
    }

    struct Tonne {
        uint64 serial;
        Place place;
        bool settled;
        bool deadInDelivery;
    }

    struct Book {
        Tonne[] tonnes;
        uint256 cursor;
        uint256 open;
        uint256 dust;
        uint256 retiredKilograms;
        uint256 lockedKilograms;
        bool held;
    }

    uint64 internal constant SERIALS = 900;

    Book[2] internal books;
    mapping(uint64 serial => bool) internal registered;

    function isGap(Place place) internal pure returns (bool) {
        return place >= Place.Invalidated;
    }

    function count(uint256 which, Place place) public view returns (uint256 found) {
        Tonne[] storage tonnes = books[which].tonnes;
        for (uint256 i = 0; i < tonnes.length; ++i) {
            if (tonnes[i].place == place) ++found;
        }
    }

    function gapTonnes(uint256 which) public view returns (uint256) {
        return count(which, Place.Invalidated) + count(which, Place.Disputed)
            + count(which, Place.Converting);
    }

    function short(uint256 which) public view returns (bool) {
        return gapTonnes(which) * 1000 > books[which].lockedKilograms;
    }

    function append(uint256 which, uint64 serial, Place place) internal {
        books[which].tonnes.push(Tonne(serial, place, false, false));
    }

    function free(uint64 first, uint64 last) internal view returns (bool) {
        for (uint64 serial = first; serial <= last; ++serial) {
            if (registered[serial]) return false;
        }
        return true;
    }

    function register(uint64 first, uint64 last, bool is_) internal {
        for (uint64 serial = first; serial <= last; ++serial) {
            registered[serial] = is_;
        }
    }

    /// @dev Where a consumption of `tonnes` begins, and whether it may: nothing but live tonnes.
    function front(uint256 which, uint256 tonnes) internal view returns (uint256 place, bool may) {
        Book storage book = books[which];
        place = book.cursor;
        if (tonnes == 0) return (place, true);
        uint256 end = book.tonnes.length;
        while (place < end && isGap(book.tonnes[place].place)) ++place;
        may = tonnes <= end - place;
        for (uint256 i = 0; may && i < tonnes; ++i) {
            may = book.tonnes[place + i].place == Place.Live;
        }
    }

    /// @dev Every gap tonne at the cursor is void there and stands again at the back.
    function passAll(uint256 which) internal {
        Book storage book = books[which];
        uint256 end = book.tonnes.length;
        while (book.cursor < end && isGap(book.tonnes[book.cursor].place)) {
            Tonne storage tonne = book.tonnes[book.cursor++];
            append(which, tonne.serial, tonne.place);
            (tonne.place, tonne.settled) = (Place.Void, true);
        }
    }

    function consume(uint256 which, uint256 kilograms) internal {
        Book storage book = books[which];
        uint256 rest = kilograms % 1000;
        if (kilograms / 1000 + (rest > book.dust ? 1 : 0) != 0) passAll(which);
        for (uint256 i = 0; i < kilograms / 1000; ++i) {
            book.tonnes[book.cursor++].place = Place.Retired;
        }
        book.retiredKilograms += kilograms;
        uint256 fromOpen = rest < book.dust ? rest : book.dust;
        book.dust -= fromOpen;
        if (fromOpen != 0 && book.dust == 0) book.tonnes[book.open].place = Place.Retired;
        rest -= fromOpen;
        if (rest == 0) return;
        book.open = book.cursor++;
        book.tonnes[book.open].place = Place.Open;
        book.dust = 1000 - rest;
    }

    /// @dev Whether [first, +tonnes) stands on consecutive serials. The contract's pieces may be
    /// shorter than such a run, never longer.
    function consecutive(uint256 which, uint256 first, uint256 tonnes)
        internal
        view
        returns (bool)
    {
        Tonne[] storage held = books[which].tonnes;
        for (uint256 i = 1; i < tonnes; ++i) {
            if (held[first + i].serial != held[first].serial + i) return false;
        }
        return true;
    }

    /// @dev Every tonne of a run is in this place.
    function all(uint256 which, uint256 first, uint256 tonnes, Place place)
        internal
        view
        returns (bool)
    {
        Tonne[] storage held = books[which].tonnes;
        if (first + tonnes > held.length) return false;
        for (uint256 i = 0; i < tonnes; ++i) {
            if (held[first + i].place != place) return false;
        }
        return true;
    }
}
