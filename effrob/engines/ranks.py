"""Ranks that find one another through a key-value store, in every attempt anew, and that never wait without end.

torchrun tells the processes of two nodes nothing that is equal on both and new after a restart: the store and its port stay and
`TORCHELASTIC_RESTART_COUNT` grows only on the node whose process died (torch.distributed.elastic.agent.server.api: "membership
changes do not count as retries"). So rank 0 names the attempt, and answers each rank under a name that this rank made up.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from effrob.errors import RunFailed

BEAT = 0.5  # seconds between two signs of life
START = 3600.0  # seconds that a rank is waited for which has given no sign of life yet: it may be fetching weights
SILENCE = 600.0  # seconds without one, after which a rank that gave some is taken for lost
LONGEST = 24 * 3600.0  # seconds that one rank waits for another in all

KEPT = "run this again, with --max-restarts for torchrun to do so: what was computed is kept"


class Ranks:
    """This process among `world` ranks that share `store` (set, get, check; safe in two threads).

    attempt  what every rank of this attempt, and none of another, puts before its keys; empty until `agree`
    """

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.store, self.rank, self.world = store, rank, world
        self._name = uuid.uuid4().hex
        self.attempt = self._name if rank == 0 else ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="effrob-ranks")  # ends with the main thread
        self._thread.start()

    def agree(self) -> None:
        """Wait until all ranks are in one attempt. Raises RunFailed where one does not come."""
        if self.rank == 0:
            for rank in range(1, self.world):
                self._wait(f"{self.attempt}/here/{rank}", rank, START)
        elif not self.attempt:
            self.store.set(f"asks/{self.rank}", self._name)
            self.attempt = self._wait(f"answer/{self._name}", 0, START).decode()
        self.set(f"here/{self.rank}", b"here")

    def set(self, key: str, value: bytes) -> None:
        """Keep a value for this attempt."""
        self.store.set(f"{self.attempt}/{key}", value)

    def wait(self, key: str, rank: int) -> bytes:
        """The value that `rank` keeps in this attempt. Raises RunFailed where that rank is lost, or is in another attempt."""
        return self._wait(f"{self.attempt}/{key}", rank, SILENCE)

    def leave(self) -> None:
        """End the signs of life before the process ends; rank 0 thereby lets the others go."""
        self._over.set()
        self._thread.join()

    def _wait(self, key: str, rank: int, limit: float) -> bytes:
        began = heard = time.monotonic()
        last = self._sign(rank)
        while not self.store.check([key]):
            now, sign = time.monotonic(), self._sign(rank)
            if sign != last:
                heard, limit, last = now, SILENCE, sign
            if rank == 0 and self.attempt and sign and sign.split()[0].decode() != self.attempt:
                raise RunFailed(f"rank 0 was started anew, and rank {self.rank} alone was not; {KEPT}")
            if now - heard > limit:
                raise RunFailed(
                    f"rank {rank} has given no sign of life for {_told(limit)} and its machine may be gone; "
                    f"rank {self.rank} stops waiting for it; {KEPT}"
                )
            if now - began > LONGEST:
                raise RunFailed(f"rank {self.rank} has waited {_told(LONGEST)} for rank {rank} and stops; {KEPT}")
            time.sleep(BEAT / 2)
        return bytes(self.store.get(key))

    def _sign(self, rank: int) -> bytes:
        """The rank's last sign of life, empty before the first: the name of its process, and a number."""
        return bytes(self.store.get(f"sign/{rank}")) if self.store.check([f"sign/{rank}"]) else b""

    def _live(self) -> None:
        """Give signs of life while the main thread lives; rank 0 answers who asks, and at last tells that it is over."""
        main, count = threading.main_thread(), 0
        try:
            while main.is_alive() and not self._over.is_set():
                self.store.set(f"sign/{self.rank}", f"{self._name} {count}")
                count += 1
                if self.rank == 0:
                    self._answer()
                main.join(BEAT)
            if self.rank == 0:
                self.set("over", b"over")
        except RuntimeError:  # the store is gone, which the main thread tells
            pass

    def _answer(self) -> None:
        for rank in range(1, self.world):
            if self.store.check([f"asks/{rank}"]):
                name = bytes(self.store.get(f"asks/{rank}")).decode()
                self.store.set(f"answer/{name}", self.attempt)


def _told(seconds: float) -> str:
    return f"{seconds / 60:.3g} minutes" if seconds >= 60 else f"{seconds:.3g} s"
