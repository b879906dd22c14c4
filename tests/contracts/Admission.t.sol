// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev Who may receive from whom: an expired account only what a contract of Causeway gives back.
contract AdmissionTest is Deployment {
    /// @dev Stands for an Exchange: only that it was added as a contract of Causeway counts here.
    address private venue = address(0x2001);
    uint40 private constant ENDED = uint40(NOW - 1);
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        participants.addCausewayContract(venue);
        transfer(holder, venue, id, 50_000);
        participants.admit(buyer, 2, "CN", ENDED);
    }

    function refused(address from, bytes memory reason) private {
        vm.expectRevert(reason);
        participants.requireTransferable(from, buyer);
        vm.prank(from);
        vm.expectRevert(reason);
        credits.safeTransferFrom(from, buyer, id, 1, "");
    }

    function test_L8_an_expired_account_receives_its_claim_from_a_contract_of_causeway() public {
        transfer(venue, buyer, id, 20_000);
        equal(credits.balanceOf(buyer, id), 20_000, "claimed");
    }

    function test_an_expired_account_receives_from_nobody_else() public {
        bytes memory expired =
            abi.encodeWithSelector(IParticipants.ParticipantExpired.selector, buyer, ENDED);
        refused(holder, expired);
        // Not by being minted to either: the sender of a mint is no contract of Causeway.
        vm.expectRevert(expired);
        participants.requireTransferable(address(0), buyer);
        expectMintRefused(receiptFor(buyer, one(500, 509)), expired);
    }

    function test_a_frozen_account_receives_no_claim() public {
        setFrozen(buyer, true, 1);
        refused(
            venue, abi.encodeWithSelector(IParticipants.ParticipantIsFrozen.selector, buyer, NOW)
        );
        setFrozen(buyer, false, 2);
        transfer(venue, buyer, id, 1);
    }

    function test_an_account_that_is_not_admitted_receives_no_claim() public {
        participants.admit(buyer, 0, 0, 0);
        refused(
            venue, abi.encodeWithSelector(IParticipants.ParticipantNotAdmitted.selector, buyer)
        );
    }

    function test_what_an_expired_account_received_it_may_send_on() public {
        transfer(venue, buyer, id, 20_000);
        transfer(buyer, third, id, 20_000);
        equal(credits.balanceOf(third, id), 20_000, "sent on");
    }
}
