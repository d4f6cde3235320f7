"""Judging a whole board at once: the numbers of one model after another, an array at a time."""
