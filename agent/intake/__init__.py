"""Intake: whose drives these are, who brought them, and what is owed for each. Pure but People."""
