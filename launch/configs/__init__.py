"""Configurations that ship, for `--config=launch/configs/NAME.py`."""
