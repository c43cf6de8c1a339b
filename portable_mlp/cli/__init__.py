"""The command line: one file for each command, and `app`, which puts them together."""
