"""Files through a model and back, for one picture or a million: protect, purify, personalize."""
