"""The registry of encoders: which class a card means by the name in its ``encoder`` field."""

from __future__ import annotations

from moe_mat.encoders.base import Encoder
from moe_mat.files.registry import Registry

# Each brings a heavy dependency of its own.
ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    built_in={
        "cgcnn": "moe_mat.encoders.cgcnn",
        "chgnet": "moe_mat.encoders.chgnet",
        "sevennet": "moe_mat.encoders.sevennet",
        "matgl": "moe_mat.encoders.matgl",
        "table": "moe_mat.encoders.table",
        "descriptors": "moe_mat.encoders.descriptors.encoders",
        "local_environment": "moe_mat.encoders.descriptors.encoders",
        "elements": "moe_mat.encoders.descriptors.elements",
        "polar_springs": "moe_mat.encoders.physics.polar_springs",
        "phonons": "moe_mat.encoders.physics.phonons",
        "layer_stack": "moe_mat.encoders.physics.layer_stack",
        "elasticity": "moe_mat.encoders.physics.elasticity",
    },
    group="moe_mat.encoders",
    guide="docs/add-an-expert.md",
)
register_encoder = ENCODERS.register
get_encoder = ENCODERS.get
