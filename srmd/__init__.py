"""srmd: an emulator of Cisco's Server Recovery Manager, for two daemons that fail over.

Not affiliated with Cisco.  The map of the code is `README.md` beside this file.
"""

__version__ = "0.1.0"
