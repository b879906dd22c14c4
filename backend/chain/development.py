"""What only a development chain needs: mining what it has left in its pool."""

from __future__ import annotations

from backend.chain.rpc import Rpc
from backend.errors import ChainRejected


class DevelopmentMiner:
    """Mines on an Anvil that mines by itself; on every other chain it does nothing.

    Anvil mines when it is told of a transaction, and under load the telling is lost: the
    transaction stays in the pool until another one comes. Where automatic mining is off (a dump, a
    recovery, a test) somebody else decides when there is a chain block.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._is_absent = False

    def mine_left_over(self) -> bool:
        """Mine a chain block when transactions could be in one and are not; whether it did."""
        if self._is_absent:
            return False
        automine, pool = self._rpc.try_batch((("anvil_getAutomine", ()), ("txpool_status", ())))
        if isinstance(automine, ChainRejected):
            self._is_absent = True
            return False
        if not automine or isinstance(pool, ChainRejected) or not int(pool["pending"], 16):
            return False
        self._rpc.call("evm_mine")
        return True
