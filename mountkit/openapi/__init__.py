"""One OpenAPI document over all mounted apps, and a page to read it in.

`documents` merges documents, and knows nothing of apps; `pages` finds the apps of a site and serves
the result.

May import: `inspection`, `serving` and everything below them.

To add a framework's document, say where it is in that framework's file of
`mountkit.frameworks`. A new object of the specification that holds operations or names needs a
method of `_Part` in `documents`.
"""
