"""What surrounds a fact: device, place, source, page and weather (rules.md 1.5), read from what a request says."""
