"""A Keras model's JSON configuration, read without Keras."""
