"""``python -m moe_mat`` is ``moe-mat``."""

from moe_mat.cli.main import entry

entry()
