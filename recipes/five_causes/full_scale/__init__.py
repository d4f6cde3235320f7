"""The published experiment at its full scale: the plan of its runs, and their report."""
