"""A SaaS in small: a shop for each tenant, at hosts out of a database: run `scripts/saas`."""
