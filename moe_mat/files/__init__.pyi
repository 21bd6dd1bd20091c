from .allocator import keep_freed_memory
from .checksum import file_sha256
from .folders import CACHE_VARIABLE, DATA_VARIABLE, cache_folder, configs_folder, data_folder, task_cards_folder
from .progress import Progress
from .provenance import commit
from .registry import Registry
from .whole import whole_file, write_text

__all__ = [
    "CACHE_VARIABLE",
    "DATA_VARIABLE",
    "Progress",
    "Registry",
    "cache_folder",
    "commit",
    "configs_folder",
    "data_folder",
    "file_sha256",
    "keep_freed_memory",
    "task_cards_folder",
    "whole_file",
    "write_text",
]
