"""Personal data of a text becomes placeholders before a model sees it, and comes back in what the model answers."""
