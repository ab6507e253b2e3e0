"""Everything that speaks PostgreSQL, and all the SQL.

    table                written by                              statements
    schema_migrations    octoqueue.postgres.migrator             sql/migrations.sql
    tasks                octoqueue.workflows.postgres_tasks       sql/tasks.sql
    outbox               octoqueue.producer.outbox, and the      sql/outbox.sql
                         function octoqueue_enqueue; read by
                         octoqueue.postgres.outbox

`pool` opens connections and bounds every call in time, `sqlstate` turns what the server or the
socket says into `octoqueue.errors`, `statements` loads the named SQL, `grouping` makes one
statement of the calls of one tick, `outbox` lends the rows of the outbox to a relay, `listener`
hears notifications, `migrator` brings a database to `schema.sql`.

Statements run in autocommit at READ COMMITTED: one statement is one transaction, but for what
`PostgresPool.transaction` lends a connection to. Session state
(SET, LISTEN, advisory locks) is never left on a pooled connection, which is why connections are
handed back without a reset round trip.

The weakness: after a connection broke in mid-statement nobody knows whether it took effect
(`StoreUnavailable` says so), so every statement here is safe to send again.
"""
