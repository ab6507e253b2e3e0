-- Statements about the server itself.

-- name: check_server
-- Costs nothing and answers when the server does.
-- returns one row, `1`
select 1 as alive;
