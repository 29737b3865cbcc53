"""Measurements of what attackers learn: the trials, rates and sources that audit and benchmark share."""
