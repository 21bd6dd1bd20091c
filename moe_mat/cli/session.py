"""One call of the command line: how it speaks, what it may import, which command it is, and how it ends."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentError
from collections.abc import Sequence
from importlib.metadata import version
from typing import cast

from moe_mat.cli.commands import LIGHTNING_COMMANDS, summaries
from moe_mat.cli.configs import bound_configs
from moe_mat.cli.dispatch import run
from moe_mat.cli.grammar import UsageError
from moe_mat.cli.imports import allow_imports, class_problem
from moe_mat.cli.messages import configure_log, counted_warnings
from moe_mat.cli.options import ALLOW_IMPORT, MANNERS
from moe_mat.cli.run_options import TRAINER_HELP, show_help, show_trainer_help
from moe_mat.cli.screen import Facts, Manner, PartlyFailedError, screen
from moe_mat.cli.signals import Stopped, signal_that_came, stopped_behind, tell_no_other
from moe_mat.crystals.errors import FetchError

logger = logging.getLogger(__name__)

# As shells say of a process that SIGPIPE has ended.
CLOSED_PIPE = 128 + 13
USAGE = 2


def _usage() -> str:
    lines = ["usage: moe-mat <command> [crystals] [options]", "       moe-mat --version", "", "commands:"]
    lines += [f"  {name:<11} {text}" for name, text in summaries().items()]
    lines += ["", "options of every command:", *(f"  --{name:<8} {text}" for name, text in MANNERS.items())]
    return "\n".join([*lines, "", "moe-mat <command> --help tells the options of one."])


def run_session(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    try:
        status = _session(arguments)
        sys.stdout.flush()
        return status
    except OSError as error:  # of standard output: all else has been caught
        status, problem = _explain(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        if problem:
            sys.stderr.write(f"moe-mat: {problem}\n")
        return status


def _session(arguments: Sequence[str]) -> int:
    try:
        words, manner, modules = _take_session_options(arguments)
    except UsageError as error:
        sys.stderr.write(f"moe-mat: {error}\n")
        return 2
    configure_log(manner)
    if words[:1] == ["--version"]:
        sys.stdout.write(f"moe-mat {version('moe_mat')}\n")
        return 0
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_usage() + "\n")
        return 0 if words else 2
    with screen.speaking(manner):
        status, facts, problem = _attempt(words, modules)
        try:
            screen.facts({"command": words[0], "status": status, **facts})
        except OSError as error:
            failed, reason = _explain(error)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
            status, problem = status or failed, problem or reason
    if problem:
        sys.stderr.write(f"moe-mat {words[0]}: {problem}\n")
    return status


def _take_session_options(arguments: Sequence[str]) -> tuple[list[str], Manner, list[str]]:
    """The words of a command line without those that are for every command; how to speak; what may be imported.

    Raises:
        UsageError: When they contradict each other.
    """
    words, manners, modules = [], [], []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if word == "--":
            words += [word, *rest]
            break
        if word.startswith("--") and name in MANNERS and not equals:
            manners.append(name)
        elif word.startswith("--") and name.replace("-", "_") == ALLOW_IMPORT:
            if not equals and not rest:
                raise UsageError(f"{word} needs the name of a module")
            modules.append(value if equals else rest.pop(0))
        else:
            words.append(word)
    if len({*manners}) > 1:
        raise UsageError(f"{' and '.join(f'--{name}' for name in dict.fromkeys(manners))} contradict each other")
    return words, cast(Manner, manners[0] if manners else "normal"), modules


def _attempt(words: Sequence[str], modules: Sequence[str]) -> tuple[int, Facts, str]:
    """Run a command.

    Returns:
        Exit status, what was done, and what went wrong, if anything did.
    """
    try:
        with counted_warnings():
            allow_imports(modules)
            bound_configs(words)
            facts = _run(words)
            if late := signal_that_came():
                late.advice = "all was written by then"
                raise late
            return 0, facts, ""
    except (Exception, Stopped) as error:
        logger.debug("", exc_info=True)
        status, problem = _explain(error)
        problem = " ".join(problem.split())
        if status == USAGE:
            problem += f" (moe-mat {words[0]} --help tells the options)"
        facts = error.facts if isinstance(error, PartlyFailedError) else {}
        return status, {"error": problem, **facts}, problem


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit status and a line on what went wrong, if there is anything to say."""
    if stopped := stopped_behind(error) or signal_that_came():
        tell_no_other()
        return stopped.status, str(stopped)
    if isinstance(error, ArgumentError | UsageError):
        return USAGE, class_problem(str(error)) or str(error)
    if isinstance(error, BrokenPipeError) and screen.nobody_reads():  # who read it has seen enough, as head
        return CLOSED_PIPE, ""
    if isinstance(error, KeyError):
        return 1, str(error.args[0])
    if isinstance(error, OSError) and error.strerror and error.filename:
        return 1, f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    if isinstance(error, _refusals()):
        return 1, class_problem(str(error)) or str(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return 1, f"unexpected {what} (--verbose shows where; please report it)"


def _run(words: Sequence[str]) -> Facts:
    command = words[0]
    if command not in LIGHTNING_COMMANDS:
        return run(words)
    if TRAINER_HELP in words:
        show_trainer_help(command)
    elif {"-h", "--help"} & {*words}:
        show_help(command)
    elif command == "crossval":
        from moe_mat.cli.crossval import run_crossval

        return run_crossval(words)
    elif command == "tune":
        from moe_mat.cli.tune import run_tune

        return run_tune(words)
    else:
        from moe_mat.cli.lightning import run_lightning

        return run_lightning(words)
    return {}


def _refusals() -> tuple[type[Exception], ...]:
    """Errors that are told in a line; Lightning's own can only come where Lightning has been imported."""
    lightning = sys.modules.get("pytorch_lightning.utilities.exceptions")
    own = (ValueError, OSError, ImportError, KeyError, FetchError)
    return own if lightning is None else (*own, lightning.MisconfigurationException)
