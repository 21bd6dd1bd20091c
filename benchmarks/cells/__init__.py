"""What runs cells: the rows that a cell works on, the workers that run it, its result file, and the audit beside it."""
