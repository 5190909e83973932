"""Comparison of agents: equal budgets, the same evaluations, many seeds."""
