"""What whole processes cost under the settings and neighbours that people have."""
