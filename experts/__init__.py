"""The zoo: one card (YAML) and, where the weights do not come with a dependency, one safetensors file an expert."""

# What experts="default" means. docs/experts.md says how it was chosen.
DEFAULT: tuple[str, ...] = (
    "chgnet",
    "chgnet_conv?",
    "magpie",
    "structure_features",
    "local_environment",
    "spring_network",
    "symmetry",
    "packing",
    "jarvis_*",
    "mp_*",
)
