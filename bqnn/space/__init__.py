"""The search space: blocks as Network Structure Codes, and as arrays of actions."""
