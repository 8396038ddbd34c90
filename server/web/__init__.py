"""The pages and the read API of the centre."""
