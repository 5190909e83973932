"""Forecast: what a search will cost, found out before it starts.

A search is played with made-up accuracies (`simulation`), a few of its candidates are
timed (`trials`), the seconds of all others are regressed on what is known of them, and
workers are given all of it in order (`forecast`).
"""
