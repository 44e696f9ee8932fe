"""Tenants by host: one app that is told the tenant of each request, or an app for each tenant.

May import `serving` and the packages below it. To add a way to serve tenants, write an app and wrap
it in `TenantMiddleware`, as `TenantApps` does.
"""
