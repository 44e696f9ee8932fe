"""What an app would do, found without serving: its layers, one decision, and its faults.

`layers` finds where an app chooses between mounts, `explanations` shows one decision, `endpoints`
what the app behind it will do, `audits` checks a whole app, with `hidden` for what is never reached
and `orders` for what stands in the wrong place, and `alone` cuts one mount out of it. Nothing else
here runs while requests are served.

May import: `serving` and everything below it. Does not import: `tenants`, `urls`, `openapi`, `cli`.

To add a check, add its code to `mountkit.matching.findings.Code`, write a generator of `Finding`
in one of these, call it from `_check_app` (one mount) or `_check` (one app), and describe the code
in docs/explain.md.
"""
