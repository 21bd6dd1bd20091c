"""The command line as a user meets it: own data in every format, resumed and refused runs, clear lines for mistakes."""
