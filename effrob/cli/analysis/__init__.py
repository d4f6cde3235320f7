"""Commands that look behind an accuracy."""
