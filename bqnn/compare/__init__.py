"""Agents side by side: many seeds, equal budgets, the same evaluations."""
