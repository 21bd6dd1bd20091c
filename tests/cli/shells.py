"""The command as a process of its own, without the seconds of its imports: each is a fork of one that has done them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from subprocess import CompletedProcess
from threading import Thread

# One thread, so that sums have the same order in all of them; it is read where libraries are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_READY = multiprocessing.get_context("forkserver")
_READY.set_forkserver_preload(["moe_mat.cli.session", "moe_mat.cli.lightning", "moe_mat.estimator"])


def shell(*arguments: object, **variables: str) -> CompletedProcess[str]:
    """Call the command as the shell does in the foreground.

    Args:
        arguments: Of the command.
        variables: Added to the environment.
    """
    words = [str(one) for one in arguments]
    ends = [_READY.Pipe(duplex=False) for _ in range(2)]
    process = _READY.Process(
        target=_be_the_command, args=(words, os.getcwd(), {**os.environ, **variables}, *(end for _, end in ends))
    )
    process.start()
    said = ["", ""]

    def listen(number: int) -> None:
        reading, writing = ends[number]
        writing.close()
        with os.fdopen(os.dup(reading.fileno()), encoding="utf-8") as stream:
            said[number] = stream.read()
        reading.close()

    listeners = [Thread(target=listen, args=(number,)) for number in range(2)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    process.join()
    assert process.exitcode is not None
    return CompletedProcess(words, process.exitcode, *said)


def _be_the_command(
    words: list[str], folder: str, variables: dict[str, str], output: Connection, errors: Connection
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    output.close()
    errors.close()
    heed_interrupts()
    sys.path[:0] = [folder, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["moe_mat/__main__.py", *words]
    from moe_mat.cli.main import entry

    entry()


def heed_interrupts() -> None:
    """Be in the foreground: background jobs of a shell ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
