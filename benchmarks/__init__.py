"""How fast effrob is: ratios measured in one run, each against a named reference installed beside it."""
