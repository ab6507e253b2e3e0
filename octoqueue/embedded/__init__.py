"""A private Redis and a private PostgreSQL, for a machine on which nothing is installed.

One *instance* is one state directory; whoever names the same directory shares the same two servers:

    <state dir>/             0700 (0711 when root made it); belongs to whoever runs octoqueue
      redis.lock             locked by the server itself for as long as it lives; holds its pid
      redis.log
      redis/                 0700: append-only files and redis.sock
      postgres.lock
      postgres.log
      postgres/              0700: data/ and .s.PGSQL.5432
      <server>.sockets       only where the path is too long for a socket: a link to the short one

Who is alive is never guessed from a pid. Each server inherits an open, locked file from the process
that started it, so the lock says truly whether any process of that server still exists, whatever
was killed and whichever pid was reused; and a server counts as running only when it answers.

    answers ───────────────────────────► join it
    silent, lock taken ── wait ────────► it is starting, stopping or dying; the deadline decides
    silent, lock free ─── take it ─────► nobody lives: clear what was left behind, start, hand it on

Honest weaknesses. Whoever can enter the state directory can use the servers: there is no password.
PostgreSQL refuses to run as root, so for root it runs as the account `octoqueue` if there is one,
else as `nobody`, and is then exposed to other processes of that account. A server left behind by a
`kill -9` of its starter keeps running until somebody ends it; the next start joins it. A state
directory that is deleted under a running server leaves that server running and unreachable. Nothing
here watches a server: whoever needs it asks again, and starting is idempotent.
"""
