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
from moe_mat.cli.grammar import Grammar, UsageError, with_word_as
from moe_mat.cli.options import DATA_OPTIONS, add_manner_options
from moe_mat.cli.screen import Facts


def run(arguments: Sequence[str]) -> Facts:
    """Run one of the package's own commands.

    Returns:
        What it has done.

    Raises:
        ValueError: When there is no such command.
    """
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"there is no such command{_hint(name, [*LIGHTNING_COMMANDS, *COMMANDS])}")
    command = COMMANDS[name]
    if not isinstance(command, dict):
        return _call(command, f"moe-mat {name}", rest)
    if not rest or rest[0] in ("-h", "--help"):
        parser = ArgumentParser(prog=f"moe-mat {name}", description=GROUPS[name], exit_on_error=False)
        subcommands = parser.add_subcommands(dest="action")
        for action, function in command.items():
            subcommands.add_subcommand(action, ArgumentParser(), help=summary(function))
        parser.parse_args(rest)
    action, *rest = rest
    if action not in command:
        actions = ", ".join(command)
        raise UsageError(f"there is no {action!r}{_hint(action, list(command), f'; there are {actions}')}")
    return _call(command[action], f"moe-mat {name} {action}", rest)


def _hint(name: str, known: Sequence[str], otherwise: str = " (moe-mat --help lists them)") -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else otherwise


def _call(function: Command, prog: str, arguments: Sequence[str]) -> Facts:
    parser, parameters = command_parser(function, prog=prog), _parameters(function)
    words = [name for name, one in parameters.items() if one.kind is not one.KEYWORD_ONLY]
    single = [name for name in words if parameters[name].annotation != list[str]]
    options = parser._option_string_actions
    grammar = Grammar.of(options, words=single, aliases={alias: own for own, alias in DATA_OPTIONS.items()})
    given = grammar.read(arguments)
    if single:
        given = with_word_as(single[0], given)
    # The parser knows its positional arguments as words alone.
    parsed = parser.parse_args(
        [str(one) for one in given if one.name not in words]
        + ["--"] * any(one.name in words for one in given)
        + [str(one.value) for one in given if one.name in words]
    )
    return function(**_values(parameters, parsed))


def _values(parameters: dict[str, inspect.Parameter], parsed: Namespace) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, parameter in parameters.items():
        kind = parameter.annotation
        if is_dataclass(kind):
            values[name] = kind(**{field.name: parsed[field.name] for field in fields(kind)})  # type: ignore[operator]
        else:
            values[name] = parsed[name]
    return values


def command_parser(function: Command, *, prog: str) -> ArgumentParser:
    """The parser of a function.

    Positional parameters become positional arguments (a list takes one or more), the others options; of a dataclass,
    each field becomes an option of its own. Types are read here: jsonargparse would import all that a module names
    for type checkers.
    """
    parser = ArgumentParser(prog=prog, description=summary(function), exit_on_error=False)
    documented, groups = _documented(function), []
    for name, parameter in _parameters(function).items():
        kind, required = parameter.annotation, parameter.default is parameter.empty
        default: dict[str, Any] = {} if required else {"default": parameter.default}
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
    add_manner_options(parser)
    return parser


def _parameters(function: Command) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function, eval_str=True).parameters)


def _documented(what: object) -> dict[str, str | None]:
    """Parameter or field to its line in the docstring."""
    return {one.arg_name: one.description for one in docstring_parser.parse(str(what.__doc__)).params}
