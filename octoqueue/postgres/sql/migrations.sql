-- Bookkeeping of the migrator. Everything here runs while it holds the lock.

-- name: lock_schema
-- Waits until nobody else migrates this database; released with the connection.
-- $1 int8: the lock's number
-- returns one row
select pg_advisory_lock($1);

-- name: create_bookkeeping
-- Makes the migrator's own table, once.
-- returns nothing
create table if not exists schema_migrations (
  number integer primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);

-- name: find_bookkeeping
-- Tells a new database from one that was migrated before.
-- returns one row, whether the table is there
select to_regclass('schema_migrations') is not null as is_there;

-- name: list_migrations
-- returns a row for each applied migration, in order
select number, name, checksum from schema_migrations order by number;

-- name: record_migration
-- $1 int4: its number
-- $2 text: its name
-- $3 text: the checksum of its file
-- returns nothing
insert into schema_migrations (number, name, checksum) values ($1, $2, $3);
