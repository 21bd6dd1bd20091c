"""What the methods are: one card (YAML) each, and the functions that the cards name."""
