"""A test wallet behind EIP-6963: announces itself to a page, signs with a key, sends to the node.

What the page asks comes to Python through a binding, so that the page's own security policy is the
one that real wallets meet. The person behind it can refuse, be on another chain, or change account.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount
from playwright.sync_api import BrowserContext

#: Announced as EIP-6963 says; a refusal comes as an error with its code (EIP-1193).
_ANNOUNCE = """
(() => {
  const listeners = {};
  const provider = {
    async request(call) {
      const answer = JSON.parse(await window.__causewayTestWallet(JSON.stringify(call)));
      if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
      return answer.result;
    },
    on(event, listener) { (listeners[event] ??= []).push(listener); },
  };
  window.__causewayTestWalletEmit = (event, value) =>
    (listeners[event] ?? []).forEach((listener) => listener(value));
  const info = {
    uuid: "6d2f3c4e-0b1a-4c5d-8e9f-0a1b2c3d4e5f", name: "Test wallet",
    icon: "data:image/svg+xml,%3Csvg/%3E", rdns: "test.causeway.wallet",
  };
  const announce = () => window.dispatchEvent(
    new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
  window.addEventListener("eip6963:requestProvider", announce);
  announce();
})();
"""


class Refusal(Exception):
    """What EIP-1193 answers instead of a result."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Wallet:
    """One account and how its owner behaves."""

    def __init__(self, key: bytes, rpc_url: str) -> None:
        self.account: LocalAccount = Account.from_key(key)
        self.refuses = False
        self.other_chain: int | None = None
        #: Whether the wallet has heard of the node's chain: else it must be added first (4902).
        self.knows_chain = True
        #: Raw transactions it has sent, oldest first: what it can send again.
        self.sent: list[str] = []
        #: Everything that was asked, in order, as (method, params).
        self.asked: list[tuple[str, Any]] = []
        self._rpc_url = rpc_url

    @property
    def address(self) -> str:
        return str(self.account.address)

    def announce(self, context: BrowserContext) -> None:
        """Be there on every page of the context."""
        context.expose_binding("__causewayTestWallet", lambda _, text: self._answer(text))
        context.add_init_script(_ANNOUNCE)

    def _answer(self, text: str) -> str:
        call = json.loads(text)
        method, params = call["method"], call.get("params") or []
        self.asked.append((method, params))
        try:
            return json.dumps({"result": self._do(method, params)})
        except Refusal as refusal:
            return json.dumps({"error": {"code": refusal.code, "message": str(refusal)}})

    def _do(self, method: str, params: list[Any]) -> Any:
        signs = method in ("personal_sign", "eth_signTypedData_v4", "eth_sendTransaction")
        if self.refuses and (signs or method == "eth_requestAccounts"):
            raise Refusal(4001, "User rejected the request.")
        if method in ("eth_requestAccounts", "eth_accounts"):
            return [self.address]
        if method == "eth_chainId" and self.other_chain is not None:
            return hex(self.other_chain)
        if method == "wallet_addEthereumChain":
            assert params[0]["rpcUrls"]
            assert params[0]["chainId"] == self.rpc("eth_chainId")
            self.knows_chain, self.other_chain = True, None
            return None
        if method == "wallet_switchEthereumChain":
            if self.refuses:
                raise Refusal(4001, "User rejected the request.")
            if not self.knows_chain:
                raise Refusal(4902, "Unrecognized chain ID.")
            self.other_chain = None
            return None
        if method == "personal_sign":
            text = bytes.fromhex(params[0].removeprefix("0x"))
            return self._hex(self.account.sign_message(encode_defunct(text)).signature)
        if method == "eth_signTypedData_v4":
            assert params[0].lower() == self.address.lower()
            message = encode_typed_data(full_message=json.loads(params[1]))
            return self._hex(self.account.sign_message(message).signature)
        if method == "eth_sendTransaction":
            return self.send(params[0])
        return self.rpc(method, *params)

    def send(self, wanted: dict[str, Any]) -> Any:
        tip = 10**9
        base = int(self.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        call = {"from": self.address, "to": wanted["to"], "data": wanted["data"]}
        signed = self.account.sign_transaction(
            {
                "chainId": int(self.rpc("eth_chainId"), 16),
                "nonce": int(self.rpc("eth_getTransactionCount", self.address, "pending"), 16),
                "to": wanted["to"],
                "data": wanted["data"],
                "value": 0,
                "gas": int(self.rpc("eth_estimateGas", call), 16) * 3 // 2,
                "maxFeePerGas": 2 * base + tip,
                "maxPriorityFeePerGas": tip,
            }
        )
        self.sent.append(self._hex(signed.raw_transaction))
        return self.rpc("eth_sendRawTransaction", self.sent[-1])

    def rpc(self, method: str, *params: Any) -> Any:
        """One request to the node; its refusal is the wallet's."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = httpx.post(self._rpc_url, json=body, trust_env=False).json()
        if "error" in answer:
            raise Refusal(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    @staticmethod
    def _hex(raw: bytes) -> str:
        return "0x" + bytes(raw).hex()
