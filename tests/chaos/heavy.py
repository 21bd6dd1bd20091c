"""What the fork server imports before its first child: seconds that no run of a command has to spend again.

Nothing is computed here. A process that has started threads must not be forked.
"""

import gc

import matplotlib.backends.backend_agg
import pandas.io.formats.csvs
import pyarrow.parquet
import pytest  # the main module of the process that asks for children
import sklearn.gaussian_process
import sklearn.linear_model
import sklearn.svm
import torch

import benchmarks.sweep
import moe_mat.cli.audit_subject
import moe_mat.cli.lightning
import moe_mat.cli.main
import moe_mat.encoders.descriptors.encoders
import moe_mat.mixture.heads.gaussian_process
import moe_mat.mixture.heads.kernel
import moe_mat.mixture.heads.perceptron
import moe_mat.mixture.heads.vector_machine
import moe_mat.moma.merging
import moe_mat.pretrain.run
import toy_benchmark  # noqa: F401

torch.set_num_threads(1)
# Collecting what has been imported would copy it into every child.
gc.collect()
gc.freeze()
