"""Settings of the mixture. Nothing heavy is imported, so that the help of a command can be shown at once."""

from typing import Literal

Transform = Literal["auto", "none", "standardise", "log", "asinh"]
