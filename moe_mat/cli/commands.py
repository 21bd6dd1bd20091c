"""The commands by name. What they compute with is imported when they run, so that their help is there at once."""

from __future__ import annotations

from collections.abc import Callable

from moe_mat.cli.audit import audit
from moe_mat.cli.cache import cache_clear, cache_list
from moe_mat.cli.completion import completion
from moe_mat.cli.compose import compose
from moe_mat.cli.data import data_fetch, data_list, data_prepare
from moe_mat.cli.embed import embed
from moe_mat.cli.experts import experts_import, experts_list, experts_show, experts_verify
from moe_mat.cli.explain import explain
from moe_mat.cli.pretrain import pretrain
from moe_mat.cli.run_options import COMMANDS as LIGHTNING_COMMANDS
from moe_mat.cli.screen import Facts
from moe_mat.cli.suggest import suggest

Command = Callable[..., Facts]

# Each is a function: its signature is the command's options, its docstring the help; it returns what it has done.
COMMANDS: dict[str, Command | dict[str, Command]] = {
    "embed": embed,
    "experts": {"list": experts_list, "show": experts_show, "verify": experts_verify, "import": experts_import},
    "pretrain": pretrain,
    "compose": compose,
    "audit": audit,
    "explain": explain,
    "suggest": suggest,
    "cache": {"list": cache_list, "clear": cache_clear},
    "completion": completion,
    "data": {"list": data_list, "fetch": data_fetch, "prepare": data_prepare},
}
GROUPS = {
    "experts": "List, show, verify or import experts.",
    "cache": "List or clear the cache of embeddings.",
    "data": "List, fetch or prepare the data of the benchmark.",
}


def summaries() -> dict[str, str]:
    """Command to the line that says what it does."""
    own = {name: GROUPS[name] if isinstance(command, dict) else summary(command) for name, command in COMMANDS.items()}
    return {**LIGHTNING_COMMANDS, **own}


def summary(command: object) -> str:
    """The first line of the docstring of a command, or of a group of its options."""
    return str(command.__doc__).splitlines()[0]
