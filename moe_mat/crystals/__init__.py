"""Files and objects become checked crystals with ids, targets and splits."""
