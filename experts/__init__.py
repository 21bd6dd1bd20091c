"""The zoo: one card (YAML) and, where the weights do not come with a dependency, one safetensors file an expert."""

DESCRIPTORS = ("magpie", "structure_features", "local_environment", "spring_network", "symmetry", "packing")
# Named sets of experts, by what they cost; docs/experts.md says how they were chosen, and shows error against seconds.
_DEFAULT: tuple[str, ...] = (
    "chgnet",
    "chgnet_conv?",
    "sevennet_mf0",
    "sevennet_mf0_tensors_*",
    *DESCRIPTORS,
    "jarvis_*",
    "mp_*",
    "layer_stack",
)
TIERS: dict[str, tuple[str, ...]] = {
    "light": ("chgnet", "chgnet_conv?", "magpie", "symmetry", "packing", "light_*"),
    "default": _DEFAULT,
    "composition": ("magpie", "element_fractions", "element_text", "ionic", "formula_*"),
    "all": (*_DEFAULT, "polar_springs", "elasticity_chgnet", "phonons_sevennet0", "boltztrap_*", "perovskites_*"),
}
