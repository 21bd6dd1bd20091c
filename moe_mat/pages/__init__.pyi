from .page import render
from .run_page import RunSubject, write_run_page

__all__ = [
    "RunSubject",
    "render",
    "write_run_page",
]
