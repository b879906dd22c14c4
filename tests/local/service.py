"""A stand-in for the project's long-running commands: listens, connects, says what it did.

Run as a script: `service.py [--port N] [--grandchild FILE] [--exit STATUS]`.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Behave as the arguments ask, then wait for the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--grandchild", type=Path)
    parser.add_argument("--exit", type=int)
    arguments = parser.parse_args()
    if arguments.exit is not None:
        print(f"leaving with status {arguments.exit}")
        sys.exit(arguments.exit)
    if arguments.grandchild:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        arguments.grandchild.write_text(str(child.pid))
    if arguments.port:
        listener = socket.create_server(("127.0.0.1", arguments.port))
        while True:
            listener.accept()[0].close()
    time.sleep(600)


if __name__ == "__main__":
    main()
