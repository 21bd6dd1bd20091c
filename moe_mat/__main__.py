"""``python -m moe_mat`` is ``moe-mat``."""

import sys

from moe_mat.cli.main import main

sys.exit(main())
