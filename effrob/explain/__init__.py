"""Why an accuracy is not the one expected: cached features scored under every setting that papers differ in."""
