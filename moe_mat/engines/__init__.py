"""Where jobs run: in this process, in processes of this machine, or on an existing Ray cluster.

`start_engine` starts one by its name; `answers` keeps its workers busy with jobs and gives what becomes of each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
