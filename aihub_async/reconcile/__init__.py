"""Find out what became of a request whose outcome is unknown: the one home of such lookups.

- `once`: send a once-only request, look up its effect after an unclear outcome, and send it again only if the lookup
  shows that nothing came of it.
- `runs`: find runs by their tags, one submission's run or all runs of a bulk job.
- `named`: find batches by name, and secrets by alias.
- `jobs`: find a legacy job by the id that the caller chose.
- `commits`: find out whether a multipart upload was committed.

No lookup is bounded by this machine's calendar, which may be wrong by hours: only the server's own times count.
"""
