"""Sets that a suite file declares: folders, lists, shards, parquet tables and bare label files of one's own."""
