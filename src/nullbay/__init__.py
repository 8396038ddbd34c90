"""nullbay: wipes drives and proves what was done.

The code stands in the rooms at the top of the repository; the links beside this file give them
their import names, ``nullbay.<room>``.
"""

__version__ = "0.1.0"
