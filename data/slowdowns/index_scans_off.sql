-- A setting that somebody tried on the database and forgot.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_indexscan = off', current_database()); END $$;
