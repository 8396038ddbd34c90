"""The centre: receives records from many stations, checks, keeps, shows and accounts for them."""
