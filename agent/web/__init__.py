"""The station's HTTP API and console, against the desk alone."""
