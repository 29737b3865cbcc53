"""Files that survive interruptions: atomic writes, locks, the journal of a run."""
