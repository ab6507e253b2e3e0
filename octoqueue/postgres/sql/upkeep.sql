-- Statements about the server itself.

-- name: check_server
-- Costs nothing and answers when the server does.
-- returns one row, `1`
select 1 as alive;

-- name: prefer_indexes
-- For the session: every statement of ours looks for a few rows by their ids, however many there
-- are. A plan made while a table was small reads all of it, and is kept while the table grows. Nor is
-- any worth a second process.
-- returns one row of no use
select
  set_config('enable_seqscan', 'off', false),
  set_config('enable_hashjoin', 'off', false),
  set_config('enable_mergejoin', 'off', false),
  set_config('max_parallel_workers_per_gather', '0', false);
