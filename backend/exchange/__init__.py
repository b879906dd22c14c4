"""The exchange off chain: sequencer, watcher, settlement, projector, market data."""
