"""MoMa: how much each module of a hub counts for a task, and modules merged into one expert."""
