"""Everything that touches a drive."""
