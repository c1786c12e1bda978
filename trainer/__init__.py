"""From a store to models: the only package that knows torch."""
