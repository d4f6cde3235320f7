"""What a paper says of a result: the method in words, the result in a sentence, and the works both rest on."""
