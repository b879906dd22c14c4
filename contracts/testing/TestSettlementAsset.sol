// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Money of no value for local chains and tests: HKD, CNH, USD.
contract TestSettlementAsset is ERC20, ERC20Permit, Ownable {
    uint8 private immutable DECIMALS;

    constructor(string memory name, string memory symbol, uint8 assetDecimals, address owner)
        ERC20(name, symbol)
        ERC20Permit(name)
        Ownable(owner)
    {
        DECIMALS = assetDecimals;
    }

    /// @notice The owner makes money out of nothing.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }

    function decimals() public view override returns (uint8) {
        return DECIMALS;
    }
}
