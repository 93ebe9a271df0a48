"""Where the attention of the classes goes over a data set, and what their predictions rely on: ``explore_dataset``."""
