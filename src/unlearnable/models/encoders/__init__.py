"""Encoders of the autoencoders that people fine-tune on; every model of a family sees pictures through its own."""
