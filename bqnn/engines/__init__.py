"""Engines: how a network is trained on a device.

All engines give the same results up to rounding. On one kind of machine each repeats
its own to the last bit; so the engine is a part of the configuration.
"""
