"""`causeway signer`: the signing service, its keys, its clients' tokens."""

from __future__ import annotations

import hashlib
import secrets
import signal
import threading
from pathlib import Path

import typer

from backend.commands.output import configure_logs, reporting, say
from backend.errors import InvalidValue

app = typer.Typer(no_args_is_help=True, help="Keys in a process of their own.")

DIRECTORY = typer.Option(..., "--keystores", help="Directory of the encrypted keys.")
PASSPHRASE = typer.Option(..., "--passphrase-file", help="A file that holds the passphrase.")


def register(application: typer.Typer) -> None:
    """Add the commands to the application."""
    application.add_typer(app, name="signer")


def _passphrase(path: Path) -> str:
    try:
        found = path.read_text("utf-8").rstrip("\n")
    except (OSError, ValueError) as error:
        raise InvalidValue("passphrase", str(path), f"cannot be read: {error}") from None
    if not found:
        raise InvalidValue("passphrase", str(path), "is empty")
    return found


@app.command("run")
def run(
    socket: Path = typer.Option(..., help="Where to listen; its directory is the signer's own."),
    policy: Path = typer.Option(..., help="JSON file of clients, keys, bounds (docs/signer.md)."),
    keystores: Path = DIRECTORY,
    passphrase_file: Path = PASSPHRASE,
) -> None:
    """Sign what the policy allows until SIGTERM or SIGINT."""
    from backend.chain.keystore import EncryptedKeys
    from backend.signer.policy import Gate, Policy
    from backend.signer.server import SigningServer

    with reporting():
        configure_logs()
        rules = Policy.load(policy)
        keys = EncryptedKeys(keystores, _passphrase(passphrase_file)).read()
        server = SigningServer(socket, keys, Gate(rules))
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        say(f"signer: {len(keys)} keys for {len(rules.clients)} clients at {socket}")
        ended.wait()
        server.shutdown()
        server.server_close()


@app.command("create")
def create(
    name: str = typer.Argument(help="Name of the key: its role."),
    keystores: Path = DIRECTORY,
    passphrase_file: Path = PASSPHRASE,
) -> None:
    """Make a key that never was outside of the signer; says its address."""
    from backend.chain.keystore import EncryptedKeys

    with reporting():
        address = EncryptedKeys(keystores, _passphrase(passphrase_file)).create(name)
        say(f"{name} {address}")


@app.command("import")
def take_in(
    directory: Path = typer.Argument(help="A directory of key files: <home>/keys."),
    names: list[str] = typer.Argument(default=None, help="Which of them; none means all."),
    keystores: Path = DIRECTORY,
    passphrase_file: Path = PASSPHRASE,
) -> None:
    """Encrypt key files. They stay where they are: remove them when the signer answers."""
    from backend.chain.keys import KeyStore
    from backend.chain.keystore import EncryptedKeys

    with reporting():
        store, files = EncryptedKeys(keystores, _passphrase(passphrase_file)), KeyStore(directory)
        wanted = names or [key.name for key in files.list()]
        for name in wanted:
            say(f"{name} {store.put(name, files.get(name).private_key)}")


@app.command("token")
def token() -> None:
    """A new token for a client and its hash for the policy; neither is kept."""
    made = secrets.token_urlsafe(32)
    say(f"token  {made}")
    say(f"sha256 {hashlib.sha256(made.encode()).hexdigest()}")
