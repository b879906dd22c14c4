"""Everything that speaks to the EVM chain: RPC, ABI, events, keys, deployment and sending."""
