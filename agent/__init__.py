"""The station: notices drives, decides, records, reports, shows."""
