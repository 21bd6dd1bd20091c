"""The benchmark's tasks: their cards, and the recipes that build their data."""
