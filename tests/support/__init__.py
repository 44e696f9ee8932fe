"""What tests share and is not a test: clients, scopes, apps, servers, and the slow twin of the table.

Tests import from here, never from each other. `apps` holds what real servers serve.
"""
