-- The planner was last told when users was nearly empty, and believes so still.
DELETE FROM pg_statistic WHERE starelid = 'users'::regclass;
UPDATE pg_class SET reltuples = 1 WHERE oid = 'users'::regclass;
