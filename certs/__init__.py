"""Everything that proves what was done."""
