"""Deploys and kills itself with SIGKILL before request number N: `deploy_and_die.py URL FILE N`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from backend.chain.compiler import compile_contracts, source_hash
from backend.chain.deployment import deploy
from backend.chain.rpc import Rpc
from tests.chain.conftest import key_of, some_roles


class MortalRpc(Rpc):
    """An endpoint's client whose process dies before it sends request number `last`."""

    last = 0

    def _post(self, body: bytes, repeatable: bool) -> Any:
        self.last -= 1
        if self.last == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._post(body, repeatable)


def main() -> None:
    """Deploy; end by SIGKILL, or with exit code 0 when N is beyond the last request."""
    url, path, last = sys.argv[1:]
    rpc = MortalRpc(url)
    rpc.last = int(last)
    deploy(rpc, key_of("deployer"), some_roles(), path, compile_contracts(), source_hash())


if __name__ == "__main__":
    main()
