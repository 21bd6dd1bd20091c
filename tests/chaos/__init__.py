"""Commands that are killed, filled up, crowded and damaged: nothing is lost, and nothing is silently wrong."""
