-- A bulk load without ANALYZE: the planner still believes that users holds the ten rows of the day before, and
-- sorts what an index would have given it in order.
DELETE FROM pg_statistic WHERE starelid = 'users'::regclass;
UPDATE pg_class SET reltuples = 10 WHERE oid = 'users'::regclass;
