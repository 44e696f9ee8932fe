"""`mountkit serve`: the parent process, its workers, and the server that each of them runs.

May import: everything but `cli`. To add to it, write a module, and name it here.
"""
