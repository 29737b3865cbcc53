"""One process, or several under `accelerate launch`, each with its device and its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Workers:
    """This process is number `rank` of `count`."""

    rank: int = 0
    count: int = 1
    device: str | None = None

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The rows of a batch that this process works on."""
        return slice(self.rank, batch, self.count)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def average(self, values: Tensor) -> Tensor:
        """The mean of `values` over all processes."""
        if self.count == 1:
            return values
        from accelerate.utils import reduce

        mean: Tensor = reduce(values, "mean")
        return mean

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make every later backward pass average the parameters' gradients over all processes."""

        def averaged(p: Any) -> None:
            p.grad.copy_(self.average(p.grad))

        for p in parameters if self.count > 1 else []:
            p.register_post_accumulate_grad_hook(averaged)


def workers(batch: int) -> Workers:
    """The processes that were launched together, or this one alone. Raises UsageError if `batch` does not divide."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Workers()
    from accelerate import PartialState

    from unlearnable.errors import UsageError

    state = PartialState()
    if batch % state.num_processes:
        raise UsageError(f"a batch of {batch} does not divide among {state.num_processes} processes: change --batch")
    return Workers(state.process_index, state.num_processes, str(state.device))
