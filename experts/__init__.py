"""The zoo: one card (YAML) and, where the weights do not come with a dependency, one safetensors file an expert."""

# What experts="default" means. docs/experts.md says how it was chosen.
DEFAULT: tuple[str, ...] = ("chgnet", "magpie", "structure_features")
