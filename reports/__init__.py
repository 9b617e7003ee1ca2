"""What is said about a run: tables, summaries, pictures, one exporter per file. Plain rows in, never the harness."""
