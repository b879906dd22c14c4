// What transactions and certificates need of Ethereum's encodings: the only use of viem. A chunk of
// its own, loaded when a wallet is about to be asked.

export { encodeAbiParameters, encodeFunctionData, getAddress, keccak256, parseAbi } from "viem";
