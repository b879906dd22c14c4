// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Positions [first, +tonnes) of a delivery whose serials died while it was open.
struct DeadPart {
    uint48 first;
    uint48 tonnes;
}

/// @title Gaps: live positions that nothing may consume, and what halts a class.
/// @notice A gap is a run of live positions that were invalidated, are disputed or were converted.
/// A consumption never crosses a gap; when the cursor reaches one, `minted` and `exited` both grow
/// by it and it stands again at the back. A gap keeps its first position as its name wherever
/// passing moves it; a part that is cut from it is named by the position it would have had there.
/// A class is held while a programme's hold stands, and short while it has tonnes of gaps for
/// which no tokens are locked in ProgrammeEvents. Nobody calls this contract but CarbonCredits,
/// Deliveries and ProgrammeEvents: it has no signers and no roles.
interface IGaps {
    enum GapKind { None, Invalidated, Disputed, Converting }

    event GapOpened(uint256 indexed classId, uint48 firstPosition, uint48 tonnes, GapKind kind);
    event GapClosed(uint256 indexed classId, uint48 firstPosition, uint48 tonnes, GapKind kind);
    /// @dev The gap at [firstPosition, +tonnes) is void there and stands again at `newPosition`.
    event GapPassed(
        uint256 indexed classId, uint48 firstPosition, uint48 tonnes, uint48 newPosition
    );
    /// @dev Serials of an open delivery died: if it is refunded, these positions are a gap.
    event DeliveryInvalidated(
        bytes32 indexed eventId, uint256 indexed classId, uint48 firstPosition, uint48 tonnes
    );

    error GapsOnlyCredits(address caller);
    error GapsOnlyDeliveries(address caller);
    error GapsOnlyEvents(address caller);
    error GapPositionsInvalid(uint256 classId, uint64 firstPosition, uint64 tonnes);
    error GapUnknown(uint256 classId, uint64 firstPosition);
    error GapHintInvalid(uint256 classId, uint64 gapHint, uint64 firstPosition);
    error GapOverlaps(uint256 classId, uint48 gapFirst, uint48 gapTonnes, GapKind kind);
    /// @dev Refunded or finalised: its positions are nobody's any more.
    error DeliveryEnded(uint256 classId, uint48 firstPosition);
    /// @dev `before` tonnes can be consumed before the gap [gapFirst, +gapTonnes), which stands
    /// there once those that the cursor has reached are passed.
    error GapReached(
        uint256 classId, uint256 asked, uint48 before, uint48 gapFirst, uint48 gapTonnes
    );

    /// @dev Only CarbonCredits, when the class has a gap: refuses a consumption of `tonnes` that
    /// would cross one; passes those that the cursor has reached. Returns the tonnes passed.
    function beforeConsumption(uint256 classId, uint48 exited, uint48 minted, uint256 tonnes)
        external
        returns (uint48 passed);

    /// @dev Only CarbonCredits: passes at most `most` of the gaps that the cursor has reached; none
    /// when nothing but gaps is left. Returns the tonnes passed.
    function passGaps(uint256 classId, uint48 exited, uint48 minted, uint256 most)
        external
        returns (uint48 passed);

    /// @dev Only Deliveries, before the refund is minted at [newPosition, +tonnes): opens the gaps
    /// of what died while the delivery at `firstPosition` was open, and of the dispute.
    function beforeRefund(
        uint256 classId, uint48 firstPosition, uint48 tonnes, uint48 newPosition, bool disputed
    ) external;

    /// @dev Only Deliveries, when a delivery is finalised: what of it died while it was open, by
    /// ascending position; its serials stay registered for ever.
    function beforeRelease(uint256 classId, uint48 firstPosition)
        external
        returns (DeadPart[] memory);

    /// @dev Only Deliveries; closes what is left of a dispute, wherever passing has moved it.
    function closeDispute(uint256 classId, uint48 firstPosition, uint48 tonnes) external;

    /// @dev Only ProgrammeEvents: the serials of these positions are dead. Live ones become a gap,
    /// part of a dispute is cut from it, those of an open delivery are kept for its refund.
    /// @param gapHint A gap of the class (its position + 1) that begins at or below, 0 for the
    /// head; for positions of a delivery: a settled range, as in RegistryRecords.
    function invalidate(
        bytes32 eventId, uint256 classId, uint48 firstPosition, uint48 tonnes, uint64 gapHint
    ) external;

    /// @dev Only ProgrammeEvents: these live positions are another class's from now on.
    function openConversion(
        uint256 classId, uint48 firstPosition, uint48 tonnes, uint64 gapHint
    ) external;

    /// @dev Only ProgrammeEvents: closes the invalidated or disputed gap that stands at `named` or
    /// has this name, for substitutes; returns where it stands.
    function closeForSubstitute(uint256 classId, uint64 named)
        external
        returns (uint48 firstPosition, uint48 tonnes);

    /// @dev Only ProgrammeEvents: so many more kilograms of the class are locked there.
    function lock(uint256 classId, uint64 kilograms) external;

    /// @dev Only ProgrammeEvents: a hold of the class begins or ends.
    function setHeld(uint256 classId, bool held) external;

    /// @notice Where the gap named `firstPosition` stands now; reverts when there is none.
    function gapNow(uint256 classId, uint48 firstPosition) external view returns (uint48);

    /// @notice The lowest gap that shares a position with [first, last]; tonnes 0 when none does.
    function gapWithin(uint256 classId, uint48 first, uint48 last)
        external
        view
        returns (uint48 gapFirst, uint48 gapTonnes, GapKind kind);

    /// @notice The lowest gap that begins at or above `position`; tonnes 0 when there is none.
    function nextGap(uint256 classId, uint48 position)
        external
        view
        returns (uint48 firstPosition, uint48 tonnes, GapKind kind);

    /// @notice Tonnes of gaps, kilograms of the class that are locked, and the shortfall: the
    /// tonnes of gaps for which no tokens are locked, rounded up.
    function shortfall(uint256 classId)
        external
        view
        returns (uint48 gapTonnes, uint64 lockedKilograms, uint48 uncovered);
}
