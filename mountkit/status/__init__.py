"""What a running site shows of itself: the `Status` page and metrics.

May import: everything but `server` and `cli`. To add to it, write a module, and name it here.
"""
