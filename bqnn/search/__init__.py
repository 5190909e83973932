"""The search: a fold over its journal, and the master that extends it."""
