"""How dates and numbers are written, over Django's own formats."""
