"""What setup.cfg cannot say: packages are found, and three of them lie in folders of another name."""

from setuptools import find_packages, setup

MAPPED = {"moe_mat.configs": "configs", "moe_mat.experts": "experts", "moe_mat.task_cards": "benchmarks/tasks"}

setup(packages=[*find_packages(include=["moe_mat", "moe_mat.*"]), *MAPPED], package_dir=MAPPED)
