"""Keys of a development chain's mnemonic: public words, for chains on this machine only."""

from __future__ import annotations


def key_of_mnemonic(words: str, index: int) -> bytes:
    """The private key of the account that a development chain endows at its genesis.

    Path m/44'/60'/0'/0/index (BIP 44), as Anvil and Hardhat derive their accounts.
    """
    # Here, since it is a third of what a process imports, and only `deploy` needs it.
    from eth_account import Account

    Account.enable_unaudited_hdwallet_features()
    account = Account.from_mnemonic(words, account_path=f"m/44'/60'/0'/0/{index}")
    return bytes(account.key)
