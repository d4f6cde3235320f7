"""What lies behind an accuracy: confidence, classes, factors, subsets of images. Reads records; loads no network."""
