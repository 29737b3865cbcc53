"""The benchmark: every method against every attacker and countermeasure, from one recipe, in cells that are kept."""
