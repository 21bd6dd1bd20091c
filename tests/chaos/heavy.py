"""What the fork server imports before its first child: seconds that no run of a command has to spend again.

Nothing is computed here. A process that has started threads must not be forked.
"""

import gc
from importlib import import_module

import torch

for _name in (
    "pytest",  # the main module of the process that asks for children
    "toy_benchmark",
    "benchmarks.sweep",
    "matplotlib.backends.backend_agg",
    "moe_mat.cli.audit_subject",
    "moe_mat.cli.lightning",
    "moe_mat.cli.main",
    "moe_mat.encoders.descriptors.encoders",
    "moe_mat.mixture.heads.gaussian_process",
    "moe_mat.mixture.heads.kernel",
    "moe_mat.mixture.heads.perceptron",
    "moe_mat.mixture.heads.learners",
    "moe_mat.moma.merging",
    "moe_mat.pretrain.run",
    "pandas.io.formats.csvs",
    "pyarrow.parquet",
    "sklearn.linear_model",
    "sklearn.svm",
    "torch.utils.serialization",
):
    import_module(_name)
torch.set_num_threads(1)
# Collecting what has been imported would copy it into every child.
gc.collect()
gc.freeze()
