"""Searches for the best crystals of a task, as if their values were measured batch after batch."""
