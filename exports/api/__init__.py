"""Destinations, exports and runs through the API."""
