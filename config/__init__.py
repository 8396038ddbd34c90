"""Settings and sanitization policies: TOML in, domain objects out."""
