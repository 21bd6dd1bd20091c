"""The command line: Lightning's subcommands and ours."""
