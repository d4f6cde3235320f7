"""Training pictures of the five causes' small experiment, with captions: drawn by the pocket sets' own pen."""
