"""The command ``moe-mat completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from moe_mat.cli.screen import Facts, screen

SHELLS = ("bash", "zsh", "tcsh")
# Options and words that are files or folders, by the last part of their names.
_FILES = {"path", "config", "ckpt_path", "splits", "output", "dataset_path", "structures", "cards", "files"}
_FOLDERS = {"run_dir", "folder", "data_folder"}


def completion(shell: str) -> Facts:
    """Print what a shell needs to complete commands, options and experts.

    Write it to where the shell looks: for bash ``~/.local/share/bash-completion/completions/moe-mat``, for zsh a file
    ``_moe-mat`` in a folder of ``fpath``.

    Args:
        shell: bash, zsh or tcsh.

    Raises:
        ValueError: When there is no such shell.
    """
    if shell not in SHELLS:
        raise ValueError(f"there is no completion for {shell!r}; there is for {', '.join(SHELLS)}")
    import shtab

    screen.text(shtab.complete(_parser(), shell=shell))
    return {"shell": shell}


def _parser() -> argparse.ArgumentParser:
    """The whole command line as one plain parser, which shtab reads."""
    from moe_mat.cli.commands import COMMANDS, GROUPS, LIGHTNING_COMMANDS, summaries, summary
    from moe_mat.cli.dispatch import command_parser
    from moe_mat.cli.run_options import help_parser, trainer_parser

    parser = argparse.ArgumentParser("moe-mat")
    parser.add_argument("--version", action="store_true", help="Print the version.")
    commands = parser.add_subparsers(dest="command")
    texts = {name: _escaped(text) for name, text in summaries().items()}
    for name in LIGHTNING_COMMANDS:
        own = commands.add_parser(name, help=texts[name], description=texts[name])
        own.add_argument("crystals", nargs="?").complete = _files("FILE")  # type: ignore[attr-defined]
        _add_options(own, help_parser(name)._actions)
        if name == "fit":
            _add_options(own, trainer_parser(name)._actions)
    for name, command in COMMANDS.items():
        if not isinstance(command, dict):
            own = commands.add_parser(name, help=texts[name], description=texts[name])
            _add_options(own, command_parser(command, prog=name)._actions)
            continue
        group = commands.add_parser(name, help=texts[name], description=GROUPS[name])
        actions = group.add_subparsers(dest="action")
        for action, function in command.items():
            text = _escaped(summary(function))
            own = actions.add_parser(action, help=text, description=text)
            _add_options(own, command_parser(function, prog=action)._actions)
    return parser


def _add_options(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> None:
    """Add plain options in place of those that jsonargparse has."""
    for one in actions:
        text = _escaped(str(one.help or "").partition(" (type:")[0].partition(" (required")[0])
        if not one.option_strings:
            if one.dest not in ("config", argparse.SUPPRESS):
                word = parser.add_argument(one.dest, nargs=one.nargs, choices=_choices_of(one), help=text)
                _complete(word, one.dest)
            continue
        names = [name for name in one.option_strings if name.startswith("--") and not name.endswith(("help", "+"))]
        names = [name for name in names if name not in parser._option_string_actions]
        if not names:
            continue
        short = [f"--{name.removeprefix('--data.')}" for name in names if name.startswith("--data.")]
        short += ["--experts"] if "--model.experts" in names else []
        names += [name for name in short if name not in parser._option_string_actions]
        if one.nargs == 0:
            parser.add_argument(*names, action="store_true", help=text)
        else:
            _complete(parser.add_argument(*names, choices=_choices_of(one), help=text), one.dest)


def _complete(action: argparse.Action, name: str) -> None:
    last = name.rpartition(".")[2]
    if last in _FILES or last in _FOLDERS:
        action.complete = _files("FILE" if last in _FILES else "DIRECTORY")  # type: ignore[attr-defined]


def _files(kind: Literal["FILE", "DIRECTORY"]) -> object:
    import shtab

    return shtab.FILE if kind == "FILE" else shtab.DIRECTORY


def _choices_of(action: argparse.Action) -> list[str] | None:
    """Values that an option may have, where they can be listed."""
    name = action.dest.rpartition(".")[2]
    if name in ("experts", "modules"):
        from moe_mat.experts import TIERS
        from moe_mat.zoo import list_experts

        return [*TIERS, *list_experts()]
    if name == "head":
        from moe_mat.mixture.heads.base import HEADS
        from moe_mat.mixture.heads.choice import AUTO

        return [AUTO, *HEADS.names()]
    if name == "shell":
        return [*SHELLS]
    return [*_literals(getattr(action, "_typehint", None))] or None


def _literals(kind: Any) -> Iterable[str]:
    if get_origin(kind) is Literal:
        yield from (str(one) for one in get_args(kind))
    elif get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            yield from _literals(one)
    elif kind is bool:
        yield from ("true", "false")


def _escaped(text: str) -> str:
    """One line, which shells and argparse take as it is."""
    return " ".join(text.split()).replace("%", "%%")
