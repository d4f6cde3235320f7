"""Ranks find one another in every attempt anew, and one that is lost is not waited for without end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from effrob.engines import ranks as module
from effrob.engines.ranks import Ranks
from effrob.errors import RunFailed
from tests.engines.test_engines import LOADER


class Store:
    """A key-value store of one process, as torch's is to Ranks."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def set(self, key: str, value: bytes | str) -> None:
        self.values[key] = value.encode() if isinstance(value, str) else value

    def get(self, key: str) -> bytes:
        return self.values[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.02)
    monkeypatch.setattr(module, "START", 0.6)
    monkeypatch.setattr(module, "SILENCE", 0.3)


def agreed(*several: Ranks) -> None:
    threads = [threading.Thread(target=ranks.agree) for ranks in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)


def test_a_second_attempt_reads_nothing_of_the_first_in_the_same_store() -> None:
    store, attempts = Store(), []
    for attempt in (b"first", b"second"):  # both ranks are new, as after torchrun's restart of all nodes
        leader, other = Ranks(store, 0, 2), Ranks(store, 1, 2)
        agreed(other, leader)
        assert leader.attempt == other.attempt != ""
        leader.set("plan", attempt)
        assert other.wait("plan", 0) == attempt
        attempts.append(leader.attempt)
        other.leave(), leader.leave()
        assert other.wait("over", 0)
    assert attempts[0] != attempts[1]


def test_a_rank_started_again_alone_joins_the_attempt_that_runs() -> None:
    store = Store()
    leader, other = Ranks(store, 0, 2), Ranks(store, 1, 2)
    agreed(other, leader)
    other.leave()
    again = Ranks(store, 1, 2)
    again.agree()
    assert again.attempt == leader.attempt
    again.leave(), leader.leave()


def test_a_slow_rank_is_waited_for_and_a_silent_one_is_not() -> None:
    store = Store()
    leader, other = Ranks(store, 0, 2), Ranks(store, 1, 2)
    agreed(other, leader)
    threading.Timer(0.9, other.set, ("done", b"late")).start()  # three times the silence that is borne
    assert leader.wait("done", 1) == b"late"
    other.leave()
    began = time.monotonic()
    with pytest.raises(RunFailed, match=r"rank 1 has given no sign of life for 0.3 s.*what was computed is kept"):
        leader.wait("more", 1)
    assert time.monotonic() - began < 5
    leader.leave()


def test_ranks_that_never_came_or_live_on_without_a_result_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    leader = Ranks(store, 0, 2)
    with pytest.raises(RunFailed, match=r"rank 1 has given no sign of life for 0.6 s"):
        leader.agree()
    other = Ranks(store, 1, 2)
    monkeypatch.setattr(module, "LONGEST", 0.5)
    with pytest.raises(RunFailed, match=r"rank 0 has waited 0.5 s for rank 1"):
        leader.wait("done", 1)
    other.leave(), leader.leave()


def test_a_rank_whose_leader_was_started_anew_ends() -> None:
    store = Store()
    leader, other = Ranks(store, 0, 2), Ranks(store, 1, 2)
    agreed(other, leader)
    leader.leave()
    store.values.pop(f"{leader.attempt}/over")  # killed, not ended
    anew = Ranks(store, 0, 2)
    with pytest.raises(RunFailed, match="rank 0 was started anew"):
        other.wait("over", 0)
    other.leave(), anew.leave()


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("victim", ["0", "1"])
def test_two_nodes_go_on_where_a_rank_of_one_is_killed(victim: str, pocket_data: Path, tmp_path: Path) -> None:
    loader = tmp_path / "net.py"
    once = f"os.environ.get('RANK') == '{victim}' and not MARK.exists()"
    text = LOADER.format(mark=str(tmp_path / "killed")).replace("not MARK.exists()", once)
    loader.write_text(text.replace("ENOUGH = 520", "ENOUGH = 260"))
    environment = {**os.environ, "EFFROB_CONFIG": str(tmp_path / "config"), "OMP_NUM_THREADS": "1"}
    pixels = "resize=32,crop=32,interpolation=bilinear,mean=0.5,std=0.5"
    registered = [sys.executable, "-m", "effrob", "register", "net", "--loader", f"{loader}:Net", "--pixels", pixels]
    subprocess.run(registered, env=environment, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    command += ["--max-restarts", "3", "--rdzv-id", "two", "--rdzv-backend", "c10d", "--local-addr", "127.0.0.1"]
    command += ["--rdzv-endpoint", f"127.0.0.1:{port}", "-m", "effrob", "eval", "--model", "net", "--suite", "pocket"]
    command += ["--data", str(pocket_data), "--shift", "pocket-r", "--shift", "pocket-v2", "--device", "cpu"]
    command += ["--batch-size", "32", "--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    command += ["--engine", "torchrun"]
    nodes = []
    with (tmp_path / "told").open("a") as told:
        try:
            for _ in range(2):
                nodes.append(
                    subprocess.Popen(command, env=environment, stdout=told, stderr=told, start_new_session=True)
                )
            codes = [node.wait(timeout=150) for node in nodes]
        finally:
            for node in nodes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.pid, signal.SIGTERM)
    said = (tmp_path / "told").read_text()
    assert (tmp_path / "killed").exists() and codes == [0, 0], said
    assert len(list((tmp_path / "r").rglob("record.json"))) == 2 and said.count("records in") == 1
