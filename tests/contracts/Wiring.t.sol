// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {Receipt} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";

interface IWired {
    function PARTICIPANTS() external view returns (address);
    function CREDITS() external view returns (address);
    function CERTIFICATES() external view returns (address);
    function TRUST() external view returns (address);
    function LEGAL_ORDERS() external view returns (address);
    function DELAY() external view returns (uint256);
}

/// @dev A recipient that tries to mint a second receipt while the first is being delivered.
contract Reentrant {
    address private immutable TRUST;
    bytes private _call;
    bool public tried;
    bytes public answer;

    constructor(address trust) {
        TRUST = trust;
    }

    function arm(bytes calldata call) external {
        _call = call;
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata)
        external
        returns (bytes4)
    {
        if (_call.length != 0) {
            tried = true;
            bool done;
            (done, answer) = TRUST.call(_call);
            require(!done, "re-entered");
        }
        return IERC1155Receiver.onERC1155Received.selector;
    }
}

contract WiringTest is Deployment {
    function setUp() public {
        deploy();
    }

    function test_every_contract_knows_the_others_and_nobody_can_change_that() public view {
        IWired wired = IWired(address(credits));
        equal(wired.PARTICIPANTS(), address(participants), "credits: participants");
        equal(wired.CERTIFICATES(), address(certificates), "credits: certificates");
        equal(wired.TRUST(), address(trust), "credits: trust");
        equal(wired.LEGAL_ORDERS(), address(legal), "credits: legal orders");
        equal(IWired(address(trust)).CREDITS(), address(credits), "trust: credits");
        equal(IWired(address(certificates)).CREDITS(), address(credits), "certificates: credits");
        equal(IWired(address(participants)).LEGAL_ORDERS(), address(legal), "participants: legal");
        wired = IWired(address(legal));
        equal(wired.PARTICIPANTS(), address(participants), "legal: participants");
        equal(wired.CREDITS(), address(credits), "legal: credits");
        equal(wired.DELAY(), DELAY, "legal: delay");
        address[4] memory managed =
            [address(credits), address(trust), address(legal), address(participants)];
        for (uint256 i = 0; i < managed.length; ++i) {
            equal(IAccessManaged(managed[i]).authority(), manager, "authority");
        }
    }

    function test_L5_no_threshold_is_0_from_the_first_block_on() public view {
        (uint8 custodians, uint8 attestors) = trust.thresholds();
        check(custodians == 1 && attestors == 1, "trust");
        (uint8 freezers, uint8 enforcers) = legal.thresholds();
        check(freezers == 1 && enforcers == 1, "legal orders");
    }

    function test_L2_a_recipient_cannot_mint_between_the_tokens_and_the_register() public {
        Reentrant recipient = new Reentrant(address(trust));
        participants.admit(address(recipient), 1, "HK", FAR);
        Receipt memory inner = receiptFor(address(recipient), one(500, 509));
        bytes[] memory signatures = by(trust.hashReceipt(inner), CUSTODIAN, ATTESTOR);
        recipient.arm(abi.encodeCall(trust.mintWithReceipt, (inner, noHints(1), "", signatures)));
        uint256 id = mint(address(recipient), 100, 199);
        check(recipient.tried(), "the recipient was called");
        equal(
            bytes32(recipient.answer()),
            bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))),
            "refused by the lock"
        );
        equal(credits.balanceOf(address(recipient), id), 100_000, "minted once");
        equal(trust.blockCount(id), 1, "one block");
    }
}
