"""The encoders of the autoencoders that people fine-tune on: what every model of a family sees of a picture."""
