// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

// Who may call the restricted functions of every contract is OpenZeppelin's AccessManager as it
// is. This file makes it one of the compiled contracts.
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
