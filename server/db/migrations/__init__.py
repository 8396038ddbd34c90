"""Every form the centre's database ever had, one step after the other."""
