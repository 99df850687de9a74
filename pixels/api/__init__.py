"""Pixels, partners and piggyback pixels through the API."""
