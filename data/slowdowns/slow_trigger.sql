-- A trigger that somebody added for an audit: it waits 3 ms at every update of a user.
CREATE FUNCTION audit_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.003);
    RETURN NEW;
END
$$;
CREATE TRIGGER users_audit BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION audit_slowly();
