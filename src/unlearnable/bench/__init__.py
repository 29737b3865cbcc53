"""The benchmark: it runs every method against every attacker and countermeasure of a recipe, and keeps every result."""
