"""The page `unlearnable ui`: thin over the public verbs, for one person on one machine."""
