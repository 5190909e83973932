"""Programs: `python -m launch.search`, `.replay`, `.show`. Each takes `--help`."""
