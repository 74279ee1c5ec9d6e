"""Trains a model one batch at a time, as it is told: a line of JSON in, a line of JSON out.

    build      the fields of `Plan`                                          -> {}
    train      rate, step (whether to take one), batch                       -> loss before the step
    evaluate   batch                                                         -> loss
    save       path (an .npz: the weights in the order of `Plan.names`)      -> {}
    keep       folder, weights (what was saved)                              -> {}
    close                                                                    the end

A batch is a place in shared memory. What goes wrong goes to standard error, as an exception that
ends the process. Its argument is the temporary folder of its parent. Where there is nothing more to
read before it was told to close, the parent has died, and what it left is removed here.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from .memory import SharedArrays
from .trainer import Plan, Trainer

__all__ = ["answer_orders"]


def answer_orders(orders: Iterator[str], shared: SharedArrays) -> Iterator[dict[str, Any]]:
    """Yields what is to be said to each order, a line of JSON.

    Raises:
        EOFError: they end without one to close.
    """
    trainer: Trainer | None = None
    for line in orders:
        order = json.loads(line)
        verb, said = order.pop("do"), {}
        if verb == "close":
            return
        if verb == "build":
            trainer = Trainer(Plan(**order))
        elif trainer is None:
            raise ValueError(f"there is nothing to {verb} yet; build comes first")
        elif verb == "train":
            said["loss"] = trainer.train(
                shared.views(order["batch"]), order["rate"], step=order["step"]
            )
        elif verb == "evaluate":
            said["loss"] = trainer.evaluate(shared.views(order["batch"]))
        elif verb == "save":
            trainer.save(order["path"])
        elif verb == "keep":
            trainer.keep(**order)
        else:
            raise ValueError(f"there is no order {verb!r}")
        yield said
    raise EOFError("whoever gave the orders is gone")


@contextmanager
def _own_output() -> Iterator[TextIO]:
    """Yields what answers are written to; whatever libraries print goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        yield output


def main() -> None:
    """Answers orders until it is told to close; where nobody is left to tell, clears up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # it is for the parent to say what then
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    shared = SharedArrays()
    try:
        with _own_output() as output:
            for said in answer_orders(sys.stdin, shared):
                output.write(json.dumps(said) + "\n")
                output.flush()
    except (EOFError, BrokenPipeError):
        shared.remove()
        shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
