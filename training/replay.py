"""Batches made by a thread of their own and used several times: a teacher's answers cost more than a student's step.

Where a second core is idle the thread works there; where none is, training waits for it. What a step draws depends on
when batches were ready, so that runs with a memory do not repeat exactly.
"""

import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

Batch = tuple[Tensor, ...]


@dataclass
class Replay:
    """The last `size` batches that `make(number)` made; each is drawn `uses` times in the mean, at most."""

    make: Callable[[int], Batch]
    uses: float = 4.0
    size: int = 3000
    least: int = 32
    made: int = 0
    drawn: int = 0
    memory: deque[Batch] = field(default_factory=deque)
    failure: BaseException | None = None
    stopped: bool = False

    def start(self, first: int = 0) -> "Replay":
        """Begin with batch number `first`; it goes on until `stop` is called or the program ends."""
        self.first = first
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def stop(self) -> None:
        """Let the thread finish the batch in hand: one that is cut off inside torch ends the program with an error."""
        self.stopped = True
        self.thread.join()

    def draw(self, seed: int) -> Batch:
        """A batch of the memory; waits while there are too few, or all were used often enough."""
        while self.failure is None and (self.made < self.least or self.drawn >= self.uses * self.made):
            time.sleep(0.02)
        if self.failure is not None:
            raise self.failure
        self.drawn += 1
        return self.memory[random.Random(seed).randrange(len(self.memory))]

    def _run(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # a thread's own niceness, on Linux
        try:
            while not self.stopped:
                batch = self.make(self.first + self.made)
                if len(self.memory) >= self.size:
                    self.memory.popleft()
                self.memory.append(batch)
                self.made += 1
        except BaseException as error:
            self.failure = error
