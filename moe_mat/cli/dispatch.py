"""Functions as commands: the signature is the options, the docstring the help."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, Namespace

from moe_mat.cli.commands import COMMANDS, GROUPS, LIGHTNING_COMMANDS, Command, summary


def run(arguments: Sequence[str]) -> None:
    """Run one of the package's own commands.

    Raises:
        ValueError: When there is no such command.
    """
    name = arguments[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, [*LIGHTNING_COMMANDS, *COMMANDS], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no such command{hint} (moe-mat --help lists them)")
    command = COMMANDS[name]
    if not isinstance(command, dict):
        _call(command, _parser(command, prog=f"moe-mat {name}").parse_args(list(arguments[1:])))
        return
    parser = ArgumentParser(prog=f"moe-mat {name}", description=GROUPS[name])
    subcommands = parser.add_subcommands(dest="action")
    for action, function in command.items():
        subcommands.add_subcommand(action, _parser(function), help=summary(function))
    parsed = parser.parse_args(list(arguments[1:]))
    _call(command[parsed.action], parsed[parsed.action])


def _parser(function: Command, **settings: Any) -> ArgumentParser:
    """The parser of a function.

    Positional parameters become positional arguments (a list takes one or more), the others options; of a dataclass,
    each field becomes an option of its own. Types are read here: jsonargparse would import all that a module names
    for type checkers.
    """
    parser = ArgumentParser(description=summary(function), **settings)
    documented, groups = _documented(function), []
    for name, parameter in _parameters(function).items():
        kind, required = parameter.annotation, parameter.default is parameter.empty
        default = {} if required else {"default": parameter.default}
        if is_dataclass(kind):
            groups.append(kind)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            parser.add_argument(f"--{name}", type=kind, help=documented.get(name), required=required, **default)
        elif kind == list[str]:
            parser.add_argument(name, help=documented.get(name), nargs="+" if required else "*", **default)
        else:
            parser.add_argument(name, help=documented.get(name), nargs=None if required else "?", **default)
    for kind in groups:
        documented, types = _documented(kind), get_type_hints(kind)
        group = parser.add_argument_group(summary(kind).rstrip("."))
        for field in fields(kind):
            option = {"type": types[field.name], "help": documented.get(field.name), "default": field.default}
            group.add_argument(f"--{field.name}", **option)
    return parser


def _parameters(function: Command) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function, eval_str=True).parameters)


def _documented(what: object) -> dict[str, str | None]:
    """Parameter or field to its line in the docstring."""
    return {one.arg_name: one.description for one in docstring_parser.parse(str(what.__doc__)).params}


def _call(function: Command, parsed: Namespace) -> None:
    arguments = {}
    for name, parameter in _parameters(function).items():
        kind = parameter.annotation
        if is_dataclass(kind):
            arguments[name] = kind(**{field.name: parsed[field.name] for field in fields(kind)})  # type: ignore[operator]
        else:
            arguments[name] = parsed[name]
    function(**arguments)
