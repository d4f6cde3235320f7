"""Models handed over as objects: copied, identified by what they compute with, and read as encoders."""
