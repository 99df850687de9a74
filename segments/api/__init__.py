"""Segments, their members, and the people behind them, through the API."""
