from .signals import Stopped, signals_as_exceptions

__all__ = [
    "Stopped",
    "signals_as_exceptions",
]
