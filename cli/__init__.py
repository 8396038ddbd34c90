"""The one entry point, ``nullbay``."""
