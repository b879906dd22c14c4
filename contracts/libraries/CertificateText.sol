// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {IRetirementCertificates} from "../interfaces/IRetirementCertificates.sol";

/// @title What a certificate looks like to a wallet: JSON and a picture, all on chain.
library CertificateText {
    using Strings for uint256;

    /// @notice data:application/json;base64 with the stored facts and, when given, the texts.
    /// @param texts JSON attributes that follow those of the facts, each with a leading comma.
    function uri(
        uint256 certificateId,
        IRetirementCertificates.Certificate memory held,
        string memory texts
    ) internal pure returns (string memory) {
        string memory amount = tonnes(held.kilograms);
        string memory name = string.concat(
            "Retirement ",
            (certificateId >> 32).toString(),
            "-",
            uint256(uint32(certificateId)).toString()
        );
        bytes memory json = abi.encodePacked(
            '{"name":"', name, '","description":"', amount,
            " t CO2e retired for ever. This certificate cannot be changed or moved.",
            '","image":"', _image(name, amount), '","attributes":[', _facts(held, amount), texts,
            "]}"
        );
        return string.concat("data:application/json;base64,", Base64.encode(json));
    }

    /// @notice The texts of a certificate as JSON attributes, escaped.
    function attributes(bytes32 salt, IRetirementCertificates.Details calldata details)
        internal
        pure
        returns (string memory)
    {
        return string.concat(
            ",",
            _attribute("beneficiary", Strings.escapeJSON(details.beneficiary)),
            ",",
            _attribute("purpose", Strings.escapeJSON(details.purpose)),
            ",",
            _attribute("period", Strings.escapeJSON(details.period)),
            ",",
            _attribute("instructionHash", uint256(details.instructionHash).toHexString(32)),
            ",",
            _attribute("salt", uint256(salt).toHexString(32))
        );
    }

    /// @notice Kilograms as tonnes with three decimals: exact, no rounding (L11).
    function tonnes(uint256 kilograms) internal pure returns (string memory) {
        uint256 rest = kilograms % 1000;
        string memory zeros = rest < 10 ? "00" : rest < 100 ? "0" : "";
        return string.concat((kilograms / 1000).toString(), ".", zeros, rest.toString());
    }

    function _facts(IRetirementCertificates.Certificate memory held, string memory amount)
        private
        pure
        returns (string memory)
    {
        string memory cursor = string.concat(
            _attribute("exitedBefore", uint256(held.exited).toString()),
            ",",
            _attribute("openTonneBefore", uint256(held.openTonne).toString()),
            ",",
            _attribute("dustBefore", uint256(held.dust).toString())
        );
        return string.concat(
            _attribute("tonnes", amount),
            ",",
            _attribute("classId", held.classId.toHexString(32)),
            ",",
            cursor,
            ",",
            _attribute("detailsHash", uint256(held.detailsHash).toHexString(32))
        );
    }

    function _attribute(string memory trait, string memory value)
        private
        pure
        returns (string memory)
    {
        return string.concat('{"trait_type":"', trait, '","value":"', value, '"}');
    }

    /// @dev Holds numbers alone, so nothing in it needs escaping.
    function _image(string memory name, string memory amount)
        private
        pure
        returns (string memory)
    {
        bytes memory svg = abi.encodePacked(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 240" font-family="serif">',
            '<rect width="400" height="240" fill="#f4f1e8"/>',
            '<rect x="10" y="10" width="380" height="220" fill="none" stroke="#2f5d50"/>',
            '<text x="200" y="70" text-anchor="middle" font-size="18">', name, "</text>",
            '<text x="200" y="130" text-anchor="middle" font-size="30">', amount, " t CO2e</text>",
            '<text x="200" y="180" text-anchor="middle" font-size="14">retired for ever</text>',
            "</svg>"
        );
        return string.concat("data:image/svg+xml;base64,", Base64.encode(svg));
    }
}
