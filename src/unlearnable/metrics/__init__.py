"""Metrics: how far pictures are from their originals, and what an attacker learned from them."""
