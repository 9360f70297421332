"""The command line: each command is one module, imported only when it is asked for.

`main` turns errors into a line on standard error and an exit status: 0 done, 1 it failed and the
message says why, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import importlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from workbench.cli import options
from workbench.errors import CancelledError, WorkbenchError
from workbench.text import shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    _prepare()
    try:
        given = parser().parse_args(arguments)
        command = importlib.import_module(f"workbench.cli.{given.command.replace('-', '_')}")
        with warnings.catch_warnings():
            warnings.showwarning = _told
            status = command.run(given) or 0
        sys.stdout.flush()  # here, where a reader that went away is still no error
        return status
    except BrokenPipeError:
        # The reader of our output went away (`workbench plan ... | head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, CancelledError):
        # CPython remembers an interruption inside an evaluated string (a dataclass being made, say)
        # and ends `python -m` as killed, caught or not, until another string has been evaluated.
        exec("")
        print("workbench: interrupted; everything finished before is kept", file=sys.stderr)
        return 130
    except (WorkbenchError, ValueError, OSError) as error:
        print(f"workbench: {shown(error, 4000)}", file=sys.stderr)
        return 1


def _prepare() -> None:
    """Settle what a terminal, a pipe and a signal at the very end may do to the answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets its number, not an error.
            stream.reconfigure(errors="backslashreplace")
    if os.name == "posix":
        # Python gives SIGINT back to the system before it tears libraries down, which takes long
        # enough to be hit: work that is done would end as if it had been killed.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _told(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """A warning as one line without the place in the source that gave it."""
    print(f"workbench: warning: {shown(message, 4000)}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The whole command line as an argument parser."""
    top = argparse.ArgumentParser(
        prog="workbench",
        description="See, change and measure how TensorRT takes over a neural network.",
        epilog="MODEL is an ONNX file or a network of the zoo (`workbench inspect --zoo`).",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary, add in options.COMMANDS:
        command = commands.add_parser(name, help=summary, description=summary)
        for add_group in add:
            add_group(command)
    return top
