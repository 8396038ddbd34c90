"""The centre's database: SQLite or PostgreSQL, one form, every method a whole transaction."""
