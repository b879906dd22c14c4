"""The services of one machine, whatever dies: nothing is left behind, nothing acknowledged lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from backend.local.anvil import rpc
from backend.local.postgres import temporary_home
from backend.local.processes import free_port, identify
from tests.local.supervised import all_gone, eventually, stand_in, step, supervised

pytestmark = pytest.mark.system

RUNNING = "Ctrl-C stops everything."


@pytest.fixture
def home() -> Iterator[Path]:
    place = temporary_home()
    yield place / "home"
    shutil.rmtree(place, ignore_errors=True)


def _pay(port: int, times: int = 1) -> str:
    sender, recipient, *_ = rpc(port, "eth_accounts")
    payment = {"from": sender, "to": recipient, "value": "0x1"}
    receipts = [rpc(port, "eth_sendTransactionSync", payment) for _ in range(times)]
    return str(receipts[-1]["blockNumber"])


def test_a_killed_supervisor_leaves_no_process_behind(home: Path) -> None:
    grandchild = home.parent / "grandchild"
    worker = stand_in("worker", "--grandchild", str(grandchild))
    with supervised(home, services=(worker,)) as run:
        run.wait_for(RUNNING)
        # The file is there a moment before its content.
        eventually(lambda: grandchild.exists() and grandchild.read_text())
        pids = [int(who["pid"]) for who in run.run["processes"].values()]
        assert len(pids) == 4
        pids.append(int(grandchild.read_text()))
        run.process.kill()
        run.process.wait()
        eventually(lambda: all_gone(pids), seconds=2.0)


def test_each_killed_service_runs_again_and_keeps_what_it_acknowledged(home: Path) -> None:
    api_port = free_port()
    api = stand_in("api", port=api_port)
    recovered = home.parent / "recovered"
    recover = step("recover", f"open({str(recovered)!r}, 'a').write('x')")
    with supervised(home, services=(api,), api_port=api_port, recover=recover) as run:
        run.wait_for(RUNNING)
        url = run.settings().require_database_url()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1000 AS kilograms")
        _pay(run.rpc_port, 3)
        time.sleep(6)
        for name in ("postgres", "nats", "anvil", "api"):
            before = run.pid(name)
            os.kill(before, signal.SIGKILL)
            run.wait_for(f"{name} runs again.")
            assert run.pid(name) != before
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT kilograms FROM kept").fetchone() == (1000,)
        assert rpc(run.rpc_port, "eth_blockNumber") == "0x3"
        eventually(lambda: recovered.read_text() == "xx")
        assert run.stop() == 0


def test_recovery_waits_for_a_database_that_died_with_the_chain(home: Path) -> None:
    recovered = home.parent / "recovered"
    recover = step(
        "recover",
        "import psycopg\n"
        "from backend.settings import Settings\n"
        "psycopg.connect(Settings.load().require_database_url()).close()\n"
        f"open({str(recovered)!r}, 'a').write('x')",
    )
    with supervised(home, recover=recover) as run:
        run.wait_for(RUNNING)
        for name in ("anvil", "postgres"):
            os.kill(run.pid(name), signal.SIGKILL)
        eventually(lambda: recovered.read_text() == "xx")
        assert "postgres runs again." in run.output
        assert run.process.poll() is None


def test_a_clean_stop_keeps_the_chain_and_the_rows_for_the_next_run(home: Path) -> None:
    with supervised(home) as run:
        run.wait_for(RUNNING)
        with psycopg.connect(run.settings().require_database_url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS tonnes")
        block = _pay(run.rpc_port, 5)
        pids = [int(who["pid"]) for who in run.run["processes"].values()]
        assert run.stop() == 0
        assert all_gone(pids)
        assert not (home / "run.json").exists()
    with supervised(home) as again:
        again.wait_for(RUNNING)
        assert "Going on with the data" in again.output
        assert "The chain goes on at block 5." in again.output
        assert rpc(again.rpc_port, "eth_blockNumber") == block
        with psycopg.connect(again.settings().require_database_url()) as connection:
            assert connection.execute("SELECT tonnes FROM kept").fetchone() == (7,)


def test_a_truncated_newest_state_is_passed_over(home: Path) -> None:
    for _ in range(2):
        with supervised(home) as run:
            run.wait_for(RUNNING)
            _pay(run.rpc_port, 2)
            run.stop()
    newest = sorted(home.glob("anvil/state-????????.json"))[-1]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    with supervised(home) as again:
        again.wait_for(RUNNING)
        assert f"passed over: {newest.name} holds" in again.output
        assert rpc(again.rpc_port, "eth_blockNumber") == "0x2"


def test_a_second_supervisor_on_one_home_is_refused(home: Path) -> None:
    with supervised(home) as first:
        first.wait_for(RUNNING)
        with supervised(home) as second:
            assert second.process.wait(20) == 1
            assert f"already runs on {home} (process {first.process.pid})" in second.output
        assert first.process.poll() is None
        assert rpc(first.rpc_port, "eth_chainId") == "0x7a69"


def test_the_state_of_a_killed_run_is_recognised_and_no_foreign_process_is_touched(
    home: Path,
) -> None:
    with supervised(home) as run:
        run.wait_for(RUNNING)
        left = run.run
        run.process.kill()
        run.process.wait()
    # The recorded numbers now belong to others: to this test itself.
    own = identify(os.getpid())
    assert own is not None
    for who in left["processes"].values():
        who["pid"] = own.pid
    (home / "run.json").write_text(json.dumps(left))
    with supervised(home) as again:
        again.wait_for(RUNNING)
        assert "was killed; ended: nothing" in again.output


def test_a_leftover_of_a_killed_run_is_ended(home: Path) -> None:
    with supervised(home, services=(stand_in("worker"),)) as run:
        run.wait_for(RUNNING)
        left = run.run
    orphan = stand_in("worker").command
    pid = os.posix_spawn(orphan[0], list(orphan), dict(os.environ))
    seen = identify(pid)
    assert seen is not None
    left["processes"] = {"worker": {"pid": pid, "started": seen.started, "command": seen.command}}
    (home / "run.json").write_text(json.dumps(left))
    with supervised(home) as again:
        again.wait_for(RUNNING)
        assert f"ended: worker ({pid})" in again.output
    assert os.waitpid(pid, 0)[0] == pid


def test_a_taken_port_says_which_and_how_to_choose_another(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with supervised(home, rpc_port=port) as run:
            assert run.process.wait(20) == 1
            assert f"port {port} of 127.0.0.1, meant for the chain's RPC, is taken" in run.output
            assert "CAUSEWAY_RPC_PORT=" in run.output


def test_who_waits_for_the_ports_of_a_killed_run_can_stop_and_the_next_run_waits_too(
    home: Path,
) -> None:
    with supervised(home) as run:
        run.wait_for(RUNNING)
        left = run.run
    left["processes"] = {}
    (home / "run.json").write_text(json.dumps(left))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for _ in range(2):
            with supervised(home, rpc_port=port) as waiting:
                waiting.wait_for("was killed; ended: nothing")
                assert waiting.stop() == 0
                assert "is taken" not in waiting.output
    assert json.loads((home / "run.json").read_bytes()) == left


def test_a_service_that_keeps_failing_ends_the_run_and_names_its_log(home: Path) -> None:
    with supervised(home, services=(stand_in("worker", "--exit", "4"),)) as run:
        assert run.process.wait(60) == 1
        assert "worker failed 5 times in a row" in run.output
        assert str(home / "logs" / "worker.log") in run.output
        assert "leaving with status 4" in run.output
        assert not (home / "run.json").exists()


def test_a_failed_recovery_refuses_to_go_on(home: Path) -> None:
    recover = step("recover", "raise SystemExit('block 7 is missing')")
    worker = stand_in("worker")
    with supervised(home, services=(worker,), recover=recover) as run:
        assert run.process.wait(30) == 1
        assert "`recover` failed with status 1" in run.output
        assert "block 7 is missing" in run.output
        assert not (home / "logs" / "worker.log").exists()


def test_a_state_that_was_replaced_gives_way_to_the_one_before_it(home: Path) -> None:
    """As `causeway index recover` says it: exit 4 until the chain is old enough."""
    for _ in range(3):
        with supervised(home) as run:
            run.wait_for(RUNNING)
            _pay(run.rpc_port, 2)
            run.stop()
    recover = step(
        "recover",
        "from backend.chain.rpc import Rpc\n"
        "from backend.settings import Settings\n"
        "chain = Rpc(Settings.load().require_chain_url())\n"
        "raise SystemExit(4 if chain.block_number() > 4 else 0)",
    )
    with supervised(home, recover=recover) as run:
        run.wait_for(RUNNING)
        assert "was replaced by a reorganisation" in run.output
        assert rpc(run.rpc_port, "eth_blockNumber") == "0x4"
        assert run.pid("anvil")
    too_old = step("recover", "raise SystemExit(4)")
    with supervised(home, recover=too_old) as run:
        assert run.process.wait(30) == 1
        assert "no older state of the chain is left" in run.output


def test_another_bytecode_sets_the_data_aside_and_starts_anew(home: Path) -> None:
    deployment = home / "deployments" / "31337.json"
    code = home.parent / "bytecode"
    deploy = step(
        "deploy",
        "import pathlib, sys\n"
        f"file, code = pathlib.Path({str(deployment)!r}), pathlib.Path({str(code)!r}).read_text()\n"
        "if file.exists(): sys.exit(0 if file.read_text() == code else 3)\n"
        "file.parent.mkdir(); file.write_text(code)",
    )
    code.write_text("old")
    with supervised(home, deploy=deploy) as run:
        run.wait_for(RUNNING)
        _pay(run.rpc_port)
        with psycopg.connect(run.settings().require_database_url()) as connection:
            connection.execute("CREATE TABLE old ()")
        run.stop()
    code.write_text("new")
    with supervised(home, deploy=deploy) as run:
        run.wait_for(RUNNING)
        (place,) = (home / "set-aside").iterdir()
        assert f"set aside in {place}" in run.output
        assert rpc(run.rpc_port, "eth_blockNumber") == "0x0"
        with psycopg.connect(run.settings().require_database_url()) as connection:
            assert connection.execute("SELECT to_regclass('old')").fetchone() == (None,)
    assert (place / "deployments" / "31337.json").read_text() == "old"
    assert (place / "postgres" / "data" / "PG_VERSION").exists()
    assert list((place / "anvil").glob("state-*.json"))
    assert deployment.read_text() == "new"


def test_a_lost_chain_under_a_deployment_is_refused_until_asked_for_a_fresh_start(
    home: Path,
) -> None:
    deployment = home / "deployments" / "31337.json"
    deployment.parent.mkdir(parents=True)
    deployment.write_text("{}")
    with supervised(home) as run:
        assert run.process.wait(20) == 1
        assert "no saved state of the chain" in run.output
        assert "--fresh" in run.output
    with supervised(home, fresh=True) as run:
        run.wait_for(RUNNING)
        assert not deployment.exists()


def test_endpoints_of_the_environment_keep_the_embedded_services_off(
    home: Path, database_url: str, nats_url: str
) -> None:
    given = {"CAUSEWAY_DATABASE_URL": database_url, "CAUSEWAY_NATS_URL": nats_url}
    with supervised(home, environment=given) as run:
        run.wait_for(RUNNING)
        assert list(run.run["processes"]) == ["anvil"]
        assert run.settings().database_url == database_url


def test_files_that_hold_secrets_are_readable_by_their_owner_alone(home: Path) -> None:
    with supervised(home) as run:
        run.wait_for(RUNNING)
        for name in ("run.json", "postgres.password", "nats.conf"):
            assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_a_last_step_shows_its_output_and_its_failure_ends_nothing(home: Path) -> None:
    demo = step("demo", "print('one tonne retired'); raise SystemExit(1)")
    with supervised(home, finally_run=(demo,)) as run:
        run.wait_for("`demo` failed (1), the rest goes on")
        assert "one tonne retired" in run.output
        assert run.stop() == 0
