"""Searches all that can happen to a pair, with the rules themselves: `srmd prove`.

See docs/proof.md.
"""
