"""Exports in the admin: destinations, exports and runs. (Being written: the pages are another person's work now.)"""
