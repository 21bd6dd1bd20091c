"""What may be wrong with a recipe."""


class RecipeError(ValueError):
    """A recipe that cannot be read or does not fit its data; the message names the recipe and the entry."""
