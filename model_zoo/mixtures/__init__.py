"""Weights between and among models: interpolations and averages as models of their own, never written to disk."""
