"""The benchmark: task cards, the sweep over them, and its report."""
