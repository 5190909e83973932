"""Latency: measured unit by unit, so that of any network of a space is known untrained.

`timing` measures units on a device, `table` adds them up. One image at a time, forward.
"""
