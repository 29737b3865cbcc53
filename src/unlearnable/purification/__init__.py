"""Countermeasures: what an attacker does to pictures before training on them."""
