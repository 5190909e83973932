"""Programs: `python -m launch.search`, or `bqnn search`. Each takes `--help`."""
