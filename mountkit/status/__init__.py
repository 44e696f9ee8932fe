"""What a running site shows of itself: the `Status` page and metrics.

From the values to what is sent:

- `snapshots`: a site at one moment, as plain values, and several processes merged into one;
- `collecting`: takes the snapshot of an app of this process; `words` has conditions, findings and
  explanations in words, without what may be a secret;
- `sources`: where pages get snapshots and explanations; `rates`: what changes between two of them;
- `markup`, `sections`, `explaining`, `pages`: HTML and JSON; with `page.css` and `page.js`;
- `guards`: who may ask; `streams`: server-sent events; `app`: `Status`; `metrics`: `Metrics`.

May import: everything but `server` and `cli`. prometheus_client is imported by `metrics` alone,
when it is asked.

To show something more, add a field with a default to a record of `snapshots` (and to
`merge_snapshots`), fill it in `collecting`, and show it in `sections` or `metrics`. Escape every
text of a site, and show no value that may be a secret.
"""
