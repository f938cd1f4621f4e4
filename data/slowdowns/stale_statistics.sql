-- The planner was last told of user_roles in the middle of a bulk load, and believes it to be enormous still.
DELETE FROM pg_statistic WHERE starelid = 'user_roles'::regclass;
UPDATE pg_class SET reltuples = 1e8 WHERE oid = 'user_roles'::regclass;
